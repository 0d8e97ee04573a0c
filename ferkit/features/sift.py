"""Dense SIFT: the descriptors of a whole grid as two matrix products a face.

A SIFT descriptor weighs each pixel's gradient by a Gaussian around the keypoint and by a triangle around each of its
4 x 4 bins. For upright keypoints both weights are products of a function of the row and one of the column, so that all
descriptors of a grid are ``rows @ maps @ columns`` for the eight maps of oriented gradients. Nothing is approximated.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

BINS = 4
ORIENTATIONS = 8
LENGTH = BINS * BINS * ORIENTATIONS
_TURNED = (ORIENTATIONS // 2 - np.arange(ORIENTATIONS)) % ORIENTATIONS
MIRROR = np.arange(LENGTH).reshape(BINS, BINS, ORIENTATIONS)[:, ::-1, _TURNED].ravel()
"""Where each number of a mirrored patch's descriptor stands in that of the patch."""
BIN_WIDTH = 1.5  # width of a bin in units of the keypoint's size, as in OpenCV
_CLIP = 0.2
_FLAT = 1e-2  # grey levels; weaker gradients are rounding errors of the blur, which normalisation would blow up


def grid(length: int, step: int) -> tuple[float, ...]:
    """Keypoint positions along one side: ``step`` pixels apart and centred, so that a mirrored face meets the same.

    Examples
    --------
    >>> grid(32, 8)
    (3.5, 11.5, 19.5, 27.5)
    """
    count = max(1, length // step)
    start = (length - 1 - (count - 1) * step) / 2
    return tuple(start + step * i for i in range(count))


@lru_cache(maxsize=64)
def _windows(length: int, centres: tuple[float, ...], size: float) -> NDArray[np.float32]:
    """Weight of each pixel along one side for each keypoint's four bins, shape (keypoints * 4, length)."""
    width = BIN_WIDTH * size
    offset = (np.arange(length) - np.asarray(centres)[:, None]) / width
    bins = np.arange(BINS) - (BINS - 1) / 2
    triangle = np.maximum(0, 1 - np.abs(offset[:, None, :] - bins[:, None]))
    gauss = np.exp(-(offset**2) / (0.5 * BINS**2))
    return (triangle * gauss[:, None, :]).reshape(-1, length).astype(np.float32)


@lru_cache(maxsize=16)
def _enlarge(length: int, upsample: int, blur: float) -> NDArray[np.float32]:
    """Linear interpolation and Gaussian blur of one side as a matrix of shape (length * upsample, length)."""
    matrix = cv2.resize(np.eye(length, dtype=np.float32), (length, length * upsample), interpolation=cv2.INTER_LINEAR)
    kernel = cv2.getGaussianKernel(2 * max(1, round(4 * blur)) + 1, blur, cv2.CV_32F)
    return np.asarray(cv2.sepFilter2D(matrix, cv2.CV_32F, np.ones(1, np.float32), kernel), np.float32)


def gradient_maps(crops: NDArray[np.uint8], upsample: int, blur: float) -> NDArray[np.float32]:
    """Gradient magnitude by orientation.

    Parameters
    ----------
    crops : ndarray of shape (n, height, width), dtype uint8
        Grey faces.
    upsample : int
        Times by which the crop is enlarged.
    blur : float
        Deviation of the Gaussian blur in pixels of the enlarged crop; OpenCV's SIFT blurs by 1.52.

    Returns
    -------
    ndarray of shape (n, 8, height * upsample, width * upsample), dtype float32
        Each gradient is shared between the two nearest of eight orientations; the outermost pixels are 0.
    """
    down, across = (_enlarge(length, upsample, blur) for length in crops.shape[1:])
    large = down @ crops.astype(np.float32) @ across.T
    dx = large[:, 1:-1, 2:] - large[:, 1:-1, :-2]
    dy = large[:, :-2, 1:-1] - large[:, 2:, 1:-1]
    magnitude = np.sqrt(dx * dx + dy * dy)
    magnitude[magnitude < _FLAT] = 0
    angle = np.arctan2(dy, dx)
    angle *= np.float32(ORIENTATIONS / (2 * np.pi))
    lower = np.floor(angle)
    upper_share = magnitude * (angle - lower)
    lower_share = magnitude - upper_share
    orientation = lower.astype(np.int8) & (ORIENTATIONS - 1)
    maps = np.zeros((len(crops), ORIENTATIONS, *large.shape[1:]), np.float32)
    for o in range(ORIENTATIONS):
        inner = maps[:, o, 1:-1, 1:-1]
        np.multiply(lower_share, orientation == o, out=inner)
        inner += upper_share * (orientation == (o - 1) % ORIENTATIONS)
    return maps


def dense_sift(
    maps: NDArray[np.float32], rows: tuple[float, ...], columns: tuple[float, ...], size: float
) -> NDArray[np.float32]:
    """SIFT descriptors of upright keypoints of one size on a grid.

    Parameters
    ----------
    maps : ndarray of shape (n, 8, height, width), dtype float32
        From ``gradient_maps``.
    rows, columns : tuple of float
        Keypoint positions in pixels of the maps.
    size : float
        Keypoint size in pixels; a descriptor spans six times as much.

    Returns
    -------
    ndarray of shape (n, len(rows) * len(columns), 128), dtype float32
        Unit length after clipping at 0.2, or 0 where the patch has no gradient; values in OpenCV's order.

    References
    ----------
    Lowe (2004), "Distinctive image features from scale-invariant keypoints", IJCV.
    """
    n, _, height, width = maps.shape
    bins = _windows(height, rows, size) @ maps @ _windows(width, columns, size).T
    bins = bins.reshape(n, ORIENTATIONS, len(rows), BINS, len(columns), BINS).transpose(0, 2, 4, 3, 5, 1)
    descriptors = _unit(bins.reshape(n, len(rows) * len(columns), LENGTH))
    return _unit(np.minimum(descriptors, _CLIP, out=descriptors))


def root_sift(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Square roots of descriptors scaled to sum 1, whose Euclidean distance is SIFT's Hellinger distance.

    References
    ----------
    Arandjelovic and Zisserman (2012), "Three things everyone should know to improve object retrieval", CVPR.
    """
    total = descriptors @ np.ones((descriptors.shape[-1], 1), np.float32)
    rooted = descriptors / np.where(total > 0, total, 1)
    return np.asarray(np.sqrt(rooted, out=rooted), np.float32)


def _unit(descriptors: NDArray[Any]) -> NDArray[np.float32]:
    length = np.sqrt(np.einsum("...i,...i", descriptors, descriptors))[..., None]
    return np.asarray(descriptors / np.where(length > 0, length, 1), np.float32)
