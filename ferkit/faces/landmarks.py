"""dlib's landmark predictors with 5 and 68 points, found on this machine and never downloaded."""

from __future__ import annotations

import warnings
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError, missing

PACKAGE = "face_recognition_models"
"""Installed package that carries the predictors as data. Only its files are used: importing it needs pkg_resources."""

N_POINTS = {"5": 5, "68": 68}

LICENCE_68 = (
    "dlib's 68-point predictor was trained on the iBUG 300-W pictures, which are for non-commercial use only; "
    "the 5-point predictor is free of that."
)


class LicenceWarning(UserWarning):
    """A file that is about to be used came from data whose licence limits what it may be used for."""


def find_predictor(kind: str) -> Path | None:
    """Predictor file of an installed ``face_recognition_models``, or None.

    Parameters
    ----------
    kind : {"5", "68"}
        Number of points.

    Raises
    ------
    InputError
        There is no predictor of that kind.
    """
    if kind not in N_POINTS:
        raise InputError(f"Got kind={kind!r}, expected one of {list(N_POINTS)}.")
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / f"shape_predictor_{kind}_face_landmarks.dat"
        if path.is_file():
            return path
    return None


def available() -> dict[str, Path]:
    """Predictor files that can be used here, by number of points; empty where dlib is not installed."""
    return dict(_available())


@lru_cache(maxsize=1)
def _available() -> dict[str, Path]:
    # Asked once: a look at the disk for each face would take half as long as a small network.
    if find_spec("dlib") is None:
        return {}
    return {kind: path for kind in N_POINTS if (path := find_predictor(kind)) is not None}


def resolve(landmarks: str | int | Path | None) -> tuple[str, Path] | None:
    """Kind and file of the predictor that a setting asks for.

    Parameters
    ----------
    landmarks : {"auto", "5", "68", "none"}, path or None
        ``"auto"`` takes the 5-point predictor where it is installed, else none. A path names a predictor file.

    Returns
    -------
    tuple of (str, Path) or None
        None where no landmarks are wanted or, with ``"auto"``, none can be had.

    Raises
    ------
    InputError
        The setting is unknown or the file is not there.
    MissingExtraError
        dlib or the package with the predictors is not installed.
    """
    name = str(landmarks)
    if landmarks is None or name == "none":
        return None
    if name == "auto":
        return ("5", _available()["5"]) if "5" in _available() else None
    if name not in N_POINTS and not Path(name).is_file():
        raise InputError(
            f"Got landmarks={name!r}, expected 'auto', 'none', one of {list(N_POINTS)} or a predictor file."
        )
    if find_spec("dlib") is None:
        raise missing("dlib", "dlib")
    if name not in N_POINTS:
        return name, Path(name)
    found = find_predictor(name)
    if found is None:
        raise missing(PACKAGE, "dlib")
    return name, found


class Landmarks:
    """dlib's regression-tree landmarks (Kazemi and Sullivan, 2014): points of a face whose box is known.

    Parameters
    ----------
    path : str or Path
        Predictor file (``.dat``).

    Attributes
    ----------
    n_points : int
        Points of a face: 5 or 68 for dlib's own files.

    Raises
    ------
    InputError
        The file is not a predictor.
    """

    def __init__(self, path: str | Path) -> None:
        import dlib

        if "68_face_landmarks" in Path(path).name:
            warnings.warn(LICENCE_68, LicenceWarning, stacklevel=2)
        try:
            self._predictor = dlib.shape_predictor(str(path))
        except (RuntimeError, TypeError, ValueError) as error:  # TypeError: a name that is no UTF-8
            raise InputError(f"Got landmarks={str(path)!r}, expected a dlib shape predictor file: {error}.") from error
        rectangle = dlib.rectangle(0, 0, 31, 31)
        self.n_points: int = self._predictor(np.zeros((32, 32), np.uint8), rectangle).num_parts

    def predict(self, image: Any, box_xyxy: Any) -> NDArray[np.float32]:
        """Points of one face.

        Parameters
        ----------
        image : ndarray of shape (h, w), dtype uint8
            Grey picture. Points are whole pixels of it, so small faces should be enlarged first.
        box_xyxy : array-like of 4 floats
            Face box as dlib's detector frames it, in pixels of ``image``; may reach outside.

        Returns
        -------
        ndarray of shape (n_points, 2), dtype float32
            (x, y) in pixels, pixel centres at whole numbers.
        """
        import dlib

        left, top, right, bottom = (round(float(v)) for v in box_xyxy)
        shape = self._predictor(np.ascontiguousarray(image), dlib.rectangle(left, top, right - 1, bottom - 1))
        return np.asarray([(point.x, point.y) for point in shape.parts()], dtype=np.float32).reshape(-1, 2)


@lru_cache(maxsize=4)
def opened(path: Path) -> Landmarks:
    """Predictor of a file, read once a process: the larger one takes half a second."""
    return Landmarks(path)


def anchors(points: Any) -> NDArray[np.float64]:
    """Eyes and nose base, the points that align a face, from either predictor's points.

    Parameters
    ----------
    points : array-like of shape (5, 2) or (68, 2)
        Landmarks (x, y).

    Returns
    -------
    ndarray of shape (3, 2), dtype float64
        Middle of the eye at the left of the picture, of the eye at the right, and the base of the nose.

    Raises
    ------
    InputError
        There are neither 5 nor 68 points.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.shape == (5, 2):
        return np.stack([points[2:4].mean(axis=0), points[0:2].mean(axis=0), points[4]])
    if points.shape == (68, 2):
        # Corners only, as the 5-point predictor gives them: lids would move the eye with the expression.
        return np.stack([points[[36, 39]].mean(axis=0), points[[42, 45]].mean(axis=0), points[33]])
    raise InputError(f"Got points with shape {points.shape}, expected (5, 2) or (68, 2).")
