"""Covering parts of a face: what changes when the model cannot see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.records import Faces

if TYPE_CHECKING:
    from ferkit.explain.explainer import Explainer

FILLS = ("blur", "mean")


def cover(crops: NDArray[np.uint8], masks: Any, fill: str = "blur") -> NDArray[np.uint8]:
    """Faces with parts covered.

    Parameters
    ----------
    crops : ndarray of shape (n, height, width), dtype uint8
        Grey faces.
    masks : array-like of shape (n, height, width)
        True (or 1) where a face is covered.
    fill : {"blur", "mean"}, default="blur"
        Put the face itself there, blurred until nothing can be read, or its mean grey. A flat patch has edges of its
        own, which HOG and the like take for features; a blurred one has hardly any.

    Returns
    -------
    ndarray of shape (n, height, width), dtype uint8

    Examples
    --------
    >>> face = np.arange(48 * 48, dtype=np.uint8).reshape(1, 48, 48)
    >>> bool((cover(face, np.zeros_like(face)) == face).all())
    True
    """
    if fill not in FILLS:
        raise InputError(f"Got fill={fill!r}, expected one of {list(FILLS)}.")
    covered = np.asarray(masks, dtype=np.float32)
    if covered.shape != crops.shape:
        raise InputError(f"Got masks of shape {covered.shape}, expected {crops.shape}, one for each face.")
    behind = [_behind(crop, fill) for crop in crops]
    mixed = [c * (1 - mask) + b * mask for c, b, mask in zip(crops, behind, covered, strict=True)]
    return np.rint(np.reshape(mixed, crops.shape)).astype(np.uint8)


def _behind(crop: NDArray[np.uint8], fill: str) -> NDArray[np.float32]:
    if fill == "mean":
        return np.full(crop.shape, crop.mean(), np.float32)
    blurred = cv2.GaussianBlur(crop.astype(np.float32), (0, 0), min(crop.shape) / 6, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def occlusion_map(
    explainer: Explainer,
    faces: Faces,
    directions: Any,
    *,
    window: int | None = None,
    step: int | None = None,
    fill: str = "blur",
    family: str | None = None,
) -> NDArray[np.float64]:
    """What is lost when a window is covered, for every place of the window (Zeiler and Fergus 2014); any model.

    Landmarks stay where they were found: covering does not move them.

    Parameters
    ----------
    explainer : Explainer
    faces : Faces
        ``n`` faces.
    directions : array-like of shape (n, n_labels)
        What is asked, as ``Explainer.direction`` gives it.
    window : int or None, default=None
        Side of the window in pixels; None for a quarter of the face.
    step : int or None, default=None
        Pixels from one place to the next; None for half of the window.
    fill : {"blur", "mean"}, default="blur"
        See ``cover``.
    family : str or None, default=None
        Let only this family see the cover.

    Returns
    -------
    ndarray of shape (n, height, width), dtype float64
        Log-odds lost along the direction, each pixel a mean over the windows that cover it, in which those around it
        count most. Positive where the face speaks for what is asked.

    References
    ----------
    Zeiler and Fergus (2014). Visualizing and understanding convolutional networks. ECCV.
    """
    masks = _windows(faces.shape[1:], window, step)
    weights = _shares(masks)
    asked = np.asarray(directions, dtype=np.float64)
    whole = explainer.scores(faces, asked)
    found = np.zeros(faces.shape)
    for i in range(len(faces)):
        covered = cover(np.repeat(faces.crops[[i]], len(masks), axis=0), masks, fill)
        lost = whole[i] - explainer.scores(faces[[i]], asked[i], covered, family)
        found[i] = np.tensordot(lost, weights, axes=1)
    return found


def _shares(masks: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much each window says about each pixel, in sum 1 over the windows: most where its middle is near."""
    near = np.stack([cv2.GaussianBlur(mask, (0, 0), np.sqrt(mask.sum()) / 3) for mask in masks]) ** 4
    return np.asarray(near / near.sum(axis=0))


def _windows(shape: tuple[int, ...], window: int | None, step: int | None) -> NDArray[np.float64]:
    """Mask of each place of the window, the last ones at the border."""
    side = min(shape) // 4 if window is None else window
    each = max(1, side // 2) if step is None else step
    for name, value in (("window", side), ("step", each)):
        if not isinstance(value, (int, np.integer)) or not 1 <= value <= min(shape):
            raise InputError(f"Got {name}={value!r}, expected a whole number from 1 to {min(shape)}.")
    starts = [sorted({*range(0, extent - side, each), extent - side}) for extent in shape]
    masks = np.zeros((len(starts[0]) * len(starts[1]), *shape))
    for mask, (top, left) in zip(masks, ((y, x) for y in starts[0] for x in starts[1]), strict=True):
        mask[top : top + side, left : left + side] = 1
    return masks
