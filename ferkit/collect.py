"""``ferkit data collect``: labelled pictures of one's own from a camera or a video."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, InputError, PictureError
from ferkit.faces import FaceExtractor
from ferkit.sources import clusters, frames, read_image
from ferkit.sources.duplicates import shrunk


@dataclass(frozen=True)
class Collected:
    """What ``collect`` did.

    Parameters
    ----------
    folder : Path
        Where the pictures are.
    saved : int
        Pictures written.
    frames : int
        Frames looked at.
    without_face : int
        Those of them in which no face was found.
    distinct : int
        All pictures of the folder, when near-duplicates count once.
    """

    folder: Path
    saved: int
    frames: int
    without_face: int
    distinct: int


def collect(
    source: int | str | Path,
    label: str,
    out: str | Path,
    *,
    most: int = 200,
    every: int = 5,
    margin: float = 0.3,
    advance: Callable[[int], Any] = lambda n: None,
) -> Collected:
    """Save the largest face of every n-th frame to ``OUT/<label>/<label>_00001.png`` and so on, until Ctrl-C.

    Numbers go on after those that are there; no file is overwritten.

    Parameters
    ----------
    source : int, str or Path
        Camera number, video file or address.
    label : str
        Expression or category; the name of the folder.
    out : str or Path
        Folder of the set; ``sources.load`` reads it when all labels are collected.
    most : int, default=200
        Pictures to save at most.
    every : int, default=5
        Look at every n-th frame.
    margin : float, default=0.3
        How far a picture reaches beyond the face's box on each side, as a share of the box.
    advance : callable, default=does nothing
        Called with 1 after each picture.

    Raises
    ------
    PictureError
        The camera or video cannot be opened.
    """
    if not label.strip() or re.search(r'[\\/:*?"<>|\0]', label) or label.strip(". ") != label:
        raise InputError(f"Got label={label!r}, expected a name that a folder can have.")
    if most < 1:
        raise InputError(f"Got max={most!r}, expected at least 1.")
    folder = Path(out) / label
    extractor = FaceExtractor(cropped=False)
    seen = without = 0
    small = _collected(folder)
    before, number = len(small), _last_number(folder)
    with closing(frames(source, every)) as video, suppress(KeyboardInterrupt):  # Ctrl-C ends it, and nothing is lost
        for frame in video:
            seen += 1
            faces = extractor.find(frame.image)
            if not len(faces) or not faces.found[0]:
                without += 1
                continue
            face = _cut(frame.image, faces.boxes_xyxy[0], margin)
            number = _save(face, folder, label, number + 1)
            small.append(shrunk(face))
            advance(1)
            if len(small) - before >= most:
                break
    return Collected(folder, len(small) - before, seen, without, len(set(clusters(small).tolist())))


def _collected(folder: Path) -> list[NDArray[np.uint8]]:
    """Small copies of the pictures that are there."""
    found = []
    for path in sorted(folder.glob("*.png")) if folder.is_dir() else ():
        with suppress(PictureError):
            found.append(shrunk(read_image(path)))
    return found


def _last_number(folder: Path) -> int:
    numbers = [re.search(r"_(\d+)$", path.stem) for path in folder.glob("*")] if folder.is_dir() else []
    return max((int(match[1]) for match in numbers if match), default=0)


def _cut(image: NDArray[np.uint8], box_xyxy: NDArray[np.float32], margin: float) -> NDArray[np.uint8]:
    """The box with a margin, as far as the picture reaches."""
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    across, down = margin * (x2 - x1), margin * (y2 - y1)
    top, left = max(0, round(y1 - down)), max(0, round(x1 - across))
    return image[top : max(top + 1, round(y2 + down)), left : max(left + 1, round(x2 + across))]


@contextmanager
def _creating(path: Path) -> Iterator[BinaryIO]:
    """A file that was not there before; a failure leaves none."""
    with path.open("xb") as file:
        try:
            yield file
            file.flush()
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _save(image: NDArray[np.uint8], folder: Path, label: str, number: int) -> int:
    """Write under the next free number, which is returned."""
    _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                with _creating(folder / f"{label}_{number:05d}.png") as file:
                    file.write(data.tobytes())
                return number
            except FileExistsError:
                number += 1
    except OSError as error:
        raise DataError(f"Got out={str(folder)!r} ({error}), expected a folder that can be written to.") from error
