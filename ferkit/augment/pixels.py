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
    height, width = crops.shape[1:]
    for i in rows:
        small = cv2.resize(crops[i], (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
        out[i] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return out


def lit(
    crops: Stack, rng: np.random.Generator, gamma: float, shadow: float, contrast: float, light: float
) -> NDArray[np.float32]:
    """Gamma, light from one side, contrast and brightness; levels of 0 to 1, and beyond."""
    n, height, width = crops.shape
    tables = _floats((np.arange(256) / 255) ** np.exp(rng.uniform(-gamma, gamma, (n, 1))))
    levels = np.empty(crops.shape, np.float32)
    for table, crop, row in zip(tables, crops, levels, strict=True):
        np.take(table, crop, out=row, mode="clip")  # "clip" writes straight into out
    towards = rng.uniform(0, 2 * np.pi, n)
    depth = rng.uniform(0, shadow, n) * (rng.random(n) < SHADOWED_SHARE)
    across = depth * np.cos(towards) * np.linspace(-1, 1, width)[:, None]
    down = depth * np.sin(towards) * np.linspace(-1, 1, height)[:, None]
    levels *= 1 + _floats(across.T)[:, None, :] + _floats(down.T)[:, :, None]
    levels *= _floats(rng.uniform(1 - contrast, 1 + contrast, (n, 1, 1)))
    levels += _floats(rng.uniform(-light, light, (n, 1, 1)))
    return levels


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
        _, data = cv2.imencode(".jpg", crops[i], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
        out[i] = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
    return out


def erased(crops: Stack, rows: NDArray[np.intp], rng: np.random.Generator) -> Stack:
    """A rectangle of mean grey, somewhere, also over the border."""
    out = crops.copy()
    shape = np.array(crops.shape[1:])
    sides = np.rint(rng.uniform(1 / 8, 2 / 5, (len(rows), 2)) * shape).astype(int).clip(1)
    middles = rng.integers(0, shape, (len(rows), 2))
    for i, (top, left), (height, width) in zip(rows, middles - sides // 2, sides, strict=True):
        out[i, max(top, 0) : top + height, max(left, 0) : left + width] = round(float(crops[i].mean()))
    return out
