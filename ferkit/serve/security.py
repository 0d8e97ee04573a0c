"""Who may speak to the server: checks before any request is looked at, and headers on every answer."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Callable
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ferkit.serve.problems import Problem
from ferkit.serve.settings import Settings

COOKIE = "ferkit"
"""Name of the cookie that stands for the token in a browser."""

OPEN = ("/static/", "/login", "/healthz", "/readyz")
"""Paths that need no token."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content security policy: nothing from elsewhere, no script or style inside a page."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers would send forms with a null origin
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def host_of(value: str) -> str:
    """Host of a ``Host`` header, without its port, in lower case; empty where it is malformed.

    Examples
    --------
    >>> host_of("Example.org:8000"), host_of("[::1]:8000"), host_of("a b")
    ('example.org', '::1', '')
    """
    try:
        parts = urlsplit(f"//{value}")
        parts.port  # noqa: B018  raises where it is no number
    except ValueError:
        return ""
    plain = parts.hostname and not (parts.path or parts.query or parts.fragment or parts.username is not None)
    return parts.hostname.rstrip(".") if plain and parts.hostname and " " not in value else ""


def is_known_host(value: str, names: tuple[str, ...]) -> bool:
    """Whether a ``Host`` header names this server: an address, ``localhost``, or one of the names.

    A page of another site that lets its own name lead here (DNS rebinding) cannot pass as one of these.
    """
    host = host_of(value)
    if host == "localhost" or host in {name.lower() for name in names}:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_same_origin(origin: str, host: str) -> bool:
    """Whether an ``Origin`` header belongs to the page of this server. A proxy may have ended its TLS."""
    try:
        parts = urlsplit(origin)
    except ValueError:  # such as "http://["
        return False
    default = {"http": ":80", "https": ":443"}.get(parts.scheme)
    if default is None:
        return False
    return parts.netloc.lower().removesuffix(default) == host.lower().removesuffix(default)


def cookie_value(token: str) -> str:
    """Value of the cookie: made from the token, but not the token."""
    return hmac.new(token.encode(), b"ferkit page", sha256).hexdigest()


def has_token(headers: Headers, token: str) -> bool:
    """Whether a request shows the token, as ``Authorization: Bearer`` or by the cookie; compared in constant time."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    bearer = scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
    return bearer or hmac.compare_digest(_cookie(headers).encode(), cookie_value(token).encode())


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


class Guard:
    """Lets through only requests that name this server, come from its own pages or no page, and show the token.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        answer = self._refusal(scope)
        if answer is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await answer(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if not is_known_host(host, self.settings.names):
            text = f"Got Host={host[:100]!r}, expected a name of this server. Add it with --name."
            return Problem(421, "unknown_host", text).response()
        origin = headers.get("origin")
        if origin is not None and not is_same_origin(origin, host):
            return Problem(403, "foreign_origin", f"Got Origin={origin[:100]!r}, expected this server's.").response()
        foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if foreign and (path.startswith("/api/") or scope["type"] == "websocket"):
            return Problem(403, "foreign_origin", "Got a request of another site's page, expected none.").response()
        token = self.settings.token
        if token is None or path.startswith(OPEN) or has_token(headers, token):
            return None
        if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(f"/login?to={quote(path)}", 303)
        response = Problem(401, "token_needed", "Got no valid token, expected Authorization: Bearer TOKEN.").response()
        response.headers["WWW-Authenticate"] = "Bearer"
        return response


class SafeHeaders:
    """Puts the security headers on every answer; answers of the API are kept in no cache."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_safely)


class Head:
    """Answers HEAD as GET without the body, as HTTP wants it and as programs ask that watch whether a server is up."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, send_head)


class BodyLimit:
    """Refuses bodies that are too long, or do not come in.

    Parameters
    ----------
    app : ASGI application
    limit_of : callable
        Bytes that the body of a request to a path may have.
    patience : float
        Seconds without a byte after which a request ends.
    """

    def __init__(self, app: ASGIApp, limit_of: Callable[[str], int], patience: float) -> None:
        self.app, self.limit_of, self.patience = app, limit_of, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _Body(self.limit_of(scope["path"]), self.patience, receive, send)
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdigit() or int(length) > body.limit:
            body.refusal = _too_long(body.limit)
        else:
            await self.app(scope, body.receive, body.send)
        if body.refusal is not None and not body.answered:
            response = body.refusal.response()
            response.headers["Connection"] = "close"
            await response(scope, receive, send)


class _Body:
    """One body on its way in. Once it is refused, what the app answers to the broken body is not sent."""

    def __init__(self, limit: int, patience: float, receive: Receive, send: Send) -> None:
        self.limit, self.patience = limit, patience
        self.refusal: Problem | None = None
        self.answered = False
        self._receive, self._send = receive, send
        self._count = 0
        self._whole = False

    async def receive(self) -> Message:
        """The next part; raises where there is none in time, or it is too much."""
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self.patience)
        except TimeoutError:
            self.refusal = Problem(408, "too_slow", f"Got nothing for {self.patience:g} s, expected a body.")
            raise self.refusal from None
        self._count += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._count > self.limit:
            self.refusal = _too_long(self.limit)
            raise self.refusal
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on."""
        if self.refusal is None or self.answered:
            self.answered = True
            await self._send(message)


def _too_long(limit: int) -> Problem:
    return Problem(413, "too_large", f"Got a body that is too long, expected at most {limit / 1e6:g} MB.")


def login_response(settings: Settings, given: str, secure: bool, to: str) -> Any:
    """Answer to the login page: back to where the user was with the cookie, or None where the token is wrong."""
    token = settings.token or ""
    if not token or not hmac.compare_digest(given.strip().encode(), token.encode()):
        return None
    response = RedirectResponse(to if to.startswith("/") and not to.startswith(("//", "/\\")) else "/", 303)
    response.set_cookie(
        COOKIE, cookie_value(token), max_age=30 * 86400, httponly=True, samesite="strict", secure=secure, path="/"
    )
    return response
