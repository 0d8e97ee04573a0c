"""Following faces from one frame to the next by optical flow, all faces at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.live.pose import Pose

SIDE = 320
"""Shorter side in pixels of the copies in which faces are followed."""

_GRID = 7
_REACH = 0.34
"""Points lie within this share of the framing's side about its middle: on the face, not on what is behind it."""

_WINDOW, _LEVELS = (13, 13), 3
_TUKEY = 4.685
_ROUNDS = 4


@dataclass(frozen=True)
class Step:
    """How one face moved.

    Parameters
    ----------
    pose : Pose
        Where it is now.
    quality : float
        Share of its points that agree on the movement, 0 to 1.
    """

    pose: Pose
    quality: float


def follow(before: NDArray[np.uint8], after: NDArray[np.uint8], poses: Sequence[Pose]) -> list[Step]:
    """Where faces went between two frames.

    A grid of points on each face is followed forwards and back again (Lucas and Kanade in a pyramid); points that do
    not return to where they started are left out (Kalal and others, Forward-backward error, 2010). The similarity
    transform through the others is fitted with Tukey's weights.

    Parameters
    ----------
    before, after : ndarray of shape (h, w), dtype uint8
        Grey frames of one size.
    poses : sequence of Pose
        Where the faces were, in pixels of ``before``.

    Returns
    -------
    list of Step
        One a face.
    """
    if not poses:
        return []
    start = _points(poses)
    end, returned = _flow(before, after, start)
    sides = np.array([pose.side for pose in poses])[:, None]
    good = returned < np.maximum(0.5, 0.01 * sides)
    factors, shifts, agreeing = _fit(start, end, good, sides)
    steps = []
    for pose, factor, shift, quality in zip(poses, factors, shifts, agreeing, strict=True):
        possible = np.isfinite(factor) and 0.75 < abs(factor) < 1.33
        steps.append(Step(pose.moved(complex(factor), complex(shift)), float(quality)) if possible else Step(pose, 0.0))
    return steps


def _points(poses: Sequence[Pose]) -> NDArray[np.complex128]:
    """Points on each face as complex numbers, shape (n, grid * grid)."""
    line = np.linspace(-_REACH, _REACH, _GRID)
    grid = (line[None, :] + 1j * line[:, None]).ravel()
    return np.array([pose.centre + pose.span * grid for pose in poses], dtype=np.complex128)


def _flow(
    before: NDArray[np.uint8], after: NDArray[np.uint8], start: NDArray[np.complex128]
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Where points went, and how far from their start they return; infinity where they were lost."""
    points = np.stack([start.real, start.imag], axis=-1).reshape(-1, 1, 2).astype(np.float32)
    there, seen = _lucas_kanade(before, after, points)
    back, again = _lucas_kanade(after, before, there)
    away = np.linalg.norm((back - points)[:, 0], axis=1).astype(np.float64)
    away[(seen.ravel() == 0) | (again.ravel() == 0)] = np.inf
    height, width = after.shape
    inside = (there[:, 0] >= 0).all(axis=1) & (there[:, 0, 0] < width) & (there[:, 0, 1] < height)
    away[~inside] = np.inf
    end = there[:, 0, 0].astype(np.float64) + 1j * there[:, 0, 1].astype(np.float64)
    return end.reshape(start.shape), away.reshape(start.shape)


def _lucas_kanade(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    made: Any = np.empty_like(points)
    there, seen, _ = cv2.calcOpticalFlowPyrLK(before, after, points, made, winSize=_WINDOW, maxLevel=_LEVELS)
    return np.asarray(there, np.float32), np.asarray(seen, np.uint8)


def _fit(
    start: NDArray[np.complex128], end: NDArray[np.complex128], good: NDArray[np.bool_], sides: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.float64]]:
    """Factor, shift and share of agreeing points of every face, by iteratively reweighted least squares."""
    away = _from_median(end - start, good)
    factor, shift = np.ones(len(start), np.complex128), np.zeros(len(start), np.complex128)
    for _ in range(_ROUNDS):
        scale = np.maximum(1.4826 * _median(away, good), 0.1)
        weights = good * np.clip(1 - (away / (_TUKEY * scale)) ** 2, 0, None) ** 2
        factor, shift = _weighted(start, end, weights)
        away = np.abs(end - factor[:, None] * start - shift[:, None])
    agreeing = (good & (away < np.maximum(0.5, 0.02 * sides))).mean(axis=1)
    return factor, shift, agreeing


def _weighted(
    start: NDArray[np.complex128], end: NDArray[np.complex128], weights: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Umeyama's similarity in closed form for each row."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    from_middle = (weights * start).sum(axis=1, keepdims=True) / total
    to_middle = (weights * end).sum(axis=1, keepdims=True) / total
    spread = (weights * np.abs(start - from_middle) ** 2).sum(axis=1)
    shared = (weights * (end - to_middle) * np.conj(start - from_middle)).sum(axis=1)
    factor = np.where(spread > 1e-6, shared / np.maximum(spread, 1e-6), 1.0)
    return factor, to_middle[:, 0] - factor * from_middle[:, 0]


def _from_median(moves: NDArray[np.complex128], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    middle = _median(moves.real, good) + 1j * _median(moves.imag, good)
    return np.abs(moves - middle)


def _median(values: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median over the good points of each row, shape (n, 1); 0 where there are none."""
    return np.array([[np.median(row[kept]) if kept.any() else 0.0] for row, kept in zip(values, good, strict=True)])
