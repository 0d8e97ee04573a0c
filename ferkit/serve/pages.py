"""The pages: HTML files put into one frame, and static files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

from fastapi import APIRouter, FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from ferkit.serve.api import client, state_of
from ferkit.serve.security import login_response
from ferkit.serve.settings import Settings

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Page:
    """A page of the app.

    Attributes
    ----------
    path, name, title : str
        Address, file, what the menu calls it.
    stored : bool
        Whether it is about the store, which public mode has not.
    """

    path: str
    name: str
    title: str
    stored: bool = False


PAGES = (
    Page("/", "live", "Live"),
    Page("/pictures", "pictures", "Pictures"),
    Page("/dashboard", "dashboard", "Dashboard", stored=True),
    Page("/docs", "docs", "API"),
    Page("/about", "about", "About"),
)


def add_pages(app: FastAPI, settings: Settings) -> None:
    """Give an app its pages."""
    pages = [page for page in PAGES if not (page.stored and settings.public)]
    for page in pages:
        app.add_api_route(page.path, _answer(_framed(page, pages)), include_in_schema=False)
    if settings.token:
        app.include_router(_login())
    app.mount("/static", StaticFiles(directory=STATIC), "static")


def _answer(text: str) -> Callable[[], Awaitable[HTMLResponse]]:
    async def page() -> HTMLResponse:
        return HTMLResponse(text)

    return page


def _framed(page: Page, pages: list[Page]) -> str:
    """A page inside the frame that all share."""
    current = ' aria-current="page"'
    links = "\n".join(f'<li><a href="{one.path}"{current if one is page else ""}>{one.title}</a></li>' for one in pages)
    frame = Template((STATIC / "frame.html").read_text(encoding="utf-8"))
    main = (STATIC / f"{page.name}.html").read_text(encoding="utf-8")
    return frame.substitute(title=page.title, links=links, name=page.name, main=main)


def _login() -> APIRouter:
    router = APIRouter(include_in_schema=False)
    text = (STATIC / "login.html").read_text(encoding="utf-8")

    @router.get("/login")
    async def login_page() -> HTMLResponse:
        return HTMLResponse(Template(text).substitute(note=""))

    @router.post("/login")
    async def login(request: Request, token: str = Form("", max_length=500)) -> Response:
        state = state_of(request)
        state.logins.check(client(request))
        to = request.query_params.get("to", "/")
        answer: Response | None = login_response(state.settings, token, request.url.scheme == "https", to)
        if answer is not None:
            return answer
        note = '<p class="note bad" role="alert">That is not the token of this server.</p>'
        return HTMLResponse(Template(text).substitute(note=note), 401)

    return router
