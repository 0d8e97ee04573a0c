"""Videos: read in a process of their own, with progress and cancel; what comes out is a WebM file and rows."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, Field

from ferkit.serve.limits import Limits
from ferkit.serve.problems import Problem

KEPT_S = 3600.0
"""Seconds for which a finished video is kept."""

UNASKED_S = 600.0
"""Seconds after which a video that nobody has asked about makes room: its page was closed."""

_SLOWEST, _LEAST_S = 4.0, 60.0
"""Seconds that a second of the longest video may take, and those that any video may take."""

_PREFIX = "ferkit-videos-"

_SAID = "said"
"""File in a video's folder with what its process says beside its progress."""

RESULTS = {"annotated.webm": "video/webm", "readings.csv": "text/csv"}
"""What comes out of a video, by name."""

_CAPTURE = "protocol_whitelist;file|format_whitelist;mov,mp4,matroska,webm,avi,ogg,flv,mpeg,mpegts,asf,gif"
"""FFmpeg opens nothing but the file, and no playlist that names others."""

log = logging.getLogger("ferkit.serve")


def is_video(head: bytes) -> bool:
    """Whether a file begins as a video does; a playlist, which would name other files and addresses, does not.

    Parameters
    ----------
    head : bytes
        First 12 bytes.

    Examples
    --------
    >>> is_video(b"\\0\\0\\0 ftypisom"), is_video(b"#EXTM3U\\nfile")
    (True, False)
    """
    starts = (b"\x1aE\xdf\xa3", b"OggS", b"FLV\x01", b"\0\0\x01\xba", b"0&\xb2u\x8ef\xcf\x11", b"GIF8", b"G@")
    boxes = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    return head.startswith(starts) or head[4:8] in boxes or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")


class Video(BaseModel):
    """A video that is being read, or was."""

    id: str
    state: str = Field(description="waiting, reading, done, failed or cancelled")
    progress: float = Field(default=0.0, description="Share that is read, 0 to 1; 0 where the length is unknown")
    frames: int = 0
    people: int = 0
    seconds: float = Field(default=0.0, description="Seconds of the video that are read")
    cut: bool = Field(
        default=False,
        description="Whether the rest is missing: the video, or its annotated copy, is too long, or it breaks off",
    )
    reason: str | None = Field(default=None, description="Why it failed, or where it breaks off")
    shown: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Seconds of each expression by person, longest first"
    )
    results: dict[str, str] = Field(default_factory=dict, description="Addresses of what came out")


class _Job:
    def __init__(self, folder: Path, client: str) -> None:
        self.folder, self.client = folder, client
        self.video = Video(id=secrets.token_urlsafe(16), state="waiting")
        self.process: Process | None = None
        self.task: asyncio.Task[None] | None = None
        self.asked = time.monotonic()
        self.finished: float | None = None

    def set(self, **change: Any) -> None:
        self.video = self.video.model_copy(update=change)


class Videos:
    """Videos of this server. A hostile file can harm only the process that reads it.

    Parameters
    ----------
    model : str
        Model file.
    limits : Limits
    at_once : int
        Processes.
    """

    def __init__(self, model: str, limits: Limits, at_once: int = 1) -> None:
        self._model, self._limits = model, limits
        self._folder: Path | None = None
        self._jobs: dict[str, _Job] = {}
        self._turn = asyncio.Semaphore(at_once)

    async def add(self, file: BinaryIO, client: str) -> Video:
        """Take the bytes of a video; raises a 503 problem where there are too many."""
        head = file.read(12)
        file.seek(0)
        if not is_video(head):
            raise Problem(415, "bad_video", "Got a file that is no video, expected MP4, WebM, MOV, AVI, MKV ...")
        self._tidy()
        mine = sum(job.client == client for job in self._jobs.values())
        if len(self._jobs) >= self._limits.videos or mine >= self._limits.videos_each:
            raise Problem(503, "busy", "Got more videos than are kept, expected fewer. Delete some.", retry_after=60)
        job = _Job(Path(tempfile.mkdtemp(dir=self._ready_folder())), client)
        self._jobs[job.video.id] = job
        try:
            await asyncio.to_thread(_save, file, job.folder / "in")
        except BaseException:
            self._forget(job)
            raise
        job.task = asyncio.create_task(self._run(job))
        return job.video

    def get(self, name: str) -> Video:
        """State of a video; raises a 404 problem where there is none."""
        return self._job(name).video

    def result(self, name: str, result: str) -> Path:
        """File that came out of a video."""
        job = self._job(name)
        if job.video.state != "done" or result not in RESULTS or not (job.folder / result).is_file():
            raise Problem(404, "not_found", f"Got no {result[:40]!r} of this video, expected it to be done.")
        return job.folder / result

    async def cancel(self, name: str) -> Video:
        """Stop reading a video and delete all of it."""
        job = self._job(name)
        if job.task is not None:
            job.task.cancel()
            await asyncio.gather(job.task, return_exceptions=True)
        if job.finished is None:
            job.set(state="cancelled")
        self._forget(job)
        return job.video

    async def close(self) -> None:
        """Stop everything and delete all files."""
        for name in list(self._jobs):
            await self.cancel(name)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _ready_folder(self) -> Path:
        """Folder of all videos; systems that tidy their temporary files take one that was idle for some days."""
        if self._folder is None or not self._folder.is_dir():
            _remove_stale()
            self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        return self._folder

    def _job(self, name: str) -> _Job:
        if name in self._jobs:
            self._jobs[name].asked = time.monotonic()
        self._tidy()
        if name not in self._jobs:
            raise Problem(404, "not_found", "Got the name of a video that is not here, expected one of yours.")
        return self._jobs[name]

    def _tidy(self) -> None:
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if job.finished is not None and now - job.finished > KEPT_S:
                self._forget(job)
            elif job.finished is None and job.task is not None and now - job.asked > UNASKED_S:
                self._drop(job, job.task)

    def _drop(self, job: _Job, task: asyncio.Task[None]) -> None:
        """Stop reading a video now, and delete it once its process has ended."""
        del self._jobs[job.video.id]
        task.add_done_callback(lambda _: self._forget(job))
        task.cancel()

    def _forget(self, job: _Job) -> None:
        self._jobs.pop(job.video.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    async def _run(self, job: _Job) -> None:
        async with self._turn:
            job.set(state="reading")
            try:
                async with asyncio.timeout(_LEAST_S + _SLOWEST * self._limits.video_seconds):
                    await self._read(job)
            except TimeoutError:
                job.set(state="failed", reason="Got a video that takes too long to read, expected a shorter one.")
            except Exception:
                log.exception("A video could not be read.")
                job.set(state="failed", reason="Something went wrong inside the server.")
            finally:
                await _end(job.process)
        for name in ("in", _SAID):
            (job.folder / name).unlink(missing_ok=True)
        job.finished = time.monotonic()
        asyncio.get_running_loop().call_later(KEPT_S, self._forget, job)

    async def _read(self, job: _Job) -> None:
        words = ["-m", "ferkit.serve.video_job", str(job.folder), self._model, str(self._limits.video_seconds)]
        with (job.folder / _SAID).open("wb") as said:
            job.process = await asyncio.create_subprocess_exec(
                sys.executable, *words, stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=said,
                start_new_session=True, env=_environment(),
            )  # fmt: skip
        assert job.process.stdout is not None
        async for line in job.process.stdout:
            job.set(**json.loads(line))
        if await job.process.wait() == 0:
            results = {name: f"/api/videos/{job.video.id}/{name}" for name in RESULTS}
            job.set(state="done", progress=1.0, results=results)
        else:
            if not job.video.reason:
                log.warning("A video could not be read: %s", _end_of(job.folder / _SAID))
            unread = "Got a file that cannot be read, expected a video (MP4, WebM, MOV, AVI, MKV ...)."
            job.set(state="failed", reason=job.video.reason or unread)


def _end_of(path: Path) -> str:
    """The last lines of a text file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        said = " ".join(file.read().decode(errors="replace").split())
    return "".join(letter for letter in said if letter.isprintable()) or "it said nothing"


def _environment() -> dict[str, str]:
    """What the reading process may know: not the token."""
    known = {name: value for name, value in os.environ.items() if name != "FERKIT_TOKEN"}
    return known | {"OPENCV_FFMPEG_CAPTURE_OPTIONS": _CAPTURE, "OPENCV_FFMPEG_LOGLEVEL": "-8"}


def _remove_stale() -> None:
    """Delete what servers left behind that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not _runs(int(pid)) and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int) -> bool:
    """Whether another process of that number runs (a container gives the same number again)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


async def _end(process: Process | None) -> None:
    if process is None:
        return
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
    await process.wait()


def _save(file: BinaryIO, path: Path) -> None:
    with path.open("wb") as out:
        shutil.copyfileobj(file, out, 1 << 20)
