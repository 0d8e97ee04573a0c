"""Readings drawn onto pictures: box, label, one bar a probability."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.labels import colour, ordered
from ferkit.lettering import put_text, text_width
from ferkit.records import Reading

WHITE, DARK = (255, 255, 255), (24, 24, 24)


def draw_readings(image: NDArray[np.uint8], readings: Sequence[Reading]) -> NDArray[np.uint8]:
    """Copy of a picture with each face's box, label and probability bars.

    Sizes follow the picture's, so that the text is readable at 480 lines and at 2,160.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3) or (height, width), dtype uint8
        RGB or grey picture.
    readings : sequence of Reading
        What was read from it.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise InputError(f"Got image with shape {image.shape}, dtype={image.dtype}, expected (h, w[, 3]) of uint8.")
    canvas = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()
    unit = max(1.0, min(canvas.shape[:2]) / 480)
    for reading in readings:
        _draw_box(canvas, reading, unit)
        _draw_bars(canvas, reading, unit)
    return canvas


def _rgb(name: str, index: int = 0) -> tuple[int, int, int]:
    code = colour(name, index)
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def _draw_box(canvas: NDArray[np.uint8], reading: Reading, unit: float) -> None:
    x1, y1, x2, y2 = (round(v) for v in reading.box_xyxy)
    ink = _rgb(reading.label)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), ink, max(2, round(2 * unit)), cv2.LINE_AA)
    text = f"{reading.label} {reading.confidence:.0%}"
    width = text_width(text, unit)
    height = 18 * unit
    left = min(max(0, x1), max(0, canvas.shape[1] - width - 8 * unit))
    top = y1 - height if y1 >= height else min(y2, canvas.shape[0] - height)
    corner = round(left + width + 8 * unit), round(top + height)
    cv2.rectangle(canvas, (round(left), round(top)), corner, DARK, -1)
    put_text(canvas, text, left + 4 * unit, top + height - 5 * unit, unit)


def _draw_bars(canvas: NDArray[np.uint8], reading: Reading, unit: float) -> None:
    names = ordered(reading.probabilities)
    row, width = 15 * unit, 130 * unit
    x1, y1, x2, _ = reading.box_xyxy
    if canvas.shape[1] - x2 >= width + 6 * unit:
        left = x2 + 6 * unit
    elif x1 >= width + 6 * unit:
        left = x1 - width - 6 * unit
    else:
        return  # no room beside the face, and covering it would hide what was read
    top = min(max(0.0, y1), max(0.0, canvas.shape[0] - row * len(names) - 4 * unit))
    right, bottom = min(canvas.shape[1], round(left + width)), min(canvas.shape[0], round(top + row * len(names) + 4))
    panel = canvas[round(top) : bottom, round(left) : right]
    panel[:] = panel // 4
    for i, name in enumerate(names):
        y = top + row * i + 2 * unit
        share = float(reading.probabilities[name])
        start, end = left + 74 * unit, left + (74 + 52 * share) * unit
        cv2.rectangle(
            canvas, (round(start), round(y + 3 * unit)), (round(end), round(y + row - 2 * unit)), _rgb(name, i), -1
        )
        put_text(canvas, name, left + 3 * unit, y + row - 4 * unit, 0.8 * unit)
