"""The one rule by which numbers that a user hands in as a picture become 8-bit levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import PictureError


def eight_bit(array: Any, what: str = "picture") -> NDArray[np.uint8]:
    """Numbers of a picture, or of a stack of them, as 8-bit levels; 8-bit input is passed on as it is.

    Parameters
    ----------
    array : array-like
        uint8; bool (black and white); floats, which are taken as 0 to 1 where none is above 1 and as 0 to 255
        otherwise; uint16, which is taken as 0 to 255 where none is above 255 and as 0 to 65535 otherwise; other
        integers from 0 to 255.
    what : str, default="picture"
        What an error calls it.

    Raises
    ------
    PictureError
        Values that are no numbers, not finite or out of range, or rows of different lengths.

    Examples
    --------
    >>> eight_bit([0.0, 0.5, 1.0]).tolist(), eight_bit(np.array([0, 65535], np.uint16)).tolist()
    ([0, 128, 255], [0, 255])
    """
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise PictureError(f"Got {what} with rows of different lengths, expected an array of numbers.") from error
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise PictureError(f"Got {what} with dtype={array.dtype}, expected numbers, best uint8.")
    if array.size == 0:
        return array.astype(np.uint8)
    return np.rint(array * _scale(array, what)).astype(np.uint8)


def _scale(array: NDArray[Any], what: str) -> float:
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(array).all():
        raise PictureError(f"Got {what} with NaN or infinite values, expected numbers. Replace them first.")
    if array.dtype == np.uint16:
        return 1 / 257 if high > 255 else 1.0
    if low < 0 or high > 255:
        raise PictureError(f"Got {what} with values from {low:g} to {high:g}, expected 0 to 1 or 0 to 255.")
    return 255.0 if array.dtype.kind == "f" and high <= 1 else 1.0


def grey_or_rgb(array: Any, what: str = "picture") -> NDArray[np.uint8]:
    """One picture as 8-bit grey or RGB.

    Parameters
    ----------
    array : array-like of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)
        Grey, RGB or RGBA; numbers as ``eight_bit`` takes them.
    what : str, default="picture"
        What an error calls it.

    Returns
    -------
    ndarray of shape (h, w) or (h, w, 3), dtype uint8
        Transparent parts show white.

    Raises
    ------
    PictureError
        The shape or the values are wrong.

    Examples
    --------
    >>> grey_or_rgb(np.zeros((1, 1, 4))).tolist()
    [[[255, 255, 255]]]
    """
    levels = eight_bit(array, what)
    if levels.ndim == 3 and levels.shape[2] == 1:
        levels = levels[:, :, 0]
    if levels.ndim not in (2, 3) or levels.size == 0 or (levels.ndim == 3 and levels.shape[2] not in (3, 4)):
        raise PictureError(
            f"Got {what} with shape {levels.shape}, expected (h, w) grey, (h, w, 3) RGB or (h, w, 4) RGBA, not empty."
        )
    return _over_white(levels) if levels.ndim == 3 and levels.shape[2] == 4 else levels


def _over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[:, :, 3:] / np.float32(255)
    return np.rint(rgba[:, :, :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
