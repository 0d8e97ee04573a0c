"""Pictures to faces, as the API gives them."""

from __future__ import annotations

import base64
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from ferkit.errors import PictureError
from ferkit.features.hog import HOG
from ferkit.features.hog_view import edges
from ferkit.live.drawing import hog_of
from ferkit.live.smoothing import THRESHOLD
from ferkit.predict import Predictor
from ferkit.records import Faces
from ferkit.serve.limits import Limits
from ferkit.serve.problems import Problem
from ferkit.sources import read_image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""Pillow's names of the formats that are decoded."""

_SCAN = b"\xff\xda"


class HogCells(BaseModel):
    """Oriented gradients of a face, as strokes along its edges."""

    rows: int
    columns: int
    directions: int
    values: str = Field(description="Base64 of rows x columns x directions bytes, 0 to 255")


class Face(BaseModel):
    """One face in a picture."""

    box: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in pixels of the picture")
    label: str = Field(description="Most probable expression")
    confidence: float = Field(description="Its probability, 0 to 1", ge=0, le=1)
    sure: bool = Field(description=f"Whether that is at least {THRESHOLD}; else say 'not sure'")
    probabilities: dict[str, float] = Field(description="Probability of each expression; they add up to 1")
    hog: HogCells | None = Field(default=None, description="Where `hog` was asked for")


class Prediction(BaseModel):
    """What was read in a picture."""

    model: str
    width: int
    height: int
    faces: list[Face] = Field(description="Largest first; empty where no face was found")
    ms: float = Field(description="Milliseconds that it took")


class Recogniser:
    """Reads pictures with one model; may be called from several threads.

    Parameters
    ----------
    model : Model, path or None
    limits : Limits
    """

    def __init__(self, model: Any, limits: Limits) -> None:
        self._predictor = Predictor(model)
        self._hog = hog_of(self._predictor.model)
        self.model = self._predictor.model
        self.labels = self._predictor.labels
        self.limits = limits

    @property
    def name(self) -> str:
        """What the model is called."""
        return str(self.model.manifest.get("name") or self.model.path.stem)

    def warm_up(self) -> None:
        """Load what is loaded with the first picture."""
        self.faces(np.full((240, 320, 3), 128, np.uint8))
        self.faces(np.full((48, 48), 128, np.uint8))

    def read(self, data: bytes, hog: bool = False) -> Prediction:
        """What is in the bytes of a picture file; raises a 413, 415 or 422 problem where it is none."""
        start = time.perf_counter()
        image = decode(data, self.limits.pixels, self.limits.scans)
        faces = self.faces(image, hog)
        height, width = image.shape[:2]
        ms = round((time.perf_counter() - start) * 1000, 2)
        return Prediction(model=self.name, width=width, height=height, faces=faces, ms=ms)

    def find(self, image: NDArray[np.uint8]) -> Faces:
        """Faces of a picture before they are read, largest first."""
        return self._predictor.extractor.find(image)

    def faces(self, image: NDArray[np.uint8], hog: bool = False) -> list[Face]:
        """Faces of a picture, largest first."""
        found = self.find(image)
        rows = self._predictor.probabilities(found) if len(found) else ()
        return [
            self._face(box, row, self.hog(crop) if hog else None)
            for box, crop, row in zip(found.boxes_xyxy, found.crops, rows, strict=True)
        ]

    def hog(self, crop: NDArray[np.uint8]) -> HogCells:
        """Oriented gradients of a face."""
        return hog_cells(crop, self._hog)

    def _face(self, box: NDArray[np.float32], row: NDArray[np.float64], hog: HogCells | None) -> Face:
        best = int(np.argmax(row))
        x1, y1, x2, y2 = (round(float(v), 1) for v in box)
        return Face(
            box=(x1, y1, x2, y2),
            label=self.labels[best],
            confidence=round(float(row[best]), 6),
            sure=bool(row[best] >= THRESHOLD),
            probabilities={name: round(float(p), 6) for name, p in zip(self.labels, row, strict=True)},
            hog=hog,
        )


def hog_cells(crop: NDArray[np.uint8], hog: HOG | None) -> HogCells:
    """Oriented gradients of a face, small enough to send with every frame."""
    hog = hog or HOG(cell=6, block=1)
    _, light = edges(hog.cells(crop[None])[0], hog.signed)
    values = base64.b64encode(np.rint(light * 255).astype(np.uint8).tobytes()).decode()
    return HogCells(rows=light.shape[0], columns=light.shape[1], directions=light.shape[2], values=values)


def decode(data: bytes, max_pixels: int, max_scans: int) -> NDArray[np.uint8]:
    """Pixels of a picture file that a stranger sent.

    Parameters
    ----------
    data : bytes
    max_pixels : int
        Checked from the header.
    max_scans : int
        Scans that a JPEG file may have: each makes the decoder go over the whole picture.

    Raises
    ------
    Problem
        413 for too many pixels, 422 for anything that is not a whole picture.
    """
    if data.startswith(b"\xff\xd8") and data.count(_SCAN) > max_scans:
        raise Problem(422, "bad_picture", f"Got a JPEG file of more than {max_scans} scans, expected fewer.")
    try:
        return read_image(data, "upload", max_pixels=max_pixels, formats=FORMATS)
    except PictureError as error:
        if "million pixels" in str(error):
            raise Problem(413, "too_many_pixels", str(error)) from error
        text = "Got a file that is no whole picture, expected JPEG, PNG, WebP, GIF or BMP."
        raise Problem(422, "bad_picture", text) from error
