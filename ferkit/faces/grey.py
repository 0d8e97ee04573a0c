"""Grey levels from what a user hands in as a picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.pixels import grey_or_rgb


def grey(image: Any, what: str = "picture") -> NDArray[np.uint8]:
    """One picture as grey levels.

    Parameters
    ----------
    image : array-like of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)
        Grey, RGB or RGBA; numbers as ``ferkit.pixels.eight_bit`` takes them.
    what : str, default="picture"
        What an error calls it.

    Returns
    -------
    ndarray of shape (h, w), dtype uint8

    Raises
    ------
    PictureError
        The shape or the values are wrong.

    Examples
    --------
    >>> grey(np.full((2, 2, 3), 200)).tolist()
    [[200, 200], [200, 200]]
    """
    array = grey_or_rgb(image, what)
    if array.ndim == 2:
        return array
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_RGB2GRAY), np.uint8)
