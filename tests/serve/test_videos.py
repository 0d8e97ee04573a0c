"""Videos leave the disk: after an hour, and where a server was killed."""

import asyncio
import io
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from ferkit import store
from ferkit.serve import videos as module
from ferkit.serve.limits import Limits
from ferkit.serve.problems import Problem
from ferkit.serve.video_job import Steady
from ferkit.serve.videos import Videos

BYTES = b"RIFF\0\0\0\0AVI " + bytes(100)


def made(**settings):
    return Videos(str(store.default_path()), Limits(**settings))


def test_a_finished_video_goes_without_being_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "KEPT_S", 0.2)

    async def scene():
        videos = made()
        await videos.add(io.BytesIO(BYTES), "me")
        (job,) = videos._jobs.values()
        await job.task
        assert job.video.state == "failed"
        assert job.folder.is_dir()
        await asyncio.sleep(0.4)
        assert not job.folder.exists()
        assert not videos._jobs
        await videos.close()

    asyncio.run(scene())
    assert not list(tmp_path.iterdir())


def test_a_folder_that_the_system_tidied_away_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))

    async def done(self, job):
        job.set(state="done")

    monkeypatch.setattr(Videos, "_read", done)

    async def scene():
        videos = made()
        first = await videos.add(io.BytesIO(BYTES), "me")
        (job,) = videos._jobs.values()
        await job.task
        module.shutil.rmtree(videos._folder)
        with pytest.raises(Problem) as caught:
            videos.result(first.id, "readings.csv")
        assert caught.value.status == 404
        second = await videos.add(io.BytesIO(BYTES), "me")
        await videos._jobs[second.id].task
        assert videos.get(second.id).state == "done"
        await videos.close()

    asyncio.run(scene())
    assert not list(tmp_path.iterdir())


def test_a_video_that_takes_too_long_is_ended_and_the_next_has_its_turn(monkeypatch, tmp_path):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "_LEAST_S", 0.0)

    async def scene():
        videos = made(video_seconds=0.01)
        await videos.add(io.BytesIO(BYTES), "me")
        (job,) = videos._jobs.values()
        await job.task
        assert job.video.state == "failed"
        assert "takes too long" in job.video.reason
        assert not videos._turn.locked()
        await videos.close()

    asyncio.run(scene())


def test_a_video_that_nobody_asks_about_makes_room(monkeypatch, tmp_path):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))

    async def endless(self, job):
        await asyncio.sleep(60)

    monkeypatch.setattr(Videos, "_read", endless)

    async def scene():
        videos = made()
        first, second = [(await videos.add(io.BytesIO(BYTES), "me")).id for _ in range(2)]
        await asyncio.sleep(0.02)
        assert [videos.get(name).state for name in (first, second)] == ["reading", "waiting"]
        folder = videos._jobs[first].folder
        for job in videos._jobs.values():
            job.asked -= module.UNASKED_S + 1
        assert videos.get(second).state == "waiting"  # whoever asks late is not too late
        await asyncio.sleep(0.02)
        assert videos.get(second).state == "reading"
        assert not folder.exists()
        with pytest.raises(Problem):
            videos.get(first)
        await videos.close()

    asyncio.run(scene())
    assert not list(tmp_path.iterdir())


def test_why_a_process_ended_without_a_reason_is_in_the_log(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))

    async def scene():
        videos = Videos(str(tmp_path / "gone.ferkit"), Limits())
        monkeypatch.setattr(module.sys, "executable", "false")
        await videos.add(io.BytesIO(BYTES), "me")
        (job,) = videos._jobs.values()
        (job.folder / "in").write_bytes(BYTES)
        await job.task
        assert job.video.reason.startswith("Got a file that cannot be read")
        await videos.close()

    asyncio.run(scene())
    assert "A video could not be read: it said nothing" in caplog.text
    (tmp_path / "said").write_text("x" * 5000 + "\nMemoryError\n")
    assert module._end_of(tmp_path / "said").endswith("x MemoryError")


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        ([0.0, 0.1, 0.5, 0.6], [0, 1, 1, 1, 1, 2, 3]),
        ([0.0, 0.02, 0.04, 0.1, 0.12], [0, 3]),
        ([0.2, 0.3], [0, 0, 0, 1]),
    ],
)
def test_each_frame_is_shown_from_its_own_time_on(tmp_path, times, shown):
    video = Steady(tmp_path / "out.webm", 10.0)
    assert video.bytes == 0
    for i, time in enumerate(times):
        video.append(np.full((64, 64, 3), 40 + 50 * i, np.uint8), time)
    video.close()
    assert video.bytes > 0
    capture = cv2.VideoCapture(str(tmp_path / "out.webm"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    got = []
    while (read := capture.read())[0]:
        got.append(round((float(read[1].mean()) - 40) / 50))
    assert got == shown


def test_folders_of_killed_servers_are_removed_and_no_others(monkeypatch, tmp_path):
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    names = {"dead": dead.stdout.strip(), "own": os.getpid(), "living": os.getppid(), "other": "notes"}
    folders = {name: tmp_path / f"ferkit-videos-{number}-abc" for name, number in names.items()}
    for folder in folders.values():
        folder.mkdir()
        (folder / "annotated.webm").write_bytes(b"face")
    module._remove_stale()
    assert {name for name, folder in folders.items() if folder.exists()} == {"living", "other"}


def test_the_process_that_reads_does_not_know_the_token(monkeypatch):
    monkeypatch.setenv("FERKIT_TOKEN", "secret enough")
    assert "FERKIT_TOKEN" not in module._environment()
    assert "PATH" in module._environment()
