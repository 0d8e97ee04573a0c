"""Where a face lies in a picture: middle, size and turn, as two complex numbers."""

from __future__ import annotations

import cmath
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.faces.detect import overlap as boxes_overlap
from ferkit.faces.framing import matrix_of

_MIDDLE = 0.5 + 0.5j


@dataclass(frozen=True)
class Pose:
    """Place of a face's canonical framing in a picture.

    In the plane a turn with scale is one complex factor, so that moving, turning and growing are plain arithmetic.

    Parameters
    ----------
    centre : complex
        Middle of the framing, x + iy in pixels.
    span : complex
        Side of the framing in pixels, turned as the head is: a face tilted clockwise has a positive angle.
    """

    centre: complex
    span: complex

    @classmethod
    def of_matrix(cls, matrix: Any) -> Pose:
        """Pose of a transform from picture to framing."""
        factor = complex(matrix[0][0], matrix[1][0])
        shift = complex(matrix[0][2], matrix[1][2])
        return cls((_MIDDLE - shift) / factor, 1 / factor)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Transform from picture to framing, shape (2, 3)."""
        factor = 1 / self.span
        return matrix_of(factor, _MIDDLE - factor * self.centre)

    @property
    def side(self) -> float:
        """Side of the framing in pixels."""
        return abs(self.span)

    @property
    def turn(self) -> float:
        """Tilt of the head in degrees, clockwise as seen."""
        return float(np.degrees(cmath.phase(self.span)))

    @property
    def box_xyxy(self) -> tuple[float, float, float, float]:
        """Upright box about the face."""
        half = self.side / 2
        x, y = self.centre.real, self.centre.imag
        return x - half, y - half, x + half, y + half

    def moved(self, factor: complex, shift: complex) -> Pose:
        """After every point p of the picture went to ``factor * p + shift``."""
        return Pose(factor * self.centre + shift, factor * self.span)

    def scaled(self, scale: float) -> Pose:
        """The same place in a copy of the picture that is ``scale`` times as large."""
        return Pose(self.centre * scale, self.span * scale)

    def towards(self, other: Pose, share: float) -> Pose:
        """On the way to another pose: 0 stays here, 1 arrives."""
        return Pose(self.centre + share * (other.centre - self.centre), self.span * (other.span / self.span) ** share)

    def near(self, other: Pose, most: float = 0.5) -> bool:
        """Whether the other could be a better view of the same face: nearly its place, size and, in radians, turn."""
        change = other.span / self.span
        return (
            abs(other.centre - self.centre) < 0.3 * self.side
            and 0.7 < abs(change) < 1.4
            and abs(cmath.phase(change)) < most
        )


def in_patch(matrix: NDArray[np.float64], patch: NDArray[np.float64]) -> Pose:
    """Pose in the picture of a face that was found in a patch.

    Parameters
    ----------
    matrix : ndarray of shape (2, 3)
        Transform from patch to framing.
    patch : ndarray of shape (2, 3)
        Transform from picture to patch, in pixels.
    """
    inside = Pose.of_matrix(matrix)
    factor, shift = complex(patch[0, 0], patch[1, 0]), complex(patch[0, 2], patch[1, 2])
    return Pose((inside.centre - shift) / factor, inside.span / factor)


def overlap(a: Pose, b: Pose) -> float:
    """Intersection over union of two poses' upright boxes."""
    return boxes_overlap(a.box_xyxy, b.box_xyxy)
