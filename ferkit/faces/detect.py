"""Face detectors: OpenCV's Haar cascade and dlib's HOG detector, behind one class."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ferkit.errors import InputError, missing
from ferkit.faces.grey import grey
from ferkit.files import default_folder

CASCADE = "haarcascade_frontalface_default.xml"
DETECTORS = ("auto", "dlib", "haar")

_WINDOW = {"dlib": 80, "haar": 36}
"""Side in pixels to which the smallest face is brought before the search."""

_BORDER = 0.2
"""Repeated border about the picture, as a share of its shorter side, so that faces that fill it are found."""

_OVERLAP = 0.3
"""Intersection over union from which two boxes are the same face."""

_LEAST = {"dlib": -0.3, "haar": 4}
"""Certainty that the surest face of a picture needs."""

_LEAST_OTHERS = {"dlib": 0.25, "haar": 10}
"""Certainty that every other one needs: patterns that look a little like a face often stand beside a real one."""

_LARGE = 0.3
"""Share of the picture's shorter side below which what Haar alone finds is most often no face."""

_LARGEST_SEARCHED = 2400
"""Longer side in pixels of the largest picture that is searched."""

_own = threading.local()


@dataclass(frozen=True)
class Detections:
    """Faces found in one picture, as parallel arrays, largest first.

    Attributes
    ----------
    boxes_xyxy : ndarray of shape (n, 4), dtype float32
        Boxes in the picture as the detector frames a face; they may reach outside.
    scores : ndarray of shape (n,), dtype float32
        Certainty in the detector's own unit: dlib's margin (about -0.3 to 3), Haar's number of agreeing windows.
    detector : str
        ``"dlib"`` or ``"haar"``: which of them found these.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    detector: str

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    @property
    def certain(self) -> NDArray[np.bool_]:
        """Which of them are certain enough to be faces whatever else is in the picture, shape (n,)."""
        return np.asarray(self.scores >= _LEAST_OTHERS[self.detector], dtype=bool)


class FaceDetector(BaseEstimator):
    """Finds upright, roughly frontal faces.

    Parameters
    ----------
    detector : {"auto", "dlib", "haar"} or path, default="auto"
        ``"dlib"`` is the HOG detector (Dalal and Triggs, 2005; King, 2015), ``"haar"`` OpenCV's cascade (Viola and
        Jones, 2001) inside the installed package. A path names another cascade file. ``"auto"`` asks dlib where it is
        installed and, for a large face, Haar where dlib finds nothing; without dlib it is Haar.
    smallest : float, default=0.15
        Side of the smallest face searched for, as a share of the picture's shorter side. Pictures are shrunk or
        enlarged to suit. Where nothing is found, faces of half that size are searched for.

    Examples
    --------
    >>> import numpy as np
    >>> len(FaceDetector("haar").detect(np.zeros((60, 80), np.uint8)))
    0
    """

    def __init__(self, detector: str = "auto", smallest: float = 0.15) -> None:
        self.detector = detector
        self.smallest = smallest

    def detect(self, image: Any) -> Detections:
        """Faces of one picture.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3)
            Grey or RGB picture, 0 to 255.

        Returns
        -------
        Detections

        Raises
        ------
        InputError
            A parameter or the picture is not what was expected, or the cascade cannot be read.
        MissingExtraError
            ``detector="dlib"`` and dlib is not installed.
        """
        searches = self._searches()
        picture = grey(image)
        for name, search, smallest in searches:
            boxes, scores = _searched(picture, search, _WINDOW[name] / smallest)
            sure = _sure(name, boxes, scores, min(picture.shape))
            if sure.any():
                return Detections(*_distinct(boxes[sure], scores[sure]), name)
        return Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), searches[0][0])

    def search(self, image: Any, border: bool = True) -> Detections:
        """One quick pass with the first detector, weak finds included, for a caller that knows where faces were.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3)
            Grey or RGB picture, 0 to 255.
        border : bool, default=True
            Repeat the border outwards, so that faces cut by it are found.

        Returns
        -------
        Detections
            ``certain`` says which of them are faces without further knowledge.
        """
        name, search, smallest = self._searches()[0]
        boxes, scores = _searched(grey(image), search, _WINDOW[name] / smallest, _BORDER if border else 0.0)
        return Detections(*_distinct(boxes, scores), name)

    def tools(self) -> list[str | Path]:
        """What ``detector`` stands for on this machine: kinds in the order of their use, and the file that it names."""
        file = [] if self.detector in DETECTORS else [Path(self.detector)]
        return [*(name for name, _, _ in self._searches()), *file]

    def check(self) -> None:
        """Check the parameters and that what they name is installed and can be read; raises as ``detect`` does."""
        self._searches()
        if self.detector not in DETECTORS:
            _opened(str(self.detector))

    def _searches(self) -> list[tuple[str, Callable[[Any], Any], float]]:
        """Searches to try in turn: the kind of detector, its function, the smallest face."""
        smallest, detector = self.smallest, str(self.detector)
        number = isinstance(smallest, (int, float)) and not isinstance(smallest, bool)
        if not number or not 0.02 <= smallest <= 1:
            raise InputError(f"Got smallest={smallest!r}, expected a number from 0.02 to 1.")
        with_dlib = has_dlib()
        if detector == "dlib" and not with_dlib:
            raise missing("dlib", "dlib")
        if detector == "dlib" or (detector == "auto" and with_dlib):
            last = [("haar", _haar(detector), max(smallest, _LARGE))] if detector == "auto" else []
            return [("dlib", _dlib_boxes, smallest), ("dlib", _dlib_boxes, smallest / 2), *last]
        return [("haar", _haar(detector), smallest), ("haar", _haar(detector), smallest / 2)]


@lru_cache(maxsize=1)
def has_dlib() -> bool:
    """Whether dlib is installed; asked once, because a look at the disk for each face takes 0.1 ms."""
    return find_spec("dlib") is not None


def haar_path() -> Path | None:
    """The frontal cascade inside the installed OpenCV, or None (the wheels of OpenCV 5 have none)."""
    data = getattr(cv2, "data", None)
    return _cascade_in(data.haarcascades) if data is not None else None


@lru_cache(maxsize=1)
def _cascade_in(folder: str) -> Path | None:
    path = Path(folder, CASCADE)
    return path if path.is_file() else None


def _cascade_path(detector: str) -> str:
    if detector not in DETECTORS:
        if not Path(detector).is_file():
            raise _no_cascade(detector)
        return detector
    path = haar_path()
    if path is None:
        raise InputError(
            f"Got detector={detector!r} and OpenCV {cv2.__version__} without {CASCADE}, expected OpenCV 4. "
            "Run: pip install 'opencv-contrib-python<5'"
        )
    return str(path)


def _searched(
    picture: NDArray[np.uint8], search: Callable[[Any], Any], side: float, share: float = _BORDER
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes and scores, searched for in a copy whose shorter side is ``side`` pixels."""
    height, width = picture.shape
    factor = min(side / min(height, width), _LARGEST_SEARCHED / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    smooth = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(picture, size, interpolation=smooth)
    border = round(share * min(size))
    boxes, scores = search(cv2.copyMakeBorder(scaled, border, border, border, border, cv2.BORDER_REPLICATE))
    back = np.tile([width / size[0], height / size[1]], 2)
    return ((np.reshape(boxes, (-1, 4)) - border) * back).astype(np.float32), np.asarray(scores, np.float32)


def _sure(name: str, boxes: NDArray[np.float32], scores: NDArray[np.float32], shorter: int) -> NDArray[np.bool_]:
    """Which boxes are taken as faces."""
    surest = scores == np.max(scores, initial=-np.inf)
    large = (boxes[:, 2] - boxes[:, 0]) >= _LARGE * shorter
    return (scores >= _LEAST_OTHERS[name]) | (surest & (large | (name == "dlib")))


def _dlib_boxes(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], list[float]]:

    detector = _for_this_thread("dlib", frontal_detector)
    boxes, scores, _ = detector.run(np.ascontiguousarray(picture), 0, _LEAST["dlib"])
    corners = [(box.left(), box.top(), box.right() + 1, box.bottom() + 1) for box in boxes]
    return np.array(corners, dtype=np.float64), list(scores)


def frontal_detector() -> Any:
    """dlib's frontal face detector, from a copy in the cache folder where there is one.

    dlib unpacks its own in a quarter of a second; the copy opens in 2 ms. It is made here, and again when it is broken.
    """
    import dlib

    try:
        path = default_folder() / f"dlib-{dlib.__version__}.detector"
    except RuntimeError:  # a user without a home
        return dlib.get_frontal_face_detector()
    try:
        return dlib.fhog_object_detector(str(path))
    except (MemoryError, RuntimeError, TypeError, ValueError):  # none, or whatever dlib makes of a damaged one
        detector = dlib.get_frontal_face_detector()
    with suppress(OSError, RuntimeError, TypeError):  # without room or right it is unpacked again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            detector.save(f"{folder}/{path.name}")
            Path(folder, path.name).replace(path)
    return detector


def _haar(detector: str) -> Callable[[Any], Any]:
    path = _cascade_path(detector)
    return lambda picture: _haar_boxes(picture, path)


def _haar_boxes(picture: NDArray[np.uint8], path: str) -> tuple[NDArray[np.float64], Any]:
    detector = _opened(path)
    least = (round(0.8 * _WINDOW["haar"]),) * 2
    found = detector.detectMultiScale2(picture, scaleFactor=1.1, minNeighbors=_LEAST["haar"], minSize=least)
    boxes = np.array(found[0], dtype=np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes, np.ravel(found[1])


def _opened(path: str) -> Any:
    return _for_this_thread(path, lambda: _cascade(path))


def _cascade(path: str) -> Any:
    try:
        path.encode()  # OpenCV ends the process where a name is no UTF-8
        cascade = cv2.CascadeClassifier(path)
    except (cv2.error, SystemError, UnicodeError) as error:  # a C++ exception comes through as the second
        raise _no_cascade(path) from error
    if cascade.empty():
        raise _no_cascade(path)
    return cascade


def _no_cascade(path: str) -> InputError:
    return InputError(f"Got detector={path!r}, expected one of {list(DETECTORS)} or a Haar cascade file (XML).")


def _for_this_thread(key: str, make: Callable[[], Any]) -> Any:
    """A detector of this thread's own, because both kinds change while they search."""
    tools: dict[str, Any] = _own.__dict__.setdefault("tools", {})
    if key not in tools:
        tools[key] = make()
    return tools[key]


def _distinct(
    boxes: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Non-maximum suppression: of boxes that overlap the most certain stays. Largest first."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not any(overlap(boxes[i], boxes[j]) > _OVERLAP for j in kept):
            kept.append(int(i))
    sides = boxes[kept, 2] - boxes[kept, 0]
    order = np.asarray(kept, dtype=np.intp)[np.argsort(-sides, kind="stable")]
    return boxes[order], scores[order]


def overlap(a: Any, b: Any) -> float:
    """Intersection over union of two boxes ``x1, y1, x2, y2``.

    Examples
    --------
    >>> overlap((0, 0, 2, 2), (1, 0, 3, 2))
    0.3333333333333333
    """
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, float(width)) * max(0.0, float(height))
    areas = [float(box[2] - box[0]) * float(box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared) if shared else 0.0
