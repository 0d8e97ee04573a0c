"""Light normalisation of grey crops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.records import Faces, seen_hashes

CLIP_LIMIT = 2.0
"""How far CLAHE may raise a histogram bin above the mean, in means."""

TILES = 4
"""Tiles a side of a crop in which CLAHE evens the histogram; on 48 pixels each then holds 144."""


def _none(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return crops


def _equalised(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _each(crops, cv2.equalizeHist)


def _clahe(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _each(crops, cv2.createCLAHE(clipLimit=CLIP_LIMIT, tileGridSize=(TILES, TILES)).apply)


LIGHTS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "none": _none,
    "equalise": _equalised,
    "clahe": _clahe,
}
"""Light normalisations by name."""


def normalise(crops: Any, light: str = "none") -> NDArray[np.uint8]:
    """Crops under normalised light.

    Parameters
    ----------
    crops : ndarray of shape (n, h, w), dtype uint8
        Grey faces; they are not changed.
    light : {"none", "equalise", "clahe"}, default="none"
        ``"equalise"`` evens the histogram of each whole crop, ``"clahe"`` of its parts with limited contrast
        (Zuiderveld, Contrast limited adaptive histogram equalization, 1994).

    Returns
    -------
    ndarray of shape (n, h, w), dtype uint8
        The input itself where there is nothing to do.

    Raises
    ------
    InputError
        The name is unknown.

    Examples
    --------
    >>> normalise(np.array([[[10, 20], [30, 40]]], np.uint8), "equalise").tolist()
    [[[0, 85], [170, 255]]]
    """
    if light not in LIGHTS:
        raise InputError(f"Got light={light!r}, expected one of {list(LIGHTS)}.")
    return LIGHTS[light](crops)


def relit(faces: Faces, light: str) -> Faces:
    """Faces under normalised light, which ``seen_hashes`` still knows as they were before."""
    if light == "none":
        return faces
    crops, hashes = normalise(faces.crops, light), seen_hashes(faces)
    return Faces(crops, faces.points, faces.boxes_xyxy, faces.found, faces.index, hashes)


def _each(crops: NDArray[np.uint8], change: Callable[[Any], Any]) -> NDArray[np.uint8]:
    out = np.empty_like(crops)
    for i, crop in enumerate(crops):
        out[i] = change(np.ascontiguousarray(crop))
    return out
