"""The API for everybody: pictures, videos, streams, the model, health."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, Response, UploadFile, WebSocket
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

import ferkit
from ferkit.labels import colour
from ferkit.live.smoothing import THRESHOLD
from ferkit.serve.explaining import Why
from ferkit.serve.limits import client_of
from ferkit.serve.problems import Problem, described
from ferkit.serve.recognise import Prediction
from ferkit.serve.state import State
from ferkit.serve.stream import Stream
from ferkit.serve.videos import RESULTS, Video

router = APIRouter()


class ModelInfo(BaseModel):
    """What reads the faces, and what this server does."""

    name: str
    ferkit: str = Field(description="Version of ferkit")
    labels: list[str]
    colours: dict[str, str] = Field(description="Colour of each expression, #rrggbb")
    threshold: float = Field(description="Probability below which 'not sure' is said")
    accuracy: float | None = Field(default=None, description="On `accuracy_on`, 0 to 1")
    accuracy_on: str | None = None
    trained_on: str | None = None
    licence: str | None = None
    public: bool = Field(description="Whether the server offers recognition only")
    stores: bool = Field(description="Whether the server can keep readings")
    retention_days: float | None = Field(default=None, description="Days after which readings are deleted")
    limits: dict[str, float] = Field(description="What one request may hold")


class Health(BaseModel):
    """Whether the server works."""

    status: str = Field(examples=["ok"])
    reason: str | None = None


def state_of(connection: Any) -> State:
    """State of the server that a request or socket came to."""
    state: State = connection.app.state.ferkit
    return state


def client(connection: Any) -> str:
    """What counts as the client of a request or socket."""
    return client_of(connection.client.host if connection.client else None)


@router.post("/api/predict", tags=["pictures"], responses=described(413, 415, 422, 429, 503))
async def predict(
    request: Request,
    file: Annotated[UploadFile, File(description="A picture: JPEG, PNG, WebP, GIF or BMP")],
    hog: Annotated[bool, Form(description="Also give the oriented gradients of each face")] = False,
) -> Prediction:
    """Read the expressions of all faces in a picture. Nothing is kept."""
    state = state_of(request)
    state.rate.check(client(request))
    return await state.pictures.do(lambda: state.recogniser.read(file.file.read(), hog))


@router.post("/api/explain", tags=["pictures"], responses=described(413, 415, 422, 429, 503))
async def explain(
    request: Request,
    file: Annotated[UploadFile, File(description="A picture: JPEG, PNG, WebP, GIF or BMP")],
    face: Annotated[int, Form(description="Which face, in the order of /api/predict", ge=0)] = 0,
    label: Annotated[str | None, Form(description="Why this expression? Else the most probable")] = None,
    against: Annotated[str | None, Form(description="Why not this one? Else the most probable other")] = None,
    picture: Annotated[bool, Form(description="Also draw it")] = False,
) -> Why:
    """Say why a face got its label: what each family of features and each place spoke for. Nothing is kept."""
    state = state_of(request)
    state.rate.check(client(request))
    return await state.explanations.do(
        lambda: state.explaining.why(file.file.read(), face, label or None, against or None, picture)
    )


@router.get("/api/model", tags=["server"])
async def model(request: Request) -> ModelInfo:
    """What reads the faces, its expressions and their colours, and what this server offers."""
    state = state_of(request)
    about, labels = state.recogniser.model.manifest, state.recogniser.labels
    metrics, limits = about.get("metrics") or {}, state.settings.limits
    return ModelInfo(
        name=state.recogniser.name,
        ferkit=ferkit.__version__,
        labels=labels,
        colours={name: colour(name, i) for i, name in enumerate(labels)},
        threshold=THRESHOLD,
        accuracy=metrics.get("accuracy"),
        accuracy_on=metrics.get("data"),
        trained_on=(about.get("data") or {}).get("kind"),
        licence=about.get("licence"),
        public=state.settings.public,
        stores=state.store is not None,
        retention_days=state.settings.retention_days,
        limits={
            "upload_bytes": limits.upload_bytes,
            "video_bytes": limits.video_bytes,
            "pixels": limits.pixels,
            "frames_a_second": limits.frames_a_second,
            "video_seconds": limits.video_seconds,
        },
    )


@router.post("/api/videos", status_code=202, tags=["videos"], responses=described(413, 415, 429, 503))
async def add_video(
    request: Request, file: Annotated[UploadFile, File(description="A video: MP4, WebM, MOV, AVI, MKV ...")]
) -> Video:
    """Take a video. It is read in the background; ask for its state, delete it when you have what you want."""
    state = state_of(request)
    state.rate.check(client(request))
    return await state.videos.add(file.file, client(request))


@router.get("/api/videos/{name}", tags=["videos"], responses=described(404))
async def video(request: Request, name: str) -> Video:
    """State of a video. It is deleted an hour after it is done; before, when nobody has asked for ten minutes."""
    return state_of(request).videos.get(name)


@router.delete("/api/videos/{name}", tags=["videos"], responses=described(404))
async def cancel_video(request: Request, name: str) -> Video:
    """Stop reading a video and delete all of it."""
    return await state_of(request).videos.cancel(name)


@router.get("/api/videos/{name}/{result}", tags=["videos"], responses=described(404), response_class=FileResponse)
async def video_result(request: Request, name: str, result: str) -> FileResponse:
    """What came out of a video: annotated.webm, or readings.csv."""
    path = state_of(request).videos.result(name, result)
    return FileResponse(path, media_type=RESULTS[result], filename=result)


@router.get("/healthz", tags=["server"])
async def alive() -> Health:
    """Whether the process answers. Needs no token."""
    return Health(status="ok")


@router.get("/readyz", tags=["server"], responses={503: {"model": Health}})
async def ready(request: Request, response: Response) -> Health:
    """Whether the server can do its work: the model is loaded, the store can be written. Needs no token."""
    journal = state_of(request).journal
    if journal is not None and journal.status().failing:
        response.status_code = 503
        return Health(status="failing", reason="The store cannot be written; readings wait.")
    return Health(status="ok")


@router.websocket("/api/stream")
async def stream(socket: WebSocket) -> None:
    """Frames in, faces out; docs/serve.md has the messages."""
    state = state_of(socket)
    await socket.accept()
    try:
        state.rate.check(client(socket))
        with state.streams.place(client(socket), "streams"):
            keep = state.journal.add if state.journal is not None else None
            talk = Stream(socket, state.recogniser.model, state.frames, state.settings.limits, keep)
            await talk.run()
    except Problem as problem:
        await socket.send_json({"type": "error"} | problem.body())
        await socket.close(1013, problem.code)
