"""The app: everything put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

import ferkit
from ferkit.serve import api, stats
from ferkit.serve.pages import add_pages
from ferkit.serve.problems import answer_problems
from ferkit.serve.security import BodyLimit, Guard, Head, SafeHeaders
from ferkit.serve.settings import Settings
from ferkit.serve.state import State

_ABOUT = """Facial expressions in pictures, videos and streams.

An expression is not a feeling: the model says how a face looks to others. Errors are
[problem details](https://www.rfc-editor.org/rfc/rfc9457) with a `code` for programs."""

_FORM = 100_000
"""Bytes around a file in a form."""


def create_app(settings: Settings | None = None, state: State | None = None) -> FastAPI:
    """ASGI app of a server. It belongs into exactly one process, which then uses all cores.

    Parameters
    ----------
    settings : Settings or None, default=None
        By default recognition on this machine, without a store.
    state : State or None, default=None
        What was opened already; by default it is opened when the app starts.

    Raises
    ------
    InputError
        The settings contradict each other.

    Examples
    --------
    >>> app = create_app(Settings(public=True))
    >>> "/api/predict" in app.openapi()["paths"], "/api/trends" in app.openapi()["paths"]
    (True, False)
    """
    settings = (settings or Settings()).check()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.ferkit = state or State.opened(settings)
        try:
            yield
        finally:
            await app.state.ferkit.close()

    app = FastAPI(
        title="ferkit", version=ferkit.__version__, description=_ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.include_router(api.router)
    if not settings.public:
        app.include_router(stats.router)
    add_pages(app, settings)
    answer_problems(app)
    app.add_middleware(BodyLimit, limit_of=_limit_of(settings), patience=settings.limits.idle_s)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(SafeHeaders)
    app.add_middleware(Head)
    return app


def _limit_of(settings: Settings) -> Callable[[str], int]:
    """Bytes that the body of a request to a path may have."""
    upload = settings.limits.upload_bytes
    limits = {"/api/predict": upload, "/api/explain": upload, "/api/videos": settings.limits.video_bytes}
    return lambda path: limits.get(path, 1_000_000) + _FORM
