"""The first step of every pipeline: pictures to faces in the canonical framing, one row a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from ferkit.errors import InputError, PictureError, check_flags
from ferkit.faces import framing
from ferkit.faces.detect import Detections, FaceDetector
from ferkit.faces.grey import grey
from ferkit.faces.landmarks import N_POINTS, Landmarks, opened, resolve
from ferkit.faces.light import LIGHTS, normalise
from ferkit.pixels import eight_bit
from ferkit.records import Faces, face_hashes

CROPPED_UP_TO = 64
"""Side in pixels up to which a square picture is taken as a face that is cropped already."""

HASHED = 48
"""Side in pixels of the crop whose hash tells a face, whatever the size and light of a model."""

_CHOICES: dict[str, tuple[Any, ...]] = {
    "light": tuple(LIGHTS),
    "missing": ("center", "raise"),
    "cropped": ("auto", True, False),
    "align": (True, False),
    "which": ("largest", "central", "surest"),
}

_CLOSE_UP, _MARGIN = 240, 0.25
"""Landmarks are searched for in a copy of this side, with this share of the framing added on each side."""


@dataclass(frozen=True)
class _Row:
    crop: NDArray[np.uint8]
    points: NDArray[np.float32]
    box_xyxy: NDArray[np.float32]
    small: NDArray[np.uint8]
    found: bool = True


class FaceExtractor(TransformerMixin, BaseEstimator):
    """Finds, aligns, crops and lights faces; takes pictures, gives ``Faces``.

    ``transform`` gives exactly one row a picture, so that rows stay beside their labels; ``find`` gives all faces of
    one picture. There is nothing to learn: what is installed is looked up at each use, so that a pipeline trained with
    dlib still runs without it.

    Parameters
    ----------
    detector : {"auto", "dlib", "haar"} or path, default="auto"
        See ``FaceDetector``.
    landmarks : {"auto", "5", "68", "none"} or path, default="auto"
        dlib's 5 or 68 points align the face and are kept in ``Faces.points``. ``"auto"`` aligns by the 5 points where
        they are installed and keeps none, so that its records look the same on every machine. A path names a predictor
        file with 5 or 68 points.
    size : int, default=48
        Side of a crop in pixels.
    light : {"none", "equalise", "clahe"}, default="none"
        Light normalisation of the crops.
    missing : {"center", "raise"}, default="center"
        Where ``transform`` finds no face: take the middle of the picture, with ``found`` False, or raise.
    cropped : {"auto", True, False}, default="auto"
        Whether pictures are faces that are cropped already and are only brought to ``size``. ``"auto"`` takes a square
        picture with a side of at most 64 pixels as one.
    align : bool, default=True
        Turn and scale by the landmarks; False goes by the detector's box.
    which : {"largest", "central", "surest"}, default="largest"
        Which of several faces ``transform`` takes.
    smallest : float, default=0.15
        See ``FaceDetector``.
    n_jobs : int or None, default=None
        Threads that ``transform`` uses.

    Examples
    --------
    >>> FaceExtractor().fit_transform(np.zeros((3, 48, 48), np.uint8))
    Faces(n=3, size=48x48, found=3)
    """

    def __init__(
        self,
        detector: str = "auto",
        landmarks: str | int = "auto",
        size: int = 48,
        light: str = "none",
        missing: str = "center",
        cropped: Any = "auto",
        align: bool = True,
        which: str = "largest",
        smallest: float = 0.15,
        n_jobs: int | None = None,
    ) -> None:
        self.detector = detector
        self.landmarks = landmarks
        self.size = size
        self.light = light
        self.missing = missing
        self.cropped = cropped
        self.align = align
        self.which = which
        self.smallest = smallest
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and that there are pictures.

        Parameters
        ----------
        X : list of pictures, ndarray of shape (n, h, w) or (n, h, w, 3), sequence or Faces
        y : ignored
        """
        self._check()
        if len(_pictures(X)) == 0:
            raise InputError("Got 0 pictures, expected at least 1 to fit.")
        return self

    def transform(self, X: Any) -> Faces:
        """One face of each picture.

        Parameters
        ----------
        X : list of pictures, ndarray of shape (n, h, w) or (n, h, w, 3), sequence or Faces
            Pictures are grey, RGB or RGBA, numbers as ``ferkit.pixels.eight_bit`` takes them, and may differ in size; a
            sequence may read them when it is indexed. ``Faces`` are passed on as they are.

        Returns
        -------
        Faces
            One row a picture, in order, ``index`` counting them.

        Raises
        ------
        PictureError
            A picture has a wrong shape or holds NaN, or ``missing="raise"`` and there is no face in it.
        """
        self._check()
        pictures = _pictures(X)
        if isinstance(pictures, Faces):
            return pictures
        stack = isinstance(pictures, np.ndarray) and pictures.ndim > 2 and len(pictures) > 0
        if (
            stack
            and pictures.shape[1] == pictures.shape[2]
            and self._taken_as_cropped(pictures[0])
            and self._n_points() == 0
        ):
            whole = _grey_stack(pictures)
            boxes = np.tile([0, 0, whole.shape[2], whole.shape[1]], (len(whole), 1))
            hashes = self._hashes(lambda: _resized(whole, HASHED))
            return Faces(normalise(_resized(whole, self.size), self.light), boxes_xyxy=boxes, hashes=hashes)
        if len(pictures) == 1:  # starting joblib would take longer than cutting out the face
            rows = [self._row(pictures, 0)]
        else:
            self._predictor()  # read once, before threads ask for it
            rows = Parallel(n_jobs=self.n_jobs, require="sharedmem")(
                delayed(self._row)(pictures, i) for i in range(len(pictures))
            )
        hashes = self._hashes(lambda: np.array([row.small for row in rows], np.uint8).reshape(-1, HASHED, HASHED))
        return self._faces(list(rows), np.arange(len(pictures)), hashes)

    def find(self, image: Any) -> Faces:
        """All faces of one picture, largest first.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3)
            Grey or RGB, 0 to 255.

        Returns
        -------
        Faces
            Boxes in pixels of the picture, points in pixels of the crop; empty where no face is found.
        """
        self._check()
        picture = grey(image)
        if self._taken_as_cropped(picture):
            rows = [self._whole(picture)]
        else:
            found = self._detector().detect(picture)
            rows = [self._framed(picture, box, found.detector) for box in found.boxes_xyxy]
            rows.sort(key=lambda row: -_area(row.box_xyxy))
        return self._faces(rows, np.zeros(len(rows), np.intp))

    def center(self, image: Any) -> Faces:
        """The middle of one picture, which stands in where no face is found: one row with ``found`` False."""
        self._check()
        picture = grey(image)
        return self._faces([self._middle(picture)], np.zeros(1, np.intp))

    def takes_as_cropped(self, image: Any) -> bool:
        """Whether a picture is taken as a face that is cropped already, so that no face is searched for in it."""
        return self._taken_as_cropped(np.asarray(image))

    def tools(self) -> list[str | Path]:
        """What ``detector`` and ``landmarks`` stand for on this machine: kinds and files."""
        return [*self._detector().tools(), *(resolve(self.landmarks) or ())]

    def _check(self) -> None:
        check_flags(self)
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if not any(value is choice or (value == choice and isinstance(choice, str)) for choice in choices):
                raise InputError(f"Got {name}={value!r}, expected one of {list(choices)}.")
        whole = isinstance(self.size, (int, np.integer)) and not isinstance(self.size, bool)
        if not whole or not 8 <= self.size <= 1024:
            raise InputError(f"Got size={self.size!r}, expected a whole number from 8 to 1024.")
        self._detector().check()
        if self.landmarks not in ("auto", "none", None):  # these are never missing; a look at the disk takes a while
            resolve(self.landmarks)

    def _detector(self) -> FaceDetector:
        return FaceDetector(self.detector, self.smallest)

    def _predictor(self) -> Landmarks | None:
        wanted = resolve(self.landmarks)
        return None if wanted is None else opened(wanted[1])

    def _n_points(self) -> int:
        """Landmarks that a row keeps; depends on the parameters alone, not on what is installed."""
        name = str(self.landmarks)
        if name in ("auto", "none", "None"):
            return 0
        return N_POINTS[name] if name in N_POINTS else opened(Path(name)).n_points

    def _taken_as_cropped(self, picture: NDArray[Any]) -> bool:
        if self.cropped != "auto":
            return bool(self.cropped)
        return picture.ndim >= 2 and picture.shape[0] == picture.shape[1] <= CROPPED_UP_TO and picture.shape[0] > 1

    def _row(self, pictures: Any, i: int) -> _Row:
        picture = grey(pictures[i], f"picture {i}")
        if self._taken_as_cropped(picture):
            return self._whole(picture)
        found = self._detector().detect(picture)
        if len(found):
            return self._framed(picture, found.boxes_xyxy[_chosen(found, picture, self.which)], found.detector)
        if self.missing == "raise":
            raise PictureError(
                f"Got picture {i} of {picture.shape[1]}x{picture.shape[0]} pixels without a face, "
                "expected one. Leave it out or use missing='center'."
            )
        return self._middle(picture)

    def _hashes(self, small: Callable[[], Any]) -> NDArray[np.uint64] | None:
        """What ``Faces.hashes`` holds; None where the crops are the small ones themselves."""
        return None if (self.size, self.light) == (HASHED, "none") else face_hashes(small())

    def _cut(self, picture: NDArray[np.uint8], matrix: NDArray[np.float64]) -> tuple[NDArray[np.uint8], Any]:
        """The crop, and the one whose hash tells the face."""
        crop = framing.crop(picture, matrix, self.size)
        return crop, crop if self.size == HASHED else framing.crop(picture, matrix, HASHED)

    def _whole(self, picture: NDArray[np.uint8]) -> _Row:
        """A picture that is the face already."""
        height, width = picture.shape
        matrix = framing.from_box((0, 0, width, height))
        if height == width:
            crop, small = (_resized(picture[None], size)[0] for size in (self.size, HASHED))
        else:
            crop, small = self._cut(picture, matrix)
        kept = self._points(picture, matrix) if self._n_points() else None
        return _Row(crop, self._kept(kept, matrix), np.array([0, 0, width, height], np.float32), small)

    def _framed(self, picture: NDArray[np.uint8], box: NDArray[np.float32], detector: str) -> _Row:
        """A face that a detector found."""
        matrix = framing.from_box(box, detector)
        points = self._points(picture, matrix)
        if points is not None and self.align:
            matrix = framing.from_points(points)
        crop, small = self._cut(picture, matrix)
        seen = np.clip(framing.framed_box(framing.upright(matrix)), 0, np.tile(picture.shape[::-1], 2))
        return _Row(crop, self._kept(points, matrix), seen.astype(np.float32), small)

    def _middle(self, picture: NDArray[np.uint8]) -> _Row:
        """The largest square in the middle of a picture in which no face was found."""
        height, width = picture.shape
        side = min(height, width)
        box = np.array([width - side, height - side, width + side, height + side], np.float32) / np.float32(2)
        matrix = framing.from_box(box)
        crop, small = self._cut(picture, matrix)
        return _Row(crop, self._kept(None, matrix), box, small, found=False)

    def landmarks_of(self, image: Any, box_xyxy: Any, detector: str | None = None) -> NDArray[np.float64] | None:
        """Landmarks of a face whose box is known.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3)
            Grey or RGB, 0 to 255.
        box_xyxy : array-like of 4 floats
            Box in the picture.
        detector : {"dlib", "haar"} or None, default=None
            Whose box it is; None for a box in the canonical framing.

        Returns
        -------
        ndarray of shape (n_points, 2), dtype float64, or None
            Pixels of the picture; None where no predictor is used.
        """
        return self._points(grey(image), framing.from_box(box_xyxy, detector))

    def _points(self, picture: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Landmarks in the picture of a face that is framed roughly."""
        predictor = self._predictor()
        return None if predictor is None else points_at(picture, matrix, predictor)

    def _kept(self, points: NDArray[np.float64] | None, matrix: NDArray[np.float64]) -> NDArray[np.float32]:
        if points is None or self._n_points() == 0:
            return np.full((self._n_points(), 2), np.nan, np.float32)
        return framing.to_crop(points, matrix, self.size)

    def _faces(self, rows: Sequence[_Row], index: NDArray[np.intp], hashes: Any = None) -> Faces:
        n, size = len(rows), self.size
        crops = np.array([row.crop for row in rows], np.uint8).reshape(n, size, size)
        points = np.array([row.points for row in rows], np.float32).reshape(n, self._n_points(), 2)
        boxes = np.array([row.box_xyxy for row in rows], np.float32).reshape(n, 4)
        return Faces(normalise(crops, self.light), points, boxes, [row.found for row in rows], index, hashes)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = False
        return tags


def points_at(picture: NDArray[np.uint8], matrix: NDArray[np.float64], predictor: Landmarks) -> NDArray[np.float64]:
    """Landmarks of a face whose framing is known roughly; a turn in it brings a tilted head upright first.

    Parameters
    ----------
    picture : ndarray of shape (h, w), dtype uint8
        Grey picture.
    matrix : ndarray of shape (2, 3)
        Transform from picture to framing.
    predictor : Landmarks

    Returns
    -------
    ndarray of shape (n_points, 2), dtype float64
        Pixels of the picture.
    """
    close_up = matrix.copy()
    close_up[:, 2] += _MARGIN
    close_up /= 1 + 2 * _MARGIN
    box = (framing.dlib_box() + _MARGIN) / (1 + 2 * _MARGIN) * _CLOSE_UP
    points = predictor.predict(framing.crop(picture, close_up, _CLOSE_UP), box)
    return framing.to_picture(points, close_up, _CLOSE_UP)


def _pictures(X: Any) -> Any:
    """Faces, a checked stack, or a sequence that is read row by row."""
    if isinstance(X, Faces):
        return X
    if isinstance(X, np.ndarray) and X.dtype != object:
        if X.ndim not in (3, 4) or (X.ndim == 4 and X.shape[3] not in (1, 3, 4)):
            raise InputError(f"Got pictures with shape {X.shape}, expected (n, h, w), (n, h, w, 3) or a list.")
        if X.ndim == 3 and X.shape[1] > X.shape[2] and X.shape[2] in (3, 4):
            raise InputError(f"Got pictures with shape {X.shape}, which is one RGB picture, expected a list of them.")
        return eight_bit(X, "pictures")
    if isinstance(X, (str, bytes)) or not (hasattr(X, "__len__") and hasattr(X, "__getitem__")):
        raise InputError(f"Got pictures of type {type(X).__name__}, expected a list, an array or Faces.")
    return X


def _grey_stack(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if stack.ndim == 3:
        return stack
    n, height, width, channels = stack.shape
    return grey(stack.reshape(n * height, width, channels)).reshape(n, height, width)


def _resized(stack: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Square pictures at another size."""
    side = stack.shape[1]
    if side == size:
        return stack
    smooth = cv2.INTER_AREA if size < side else cv2.INTER_CUBIC
    out = np.empty((len(stack), size, size), np.uint8)
    for i, picture in enumerate(stack):
        cv2.resize(np.ascontiguousarray(picture), (size, size), dst=out[i], interpolation=smooth)
    return out


def _area(box_xyxy: NDArray[np.float32]) -> float:
    return float((box_xyxy[2] - box_xyxy[0]) * (box_xyxy[3] - box_xyxy[1]))


def _chosen(found: Detections, picture: NDArray[np.uint8], which: str) -> int:
    if which == "largest":
        return 0
    if which == "surest":
        return int(np.argmax(found.scores))
    height, width = picture.shape
    middles = (found.boxes_xyxy[:, :2] + found.boxes_xyxy[:, 2:]) / 2
    return int(np.argmin(np.hypot(*(middles - (width / 2, height / 2)).T)))
