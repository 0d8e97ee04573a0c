"""The window on a real X server that draws into memory, with keys sent from outside."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

WAIT = 60.0
OPENED, PAINTED, TRIES = 30.0, 5.0, 8
NEEDED = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(NEEDED), reason=f"{' and '.join(NEEDED)} not installed")


def until(ask, what):
    """What ``ask`` gives, as soon as that is something."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.1)
    pytest.fail(f"waited {WAIT:.0f} s for {what}")


@pytest.fixture
def screen(tmp_path):
    """Name of a display, and the file that holds its pixels."""
    read, write = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(write),
        "-screen",
        "0",
        "800x600x24",
        "-fbdir",
        str(tmp_path),
        "-nolisten",
        "tcp",
        "-noreset",  # else it drops everybody who comes while xdotool leaves
    ]
    server = subprocess.Popen(command, pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        name = f":{pipe.readline().strip()}"
    yield name, tmp_path / "Xvfb_screen0"
    server.terminate()
    server.wait(WAIT)


def screenshot(path):
    """RGB pixels of an XWD file of 32 bits a pixel."""
    content = path.read_bytes()
    header = np.frombuffer(content, ">u4", 25)
    size, width, height, line, colours = (int(header[i]) for i in (0, 4, 5, 12, 19))
    start = size + 12 * colours
    pixels = np.frombuffer(content, np.uint8, line * height, start).reshape(height, line)[:, : 4 * width]
    return pixels.reshape(height, width, 4)[..., 2::-1]


class Session:
    """A running ``ferkit live`` and its window."""

    def __init__(self, folder, display):
        self.folder, self.env = folder, os.environ | {"DISPLAY": display}
        command = [sys.executable, "-m", "ferkit", "live", "--source", "sample", "--json", "summary.json"]
        root = str(Path(__file__).parents[2])
        env = self.env | {"PYTHONPATH": os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])}
        self.process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.window = ""

    def painted(self, pixels):
        """Whether a window opens, and draws: without a window manager Qt at times misses that it was mapped."""
        end = time.monotonic() + OPENED
        while time.monotonic() < end and self.process.poll() is None:
            found = [] if self.window else self.xdotool("search", "--name", "ferkit live").split()
            if found:
                self.window, end = found[0], time.monotonic() + PAINTED
            if self.window and np.mean(screenshot(pixels) > 0) > 0.1:
                return True
            time.sleep(0.1)
        return False

    def xdotool(self, *words):
        return subprocess.run(["xdotool", *words], env=self.env, capture_output=True, text=True, check=False).stdout

    def press(self, key):
        self.xdotool("key", "--window", self.window, key)

    def snapshot(self):
        """The newest picture that the key "s" saved; None where there is none, or it is still being written."""
        self.press("s")
        time.sleep(0.3)
        try:
            with Image.open(max(self.folder.glob("ferkit_*.png"))) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, ValueError):
            return None

    def close(self):
        self.process.kill()
        return self.process.communicate()[1]

    def end(self):
        said = self.process.communicate(timeout=WAIT)[1]
        return self.process.returncode, said, json.loads((self.folder / "summary.json").read_text())


@pytest.fixture
def session(tmp_path, screen):
    said = []
    for _ in range(TRIES):
        session = Session(tmp_path, screen[0])
        try:
            if session.painted(screen[1]):
                yield session
                return
        finally:
            said.append(session.close())
    pytest.fail(f"no window was painted in {TRIES} tries: {said}")


def test_keys_of_a_real_window(session, screen):
    def shown():
        """Whether the window shows the picture that is saved while it stands still."""
        saved = session.snapshot()
        if saved is None:
            return False
        height, width = saved.shape[:2]
        return np.mean(np.abs(screenshot(screen[1])[:height, :width].astype(int) - saved) < 40) > 0.99

    def still():
        before = screenshot(screen[1])
        time.sleep(1)
        return np.array_equal(before, screenshot(screen[1]))

    until(lambda: session.snapshot() is not None, "the first snapshot")
    session.press("space")
    until(still, "the pause")
    paused = screenshot(screen[1])
    until(shown, "the picture of the pause")
    assert np.array_equal(paused, screenshot(screen[1]))
    session.press("space")
    until(lambda: not np.array_equal(paused, screenshot(screen[1])), "movement after the pause")
    session.press("q")
    code, said, summary = session.end()
    assert (code, summary["frames"] > 0) == (0, True)
    assert "Saved ferkit_0001.png" in said


def test_a_window_that_is_closed_ends_the_session(session):
    session.xdotool("windowclose", session.window)
    code, _, summary = session.end()
    assert (code, summary["frames"] > 0) == (0, True)
