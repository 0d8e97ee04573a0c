"""Frames of videos come with their true times, and the capture is freed."""

import os
import socket
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ferkit.errors import InputError, PictureError
from ferkit.sources import frames, pictures, sample_video
from ferkit.sources import video as module

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "video"
real = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data/video")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    sample_video(path, ["neutral", "surprise"], frames_each=6, fps=10, size=64)
    return path


def test_frames_have_index_and_time(clip):
    got = list(frames(clip))
    assert [frame.index for frame in got] == list(range(12))
    assert [frame.time for frame in got] == pytest.approx(np.arange(12) / 10, abs=0.002)
    assert got[0].image.shape == (64, 64, 3)
    assert got[0].source == str(clip)


def test_every(clip):
    assert [(f.index, round(f.time, 2)) for f in frames(clip, every=5)] == [(0, 0.0), (5, 0.5), (10, 1.0)]


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_wrong_every(clip, every):
    with pytest.raises(InputError, match="every"):
        next(frames(clip, every=every))


def test_colours_are_rgb(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 32))
    red = np.zeros((32, 32, 3), np.uint8)
    red[:, :, 2] = 255
    writer.write(red)
    writer.release()
    (frame,) = frames(tmp_path / "red.avi")
    assert frame.image[16, 16, 0] > 240
    assert frame.image[16, 16, 2] < 15


class FakeCapture:
    """A camera of three frames that notes when it is freed."""

    said, stamps = 0, (0, 0, 0)

    def __init__(self, *args, opened=True):
        self.args, self.opened, self.at, self.released = args, opened, -1, False

    def isOpened(self):
        return self.opened

    def get(self, what):
        if what == cv2.CAP_PROP_FRAME_COUNT:
            return self.said
        return 20.0 if what == cv2.CAP_PROP_FPS else self.stamps[self.at]

    def grab(self):
        self.at += 1
        return self.at < 3

    def retrieve(self):
        return True, np.zeros((4, 5, 3), np.uint8)

    def release(self):
        self.released = True


@pytest.fixture
def camera(monkeypatch):
    made = []

    def make(*args):
        made.append(FakeCapture(*args))
        return made[-1]

    monkeypatch.setattr(cv2, "VideoCapture", make)
    return made


def test_camera_by_number_and_by_text(camera):
    assert len(list(frames(0))) == 3
    assert [frame.index for frame in frames("1")] == [0, 1, 2]
    assert [capture.args for capture in camera] == [(0,), (1,)]
    assert all(capture.released for capture in camera)


def test_camera_time_runs(camera):
    times = [frame.time for frame in frames(0)]
    assert times[0] < 0.5
    assert times == sorted(times)


def test_capture_is_freed_when_closed_early_and_on_errors(camera):
    video = frames(0)
    next(video)
    video.close()
    assert camera[0].released
    video = frames(0)
    next(video)
    with pytest.raises(RuntimeError, match="mine"):
        video.throw(RuntimeError("mine"))
    assert camera[1].released


def test_time_without_stamps_goes_by_the_frame_rate(camera, tmp_path):
    (tmp_path / "raw.mkv").write_bytes(b"x")
    assert [frame.time for frame in frames(tmp_path / "raw.mkv")] == pytest.approx([0, 0.05, 0.1])


def test_camera_that_cannot_be_opened(monkeypatch):
    capture = FakeCapture(opened=False)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *args: capture)
    with pytest.raises(PictureError, match="connected, free and allowed"):
        next(frames(3))
    assert capture.released
    with pytest.raises(InputError, match="camera=-1"):
        next(frames(-1))


def test_a_file_named_by_a_number_is_no_camera(tmp_path, monkeypatch, clip):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "7").write_bytes(clip.read_bytes())
    assert len(list(frames("7"))) == 12


def test_a_name_that_is_no_utf8_is_refused_because_opencv_would_crash(clip, tmp_path):
    odd = tmp_path / os.fsdecode(b"caf\xe9.avi")
    odd.write_bytes(Path(clip).read_bytes())
    with pytest.raises(PictureError, match=r"bytes that are no UTF-8, .* Rename it"):
        next(frames(odd))
    with pytest.raises(PictureError, match="bytes that are no UTF-8"):
        next(frames("rtsp://127.0.0.1/\udce9"))


def test_still_picture_is_one_frame(tmp_path):
    Image.new("RGB", (8, 6), "red").save(tmp_path / "img_0001.png")
    Image.new("RGB", (8, 6), "blue").save(tmp_path / "img_0002.png")
    (frame,) = frames(tmp_path / "img_0001.png")
    assert frame.time is None
    assert frame.image.shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("empty.mp4", b"", "0 bytes"),
        ("text.mp4", b"only text, no video at all", "cannot open"),
        ("none.mp4", None, "does not exist"),
    ],
)
def test_bad_files(tmp_path, capfd, name, data, message):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(PictureError, match=message) as caught:
        list(frames(tmp_path / name))
    assert name in str(caught.value)
    with pytest.raises(PictureError, match="a folder"):
        list(frames(tmp_path))
    assert "global cap" not in capfd.readouterr().err


def test_video_without_frames(camera, monkeypatch, tmp_path):
    (tmp_path / "no.mkv").write_bytes(b"x")
    monkeypatch.setattr(FakeCapture, "grab", lambda self: False)
    with pytest.raises(PictureError, match="without a frame"):
        list(frames(tmp_path / "no.mkv"))


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4", ".webm"])
def test_a_whole_video_has_all_its_frames(tmp_path, suffix):
    sample_video(tmp_path / f"whole{suffix}", ["neutral", "surprise"], frames_each=10, fps=10, size=64)
    assert len(list(frames(tmp_path / f"whole{suffix}"))) == 20


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_a_video_that_breaks_off_gives_its_frames_and_says_so(tmp_path, suffix):
    path = tmp_path / f"part{suffix}"
    sample_video(path, ["neutral", "surprise"], frames_each=10, fps=10, size=64)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    *got, error = pictures(path)
    assert isinstance(error, PictureError)
    assert f"ends after frame {len(got)} of 20, expected all of them. It is cut off" in str(error)
    assert 4 < len(got) < 15
    assert [frame.index for frame in got] == list(range(len(got)))


@pytest.mark.parametrize(
    ("said", "stamps"),
    [(8, (0, 0, 0)), (100, (0, 2000, 4900)), (float("nan"), (0, 0, 0)), (-9.2e18, (0, 0, 0))],
    ids=["few missing", "frames of changing length", "unknown", "unknown to FFmpeg"],
)
def test_what_containers_say_may_be_off(camera, monkeypatch, tmp_path, said, stamps):
    (tmp_path / "odd.mkv").write_bytes(b"x")
    monkeypatch.setattr(FakeCapture, "said", said)
    monkeypatch.setattr(FakeCapture, "stamps", stamps)
    assert len(list(frames(tmp_path / "odd.mkv"))) == 3


def test_the_end_of_a_stream_is_said(camera, monkeypatch):
    with pytest.raises(PictureError, match=r"the end of 'rtsp://cam/1' after frame 3, expected a stream that goes on"):
        list(frames("rtsp://cam/1"))
    assert len(list(frames("http://host/clip.webm"))) == 3
    monkeypatch.setattr(FakeCapture, "said", 100)
    with pytest.raises(PictureError, match=r"frame 3 of 100, expected all of them\. The stream ended early"):
        list(frames("http://host/clip.webm"))


def test_animated_gif_has_the_times_that_pillow_reads(tmp_path):
    shades = [Image.fromarray(np.full((20, 20), v, np.uint8)) for v in (10, 120, 240)]
    shades[0].save(tmp_path / "a.gif", save_all=True, append_images=shades[1:], duration=[100, 300, 200])
    got = list(frames(tmp_path / "a.gif"))
    assert [round(frame.time, 2) for frame in got] == [0, 0.1, 0.4]
    assert [round(frame.image.mean(), -1) for frame in got] == [10, 120, 240]


def test_an_address_that_never_answers_times_out(monkeypatch):
    monkeypatch.setattr(module, "OPEN_TIMEOUT", 0.5)
    monkeypatch.setattr(module, "READ_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(server.accept()), daemon=True)
        thread.start()
        start = time.monotonic()
        with pytest.raises(PictureError, match="cannot open"):
            next(frames(f"http://127.0.0.1:{server.getsockname()[1]}/live.mjpg"))
        assert time.monotonic() - start < 8
        thread.join(timeout=5)
        accepted[0][0].close()


@real
@pytest.mark.parametrize(("name", "count", "last"), [("hungry.mkv", 49, 1.6), ("classroom.gif", 45, 2.93)])
def test_real_clips(name, count, last):
    got = list(frames(DATA / name))
    assert len(got) == count
    assert got[-1].time == pytest.approx(last, abs=0.01)
    times = [frame.time for frame in got]
    assert times == sorted(set(times))


@real
def test_real_gif_is_what_pillow_shows():
    with Image.open(DATA / "head-pose-face-detection-male.gif") as gif:
        for i, frame in zip(range(3), frames(DATA / "head-pose-face-detection-male.gif"), strict=False):
            gif.seek(i)
            assert np.abs(frame.image.astype(int) - np.asarray(gif.convert("RGB"))).mean() < 1
