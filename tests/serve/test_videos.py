"""Videos leave the disk: after an hour, and where a server was killed."""

import asyncio
import io
import os
import subprocess
import sys

from ferkit import store
from ferkit.serve import videos as module
from ferkit.serve.limits import Limits
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
