"""The parametric face: where its parts lie for given facial action units.

Face coordinates: x to the right, y down, the face is about 2 wide; eyes lie near y = -0.15, the mouth near y = 0.8, the
chin near y = 1.45. Action units follow Ekman, Friesen, Hager, Facial Action Coding System, 2002; the units of each
expression follow Friesen, Ekman, EMFACS-7, 1983.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.sources.look import Look

Units = Mapping[str, float]

ACTION_UNITS: dict[str, dict[str, float]] = {
    "anger": {"4": 1.0, "5": 0.45, "7": 0.7, "17": 0.3, "23": 0.9, "24": 0.5},
    "disgust": {"4": 0.45, "6": 0.35, "7": 0.6, "9": 1.0, "10": 0.9, "15": 0.55, "17": 0.5, "25": 0.35},
    "fear": {"1": 1.0, "2": 0.55, "4": 0.75, "5": 1.0, "20": 1.0, "25": 1.0, "26": 0.2},
    "happiness": {"6": 0.9, "12": 1.0, "25": 0.9},
    "sadness": {"1": 1.0, "4": 0.6, "15": 1.0, "17": 0.6, "43": 0.4, "64": 0.4},
    "surprise": {"1": 1.0, "2": 1.0, "5": 0.85, "25": 1.0, "26": 0.9, "27": 0.5},
    "neutral": {},
    "contempt": {"R2": 0.35, "R12": 0.5, "R14": 1.0, "7": 0.3, "43": 0.15},
}
"""Strength, 0 to 1, of the action units of each expression; ``R`` marks the right side of the picture only."""

VARIANTS: dict[str, tuple[dict[str, float], ...]] = {
    "anger": ({"23": 0.0, "24": 0.0, "17": 0.0, "10": 0.5, "16": 0.7, "25": 1.0, "26": 0.15},),
    "disgust": ({"25": 0.0, "10": 0.7, "17": 0.9},),
    "happiness": ({"25": 0.0, "12": 0.9}, {"26": 0.25, "25": 1.0}),
    "sadness": ({"25": 0.2, "43": 0.2, "64": 0.0},),
    "fear": ({"26": 0.6, "20": 0.7},),
}
"""Other ways to show an expression: units that replace those above."""

UNITS = (
    "1",
    "2",
    "4",
    "5",
    "6",
    "7",
    "9",
    "10",
    "12",
    "14",
    "15",
    "16",
    "17",
    "20",
    "23",
    "24",
    "25",
    "26",
    "27",
    "43",
    "64",
)
"""Action units that can be drawn; 64 turns the eyes down."""


class Strength:
    """Strength of each action unit, on one side of the picture (-1 left, 1 right) or on both."""

    def __init__(self, units: Units) -> None:
        self.units = units

    def __call__(self, unit: int, side: int = 0) -> float:
        both = self.units.get(str(unit), 0.0)
        own = self.units.get(f"{'R' if side > 0 else 'L'}{unit}", 0.0) if side else 0.0
        return max(both, own)


def spline(points: Any, closed: bool = True, steps: int = 8) -> NDArray[np.float64]:
    """Smooth curve through points (Catmull-Rom).

    Parameters
    ----------
    points : array-like of shape (n, 2)
    closed : bool, default=True
    steps : int, default=8
        Points from one to the next.
    """
    p = np.asarray(points, dtype=float)
    return _spline_weights(len(p), closed, steps) @ p


@lru_cache(maxsize=64)
def _spline_weights(n: int, closed: bool, steps: int) -> NDArray[np.float64]:
    """Matrix that takes n points to the curve through them."""
    p = np.eye(n)
    before, after, last = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    if not closed:
        before[0], after[-1], last[-2:] = p[0], p[-1], p[-1]
    t = (np.arange(steps) / steps)[:, None, None]
    curve = 0.5 * (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - last) * t**2
        + (3 * p - before - 3 * after + last) * t**3
    )
    flat = curve.transpose(1, 0, 2).reshape(-1, n)
    return flat if closed else np.vstack([flat[:-steps], p[-1]])


def mirrored(half: Any) -> NDArray[np.float64]:
    """Closed outline from its right half, given from top to bottom; the first and last points lie on the middle."""
    right = np.asarray(half, dtype=float)
    return np.vstack([right, right[-2:0:-1] * (-1, 1)])


def outline(look: Look, drop: float) -> NDArray[np.float64]:
    """Edge of the face; ``drop`` is how far the jaw is down."""
    w, j = look.width, look.jaw
    half = [
        (0, -1.5),
        (0.5, -1.42),
        (0.86 * w, -1.02),
        (0.99 * w, -0.45),
        (0.98 * w, 0.12),
        (0.92 * w, 0.62 + 0.2 * drop),
        (0.74 * w * j, 1.04 + 0.6 * drop),
        (0.42 * j, 1.36 + 0.9 * drop),
        (0, 1.46 + drop),
    ]
    return spline(mirrored(half))


def brow(look: Look, a: Strength, side: int) -> NDArray[np.float64]:
    """Eyebrow: raised inside by unit 1, outside by 2, drawn down and together by 4."""
    t = np.linspace(0, 1, 9)
    inner, outer = (1 - t) ** 1.4, np.exp(-(((t - 0.68) / 0.36) ** 2))
    lowers = a(4, side) * (1 - 0.75 * a(1, side))
    x = 0.16 + 0.56 * t - 0.06 * a(4, side) * inner
    y = -0.43 - 0.07 * np.sin(np.pi * t * 0.85)
    y = y - 0.19 * a(1, side) * inner - 0.17 * a(2, side) * outer + lowers * (0.15 * inner + 0.05) + 0.05 * a(9) * inner
    y = y + 0.05 * a(1, side) * (1 - a(2, side)) * t
    half = 0.042 * look.brow * (1 - 0.65 * t) * (0.75 + 0.25 * np.minimum(1, t * 6))
    upper, lower = np.column_stack([x, y - half]), np.column_stack([x, y + half])
    return np.vstack([upper, lower[::-1]]) * (side, 1)


@dataclass(frozen=True)
class Eye:
    """One eye: its centre, the edges of its lids from the inner to the outer corner, the fold above, the iris."""

    upper: NDArray[np.float64]
    lower: NDArray[np.float64]
    fold: NDArray[np.float64]
    iris: tuple[float, float]
    radius: float


def eye(look: Look, a: Strength, side: int) -> Eye:
    """Eye: opened by unit 5, narrowed by 6 and 7, drooping by 43, looking down by 64."""
    size = look.eye_size
    u = np.linspace(-1, 1, 13)
    arch = 1 - u**2
    cx, cy, half = 0.415 * look.eye_gap, -0.16, 0.205 * size
    x = cx + half * u
    corners = cy - 0.018 * u
    open_up = (
        0.098 * size * max(0.12, 1 + 0.75 * a(5, side) - 0.35 * a(7, side) - 0.2 * a(6, side) - 0.75 * a(43, side))
    )
    open_down = 0.06 * size * (1 + 0.15 * a(5, side) - 0.75 * a(7, side) - 0.85 * a(6, side))
    upper = np.column_stack([x, corners - open_up * arch**0.8])
    lower = np.column_stack([x, corners + open_down * arch])
    lift = 0.05 + 0.03 * a(43, side) - 0.025 * a(4, side) - 0.02 * a(9, side)
    fold = np.column_stack([cx + half * 1.05 * u, corners - (open_up + lift) * arch**0.7 - 0.005])
    down = 0.035 * a(64) + 0.02 * a(43, side)
    flip = np.array([side, 1.0])
    return Eye(upper * flip, lower * flip, fold * flip, (side * cx, cy - 0.012 + down), 0.088 * size)


@dataclass(frozen=True)
class Mouth:
    """Mouth: outer and inner edges of the lips from left to right, and the parts seen inside."""

    upper_out: NDArray[np.float64]
    upper_in: NDArray[np.float64]
    lower_in: NDArray[np.float64]
    lower_out: NDArray[np.float64]
    upper_teeth: float
    lower_teeth: float
    gap: float
    drop: float


def mouth(look: Look, a: Strength) -> Mouth:
    """Mouth: corners up by 12, down by 15, apart by 20; lips tight by 23 and 24, raised by 10, open by 25 to 27."""
    u = np.linspace(-1, 1, 25)
    arch = np.clip(1 - u**2, 0, 1)
    half = look.mouth * (0.36 + 0.13 * a(12) + 0.12 * a(20) - 0.07 * a(23) - 0.07 * a(26) - 0.09 * a(27))
    corner = np.where(u < 0, _corner(a, -1), _corner(a, 1)) * np.abs(u) ** 1.7
    jaw = 0.13 * a(26) + 0.24 * a(27)
    open_up = 0.022 * a(25) + 0.05 * a(10) * (a(25) > 0) + 0.2 * jaw
    open_down = 0.055 * a(25) + 0.06 * a(16) + 0.03 * a(12) * a(25) + jaw
    round_ = arch ** (0.9 - 0.35 * min(1.0, a(26)))
    x = half * u
    middle = 0.80 + 0.02 * a(12) - 0.035 * a(17) - 0.05 * a(10) * arch - 0.03 * a(9) + corner
    upper_in, lower_in = middle - open_up * round_, middle + open_down * round_
    thin = max(0.2, 1 - 0.45 * a(23) - 0.35 * a(24) - 0.25 * a(20) - 0.25 * a(12))
    bow = arch**0.6 * (1 - 0.16 * np.exp(-((u / 0.16) ** 2)))
    upper_out = upper_in - 0.075 * look.lips * thin * bow * (1 + 0.3 * a(10))
    lower_out = lower_in + 0.095 * look.lips * thin * arch**0.65 * (1 + 0.35 * a(17))
    gap = float(open_up + open_down)
    showing = max(a(12), a(20), a(10), 0.6 * a(16), 0.35 * a(26))
    return Mouth(
        np.column_stack([x, upper_out]),
        np.column_stack([x, upper_in]),
        np.column_stack([x, lower_in]),
        np.column_stack([x, lower_out]),
        upper_teeth=float(min(0.085, 0.8 * gap) * min(1.0, 1.3 * showing)),
        lower_teeth=float(min(0.07, 0.45 * gap) * max(a(16), 0.7 * a(20))),
        gap=gap,
        drop=float(0.75 * jaw + 0.02 * a(25)),
    )


def _corner(a: Strength, side: int) -> float:
    return -0.15 * a(12, side) + 0.13 * a(15, side) - 0.07 * a(14, side) + 0.02 * a(20, side)


def folds(look: Look, a: Strength, lips: Mouth) -> list[tuple[NDArray[np.float64], float]]:
    """Folds of the skin as (curve, strength): forehead, between the brows, nose, cheeks, eyes, chin."""
    deep = 0.35 + 0.65 * look.age
    found: list[tuple[Any, float]] = []
    for i in range(3):
        y = -0.78 - 0.13 * i
        strength = max(a(1), a(2)) * (0.7 + 0.3 * a(2)) * deep
        found.append(([(-0.5, y + 0.05), (-0.25, y), (0, y + 0.02), (0.25, y), (0.5, y + 0.05)], 0.5 * strength))
    for side in (-1, 1):
        frown = a(4) * (1 - 0.3 * a(1))
        found.append(([(side * 0.07, -0.58), (side * 0.055, -0.45), (side * 0.08, -0.34)], 0.9 * frown))
        for i in range(2):
            y = -0.22 + 0.11 * i
            found.append(([(side * 0.13, y - 0.02), (side * 0.07, y + 0.02), (0, y + 0.03)], 0.75 * a(9)))
        pull = max(a(12, side), a(14, side) * 0.9, 1.1 * a(10, side), a(9, side))
        corner = lips.upper_out[0 if side < 0 else -1]
        bend = abs(corner[0]) + 0.10 + 0.05 * pull
        nasolabial = [
            (side * 0.22, 0.38 - 0.05 * a(9)),
            (side * (0.5 * bend + 0.14), 0.55),
            (side * bend, corner[1] + 0.02),
        ]
        found.append((nasolabial, 0.25 * look.age + 0.75 * pull))
        for i in range(3):
            x, y = side * 0.68, -0.16 + 0.05 * (i - 1)
            found.append(([(x, y), (x + side * 0.14, y + 0.06 * (i - 1))], 0.6 * a(6) * deep))
        under = [(side * 0.26, -0.02), (side * 0.42, 0.03 - 0.02 * a(6)), (side * 0.6, -0.03)]
        found.append((under, 0.25 * look.age + 0.5 * max(a(6), a(7))))
        if a(14, side):
            dimple = [(corner[0] + side * 0.05, corner[1] - 0.07), (corner[0] + side * 0.06, corner[1] + 0.06)]
            found.append((dimple, 0.9 * a(14, side)))
        if a(15, side):
            sag = [(corner[0] + side * 0.02, corner[1]), (corner[0] + side * 0.05, corner[1] + 0.12)]
            found.append((sag, 0.7 * a(15, side)))
    chin = 1.03 + lips.drop
    found.append(([(-0.16, chin + 0.02), (0, chin - 0.02), (0.16, chin + 0.02)], 0.35 + 0.5 * a(17)))
    return [(np.asarray(curve, dtype=float), float(min(1, strength))) for curve, strength in found if strength > 0.02]
