"""Changes of grey levels. Each takes a stack (n, height, width) and gives a new one."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Stack = NDArray[np.uint8]

NOISY_SHARE = 0.4
SHADOWED_SHARE = 0.5


def chosen(rng: np.random.Generator, n: int, share: float) -> NDArray[np.intp]:
    """Rows that a change falls on."""
    return np.flatnonzero(rng.random(n) < share)


def as_bytes(levels: NDArray[np.float32]) -> Stack:
    """Levels of 0 to 1 as whole numbers of 0 to 255."""
    return (levels * np.float32(255) + np.float32(0.5)).clip(0, 255).astype(np.uint8)


def blurred(crops: Stack, rows: NDArray[np.intp]) -> Stack:
    """Mean over 3x3 pixels of a 48-pixel face, and in proportion for larger ones."""
    out = crops.copy()
    side = 2 * max(round(crops.shape[1] / 48), 1) + 1
    for i in rows:
        out[i] = cv2.blur(crops[i], (side, side), borderType=cv2.BORDER_REFLECT_101)
    return out


def shrunk(crops: Stack, rows: NDArray[np.intp]) -> Stack:
    """Half the size and back: a face from far away."""
    out = crops.copy()
    for i in rows:
        out[i] = enlarged(crops[i], 0.5)
    return out


def enlarged(crop: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """One face reduced to this share of its size and enlarged again."""
    height, width = crop.shape
    size = (max(int(width * share), 1), max(int(height * share), 1))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def lit(
    crops: Stack, rng: np.random.Generator, gamma: float, shadow: float, contrast: float, light: float
) -> NDArray[np.float32]:
    """Gamma, light from one side, contrast and brightness; levels of 0 to 1, and beyond."""
    n = len(crops)
    tables = _floats((np.arange(256) / 255) ** np.exp(rng.uniform(-gamma, gamma, (n, 1))))
    levels = np.empty(crops.shape, np.float32)
    for table, crop, row in zip(tables, crops, levels, strict=True):
        np.take(table, crop, out=row, mode="clip")  # "clip" writes straight into out
    towards = rng.uniform(0, 2 * np.pi, n)
    depth = rng.uniform(0, shadow, n) * (rng.random(n) < SHADOWED_SHARE)
    levels *= ramps(crops.shape, towards, depth)
    levels *= _floats(rng.uniform(1 - contrast, 1 + contrast, (n, 1, 1)))
    levels += _floats(rng.uniform(-light, light, (n, 1, 1)))
    return levels


def ramps(shape: tuple[int, ...], towards: NDArray[np.float64], depth: NDArray[np.float64]) -> NDArray[np.float32]:
    """Factors of light from one side: 1 plus ``depth`` at the border that it comes from, 1 minus it at the other.

    ``towards`` is the direction of that border in radians, 0 to the right and a quarter turn down.
    """
    _, height, width = shape
    across = depth * np.cos(towards) * np.linspace(-1, 1, width)[:, None]
    down = depth * np.sin(towards) * np.linspace(-1, 1, height)[:, None]
    return np.asarray(1 + _floats(across.T)[:, None, :] + _floats(down.T)[:, :, None])


def _floats(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    return numbers.astype(np.float32)


def noisy(levels: NDArray[np.float32], rng: np.random.Generator, noise: float) -> NDArray[np.float32]:
    """Gaussian noise on some of the faces."""
    rows = chosen(rng, len(levels), NOISY_SHARE if noise else 0.0)
    out = levels.copy()
    deviation = rng.uniform(0, noise, (len(rows), 1, 1)).astype(np.float32)
    out[rows] += deviation * rng.standard_normal(out[rows].shape, dtype=np.float32)
    return out


def compressed(crops: Stack, rows: NDArray[np.intp], rng: np.random.Generator) -> Stack:
    """Blocks and ringing of a JPEG file of quality 20 to 70."""
    out = crops.copy()
    for i, quality in zip(rows, rng.integers(20, 71, len(rows)), strict=True):
        out[i] = stored(crops[i], int(quality))
    return out


def stored(crop: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """One face after a JPEG file of this quality."""
    _, data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def erased(crops: Stack, rows: NDArray[np.intp], rng: np.random.Generator) -> Stack:
    """A rectangle of mean grey, somewhere, also over the border."""
    out = crops.copy()
    shape = np.array(crops.shape[1:])
    sides = np.rint(rng.uniform(1 / 8, 2 / 5, (len(rows), 2)) * shape).astype(int).clip(1)
    middles = rng.integers(0, shape, (len(rows), 2))
    for i, (top, left), (height, width) in zip(rows, middles - sides // 2, sides, strict=True):
        out[i, max(top, 0) : top + height, max(left, 0) : left + width] = round(float(crops[i].mean()))
    return out
