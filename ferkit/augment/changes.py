"""One change of one known strength at a time: what a stress test and ``Augment`` are made of.

Each takes a grey stack (n, height, width) and gives a new one. Lengths are shares of the width, so that crops of any
size change alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.augment.pixels import Stack, as_bytes, enlarged, ramps, stored
from ferkit.augment.place import Places

Levels = NDArray[np.float32]


def scaled(crops: Stack, factor: float, light: float = 0.0) -> Stack:
    """Grey levels times ``factor``, plus ``light`` as a share of 255."""
    return as_bytes(_levels(crops) * np.float32(factor) + np.float32(light))


def flattened(crops: Stack, factor: float) -> Stack:
    """Differences from the face's own mean times ``factor``: less contrast below 1."""
    levels = _levels(crops)
    means = levels.mean(axis=(1, 2), keepdims=True)
    return as_bytes(means + (levels - means) * np.float32(factor))


def shaded(crops: Stack, depth: float, rng: np.random.Generator) -> Stack:
    """Light from the left or the right: that border brighter and the other darker by ``depth``, 0 to 1."""
    towards = np.where(rng.random(len(crops)) < 0.5, 0.0, np.pi)
    return as_bytes(_levels(crops) * ramps(crops.shape, towards, np.full(len(crops), depth)))


def gamma(crops: Stack, exponent: float, rng: np.random.Generator) -> Stack:
    """Grey levels of 0 to 1 to the power of ``exponent`` on half of the faces, of its inverse on the others."""
    powers = np.where(rng.random((len(crops), 1, 1)) < 0.5, exponent, 1 / exponent)
    return as_bytes(_levels(crops) ** powers.astype(np.float32))


def grained(crops: Stack, deviation: float, rng: np.random.Generator) -> Stack:
    """Gaussian noise; its deviation is a share of 255."""
    return as_bytes(_levels(crops) + np.float32(deviation) * rng.standard_normal(crops.shape, dtype=np.float32))


def smoothed(crops: Stack, sigma: float) -> Stack:
    """Gaussian blur; its deviation is a share of the width."""
    pixels = sigma * crops.shape[2]
    return _each(crops, lambda crop: cv2.GaussianBlur(crop, (0, 0), pixels, borderType=cv2.BORDER_REFLECT_101))


def dragged(crops: Stack, length: float, rng: np.random.Generator) -> Stack:
    """Motion blur along a line of this length, a share of the width, in any direction."""
    angles = iter(rng.uniform(0, np.pi, len(crops)))
    pixels = length * crops.shape[2]
    return _each(
        crops, lambda crop: cv2.filter2D(crop, -1, _line(pixels, next(angles)), borderType=cv2.BORDER_REFLECT_101)
    )


def compressed(crops: Stack, quality: int) -> Stack:
    """Blocks and ringing of a JPEG file of this quality, 1 to 100."""
    return _each(crops, lambda crop: stored(crop, quality))


def coarse(crops: Stack, share: float) -> Stack:
    """Reduced to this share of the size and enlarged again: a face from far away."""
    return _each(crops, lambda crop: enlarged(crop, share))


def covered(crops: Stack, box_xyxy: Sequence[float]) -> Stack:
    """A rectangle of the face's mean grey; the box is given in shares of width and height."""
    out = crops.copy()
    height, width = crops.shape[1:]
    x1, y1, x2, y2 = np.rint(np.asarray(box_xyxy) * (width, height, width, height)).astype(int).clip(0)
    out[:, y1:y2, x1:x2] = np.rint(crops.mean(axis=(1, 2))).astype(np.uint8)[:, None, None]
    return out


def tilts(shape: tuple[int, ...], degrees: float, rng: np.random.Generator) -> Places:
    """Turns by so many degrees about the middle, either way, for ``place.warp``."""
    angle = np.deg2rad(degrees) * rng.choice([-1.0, 1.0], shape[0])
    linear = np.stack([np.stack([np.cos(angle), -np.sin(angle)], 1), np.stack([np.sin(angle), np.cos(angle)], 1)], 1)
    return _about_the_middle(linear, np.zeros((shape[0], 2)), shape)


def shifts(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> Places:
    """Moves by this share of the width in any direction, for ``place.warp``."""
    towards = rng.uniform(0, 2 * np.pi, shape[0])
    offset = share * shape[2] * np.stack([np.cos(towards), np.sin(towards)], 1)
    return _about_the_middle(np.tile(np.eye(2), (shape[0], 1, 1)), offset, shape)


def _about_the_middle(linear: NDArray[np.float64], offset: NDArray[np.float64], shape: tuple[int, ...]) -> Places:
    middle = (np.array([shape[2], shape[1]]) - 1) / 2
    matrices = np.concatenate([linear, (middle + offset - linear @ middle)[..., None]], axis=2)
    return Places(matrices, np.zeros(shape[0], bool))


def _levels(crops: Stack) -> Levels:
    return crops.astype(np.float32) / np.float32(255)


def _each(crops: Stack, change: Callable[[NDArray[np.uint8]], Any]) -> Stack:
    out = np.empty_like(crops)
    for i, crop in enumerate(crops):
        out[i] = change(crop)
    return out


def _line(length: float, angle: float) -> NDArray[np.float32]:
    """Kernel of a line through its middle, one pixel wide, softened at its edges; adds up to 1."""
    half = max(int(np.ceil(length / 2)), 1)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.clip(1 - np.abs(across), 0, 1) * np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    return (kernel / kernel.sum()).astype(np.float32)
