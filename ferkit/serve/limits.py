"""How much one client, and all of them, may ask for."""

from __future__ import annotations

import ipaddress
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ferkit.serve.problems import Problem

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Cores that this process may use."""

_MOST_CLIENTS = 10_000


@dataclass(frozen=True)
class Limits:
    """What is refused.

    Attributes
    ----------
    upload_bytes, video_bytes : int
        Bytes of a picture's request, and of a video's.
    pixels : int
        Pixels of a picture, checked before it is decoded.
    scans : int
        Scans of a progressive JPEG picture; each makes the decoder go over the whole picture.
    frame_bytes, frame_pixels : int
        The same of one frame of a stream.
    frames_a_second : float
        Frames of one stream that are read; of others only the newest waits.
    streams, streams_each : int
        Streams at once, of all clients and of one.
    waiting : int
        Pictures that wait for a core; more are answered with 503.
    connections, connections_each : int
        Connections at once, of all clients and of one.
    idle_s : float
        Seconds after which a stream without a message, or a request that does not come in, ends.
    rate : float or None
        Requests for recognition a second that one client may make; None for no limit.
    burst : int
        Requests that it may make at once.
    rows : int
        Readings that may be posted in one request.
    video_seconds : float
        Length of video that is read; the rest is left out, and said so.
    videos, videos_each : int
        Videos that are kept at once, of all clients and of one.
    """

    upload_bytes: int = 12_000_000
    video_bytes: int = 500_000_000
    pixels: int = 24_000_000
    scans: int = 64
    frame_bytes: int = 1_000_000
    frame_pixels: int = 2_100_000
    frames_a_second: float = 30.0
    streams: int = 16
    streams_each: int = 8
    waiting: int = 64
    connections: int = 600
    connections_each: int = 200
    idle_s: float = 20.0
    rate: float | None = None
    burst: int = 20
    rows: int = 1000
    video_seconds: float = 3600.0
    videos: int = 20
    videos_each: int = 20


PUBLIC = Limits(
    upload_bytes=6_000_000,
    video_bytes=60_000_000,
    pixels=12_000_000,
    frames_a_second=20.0,
    streams_each=2,
    connections_each=60,
    rate=5.0,
    video_seconds=120.0,
    videos_each=2,
)
"""Limits where anybody may come."""


def client_of(host: str | None) -> str:
    """What counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

    Examples
    --------
    >>> client_of("203.0.113.7"), client_of("2001:db8::1:2")
    ('203.0.113.7', '2001:db8::/64')
    """
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host or "?"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Rate:
    """Requests a second of each client, as a bucket of tokens that fills steadily.

    Parameters
    ----------
    rate : float or None
        Tokens a second; None for no limit.
    burst : int
        Tokens that a bucket holds.
    clock : callable
        Seconds.

    Examples
    --------
    >>> rate = Rate(1.0, 2, clock=lambda: 0.0)
    >>> [rate.wait("a") for _ in range(3)]
    [0.0, 0.0, 1.0]
    """

    def __init__(self, rate: float | None, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Take a token; 0, or the seconds after which there will be one."""
        if self.rate is None:
            return 0.0
        now = self._clock()
        tokens, since = self._buckets.pop(client, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - since) * self.rate)
        taken = tokens >= 1
        self._buckets[client] = (tokens - taken, now)
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - tokens) / self.rate

    def check(self, client: str) -> None:
        """Take a token or raise a 429 problem."""
        wait = self.wait(client)
        if wait:
            text = f"Got more than {self.rate:g} requests a second, expected fewer. Try again in {wait:.1f} s."
            raise Problem(429, "too_many_requests", text, retry_after=wait)


class Slots:
    """Places of which one client may take only some.

    Parameters
    ----------
    total, each : int
        Places, and how many of them one client may take.
    """

    def __init__(self, total: int, each: int) -> None:
        self.total, self.each = total, each
        self._taken: Counter[str] = Counter()

    @property
    def used(self) -> int:
        """Places that are taken."""
        return self._taken.total()

    @contextmanager
    def place(self, client: str, what: str) -> Iterator[None]:
        """Hold a place; raises a 503 problem where there is none."""
        if self._taken[client] >= self.each or self.used >= self.total:
            full = f"{self.each} {what} of one client" if self.used < self.total else f"{self.total} {what}"
            raise Problem(503, "busy", f"Got more than {full}, expected fewer. Try again later.", retry_after=5)
        self._taken[client] += 1
        try:
            yield
        finally:
            self._taken[client] -= 1
            self._taken += Counter()  # forget clients without a place
