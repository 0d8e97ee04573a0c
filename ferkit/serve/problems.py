"""Errors that the API answers with: a code for programs, a sentence for people."""

from __future__ import annotations

import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

TYPE = "application/problem+json"
"""Media type of an error (RFC 9457)."""

_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 422: "invalid"}


class Problem(Exception):
    """An answer that says what is wrong.

    Parameters
    ----------
    status : int
        HTTP status.
    code : str
        Short name for programs.
    detail : str
        Sentence for people.
    retry_after : float or None, default=None
        Seconds after which another try makes sense.
    """

    def __init__(self, status: int, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.retry_after = status, code, detail, retry_after

    def body(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"type": "about:blank", "status": self.status, "code": self.code, "detail": self.detail}

    def response(self) -> JSONResponse:
        """As HTTP has it."""
        headers = {} if self.retry_after is None else {"Retry-After": str(max(1, math.ceil(self.retry_after)))}
        return JSONResponse(self.body(), self.status, headers, media_type=TYPE)


class ProblemBody(BaseModel):
    """An error (RFC 9457)."""

    type: str = "about:blank"
    status: int = Field(examples=[413])
    code: str = Field(description="Short name for programs", examples=["too_large"])
    detail: str = Field(description="Sentence for people")


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error answers of an operation, for its description."""
    return {status: {"model": ProblemBody, "content": {TYPE: {}}} for status in statuses}


def answer_problems(app: FastAPI) -> None:
    """Let every error of an app be answered as a ``Problem``."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return error.response()


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return Problem(error.status_code, _CODES.get(error.status_code, "error"), f"{error.detail}.").response()


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])[:200]
    return Problem(422, "invalid", f"Got a request that is wrong at {where!r}: {first['msg']}.").response()


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return Problem(500, "internal", "Something went wrong inside the server; its log says what.").response()
