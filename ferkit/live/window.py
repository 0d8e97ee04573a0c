"""The window, and what its keys do."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import FerkitError

TITLE = "ferkit live"
HELP = "space: pause, s: snapshot, m: mirror, h: HOG view, q or Esc: quit"

_ESCAPE = 27


@dataclass
class Controls:
    """What the user has asked for with keys.

    Attributes
    ----------
    paused, mirror, hog : bool
        Switched by space, m and h.
    quit : bool
        q, Esc, or the window was closed.
    snapshot : bool
        A snapshot is due; whoever takes it sets this back.
    """

    paused: bool = False
    mirror: bool = False
    hog: bool = False
    quit: bool = False
    snapshot: bool = False

    def press(self, key: int) -> None:
        """A key by its code, as ``cv2.waitKey`` gives it; -1 is none."""
        if key < 0:
            return
        name = chr(key & 0xFF).lower()
        if name == "q" or key & 0xFF == _ESCAPE:
            self.quit = True
        elif name == " ":
            self.paused = not self.paused
        elif name == "m":
            self.mirror = not self.mirror
        elif name == "h":
            self.hog = not self.hog
        elif name == "s":
            self.snapshot = True


class Window:
    """A window that can be resized and closed; used in the main thread.

    Raises
    ------
    FerkitError
        There is no display, or OpenCV was built without windows.
    """

    def __init__(self, title: str = TITLE) -> None:
        reason = why_no_window()
        if reason:
            raise FerkitError(f"Got {reason}, expected a place for a window. Run with --no-window.")
        self.title = title
        self._size: tuple[int, int] | None = None

    def show(self, image: NDArray[np.uint8], controls: Controls, wait: float = 0.0) -> None:
        """Show a picture and take the keys pressed since the last one.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3), dtype uint8
            RGB.
        controls : Controls
            Changed by what was pressed.
        wait : float, default=0
            Seconds to wait for a key.
        """
        if self._size is None:
            self._open(image)
        cv2.imshow(self.title, image[..., ::-1])
        controls.press(cv2.waitKey(max(1, round(wait * 1000))))
        if cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) < 1:
            controls.quit = True

    def close(self) -> None:
        """Close the window."""
        if self._size is not None:
            cv2.destroyAllWindows()
            cv2.waitKey(1)
            self._size = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, image: NDArray[np.uint8]) -> None:
        self._size = image.shape[1], image.shape[0]
        cv2.namedWindow(self.title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        scale = min(1.0, 1280 / self._size[0], 800 / self._size[1])
        cv2.resizeWindow(self.title, round(self._size[0] * scale), round(self._size[1] * scale))


def why_no_window(environment: Any = os.environ, platform: str = sys.platform) -> str:
    """Why no window can be shown here; empty where one can. Asked first, because Qt ends the process without a display.

    Parameters
    ----------
    environment : mapping of str to str
    platform : str
    """
    if "GUI:                           NONE" in cv2.getBuildInformation() or not hasattr(cv2, "imshow"):
        return "an OpenCV that was built without windows"
    if not platform.startswith("linux"):
        return ""
    display = environment.get("DISPLAY", "")
    if not display:
        wayland = bool(environment.get("WAYLAND_DISPLAY"))
        return "" if wayland else "no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    return "" if _answers(display) else f"DISPLAY={display!r}, which does not answer"


def _answers(display: str) -> bool:
    """Whether a local X server listens; others are believed."""
    host, _, rest = display.rpartition(":")
    number = rest.split(".")[0]
    if host not in ("", "unix") or not number.isdigit():
        return True
    path = f"/tmp/.X11-unix/X{number}"
    for address in (path, f"\0{path}"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(address)
            except OSError:
                continue
            return True
    return False


def save_snapshot(image: NDArray[np.uint8], folder: str | Path = ".") -> Path:
    """Write a picture under the next free ``ferkit_0001.png`` and return its path.

    Raises
    ------
    FerkitError
        It cannot be written.
    """
    data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    for number in range(1, 10_000):
        path = Path(folder, f"ferkit_{number:04d}.png")
        try:
            with path.open("xb") as file:
                file.write(data)
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise FerkitError(f"Got snapshot={str(path)!r} ({error}), expected a folder to write to.") from error
    raise FerkitError(f"Got 9,999 snapshots in {str(folder)!r}, expected room for one more.")
