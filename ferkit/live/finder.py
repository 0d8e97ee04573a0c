"""Searching for faces: everywhere at reduced size, in turned copies, and near a place where one was."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.faces import FaceDetector, FaceExtractor, framing
from ferkit.faces.extract import points_at
from ferkit.faces.landmarks import Landmarks, opened, resolve
from ferkit.live.pose import Pose, in_patch

TURNS = (0.0, 32.0, 0.0, -32.0)
"""Degrees by which heads are taken to be tilted in one search after the other; detectors miss heads beyond about 20."""

_LOW = 300
"""Shorter side in pixels of a picture that is searched for tilted heads."""

_PATCH, _ROOM = 220, 1.8
"""Side in pixels of the patch about a known face, and in sides of the face's framing."""

_STEEP = 12.0
"""Degrees of turn from which landmarks are placed a second time."""

_MOST_TURN = 1.0
"""Radians by which landmarks may turn a pose."""

_WINDOW = 80
"""Side in pixels of the least face that is found in a patch or a turned copy."""


@dataclass(frozen=True)
class Found:
    """A face that a search found.

    Parameters
    ----------
    pose : Pose
        Where it is.
    certain : bool
        Whether it is a face without further knowledge.
    """

    pose: Pose
    certain: bool


class Finder:
    """Finds faces in the way that a model's ``faces`` step does, in pieces small enough for a frame of a video.

    Parameters
    ----------
    extractor : FaceExtractor
        The model's step: its detector, landmarks and framing are used.
    smallest : float, default=0.15
        Side of the smallest face searched for, as a share of the picture's shorter side.
    """

    def __init__(self, extractor: FaceExtractor, smallest: float = 0.15) -> None:
        self._align = extractor.align
        self._name = extractor.detector
        wanted = resolve(extractor.landmarks)
        self._predictor = None if wanted is None else opened(wanted[1])
        kept = str(extractor.landmarks) not in ("auto", "none", "None")
        self.n_points = self._predictor.n_points if kept and self._predictor is not None else 0
        self._whole = FaceDetector(self._name, smallest)
        self._whole.check()
        self._half = FaceDetector(self._name, max(0.02, smallest / 2))
        self._patch = FaceDetector(self._name, _WINDOW / _PATCH)

    def everywhere(self, picture: NDArray[np.uint8], turn: float = 0.0, small: bool = False) -> list[Found]:
        """Faces of a whole picture.

        Parameters
        ----------
        picture : ndarray of shape (h, w), dtype uint8
        turn : float, default=0
            Degrees by which heads are tilted.
        small : bool, default=False
            Search for faces of half the size too, which takes four times as long; upright ones only.
        """
        if turn:
            return self._turned(picture, turn)
        found = (self._half if small else self._whole).search(picture)
        poses = [Pose.of_matrix(framing.from_box(box, found.detector)) for box in found.boxes_xyxy]
        return [Found(pose, bool(sure)) for pose, sure in zip(poses, found.certain, strict=True)]

    def near(self, picture: NDArray[np.uint8], pose: Pose, turn: float = 0.0) -> Pose | None:
        """The face at a place that is known roughly, or None; the head is brought upright first.

        Parameters
        ----------
        picture : ndarray of shape (h, w), dtype uint8
        pose : Pose
            Where the face should be.
        turn : float, default=0
            Degrees by which the head may be tilted further.
        """
        about = Pose(pose.centre, pose.span * _ROOM * cmath.exp(1j * math.radians(turn)))
        patch = framing.crop(picture, about.matrix, _PATCH)
        found = self._patch.search(patch, border=False)
        poses = [in_patch(framing.from_box(box, found.detector), about.matrix * _PATCH) for box in found.boxes_xyxy]
        good = [i for i, other in enumerate(poses) if _same(pose, other, turn)]
        return poses[max(good, key=lambda i: float(found.scores[i]))] if good else None

    def aligned(self, picture: NDArray[np.uint8], pose: Pose) -> tuple[Pose, NDArray[np.float64] | None]:
        """The pose set right by landmarks, where there are any and they can be believed, and the landmarks."""
        if self._predictor is None:
            return pose, None
        better, points = self._placed(picture, pose, self._predictor)
        if points is not None and abs(better.turn - pose.turn) > _STEEP:
            # landmarks are learnt on upright faces: place them once more on the face brought upright
            better, points = self._placed(picture, better, self._predictor)
        return (better if self._align else pose), points

    def _placed(
        self, picture: NDArray[np.uint8], pose: Pose, predictor: Landmarks
    ) -> tuple[Pose, NDArray[np.float64] | None]:
        points = points_at(picture, pose.matrix, predictor)
        better = Pose.of_matrix(framing.from_points(points))
        return (better, points) if pose.near(better, _MOST_TURN) else (pose, None)

    def _turned(self, picture: NDArray[np.uint8], turn: float) -> list[Found]:
        height, width = picture.shape
        scale = min(1.0, _LOW / min(height, width))
        factor = scale * cmath.exp(-1j * math.radians(turn))
        wide = round(abs(width * factor.real) + abs(height * factor.imag))
        high = round(abs(width * factor.imag) + abs(height * factor.real))
        shift = complex(wide, high) / 2 - factor * complex(width, height) / 2
        matrix = framing.matrix_of(factor, shift)
        copy: Any = cv2.warpAffine(picture, matrix, (wide, high), borderMode=cv2.BORDER_REPLICATE)
        least = max(0.02, min(1.0, _WINDOW / min(wide, high)))
        found = FaceDetector(self._name, least).search(copy, border=False)
        poses = [in_patch(framing.from_box(box, found.detector), matrix) for box in found.boxes_xyxy]
        return [Found(pose, bool(sure)) for pose, sure in zip(poses, found.certain, strict=True)]


def _same(pose: Pose, other: Pose, turn: float) -> bool:
    """Whether a face found in the patch is the one looked for; a turned copy may also hold it upright."""
    upright = Pose(pose.centre, pose.span * cmath.exp(1j * math.radians(turn)))
    return upright.near(other)
