"""One WebSocket: frames in, faces out. The newest frame is read; older ones never are."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from ferkit.live import LivePredictor
from ferkit.live.drawing import hog_of
from ferkit.live.records import LiveReading
from ferkit.records import Frame
from ferkit.serve.limits import Limits
from ferkit.serve.problems import Problem
from ferkit.serve.readings import Sampler
from ferkit.serve.recognise import decode, hog_cells
from ferkit.serve.work import Work

HEAD = struct.Struct(">I")
"""What stands before a frame's JPEG bytes: its number."""

SOURCE = "browser"
"""Camera under which a browser's readings are kept."""

_BAD_IN_A_ROW = 10
_SEND_PATIENCE = 10.0

Rows = list[dict[str, Any]]


class Stream:
    """Talks with one client.

    Parameters
    ----------
    socket : WebSocket
        Accepted.
    model : Model
    work : Work
        Threads that frames are read in.
    limits : Limits
    keep : callable or None
        Takes rows for the store; None where nothing may be stored.
    """

    def __init__(
        self, socket: WebSocket, model: Any, work: Work, limits: Limits, keep: Callable[[Rows], object] | None
    ) -> None:
        self._socket, self._work, self._limits, self._keep = socket, work, limits, keep
        self._predictor = LivePredictor(model)
        self._hog_family = hog_of(model)
        self._hog = self._storing = False
        self._sampler = Sampler(SOURCE)
        self._newest: tuple[int, bytes] | None = None
        self._came = asyncio.Event()
        self._dropped = self._count = self._bad = 0
        self._began = time.monotonic()
        self._due = 0.0

    async def run(self) -> None:
        """Until one of both ends it."""
        await self._send(self._state("ready"))
        tasks = {asyncio.create_task(self._receive()), asyncio.create_task(self._answer())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except (WebSocketDisconnect, RuntimeError):
            pass  # the client has gone, while we read or while we wrote
        except (Problem, TimeoutError) as error:
            problem = error if isinstance(error, Problem) else Problem(408, "too_slow", "Got nothing for too long.")
            await self._end(problem)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._predictor.close()

    def _state(self, kind: str) -> dict[str, Any]:
        about = {"labels": self._predictor.labels, "frames_a_second": self._limits.frames_a_second}
        return {"type": kind, "hog": self._hog, "store": self._storing, "can_store": self._keep is not None} | about

    async def _receive(self) -> None:
        while True:
            message = await asyncio.wait_for(self._socket.receive(), self._limits.idle_s)
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1006))
            if message.get("bytes") is not None:
                self._take(message["bytes"])
            else:
                await self._set(message.get("text") or "")

    def _take(self, data: bytes) -> None:
        if not HEAD.size < len(data) <= self._limits.frame_bytes:
            text = f"Got a frame of {len(data)} bytes, expected 5 to {self._limits.frame_bytes}."
            raise Problem(413, "too_large", text)
        self._dropped += self._newest is not None
        self._newest = HEAD.unpack_from(data)[0], data[HEAD.size :]
        self._came.set()

    async def _set(self, text: str) -> None:
        try:
            wanted = json.loads(text) if len(text) < 1000 else None
        except (ValueError, RecursionError):
            wanted = None
        if not isinstance(wanted, Mapping) or not all(isinstance(wanted.get(k, True), bool) for k in ("hog", "store")):
            raise Problem(422, "invalid", 'Got text that is no setting, expected {"hog": true, "store": false}.')
        self._hog = wanted.get("hog", self._hog)
        self._storing = wanted.get("store", self._storing) and self._keep is not None
        await self._send(self._state("settings"))

    async def _answer(self) -> None:
        while True:
            await self._came.wait()
            await asyncio.sleep(max(0.0, self._due - time.monotonic()))
            self._due = time.monotonic() + 1 / self._limits.frames_a_second
            assert self._newest is not None
            number, data = self._newest
            self._newest = None
            self._came.clear()
            await self._send({"type": "faces", "seq": number, "dropped": self._dropped} | await self._read(data))

    async def _read(self, data: bytes) -> dict[str, Any]:
        try:
            found = await self._work.do(lambda: self._faces(data))
        except Problem as problem:
            self._bad += 1
            if self._bad >= _BAD_IN_A_ROW or problem.status == 503:
                raise
            return {"faces": [], "error": problem.body()}
        self._bad = 0
        return found

    def _faces(self, data: bytes) -> dict[str, Any]:
        """In a thread: everything that takes time."""
        start = time.perf_counter()
        image = decode(data, self._limits.frame_pixels, self._limits.scans)
        self._count += 1
        frame = Frame(image, SOURCE, self._count, time.monotonic() - self._began)
        readings = self._predictor.read(frame)
        if self._storing and self._keep is not None:
            self._keep(self._sampler.rows(readings, time.time()))
        faces = [self._face(one) for one in readings]
        ms = round((time.perf_counter() - start) * 1000, 1)
        return {"width": image.shape[1], "height": image.shape[0], "faces": faces, "ms": ms}

    def _face(self, one: LiveReading) -> dict[str, Any]:
        face = {
            "track": one.track,
            "box": [round(v, 1) for v in one.reading.box_xyxy],
            "label": one.label,
            "confidence": round(one.confidence, 4),
            "probabilities": {name: round(p, 4) for name, p in one.smooth.items()},
            "fresh": one.fresh,
        }
        if self._hog:
            face["hog"] = hog_cells(one.crop, self._hog_family).model_dump()
        return face

    async def _send(self, message: Mapping[str, Any]) -> None:
        """A client that stops reading ends its own stream only."""
        await asyncio.wait_for(self._socket.send_text(json.dumps(message)), _SEND_PATIENCE)

    async def _end(self, problem: Problem) -> None:
        try:
            await asyncio.wait_for(self._socket.send_text(json.dumps({"type": "error"} | problem.body())), 1.0)
            await asyncio.wait_for(self._socket.close(1013 if problem.status == 503 else 1008, problem.code), 1.0)
        except (TimeoutError, RuntimeError, WebSocketDisconnect):
            return  # it does not listen
