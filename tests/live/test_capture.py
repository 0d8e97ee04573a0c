"""Capture: the newest frame of a camera, every frame of a file; cameras that stall, die and come back."""

import threading
import time

import numpy as np
import pytest
from clips import endless
from PIL import Image

from ferkit.errors import InputError, PictureError
from ferkit.live import Capture
from ferkit.live.capture import PICTURES_A_SECOND, is_live
from ferkit.records import Frame


def frames(n, start=0, pause=0.0):
    for i in range(start, start + n):
        if pause:
            time.sleep(pause)
        yield Frame(np.full((4, 6, 3), i, np.uint8), "fake", i, i / 10)


def numbers(capture):
    return [int(taken.frame.image[0, 0, 0]) for taken in capture]


def collect(capture, into, pause=0.0):
    for one in capture:
        into.append(one)
        time.sleep(pause)


def camera(*opened):
    """Opener that behaves differently each time: an iterator, or an error."""
    ways = iter(opened)

    def opener():
        way = next(ways)
        if isinstance(way, Exception):
            raise way
        yield from way

    return opener


def test_a_file_loses_no_frame_and_keeps_its_times():
    with Capture("clip.mp4", lambda: frames(40)) as capture:
        taken = []
        for one in capture:
            time.sleep(0.001)
            taken.append(one.frame)
    assert [frame.index for frame in taken] == list(range(40))
    assert [frame.time for frame in taken] == [i / 10 for i in range(40)]
    assert capture.dropped == 0


def test_a_camera_hands_over_the_newest_frame_and_counts_the_others():
    with Capture(0, lambda: frames(60, pause=0.005), retries=0) as capture:
        taken = []
        with pytest.raises(PictureError, match="the end of 0"):
            collect(capture, taken, 0.05)
    taken = [one.frame for one in taken]
    indexes = [frame.index for frame in taken]
    assert indexes == sorted(indexes)
    assert np.diff(indexes).max() > 1
    assert capture.dropped == 60 - len(taken) > 10
    times = [frame.time for frame in taken]
    assert times[0] < times[-1] < 60


def test_latency_of_a_camera_counts_from_its_frame():
    with Capture(0, endless, max_seconds=0.3) as capture:
        for one in capture:
            assert 0 <= time.monotonic() - one.arrived < 0.2


@pytest.mark.parametrize(
    "failure", [PictureError("Got camera=0 that is busy, expected a free one."), OSError("unplugged"), iter(())]
)
def test_a_camera_that_fails_is_tried_again_with_a_limit(failure):
    said = []
    opener = camera(failure, *([PictureError("still gone")] * 5))
    capture = Capture(0, opener, tell=said.append, retries=2, pause=0.01)
    with capture, pytest.raises(PictureError, match="Tried 3 times"):
        list(capture)
    assert [line.split("(")[1] for line in said] == ["1 of 2).", "2 of 2)."]
    assert said[0].startswith("Got ")


def test_a_camera_that_dies_and_comes_back_goes_on():
    said = []
    opener = camera(frames(3, 0, 0.01), OSError("unplugged"), frames(3, 50, 0.01), *([OSError("gone")] * 9))
    with Capture(0, opener, tell=said.append, retries=3, pause=0.01) as capture:
        taken = []
        with pytest.raises(PictureError):
            collect(capture, taken)
    values = [int(one.frame.image[0, 0, 0]) for one in taken]
    assert values[0] < 3
    assert values[-1] == 52
    times, indexes = [one.frame.time for one in taken], [one.frame.index for one in taken]
    assert times == sorted(times)
    assert indexes == sorted(set(indexes))


def test_a_camera_that_stalls_is_left_and_opened_again():
    stuck = threading.Event()

    def stalling():
        yield from frames(2, 0, 0.01)
        stuck.wait(20)
        yield from frames(2, 90)  # late frames of a camera that was given up

    said = []
    opener = camera(stalling(), endless())
    with Capture(0, opener, tell=said.append, stall=0.2, pause=0.01) as capture:
        seen = []
        for one in capture:
            seen.append(one.frame.image[0, 0, 0])
            if len(seen) == 8:
                stuck.set()
            if len(seen) > 30:
                break
    assert "Got no frame from 0 for 0.2 s" in said[0]
    assert not {90, 91} & set(seen[:5])


def test_a_camera_without_any_frame_ends_in_an_error():
    stuck = threading.Event()

    def silent():
        stuck.wait(20)
        yield from ()

    with Capture(0, silent, stall=0.05, pause=0.01, retries=1) as capture:
        with pytest.raises(PictureError, match=r"no frame from 0 for 0\.05 s.*Tried 2 times"):
            list(capture)
        stuck.set()


def test_a_camera_that_gives_no_frame_in_time_is_named():
    free = threading.Event()

    def stuck():
        free.wait(5)
        yield from ()

    with Capture(0, stuck, max_seconds=0.2) as capture:
        with pytest.raises(PictureError, match=r"Got no frame from 0 in 0\.2 s, expected one"):
            next(iter(capture))
        free.set()

    def broken():
        raise PictureError("Got no camera 0, expected one that is connected.")
        yield

    with (
        Capture(0, broken, max_seconds=0.2, pause=0.1) as capture,
        pytest.raises(PictureError, match=r"Got no camera 0, expected one that is connected"),
    ):
        next(iter(capture))


def test_the_end_after_some_seconds():
    with Capture(0, endless, max_seconds=0.2) as capture:
        start = time.monotonic()
        assert len(numbers(capture)) > 1
    assert time.monotonic() - start < 5
    with Capture("clip.mp4", lambda: frames(40), max_seconds=1.0) as capture:
        assert len(numbers(capture)) == 10


def test_leaving_frees_the_source():
    freed = threading.Event()

    def opener():
        try:
            yield from endless()
        finally:
            freed.set()

    with Capture("clip.mp4", opener) as capture:
        next(iter(capture))
    assert freed.wait(2)
    assert not [thread for thread in threading.enumerate() if thread.name == "ferkit-capture"]


def test_a_file_that_breaks_passes_its_error():
    def broken():
        yield from frames(2)
        raise PictureError("Got a broken file, expected a whole one.")

    with Capture("clip.mp4", broken) as capture:
        taken = []
        with pytest.raises(PictureError, match="a broken file"):
            collect(capture, taken)
    assert len(taken) == 2


def test_a_folder_is_a_video_in_the_order_of_names(tmp_path):
    for name, value in (("b", 20), ("a", 10), ("c", 30)):
        Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_text("no picture")
    said = []
    with Capture(tmp_path, tell=said.append) as capture:
        taken = [one.frame for one in capture]
    assert [int(frame.image[0, 0, 0]) for frame in taken] == [10, 20, 30]
    assert [frame.time for frame in taken] == [i / PICTURES_A_SECOND for i in range(3)]
    assert len(said) == 1
    assert "bad.png" in said[0]


def test_errors_of_sources(tmp_path):
    for source in (tmp_path, tmp_path / "none.mp4"):
        with Capture(source) as capture, pytest.raises(PictureError, match="Got "):
            list(capture)
    with pytest.raises(InputError, match="Got source=None, expected a camera number"):
        Capture(None)
    with pytest.raises(InputError, match="Got max_seconds=0, expected more than 0"):
        Capture("sample", max_seconds=0)


def test_what_is_live():
    assert is_live(0)
    assert is_live("1")
    assert is_live("rtsp://host/stream")
    assert is_live("http://host/stream?x=1")
    assert not is_live("http://host/clip.mp4?x=1")
    assert not is_live("sample")
    assert not is_live("clip.mp4")
