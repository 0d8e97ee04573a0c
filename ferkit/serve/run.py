"""Running the server: one socket, one process, a clean end."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import cv2
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ferkit.errors import FerkitError
from ferkit.serve.app import create_app
from ferkit.serve.limits import Limits, client_of
from ferkit.serve.settings import Settings, is_loopback
from ferkit.serve.sources import shown_names
from ferkit.serve.state import State


def serve(settings: Settings, tell: Callable[[str], object] = print) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Parameters
    ----------
    settings : Settings
    tell : callable, default=print
        Called with one line when the server can be used.

    Raises
    ------
    FerkitError
        The address is taken or not of this machine, the settings contradict each other, or the model or the store
        cannot be opened.
    """
    settings = settings.check()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    cv2.setNumThreads(1)  # requests share the cores; one picture may not take them all
    _allow_files()
    listener = listening(settings.host, settings.port)
    try:
        server_of(settings, listener, tell).run([listener])
    except KeyboardInterrupt:  # uvicorn ends cleanly, then lets Ctrl-C go on
        tell("ferkit has stopped.")
    finally:
        listener.close()


def server_of(settings: Settings, listener: socket.socket, tell: Callable[[str], object]) -> uvicorn.Server:
    """uvicorn's server with the app, the model loaded and the store open; ``run([listener])`` serves.

    Parameters
    ----------
    settings : Settings
        Checked.
    listener : socket
        From ``listening``.
    tell : callable
        Called with one line when the server can be used.
    """
    app = create_app(settings, State.opened(settings))
    return _Server(uvicorn.Config(app, **_options(settings)), lambda: tell(_message(settings, listener)))


def listening(host: str, port: int) -> socket.socket:
    """Socket that listens, bound before cameras are opened, so that a second server fails early."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, number)
    except OSError as error:
        raise FerkitError(f"Got host={host!r} ({error.strerror}), expected an address of this machine.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise FerkitError(f"Got host={host!r}, port={port} ({reason}), expected a free port. Try --port 0.") from error
    return listener


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def protocol(limits: Limits, proxies: tuple[str, ...] = ()) -> type[asyncio.Protocol]:
    """HTTP for strangers: a limit to connections, and a time within which a request must come.

    Parameters
    ----------
    limits : Limits
    proxies : tuple of str
        Addresses and networks of proxies, each of which speaks for many clients.
    """
    networks = [ip_network(proxy) for proxy in proxies]

    class Guarded(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            mine, *others = (_client(one) for one in (self, *self.connections))
            own = others.count(mine) > limits.connections_each and not _is_in(mine, networks)
            if own or len(others) > limits.connections:
                transport.abort()
                return
            self._wait()

        def _wait(self) -> None:
            self._waits = True
            self._patience = self.loop.call_later(limits.idle_s, self._give_up)

        def _answers(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._answers():
                self._waits = False
                self._patience.cancel()
            elif not self._waits:  # the head of another request has begun; each further byte of it wins no time
                self._wait()

        def _give_up(self) -> None:
            """Nothing, or half a head of a request, came in all this time."""
            if not self._answers() and self in self.connections:
                self.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if hasattr(self, "_patience"):
                self._patience.cancel()

    return Guarded


def _is_in(client: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    try:
        return any(ip_address(client.partition("/")[0]) in network for network in networks)
    except ValueError:
        return False


def _client(connection: Any) -> str:
    """What counts as the client of a connection."""
    address = getattr(connection, "client", None)
    return client_of(address[0] if address else None)


def _options(settings: Settings) -> dict[str, Any]:
    limits = settings.limits
    return {
        "http": protocol(limits, settings.trusted_proxies),
        "ws": "websockets-sansio",
        "ws_max_size": limits.frame_bytes + 100,
        "ws_per_message_deflate": False,
        "lifespan": "on",
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "timeout_graceful_shutdown": 3,
        "h11_max_incomplete_event_size": 16_384,
    }


def _allow_files() -> None:
    """As many open connections as the system lets us have."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536) if most > 0 else 65_536, most))


def _message(settings: Settings, listener: socket.socket) -> str:
    """What the user should know at the start, in one line."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    who = "for everybody, recognition only" if settings.public else "with the token" if settings.token else ""
    who = who or "for this machine only"
    watched = f", watching {', '.join(shown_names(settings.sources))}" if settings.sources else ""
    kept = ", readings are kept" if settings.store else ", nothing is kept"
    shown = "localhost" if is_loopback(settings.host) else host
    return f"ferkit serves at http://{shown}:{listener.getsockname()[1]} ({who}{watched}{kept}). Ctrl-C stops it."
