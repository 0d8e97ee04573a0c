"""Frames to readings: following, reading with the model now and then, smoothing."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.faces import framing
from ferkit.faces.grey import grey
from ferkit.faces.light import normalise
from ferkit.live.finder import Finder
from ferkit.live.pose import Pose
from ferkit.live.records import LiveReading
from ferkit.live.smoothing import MARGIN, TAU, THRESHOLD, Smoother
from ferkit.live.tracks import Track, Tracker
from ferkit.pixels import eight_bit
from ferkit.predict import Predictor
from ferkit.records import Faces, Frame, Reading
from ferkit.sources.video import check_every

EVERY = 3
"""The model reads the faces of every n-th frame."""

_WORK = 480
"""Shorter side in pixels to which frames are brought at least."""


class Stages:
    """Time spent in each stage of the work.

    Attributes
    ----------
    seconds : dict of str to float
        Seconds by stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name = ""
        self._since = 0.0

    def begin(self, name: str) -> None:
        """A stage begins and the one before ends; an empty name only ends it."""
        now = time.perf_counter()
        if self._name:
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._since
        self._name, self._since = name, now


class _Person:
    """What is kept of a followed face: its average and the last reading."""

    def __init__(self, smoother: Smoother) -> None:
        self.smoother = smoother
        self.probabilities: NDArray[np.float64] = smoother.probabilities
        self.crop: NDArray[np.uint8] | None = None
        self.fresh = False


class LivePredictor:
    """Reads the frames of one video in order.

    Parameters
    ----------
    model : Model, path or None, default=None
        By default the model that ships with ferkit.
    every : int, default=3
        The model reads every n-th frame, and the detector is asked in these frames only; in between, faces are
        followed. A face that is new or was lost is looked at whenever it occurs.
    smallest : float, default=0.15
        Side of the smallest face searched for, as a share of the picture's shorter side. While nobody is known, faces
        of half that size are searched for now and then.
    detector : {"auto", "dlib", "haar"}, path or None, default=None
        See ``FaceDetector``; None leaves it to the model's ``faces`` step.
    tau, margin, threshold
        See ``Smoother``.

    Attributes
    ----------
    labels : list of str
        The model's labels.
    tracker : Tracker
        Who is in sight.
    stages : Stages
        Where the time goes.
    fresh : int
        Readings that the model gave.
    """

    def __init__(
        self,
        model: Any = None,
        every: int = EVERY,
        *,
        smallest: float = 0.15,
        detector: Any = None,
        tau: float = TAU,
        margin: float = MARGIN,
        threshold: float = THRESHOLD,
    ) -> None:
        check_every(every)
        predictor = Predictor(model, cropped=False, detector=detector)
        self._read = predictor.probabilities
        self._extractor = predictor.extractor
        self.model = predictor.model
        self.labels = predictor.labels
        self.every = every
        self.stages = Stages()
        self.fresh = 0
        self._finder = Finder(self._extractor, smallest)
        self.tracker = Tracker(self._finder, self.stages.begin)
        self._side = max(_WORK, round(80 / smallest))
        self._settings = (tau, margin, threshold)
        self._new_smoother()  # says at once what is wrong with the settings
        self._people: dict[int, _Person] = {}
        self._count = 0

    def read(self, frame: Frame) -> tuple[LiveReading, ...]:
        """Readings of the next frame.

        Parameters
        ----------
        frame : Frame
            With a time that does not run backwards.

        Returns
        -------
        tuple of LiveReading
            Faces in sight, largest first.
        """
        self.stages.begin("grey")
        picture, scale = self._small(frame.image)
        now = frame.time or 0.0
        look = self._count % self.every == 0
        self._count += 1
        tracks = self.tracker.update(picture, now, look)
        self._forget()
        due = [track for track in tracks if look or track.id not in self._people]
        self._freshen(picture, due, now)
        self.stages.begin("")
        return tuple(self._reading(frame, i, track, scale) for i, track in enumerate(tracks))

    def warm_up(self) -> None:
        """Load what is loaded with the first face, so that it costs the first frame nothing."""
        size = self._extractor.size
        blank = np.full((240, 320), 128, np.uint8)
        self._finder.near(blank, Pose(160 + 120j, 120 + 0j))
        points = np.zeros((1, self._finder.n_points, 2), np.float32)
        self._read(Faces(np.zeros((1, size, size), np.uint8), points))

    def close(self) -> None:
        """Let go of the threads in which new faces are searched for; they begin again with further frames."""
        self.tracker.close()

    def _small(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
        """Grey frame to work on, and its scale."""
        image = eight_bit(image, "frame")
        scale = min(1.0, self._side / min(image.shape[:2]))
        if scale < 1:
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        return grey(image), scale

    def _new_smoother(self) -> Smoother:
        return Smoother(self.labels, *self._settings)

    def _forget(self) -> None:
        known = {track.id for track in self.tracker.tracks}
        self._people = {key: person for key, person in self._people.items() if key in known}
        for person in self._people.values():
            person.fresh = False

    def _freshen(self, picture: NDArray[np.uint8], tracks: list[Track], now: float) -> None:
        """Let the model read faces, all in one call."""
        if not tracks:
            return
        self.stages.begin("align")
        faces = self._cut(picture, tracks)
        self.stages.begin("model")
        rows = self._read(faces)
        self.fresh += len(tracks)
        self.stages.begin("smooth")
        for track, crop, probabilities in zip(tracks, faces.crops, rows, strict=True):
            person = self._people.setdefault(track.id, _Person(self._new_smoother()))
            person.probabilities, person.crop, person.fresh = probabilities, crop, True
            person.smoother.add(probabilities, now)

    def _cut(self, picture: NDArray[np.uint8], tracks: list[Track]) -> Faces:
        """Crops in the canonical framing, as the model learnt them."""
        size, n_points = self._extractor.size, self._finder.n_points
        crops = np.empty((len(tracks), size, size), np.uint8)
        kept = np.full((len(tracks), n_points, 2), np.nan, np.float32)
        for i, track in enumerate(tracks):
            pose, points = self._finder.aligned(picture, track.pose)
            crops[i] = framing.crop(picture, pose.matrix, size)
            if n_points and points is not None:
                kept[i] = framing.to_crop(points, pose.matrix, size)
            track.pose = track.pose.towards(pose, 0.5)
        return Faces(normalise(crops, self._extractor.light), kept)

    def _reading(self, frame: Frame, i: int, track: Track, scale: float) -> LiveReading:
        person = self._people[track.id]
        best = int(np.argmax(person.probabilities))
        reading = Reading(
            source=frame.source,
            frame=frame.index,
            time=frame.time,
            face=i,
            box_xyxy=_inside(track.pose.scaled(1 / scale), frame.image.shape),
            label=self.labels[best],
            confidence=float(person.probabilities[best]),
            probabilities=dict(zip(self.labels, map(float, person.probabilities), strict=True)),
        )
        smooth = dict(zip(self.labels, map(float, person.smoother.probabilities), strict=True))
        crop = person.crop if person.crop is not None else np.zeros((1, 1), np.uint8)
        return LiveReading(reading, track.id, person.smoother.label, smooth, person.fresh, crop)


def _inside(pose: Pose, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Box of a pose, cut at the edges of the picture."""
    x1, y1, x2, y2 = pose.box_xyxy
    height, width = shape[:2]
    return max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)
