"""A recording can be read at any moment, with true times."""

import cv2
import numpy as np
import pytest

from ferkit.errors import FerkitError, InputError
from ferkit.live import Recording
from ferkit.sources import frames


def picture(value, shape=(48, 64)):
    return np.full((*shape, 3), (value, 40, 200), np.uint8)


def test_frames_and_times_come_back(tmp_path):
    times = [2.0, 2.04, 2.08, 3.5, 3.54]
    with Recording(tmp_path / "out.mp4") as recording:
        for i, time in enumerate(times):
            recording.append(picture(40 * i), time)
    found = list(frames(tmp_path / "out.mp4"))
    assert [frame.time for frame in found] == pytest.approx([time - 2 for time in times], abs=0.002)
    for i, frame in enumerate(found):
        assert frame.image.shape == (48, 64, 3)
        assert abs(frame.image.astype(int) - picture(40 * i)).max() <= 6


def test_it_can_be_read_while_it_is_written(tmp_path):
    recording = Recording(tmp_path / "out.mp4")
    for i in range(5):
        recording.append(picture(20 * i), i / 10)
        assert len(list(frames(tmp_path / "out.mp4"))) == i + 1
    recording.close()
    recording.close()


def test_a_file_that_was_cut_off_plays_up_to_there(tmp_path):
    path = tmp_path / "out.mp4"
    with Recording(path) as recording:
        for i in range(6):
            recording.append(picture(20 * i), i / 10)
    path.write_bytes(path.read_bytes()[:-100])
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    assert len(list(frames(path))) >= 5
    cv2.utils.logging.setLogLevel(level)


def test_other_sizes_are_brought_to_the_first(tmp_path):
    with Recording(tmp_path / "out.mp4") as recording:
        recording.append(picture(0), 0)
        recording.append(picture(99, (96, 100)), 0)
    assert [frame.image.shape for frame in frames(tmp_path / "out.mp4")] == [(48, 64, 3)] * 2


def test_errors(tmp_path):
    with pytest.raises(InputError, match=r"expected a name that ends in \.mp4"):
        Recording(tmp_path / "out.avi")
    with pytest.raises(FerkitError, match="expected a file that can be written"):
        Recording(tmp_path / "none" / "out.mp4").append(picture(0), 0)
    with Recording(tmp_path / "never.mp4"):
        pass
    assert not (tmp_path / "never.mp4").exists()
