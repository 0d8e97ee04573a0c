"""Turning, sizing, shifting and mirroring of faces and their landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError


@dataclass(frozen=True)
class Places:
    """Where each face's pixels go.

    Parameters
    ----------
    matrices : ndarray of shape (n, 2, 3)
        Affine map from old to new pixel positions (x, y).
    flipped : ndarray of shape (n,), dtype bool
        Whether the map mirrors.
    """

    matrices: NDArray[np.float64]
    flipped: NDArray[np.bool_]


def draw_places(
    rng: np.random.Generator, shape: tuple[int, ...], rotation: float, scale: float, shift: float, flip: bool
) -> Places:
    """Random maps about the middle of the crop, for ``shape`` (n, height, width)."""
    n, height, width = shape
    angle = np.deg2rad(rng.uniform(-rotation, rotation, n))
    size = rng.uniform(1 - scale, 1 + scale, n)
    offset = rng.uniform(-shift, shift, (n, 2)) * (width, height)
    flipped = rng.random(n) < (0.5 if flip else 0.0)
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    sign = np.where(flipped, -1.0, 1.0)
    linear = np.stack([np.stack([cos * sign, -sin], 1), np.stack([sin * sign, cos], 1)], 1)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return Places(np.concatenate([linear, (middle + offset - linear @ middle)[..., None]], axis=2), flipped)


def warp(crops: NDArray[np.uint8], places: Places) -> NDArray[np.uint8]:
    """Moved faces; what comes in from outside is mirrored at the border."""
    height, width = crops.shape[1:]
    out = np.empty(crops.shape, np.uint8)
    for i, (crop, matrix) in enumerate(zip(crops, places.matrices, strict=True)):
        out[i] = cv2.warpAffine(
            crop, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
    return out


def move_points(points: NDArray[np.float32], places: Places) -> NDArray[np.float32]:
    """Landmarks moved with their faces; in a mirrored face, left and right landmarks change places.

    Parameters
    ----------
    points : ndarray of shape (n, n_points, 2)
        Landmarks (x, y) in pixels; dlib's 5 or 68, or none.

    Raises
    ------
    InputError
        If faces are mirrored and it is not known which landmarks are left and right.
    """
    moved = np.einsum("nij,npj->npi", places.matrices[:, :, :2], points) + places.matrices[:, None, :, 2]
    if points.shape[1] and places.flipped.any():
        moved[places.flipped] = moved[places.flipped][:, mirror_order(points.shape[1])]
    return moved.astype(np.float32)


def mirror_order(n_points: int) -> list[int]:
    """Which landmark of a mirrored face stands at each position, for dlib's 5 and 68 points."""
    if n_points == 5:
        return [2, 3, 0, 1, 4]
    if n_points == 68:
        jaw, brows, nose = list(range(16, -1, -1)), list(range(26, 16, -1)), [27, 28, 29, 30, 35, 34, 33, 32, 31]
        eyes = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
        outer = [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55]
        inner = [64, 63, 62, 61, 60, 67, 66, 65]
        return [*jaw, *brows, *nose, *eyes, *outer, *inner]
    raise InputError(f"Got {n_points} landmarks a face, expected 5 or 68 to mirror them (or flip=False).")
