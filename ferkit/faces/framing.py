"""The canonical framing, and the one function that crops a face to it.

A model learns from crops in which eyes, nose and mouth stand at certain places. Faces that a detector finds are brought
to the same places here, by landmarks or, without them, by the detector's box.

Two kinds of coordinates occur. In a picture, (x, y) runs from 0 to its width and height: pixel i covers i to i + 1. In
the framing, (x, y) runs from 0 to 1 across the crop.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.faces.landmarks import anchors

EYES = ((0.317, 0.398), (0.683, 0.398))
"""Middle of the eye at the left and at the right of the crop."""

NOSE = (0.5, 0.669)
"""Base of the nose."""

MOUTH = ((0.341, 0.777), (0.659, 0.777))
"""Corners of the mouth. All of these are medians over faces of FER2013, measured by ``benchmarks/framing.py``."""

BOX_MAPS = {"haar": (0.0, 0.004, 0.975), "dlib": (0.0, -0.072, 1.11)}
"""Where the framing lies about a detector's box: shift of its centre (x, y) and its side, in sides of the box.

Medians over photos, measured by ``benchmarks/faces.py --boxes``. dlib's windows step by a tenth of the face, so that
without landmarks Haar's boxes frame a face more exactly.
"""

_MOST_OVERSAMPLED = 8


def similarity(source: Any, target: Any) -> NDArray[np.float64]:
    """Least-squares similarity transform (turn, scale, shift) between paired points.

    Parameters
    ----------
    source, target : array-like of shape (n, 2)
        At least two different points.

    Returns
    -------
    ndarray of shape (2, 3), dtype float64
        ``matrix @ (x, y, 1)`` brings ``source`` nearest to ``target``.

    Raises
    ------
    InputError
        All source points are the same, or the shapes differ.

    References
    ----------
    Umeyama, Least-squares estimation of transformation parameters between two point patterns, 1991.

    Examples
    --------
    >>> similarity([(0, 0), (1, 0)], [(2, 1), (2, 3)]).tolist()
    [[0.0, -2.0, 2.0], [2.0, 0.0, 1.0]]
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise InputError(f"Got points with shapes {source.shape} and {target.shape}, expected (n, 2) twice.")
    # In the plane a turn with scale is one complex factor, which gives Umeyama's solution in closed form.
    start, end = source @ (1, 1j), target @ (1, 1j)
    middle_start, middle_end = start.mean(), end.mean()
    spread = np.sum(np.abs(start - middle_start) ** 2)
    if not np.isfinite(spread) or spread == 0:
        raise InputError("Got points that are all the same or not finite, expected at least two different ones.")
    factor = np.sum((end - middle_end) * np.conj(start - middle_start)) / spread
    return matrix_of(factor, middle_end - factor * middle_start)


def matrix_of(factor: complex, shift: complex) -> NDArray[np.float64]:
    """Transform that brings each point ``p = x + iy`` to ``factor * p + shift``, shape (2, 3)."""
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def from_points(points: Any) -> NDArray[np.float64]:
    """Transform from picture to framing that brings eyes and nose of a face to their places.

    Parameters
    ----------
    points : array-like of shape (5, 2) or (68, 2)
        Landmarks as dlib gives them: pixel centres at whole numbers.

    Returns
    -------
    ndarray of shape (2, 3), dtype float64
    """
    return similarity(anchors(points) + 0.5, [*EYES, NOSE])


def from_box(box_xyxy: Any, detector: str | None = None) -> NDArray[np.float64]:
    """Transform from picture to framing by a detector's box alone.

    Parameters
    ----------
    box_xyxy : array-like of 4 floats
        Box in the picture.
    detector : {"haar", "dlib"} or None, default=None
        What gave the box, because each frames a face in its own way; None takes the box as the framing.

    Returns
    -------
    ndarray of shape (2, 3), dtype float64
        Without a turn. The longer side of the box counts.

    Raises
    ------
    InputError
        The box is empty or not finite, or the detector is unknown.
    """
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    if not (math.isfinite(x1 + y1 + x2 + y2) and x2 > x1 and y2 > y1):
        raise InputError(f"Got box_xyxy={(x1, y1, x2, y2)}, expected finite x1 < x2 and y1 < y2.")
    if detector is not None and detector not in BOX_MAPS:
        raise InputError(f"Got detector={detector!r}, expected one of {list(BOX_MAPS)} or None.")
    right, down, scale = BOX_MAPS[detector] if detector else (0.0, 0.0, 1.0)
    side = max(x2 - x1, y2 - y1)
    left = (x1 + x2) / 2 + right * side - scale * side / 2
    top = (y1 + y2) / 2 + down * side - scale * side / 2
    return np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]]) / (scale * side)


def upright(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same middle and scale of a transform, without its turn."""
    scale = _scale(matrix)
    middle = _corners(matrix).mean(axis=0)
    return np.array([[scale, 0.0, 0.5 - scale * middle[0]], [0.0, scale, 0.5 - scale * middle[1]]])


def framed_box(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Upright box about the part of the picture that a transform brings into the crop.

    Returns
    -------
    ndarray of shape (4,), dtype float32
        x1, y1, x2, y2 in the picture.
    """
    corners = _corners(matrix)
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)]).astype(np.float32)


def crop(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int = 48) -> NDArray[np.uint8]:
    """Crop a face to the canonical framing.

    Shrinking averages over areas, so that fine texture does not turn into false edges; what lies outside the picture
    repeats its border.

    Parameters
    ----------
    image : ndarray of shape (h, w), dtype uint8
        Grey picture.
    matrix : ndarray of shape (2, 3)
        Transform from picture to framing: ``from_points`` or ``from_box``.
    size : int, default=48
        Side of the crop in pixels.

    Returns
    -------
    ndarray of shape (size, size), dtype uint8

    Examples
    --------
    >>> picture = np.full((100, 80), 7, np.uint8)
    >>> crop(picture, from_box((10, 20, 70, 80))).shape
    (48, 48)
    """
    part, matrix = _cut_out(image, matrix)
    times = max(1, math.ceil(1 / (_scale(matrix) * size) - 1e-9))
    if times > _MOST_OVERSAMPLED:
        part, matrix = _shrunk(part, matrix, times // 4)
        times = max(1, math.ceil(1 / (_scale(matrix) * size) - 1e-9))
    side = size * times
    warp = _between_pixel_centres(matrix * side)
    smooth = cv2.INTER_CUBIC if _scale(matrix) * size > 1 else cv2.INTER_LINEAR
    face = cv2.warpAffine(part, warp, (side, side), flags=smooth, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA) if times > 1 else face, np.uint8)


def to_crop(points: Any, matrix: NDArray[np.float64], size: int = 48) -> NDArray[np.float32]:
    """Landmarks of a picture in pixels of the crop, pixel centres at whole numbers in both.

    Parameters
    ----------
    points : array-like of shape (n_points, 2)
    matrix : ndarray of shape (2, 3)
    size : int, default=48

    Returns
    -------
    ndarray of shape (n_points, 2), dtype float32
    """
    points = np.asarray(points, dtype=np.float64)
    return ((points + 0.5) @ matrix[:, :2].T * size + matrix[:, 2] * size - 0.5).astype(np.float32)


def to_picture(points: Any, matrix: NDArray[np.float64], size: int = 48) -> NDArray[np.float64]:
    """Landmarks of a crop in pixels of the picture: the inverse of ``to_crop``."""
    inside = (np.asarray(points, dtype=np.float64) + 0.5) / size
    outside: NDArray[np.float64] = (inside - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T - 0.5
    return outside


def dlib_box() -> NDArray[np.float64]:
    """Box in the framing where dlib's detector would find the face, which dlib's landmarks start from."""
    right, down, scale = BOX_MAPS["dlib"]
    middle, half = 0.5 - np.array([right, down]) / scale, 0.5 / scale
    return np.concatenate([middle - half, middle + half])


def _scale(matrix: NDArray[np.float64]) -> float:
    return math.sqrt(abs(np.linalg.det(matrix[:, :2])))


def _corners(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the crop in the picture."""
    unit = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=np.float64)
    corners: NDArray[np.float64] = (unit - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    return corners


def _between_pixel_centres(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform for OpenCV, which counts from the middle of the first pixel."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return moved


def _cut_out(image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The part of the picture that the crop needs, because OpenCV cannot warp very long pictures."""
    height, width = image.shape
    x1, y1, x2, y2 = framed_box(matrix)
    left, top = (int(np.clip(math.floor(low) - 2, 0, most - 1)) for low, most in ((x1, width), (y1, height)))
    right = int(np.clip(math.ceil(x2) + 2, left + 1, width))
    bottom = int(np.clip(math.ceil(y2) + 2, top + 1, height))
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (left, top)
    return image[top:bottom, left:right], moved


def _shrunk(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], times: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    height, width = image.shape
    small = (max(1, width // times), max(1, height // times))
    moved = matrix.copy()
    moved[:, :2] = matrix[:, :2] * (width / small[0], height / small[1])
    return np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8), moved
