"""Grey levels from what a user hands in as a picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError


def levels(array: Any, what: str = "picture") -> NDArray[np.uint8]:
    """Numbers from 0 to 255 as 8-bit levels; 8-bit input is passed on as it is.

    Parameters
    ----------
    array : array-like
        uint8, other numbers from 0 to 255, or bool (black and white).
    what : str, default="picture"
        What an error calls it.

    Raises
    ------
    InputError
        Values that are no numbers, not finite or outside 0 to 255, or that seem to run from 0 to 1.
    """
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise InputError(f"Got {what} with rows of different lengths, expected an array of numbers.") from error
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise InputError(f"Got {what} with dtype={array.dtype}, expected uint8 (or numbers from 0 to 255).")
    if array.size and not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 255):
        raise InputError(f"Got {what} with NaN or values outside 0 to 255, expected grey levels from 0 to 255.")
    if array.dtype.kind == "f" and array.size and 0 < array.max() <= 1:
        raise InputError(f"Got {what} with values from 0 to 1, expected grey levels from 0 to 255. Multiply by 255.")
    return np.rint(array).astype(np.uint8)


def grey(image: Any, what: str = "picture") -> NDArray[np.uint8]:
    """One picture as grey levels.

    Parameters
    ----------
    image : array-like of shape (h, w), (h, w, 1) or (h, w, 3)
        Grey or RGB, 0 to 255.
    what : str, default="picture"
        What an error calls it.

    Returns
    -------
    ndarray of shape (h, w), dtype uint8

    Raises
    ------
    InputError
        The shape or the values are wrong.

    Examples
    --------
    >>> grey(np.full((2, 2, 3), 200)).tolist()
    [[200, 200], [200, 200]]
    """
    array = levels(image, what)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] != 3):
        raise InputError(f"Got {what} with shape {array.shape}, expected (h, w) grey or (h, w, 3) RGB, not empty.")
    if array.ndim == 2:
        return array
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_RGB2GRAY), np.uint8)
