"""Readings of pictures and videos by a model: the whole way from files to rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit import sources, store
from ferkit.errors import InputError, PictureError
from ferkit.faces import FaceDetector
from ferkit.records import Faces, Frame, Reading

FACES = ("all", "largest")
MISSING = ("center", "skip", "raise")

_BATCH = 16
"""Still pictures whose faces go through the model together."""

_WAIT = 0.5
"""Seconds after which readings are given although the batch is not full."""


@dataclass
class Counts:
    """What a ``Predictor`` has met so far.

    Attributes
    ----------
    pictures, frames : int
        Still pictures, and frames of videos.
    faces : int
        Readings given.
    cropped : int
        Pictures and frames taken as faces that are cropped already.
    not_found : int
        Still pictures without a found face, where the middle stood in or which were left out.
    frames_without : int
        Frames of videos without a found face, which give no reading.
    skipped : list of PictureError
        Inputs that could not be read.
    """

    pictures: int = 0
    frames: int = 0
    faces: int = 0
    cropped: int = 0
    not_found: int = 0
    frames_without: int = 0
    skipped: list[PictureError] = field(default_factory=list)

    @property
    def read(self) -> int:
        """Pictures and frames that could be read."""
        return self.pictures + self.frames


class Predictor:
    """Reads the expressions of all faces in pictures and videos.

    Parameters
    ----------
    model : Model, path or None, default=None
        Model, or the ``.ferkit`` file that holds it; by default the one that ships with ferkit.
    faces : {"all", "largest"}, default="all"
        Which faces of a picture are read.
    cropped : {"auto", True, False} or None, default=None
        Whether pictures are faces that are cropped already; None leaves it to the model's ``faces`` step.
    missing : {"center", "skip", "raise"} or None, default=None
        What a still picture without a found face gives: a reading of its middle with ``found`` False, none, or an
        error in its place; None leaves it to the model's ``faces`` step.
    detector : {"auto", "dlib", "haar"}, path or None, default=None
        See ``FaceDetector``; None leaves it to the model's ``faces`` step.

    Attributes
    ----------
    counts : Counts
        What has been met so far, over all calls.
    labels : list of str
        Labels in ferkit's order.
    extractor : FaceExtractor
        The step that finds faces, as asked for.

    Examples
    --------
    >>> predictor = Predictor()  # doctest: +SKIP
    >>> for reading in predictor.readings(["holiday/"]):  # doctest: +SKIP
    ...     print(reading)
    """

    def __init__(
        self, model: Any = None, faces: str = "all", cropped: Any = None, missing: Any = None, detector: Any = None
    ) -> None:
        if faces not in FACES:
            raise InputError(f"Got faces={faces!r}, expected one of {list(FACES)}.")
        if missing not in (None, *MISSING):
            raise InputError(f"Got missing={missing!r}, expected one of {list(MISSING)}.")
        if detector is not None:
            FaceDetector(detector).check()
        if not (model is None or hasattr(model, "pipeline") or isinstance(model, (str, PathLike))):
            raise InputError(
                f"Got a model of type {type(model).__name__}, expected a Model, a .ferkit file or None. "
                "ferkit.save makes a file of a fitted pipeline."
            )
        self.model = (
            model if hasattr(model, "pipeline") else store.load(store.default_path() if model is None else model)
        )
        self.faces = faces
        self.counts = Counts()
        self.extractor, self._rest = _parts(self.model.pipeline, cropped=cropped, detector=detector)
        self.missing: str = missing or self.extractor.missing
        column = {str(name): i for i, name in enumerate(self.model.pipeline.classes_)}
        self.labels: list[str] = list(self.model.labels)
        self._columns = [column[name] for name in self.labels]

    def readings(self, inputs: Any, every: int = 1) -> Iterator[Reading | PictureError]:
        """Readings of everything that is named, in order, as they are ready.

        Parameters
        ----------
        inputs : str, Path, bytes, ndarray, PIL image, open file, Frame, int, or a list of these
            What ``sources.pictures`` takes: files, folders, globs, videos, pixels, ``"-"``.
        every : int, default=1
            Read every n-th frame of videos.

        Yields
        ------
        Reading or PictureError
            One reading a face, largest first. A still picture without a face gives what ``missing`` says, one reading
            of its middle with ``found`` False by default; such a frame of a video gives none.
            An input that cannot be read comes as the error that says why.
        """
        waiting: list[tuple[Frame, Faces] | PictureError] = []
        since = time.monotonic()
        with closing(sources.pictures(inputs, every)) as frames:  # type: ignore[type-var]
            for item in frames:
                waiting.append(self._met(item))
                still = isinstance(item, Frame) and item.time is None
                if not still or len(waiting) >= _BATCH or time.monotonic() - since > _WAIT:
                    yield from self._given(waiting)
                    waiting, since = [], time.monotonic()
        yield from self._given(waiting)

    def read(self, frame: Frame | NDArray[np.uint8]) -> list[Reading]:
        """Readings of one picture, or one frame of a video.

        Parameters
        ----------
        frame : Frame or ndarray of shape (h, w), (h, w, 3) or (h, w, 4)
            Numbers as ``ferkit.pixels.eight_bit`` takes them.

        Returns
        -------
        list of Reading
            One a face, largest first.
        """
        met = self._met(frame if isinstance(frame, Frame) else Frame(frame))
        if isinstance(met, PictureError):
            raise met
        return [reading for reading in self._given([met]) if isinstance(reading, Reading)]

    def faces_in(self, inputs: Any) -> Iterator[tuple[Frame, Faces] | PictureError]:
        """Everything that is named, with its faces, before the model reads them.

        Parameters
        ----------
        inputs : str, Path, bytes, ndarray, Frame, int, or a list of these
            What ``sources.pictures`` takes.

        Yields
        ------
        (Frame, Faces) or PictureError
            Where no face is found in a still picture, what ``missing`` says.
        """
        with closing(sources.pictures(inputs)) as frames:  # type: ignore[type-var]
            yield from map(self._met, frames)

    def _met(self, item: Frame | PictureError) -> tuple[Frame, Faces] | PictureError:
        """A frame with its faces, counted; or the error in its place."""
        if isinstance(item, Frame):
            try:
                return item, self._faces_of(item)
            except PictureError as error:
                item = error
        self.counts.skipped.append(item)
        return item

    def _faces_of(self, frame: Frame) -> Faces:
        counts, still = self.counts, frame.time is None
        found = self.extractor.find(frame.image)
        if not len(found) and still:
            if self.missing == "raise":
                raise PictureError(f"Got picture={frame.source!r} without a face, expected one.")
            if self.missing == "center":
                found = self.extractor.center(frame.image)
            counts.not_found += 1
        elif not len(found):
            counts.frames_without += 1
        elif self.extractor.takes_as_cropped(frame.image):
            counts.cropped += 1
        counts.pictures += still
        counts.frames += not still
        return found[:1] if self.faces == "largest" else found

    def _given(self, waiting: list[tuple[Frame, Faces] | PictureError]) -> Iterator[Reading | PictureError]:
        parts = [item[1] for item in waiting if not isinstance(item, PictureError) and len(item[1])]
        rows = iter(self.probabilities(Faces.merge(parts)) if parts else ())
        for item in waiting:
            if isinstance(item, PictureError):
                yield item
                continue
            frame, faces = item
            for i in range(len(faces)):
                self.counts.faces += 1
                yield self._reading(frame, faces, i, next(rows))

    def probabilities(self, faces: Faces) -> NDArray[np.float64]:
        """Probabilities of faces that were found before.

        Parameters
        ----------
        faces : Faces
            At least one.

        Returns
        -------
        ndarray of shape (n, len(labels)), dtype float64
            Columns follow ``labels``.
        """
        proba = np.asarray(self._rest.predict_proba(faces), dtype=np.float64)
        return proba[:, self._columns]

    def _reading(self, frame: Frame, faces: Faces, i: int, proba: NDArray[np.float64]) -> Reading:
        best = int(np.argmax(proba))
        x1, y1, x2, y2 = (float(v) for v in faces.boxes_xyxy[i])
        return Reading(
            source=frame.source,
            frame=frame.index,
            time=frame.time,
            face=i,
            box_xyxy=(x1, y1, x2, y2),
            label=self.labels[best],
            confidence=float(proba[best]),
            probabilities={name: float(p) for name, p in zip(self.labels, proba, strict=True)},
            found=bool(faces.found[i]),
        )


def readings(
    inputs: Any,
    model: Any = None,
    faces: str = "all",
    cropped: Any = None,
    every: int = 1,
    missing: Any = None,
    detector: Any = None,
) -> Iterator[Reading | PictureError]:
    """Readings of everything that is named, in order, as they are ready.

    Parameters
    ----------
    inputs : str, Path, bytes, ndarray, Frame, int, or a list of these
        Files, folders, globs, videos, pixels, ``"-"``.
    model, faces, cropped, missing, detector
        As for ``Predictor``.
    every : int, default=1
        Read every n-th frame of videos.

    Yields
    ------
    Reading or PictureError
        As ``Predictor.readings`` gives them.
    """
    return Predictor(model, faces, cropped, missing, detector).readings(inputs, every)


def columns(labels: list[str]) -> list[str]:
    """Columns of ``Reading.row`` for a model's labels."""
    return list(Reading("", 0, None, 0, (0, 0, 0, 0), "", 0.0, dict.fromkeys(labels, 0.0)).row())


def _parts(pipeline: Any, **asked: Any) -> tuple[Any, Any]:
    """The step that finds faces, as asked for, and the rest of the pipeline."""
    from sklearn.base import clone

    step = pipeline[0]
    if not (hasattr(step, "find") and hasattr(step, "center")):
        raise InputError(f"Got a pipeline that starts with {type(step).__name__}, expected a FaceExtractor.")
    step = clone(step).set_params(**{name: value for name, value in asked.items() if value is not None})
    return step, pipeline[1:]
