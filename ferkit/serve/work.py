"""Work off the event loop: threads, and a limit to what waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ferkit.serve.problems import Problem

T = TypeVar("T")


class Work:
    """Threads that answer calls.

    Parameters
    ----------
    name : str
        What the threads are called.
    threads : int
        How many; numpy, OpenCV and onnxruntime let go of Python's lock, so that each uses a core.
    waiting : int
        Calls that may wait; a call beyond raises a 503 problem.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self.threads, self.waiting = threads, waiting
        self.pending = 0
        self._pool = ThreadPoolExecutor(threads, f"ferkit-{name}")

    async def do(self, call: Callable[[], T]) -> T:
        """Result of a call, made in one of the threads."""
        if self.pending >= self.threads + self.waiting:
            raise Problem(503, "busy", "Got more requests than the server can take, expected fewer.", retry_after=1)
        self.pending += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        except BaseException:
            self.pending -= 1
            raise
        future.add_done_callback(self._done)
        return await asyncio.shield(future)  # a client that goes does not free the thread

    def close(self) -> None:
        """Drop what waits and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _done(self, future: asyncio.Future[T]) -> None:
        """A call is over; one whose client has gone still held a thread until here."""
        self.pending -= 1
        if not future.cancelled():
            future.exception()  # seen, also where nobody waits for it any more
