"""Distances, angles and ratios between facial landmarks, named after the facial action units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.features.base import FaceFeatures
from ferkit.records import Faces

N_POINTS = 68

# Points of the 68-point scheme (Sagonas et al. 2013). Left and right are the subject's own.
RIGHT_EYE, LEFT_EYE = tuple(range(36, 42)), tuple(range(42, 48))
RIGHT_BROW, LEFT_BROW = tuple(range(17, 22)), tuple(range(22, 27))
RIGHT_LIDS, LEFT_LIDS = ((37, 38), (40, 41)), ((43, 44), (46, 47))
OUTER_LIP, INNER_LIP = tuple(range(48, 60)), tuple(range(60, 68))
EYES = RIGHT_EYE + LEFT_EYE

_SPOT = 1.5
"""Deviation in pixels of the spot that a landmark's evidence is drawn as."""

Points = int | tuple[int, ...]

# Each measure is a kind and its points; a group of points stands for its centre. "down" and "across" are the parts of
# the way from the first to the second along and across the upright face, "angle" is the angle at the middle one of
# three, "slope" how far the way turns downwards, "area" the area of a polygon, "ratio" one distance over another.
MEASURES: dict[str, tuple[str, tuple[Points, ...]]] = {
    "AU1/inner_brow_raise_right": ("down", (21, 39)),
    "AU1/inner_brow_raise_left": ("down", (22, 42)),
    "AU2/outer_brow_raise_right": ("down", (17, 36)),
    "AU2/outer_brow_raise_left": ("down", (26, 45)),
    "AU2/brow_arch_right": ("angle", (17, 19, 21)),
    "AU2/brow_arch_left": ("angle", (26, 24, 22)),
    "AU4/brow_gap": ("distance", (21, 22)),
    "AU4/brow_height_right": ("down", (RIGHT_BROW, RIGHT_EYE)),
    "AU4/brow_height_left": ("down", (LEFT_BROW, LEFT_EYE)),
    "AU4/brow_slope_right": ("slope", (17, 21)),
    "AU4/brow_slope_left": ("slope", (26, 22)),
    "AU4/brow_to_lid_right": ("distance", ((19, 20, 21), (37, 38))),
    "AU4/brow_to_lid_left": ("distance", ((22, 23, 24), (43, 44))),
    "AU5/upper_lid_raise_right": ("down", (RIGHT_LIDS[0], (36, 39))),
    "AU5/upper_lid_raise_left": ("down", (LEFT_LIDS[0], (42, 45))),
    "AU5/eye_openness_right": ("ratio", (*RIGHT_LIDS, 36, 39)),
    "AU5/eye_openness_left": ("ratio", (*LEFT_LIDS, 42, 45)),
    "AU6/lid_to_mouth_corner_right": ("distance", (RIGHT_LIDS[1], 48)),
    "AU6/lid_to_mouth_corner_left": ("distance", (LEFT_LIDS[1], 54)),
    "AU7/lower_lid_raise_right": ("down", (RIGHT_LIDS[1], (36, 39))),
    "AU7/lower_lid_raise_left": ("down", (LEFT_LIDS[1], (42, 45))),
    "AU7/eye_area_right": ("area", RIGHT_EYE),
    "AU7/eye_area_left": ("area", LEFT_EYE),
    "AU9/brow_to_nose_wing_right": ("distance", (21, 31)),
    "AU9/brow_to_nose_wing_left": ("distance", (22, 35)),
    "AU9/eye_to_nose_wing_right": ("distance", (39, 31)),
    "AU9/eye_to_nose_wing_left": ("distance", (42, 35)),
    "AU10/upper_lip_raise": ("down", (51, 33)),
    "AU10/nose_wing_to_lip_right": ("distance", (31, 50)),
    "AU10/nose_wing_to_lip_left": ("distance", (35, 52)),
    "AU12/mouth_corner_pull_right": ("across", (48, 33)),
    "AU12/mouth_corner_pull_left": ("across", (33, 54)),
    "AU12/mouth_corner_lift_right": ("down", (48, (51, 57))),
    "AU12/mouth_corner_lift_left": ("down", (54, (51, 57))),
    "AU12/upper_lip_arc": ("angle", (48, 51, 54)),
    "AU14/mouth_corner_angle_right": ("angle", (51, 48, 57)),
    "AU14/mouth_corner_angle_left": ("angle", (51, 54, 57)),
    "AU14/mouth_slope": ("slope", (48, 54)),
    "AU15/mouth_corner_drop_right": ("down", (36, 48)),
    "AU15/mouth_corner_drop_left": ("down", (45, 54)),
    "AU15/lower_lip_arc": ("angle", (48, 57, 54)),
    "AU16/lower_lip_depress": ("down", (33, 57)),
    "AU17/lower_lip_to_chin": ("distance", (57, 8)),
    "AU18/mouth_width": ("distance", (48, 54)),
    "AU20/mouth_to_face_width": ("ratio", (48, 54, 2, 14)),
    "AU23/upper_lip_thickness": ("distance", (51, 62)),
    "AU23/lower_lip_thickness": ("distance", (66, 57)),
    "AU24/lip_height_to_width": ("ratio", (51, 57, 48, 54)),
    "AU25/lips_part": ("distance", (62, 66)),
    "AU25/lips_part_right": ("distance", (61, 67)),
    "AU25/lips_part_left": ("distance", (63, 65)),
    "AU26/jaw_drop": ("distance", (33, 8)),
    "AU26/face_height_to_width": ("ratio", (27, 8, 2, 14)),
    "AU27/mouth_opening_to_width": ("ratio", (62, 66, 60, 64)),
    "AU27/mouth_opening_area": ("area", INNER_LIP),
    "AU27/mouth_area": ("area", OUTER_LIP),
    "AU38/nostril_width": ("distance", (31, 35)),
    "head/turn": ("across", (EYES, 30)),
    "head/nod": ("down", (EYES, 30)),
    "head/nose_length": ("distance", (27, 30)),
}


class Geometry(FaceFeatures):
    """Distances, angles and ratios between 68 landmarks that follow the facial action units (Ekman, Friesen 1978).

    Before anything is measured, a face is turned so that its eyes are level and scaled so that their centres are one
    apart. Angles are in radians. Names give the action unit that moves the measure most, and the subject's own side:
    ``geometry/AU12/mouth_corner_pull_left``.

    A face without landmarks (NaN) gets the means of the training faces, and 1 in the last column,
    ``geometry/missing``; so a linear model neither fails nor is misled by it, and can learn what such faces are.

    Attributes
    ----------
    mean_ : ndarray of shape (n_measures,), dtype float32
        Means over the training faces with landmarks.
    crop_shape_ : tuple of (int, int)
        Height and width of the crops seen at fit.

    References
    ----------
    Ekman and Friesen (1978). Facial Action Coding System. Consulting Psychologists Press.

    Soukupova and Cech (2016). Real-time eye blink detection using facial landmarks. CVWW (eye openness).

    Examples
    --------
    >>> points = np.random.default_rng(0).uniform(0, 48, (4, 68, 2))
    >>> faces = Faces(np.zeros((4, 48, 48), np.uint8), points=points)
    >>> geometry = Geometry().fit(faces)
    >>> geometry.transform(faces).shape
    (4, 61)
    >>> str(geometry.get_feature_names_out()[0])
    'geometry/AU1/inner_brow_raise_right'
    """

    family = "geometry"
    state = ("mean_",)
    cached = False

    def _check(self, X: Any, *, fitting: bool) -> Faces:
        faces = super()._check(X, fitting=fitting)
        if faces.points.shape[1] != N_POINTS:
            raise InputError(
                f"Got faces with {faces.points.shape[1]} landmarks, expected {N_POINTS}. "
                "Set landmarks: 68 in the faces step."
            )
        return faces

    def _learn(self, faces: Faces, y: Any) -> None:
        values = measure(faces.points)
        missing = np.isnan(values)
        if missing.all(axis=0).any():
            raise InputError(f"Got {len(faces)} faces without landmarks (NaN), expected at least 1 that has them.")
        self.mean_ = np.nanmean(values, axis=0, dtype=np.float64).astype(np.float32)

    def _extract(self, faces: Faces) -> NDArray[np.float32]:
        values = measure(faces.points)
        missing = np.isnan(values)
        flag = missing.any(axis=1).astype(np.float32)
        return np.column_stack([np.where(missing, self.mean_, values), flag])

    def _evidence_map(self, faces: Faces, evidence: Any, slopes: NDArray[Any]) -> NDArray[np.float64]:
        height, width = faces.shape[1:]
        down, across = np.mgrid[:height, :width] + 0.5
        found = np.zeros(faces.shape)
        for i, points in enumerate(faces.points):
            at = points.reshape(-1, 2).astype(np.float64)
            seen = np.nan_to_num(at.clip(0, (width, height)), nan=min(height, width) / 2)
            far = (down[..., None] - seen[:, 1]) ** 2 + (across[..., None] - seen[:, 0]) ** 2
            spots = np.exp(-far / (2 * _SPOT**2))
            found[i] = (spots / spots.sum(axis=(0, 1))) @ point_evidence(evidence[i])
            found[i] += evidence[i][-1] / (height * width)  # lost landmarks have no place
        return found

    def _names(self) -> list[str]:
        return [*MEASURES, "missing"]


def points_of(name: str) -> list[int]:
    """Landmarks that a measure of ``MEASURES`` is taken between, each once, in order."""
    groups = MEASURES[name][1]
    return list(dict.fromkeys(p for group in groups for p in ((group,) if isinstance(group, int) else group)))


def point_evidence(evidence: NDArray[Any]) -> NDArray[np.float64]:
    """Evidence of the measures of one face, shared out among their landmarks.

    Parameters
    ----------
    evidence : ndarray of shape (n_measures,) or longer

    Returns
    -------
    ndarray of shape (68,), dtype float64
    """
    found = np.zeros(N_POINTS)
    for name, value in zip(MEASURES, evidence, strict=False):
        points = points_of(name)
        found[points] += value / len(points)
    return found


def measure(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every measure of ``MEASURES``; NaN where a point is NaN or the eyes lie on one spot.

    Parameters
    ----------
    points : ndarray of shape (n, 68, 2)
        Landmarks (x, y) in pixels.

    Returns
    -------
    ndarray of shape (n, n_measures), dtype float32
    """
    with np.errstate(invalid="ignore"):  # NaN stands for a lost point
        upright = _upright(points)
        columns = [KINDS[kind](*(_centre(upright, group) for group in groups)) for kind, groups in MEASURES.values()]
    values = np.column_stack(columns).astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    return values


def _upright(points: NDArray[np.float32]) -> NDArray[np.complex128]:
    """Points as complex numbers x + iy, shape (68, n), eyes level around 0 and one apart."""
    plane = points[..., 0].T.astype(np.float64) + 1j * points[..., 1].T
    right, left = _centre(plane, RIGHT_EYE), _centre(plane, LEFT_EYE)
    axis = np.where(np.abs(left - right) > 1e-6, left - right, np.nan)
    return (plane - (left + right) / 2) / axis


def _centre(plane: NDArray[np.complex128], group: Points) -> NDArray[np.complex128]:
    # Added point by point, so that the rounding does not depend on how many faces there are.
    return plane[group] if isinstance(group, int) else sum(plane[point] for point in group) / len(group)


def _distance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return np.abs(b - a)


def _down(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return (b - a).imag


def _across(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return (b - a).real


def _slope(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    way = b - a
    return np.arctan2(way.imag, np.abs(way.real))


def _angle(a: NDArray[Any], middle: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    turn = (a - middle) * np.conj(b - middle)
    return np.abs(np.arctan2(turn.imag, turn.real))


def _ratio(a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any]) -> NDArray[Any]:
    length = np.abs(d - c)
    return np.abs(b - a) / np.where(length > 1e-6, length, np.nan)


def _area(*corners: NDArray[Any]) -> NDArray[Any]:
    following = corners[1:] + corners[:1]
    twice = sum((np.conj(a) * b).imag for a, b in zip(corners, following, strict=True))
    return np.abs(twice) / 2


KINDS: dict[str, Callable[..., NDArray[Any]]] = {
    "distance": _distance,
    "down": _down,
    "across": _across,
    "slope": _slope,
    "angle": _angle,
    "ratio": _ratio,
    "area": _area,
}
