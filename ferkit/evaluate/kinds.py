"""What a stress test does to faces: 14 changes, five strengths each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.augment import changes
from ferkit.augment.place import Places, move_points, warp
from ferkit.errors import InputError
from ferkit.faces import framing
from ferkit.records import Faces

Array = NDArray[Any]
STRENGTHS = 5


@dataclass(frozen=True)
class Kind:
    """One change.

    Attributes
    ----------
    name : str
        What it is called in tables.
    unit : str
        What a level is.
    levels : tuple of float
        Five, from weak to strong.
    change : callable
        ``change(faces, level, rng)`` gives changed ``Faces``.
    """

    name: str
    unit: str
    levels: tuple[float, ...]
    change: Callable[[Faces, float, np.random.Generator], Faces]


def _levels(change: Any, random: bool = False) -> Any:
    """A change of grey levels as a change of faces; their landmarks stay."""

    def apply(faces: Faces, level: float, rng: np.random.Generator) -> Faces:
        return _with(faces, change(faces.crops, level, rng) if random else change(faces.crops, level))

    return apply


def _moved(places_of: Any) -> Any:
    """A change of place as a change of faces; their landmarks move along."""

    def apply(faces: Faces, level: float, rng: np.random.Generator) -> Faces:
        places: Places = places_of(faces.crops.shape, level, rng)
        return _with(faces, warp(faces.crops, places), move_points(faces.points, places))

    return apply


def _with(faces: Faces, crops: Array, points: Any = None) -> Faces:
    return Faces(crops, faces.points if points is None else points, faces.boxes_xyxy, faces.found, faces.index)


def _band(middle: float, left: float, right: float) -> Any:
    """A covered band about a height, as high as the level says."""

    def cover(crops: Array, height: float) -> Array:
        return changes.covered(crops, (left, middle - height / 2, right, middle + height / 2))

    return _levels(cover)


KINDS = (
    Kind("darkness", "grey levels times", (0.7, 0.5, 0.35, 0.2, 0.1), _levels(changes.scaled)),
    Kind(
        "brightness",
        "share of white added",
        (0.1, 0.2, 0.35, 0.5, 0.65),
        _levels(lambda crops, light: changes.scaled(crops, 1, light)),
    ),
    Kind("contrast", "contrast times", (0.7, 0.5, 0.3, 0.15, 0.08), _levels(changes.flattened)),
    Kind("shadow", "darker at one side by", (0.3, 0.5, 0.7, 0.85, 1.0), _levels(changes.shaded, random=True)),
    Kind("gamma", "exponent, or its inverse", (1.3, 1.7, 2.2, 3.0, 4.0), _levels(changes.gamma, random=True)),
    Kind("noise", "deviation, share of white", (0.02, 0.05, 0.1, 0.15, 0.25), _levels(changes.grained, random=True)),
    Kind("blur", "deviation, share of width", (0.01, 0.02, 0.03, 0.04, 0.06), _levels(changes.smoothed)),
    Kind("motion blur", "length, share of width", (0.05, 0.1, 0.15, 0.2, 0.3), _levels(changes.dragged, random=True)),
    Kind("JPEG", "quality", (50, 30, 20, 10, 5), _levels(lambda crops, q: changes.compressed(crops, int(q)))),
    Kind("low resolution", "share of the size", (0.7, 0.5, 0.375, 0.25, 0.17), _levels(changes.coarse)),
    Kind("tilt", "degrees", (5, 10, 20, 30, 45), _moved(changes.tilts)),
    Kind("shift", "share of the width", (0.03, 0.06, 0.1, 0.15, 0.25), _moved(changes.shifts)),
    Kind("eyes covered", "height of the band", (0.06, 0.12, 0.18, 0.24, 0.3), _band(framing.EYES[0][1], 0.08, 0.92)),
    Kind("mouth covered", "height of the band", (0.08, 0.16, 0.24, 0.32, 0.4), _band(framing.MOUTH[0][1], 0.2, 0.8)),
)
"""The changes, in the order of tables and plots."""


def stressed(faces: Faces, kind: str, strength: int, seed: int = 0) -> Faces:
    """Faces after one change of one strength.

    Parameters
    ----------
    faces : Faces
        Before light normalisation, where the model has one.
    kind : str
        Name of one of ``KINDS``.
    strength : int
        1 (weak) to 5 (strong).
    seed : int, default=0
        For what is drawn: noise, directions.

    Examples
    --------
    >>> faces = Faces(np.full((2, 48, 48), 200, np.uint8))
    >>> stressed(faces, "darkness", 2).crops.max()
    np.uint8(100)
    """
    names = [own.name for own in KINDS]
    if kind not in names or not 1 <= strength <= STRENGTHS:
        raise InputError(f"Got kind={kind!r}, strength={strength}, expected one of {names} and 1 to {STRENGTHS}.")
    rng = np.random.default_rng([seed, names.index(kind), strength])
    own = KINDS[names.index(kind)]
    return own.change(faces, own.levels[strength - 1], rng)
