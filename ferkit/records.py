"""Typed records that every other part passes on: Frame, Faces, Features, Reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.pixels import eight_bit


@dataclass(frozen=True)
class Frame:
    """One picture, or one frame of a video.

    Parameters
    ----------
    image : ndarray of shape (height, width, 3) or (height, width), dtype uint8
        RGB or grey pixels, 0 to 255.
    source : str
        Path, address or name that it came from.
    index : int, default=0
        Position in its video, from 0.
    time : float or None, default=None
        Seconds from the start of its video; None for a still picture.
    """

    image: NDArray[np.uint8]
    source: str = ""
    index: int = 0
    time: float | None = None


def rows_at(key: Any, n: int) -> Any:
    """Row part of an index into ``n`` rows; scikit-learn also asks for ``X[rows, ...]``.

    A single row stays a row of its own. One beyond the last is an IndexError, by which ``for`` knows the end.
    """
    rows = key[0] if isinstance(key, tuple) else key
    if not isinstance(rows, (int, np.integer)):
        return rows
    if not -n <= rows < n:
        raise IndexError(f"Got row={rows}, expected one of {n} rows.")
    return slice(rows, rows + 1 or None)


class Faces:
    """Faces as parallel arrays, one row a face.

    Parameters
    ----------
    crops : array-like of shape (n, height, width), dtype uint8
        Grey faces in the canonical framing, 0 to 255.
    points : array-like of shape (n, n_points, 2) or None, default=None
        Landmarks (x, y) in pixels of the crop; NaN where there are none. ``n_points`` may be 0.
    boxes_xyxy : array-like of shape (n, 4) or None, default=None
        Boxes in pixels of the picture they came from; by default the whole crop.
    found : array-like of shape (n,), dtype bool, or None, default=None
        False where no face was found and the middle of the picture stands in.
    index : array-like of shape (n,), dtype int, or None, default=None
        Position of the picture that each face came from.
    hashes : array-like of shape (n,), dtype uint64, or None, default=None
        What ``seen_hashes`` says of the same faces at 48x48 before any light normalisation, where the crops are others;
        so models that frame and light differently know the same face.

    Examples
    --------
    >>> faces = Faces(np.zeros((3, 48, 48), np.uint8))
    >>> len(faces), faces[[True, False, True]].shape
    (3, (2, 48, 48))
    """

    def __init__(
        self,
        crops: Any,
        points: Any = None,
        boxes_xyxy: Any = None,
        found: Any = None,
        index: Any = None,
        hashes: Any = None,
    ) -> None:
        self.crops: NDArray[np.uint8] = _crops(crops)
        n, height, width = self.crops.shape
        self.points: NDArray[np.float32] = np.asarray(
            np.empty((n, 0, 2)) if points is None else points, dtype=np.float32
        )
        self.boxes_xyxy: NDArray[np.float32] = np.asarray(
            np.tile([0, 0, width, height], (n, 1)) if boxes_xyxy is None else boxes_xyxy, dtype=np.float32
        ).reshape(-1, 4)
        self.found: NDArray[np.bool_] = np.asarray(np.ones(n) if found is None else found, dtype=bool)
        self.index: NDArray[np.intp] = np.asarray(np.arange(n) if index is None else index, dtype=np.intp)
        self.hashes: NDArray[np.uint64] | None = None if hashes is None else np.asarray(hashes, dtype=np.uint64)
        for name in ("points", "boxes_xyxy", "found", "index", "hashes"):
            if getattr(self, name) is not None and len(getattr(self, name)) != n:
                raise InputError(f"Got {name} with {len(getattr(self, name))} rows, expected {n}, one for each crop.")
        if self.points.ndim != 3 or self.points.shape[2] != 2:
            raise InputError(f"Got points with shape {self.points.shape}, expected (n, n_points, 2).")

    @classmethod
    def empty(cls, size: int = 48) -> Faces:
        """No faces."""
        return cls(np.empty((0, size, size), np.uint8))

    @classmethod
    def merge(cls, parts: Sequence[Faces]) -> Faces:
        """Rows of all parts, in order. Crops and landmark counts must agree; ``index`` is kept as it is."""
        if not parts:
            return cls.empty()
        names = ("crops", "points", "boxes_xyxy", "found", "index")
        for name in ("crops", "points"):
            shapes = {getattr(part, name).shape[1:] for part in parts}
            if len(shapes) > 1:
                raise InputError(f"Got {name} of different shapes {sorted(shapes)}, expected one shape in all parts.")
        hashes = None
        if any(part.hashes is not None for part in parts):
            hashes = np.concatenate([seen_hashes(part) for part in parts])
        crops, points, boxes_xyxy, found, index = (
            np.concatenate([getattr(part, name) for part in parts]) for name in names
        )
        return cls(crops, points, boxes_xyxy, found, index, hashes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of ``crops``."""
        return self.crops.shape

    @property
    def size(self) -> int:
        """Height of a crop in pixels."""
        return int(self.crops.shape[1])

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, key: Any) -> Faces:
        rows = rows_at(key, len(self))
        hashes = None if self.hashes is None else self.hashes[rows]
        points, boxes_xyxy = self.points[rows], self.boxes_xyxy[rows]
        return Faces(self.crops[rows], points, boxes_xyxy, self.found[rows], self.index[rows], hashes)

    def __iter__(self) -> Iterator[Faces]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Faces(n={len(self)}, size={self.shape[1]}x{self.shape[2]}, found={int(self.found.sum())})"


def _crops(crops: Any) -> NDArray[np.uint8]:
    array = np.asarray(crops)
    if array.ndim != 3:
        raise InputError(f"Got crops with shape {array.shape}, expected (n, height, width), grey.")
    return eight_bit(array, "crops")


def as_faces(X: Any) -> Faces:
    """Faces from a ``Faces`` record or a plain grey stack of shape (n, height, width)."""
    return X if isinstance(X, Faces) else Faces(X)


class Features:
    """Numbers by family: one block of columns for each family, rows in parallel.

    Blocks stay apart, because visual words are sparse and the other families are dense; ``matrix`` joins them.

    Parameters
    ----------
    blocks : mapping of str to ndarray or scipy.sparse.csr_array of shape (n, d)
        Columns of each family, in order.
    names : mapping of str to sequence of str, or None, default=None
        Column names by family, each ``family/...``.

    Examples
    --------
    >>> X = Features({"hog": np.zeros((4, 3)), "lbp": np.ones((4, 2))})
    >>> X.shape, X["lbp"].shape, X[:2].shape, X.families["lbp"]
    ((4, 5), (4, 2), (2, 5), slice(3, 5, None))
    """

    def __init__(self, blocks: Mapping[str, Any], names: Mapping[str, Sequence[str]] | None = None) -> None:
        if not blocks:
            raise InputError("Got no families, expected at least one.")
        rows = {name: block.shape[0] for name, block in blocks.items()}
        if len(set(rows.values())) > 1:
            raise InputError(f"Got families with different numbers of rows {rows}, expected the same number.")
        self.blocks = dict(blocks)
        self.names = None if names is None else {family: list(columns) for family, columns in names.items()}

    @property
    def families(self) -> dict[str, slice]:
        """Slice of columns that each family takes in ``matrix``."""
        ends = np.cumsum([0, *(block.shape[1] for block in self.blocks.values())]).tolist()
        return {name: slice(a, b) for name, a, b in zip(self.blocks, ends, ends[1:], strict=False)}

    @property
    def matrix(self) -> Any:
        """All families side by side: ndarray, or csr_array where any family is sparse."""
        from scipy import sparse

        blocks = list(self.blocks.values())
        if any(sparse.issparse(block) for block in blocks):
            return sparse.hstack([sparse.csr_array(block) for block in blocks], format="csr")
        return np.hstack(blocks)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of ``matrix``."""
        return len(self), sum(block.shape[1] for block in self.blocks.values())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        matrix = self.matrix
        return np.asarray(matrix if isinstance(matrix, np.ndarray) else matrix.toarray(), dtype=dtype)

    def __len__(self) -> int:
        return int(next(iter(self.blocks.values())).shape[0])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self.blocks:
                raise InputError(f"Got family={key!r}, expected one of {list(self.blocks)}.")
            return self.blocks[key]
        rows = rows_at(key, len(self))
        return Features({name: block[rows] for name, block in self.blocks.items()}, self.names)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={block.shape[1]}" for name, block in self.blocks.items())
        return f"Features(n={len(self)}, {parts})"


def as_features(X: Any, family: str = "features") -> Features:
    """Features from a ``Features`` record or a plain matrix (which becomes one family)."""
    if isinstance(X, Features):
        return X
    return Features({family: X if hasattr(X, "tocsr") else np.asarray(X)})


RESERVED = ("at", "track", "person", "smooth_label", "smooth_confidence", "fresh")
"""Columns that ``live`` and databases add to a reading's."""


@dataclass(frozen=True)
class Reading:
    """What was read from one face: one row of output.

    Parameters
    ----------
    source : str
        Path, address or name of the picture or video.
    frame : int
        Position in the video, 0 for a picture.
    time : float or None
        Seconds from the start of the video, None for a picture.
    face : int
        Position of the face in its picture, from 0, largest first.
    box_xyxy : tuple of 4 floats
        Box in pixels of the picture.
    label : str
        Most probable expression.
    confidence : float
        Its probability, 0 to 1.
    probabilities : dict of str to float
        Probability of each label; they sum to 1.
    found : bool, default=True
        False where no face was found and the middle of the picture stands in.
    """

    source: str
    frame: int
    time: float | None
    face: int
    box_xyxy: tuple[float, float, float, float]
    label: str
    confidence: float
    probabilities: dict[str, float] = field(default_factory=dict)
    found: bool = True

    def row(self) -> dict[str, Any]:
        """Flat row: ``source, frame, time, face, x1, y1, x2, y2, label, confidence`` and one column a label.

        The column of a label that is called like one of the first, or of ``RESERVED``, is named ``p_<label>``. Large
        and small letters count as the same, because databases do not tell such columns apart.
        """
        x1, y1, x2, y2 = (round(float(v), 1) for v in self.box_xyxy)
        time = None if self.time is None else round(self.time, 4)
        start = {"source": self.source, "frame": self.frame, "time": time, "face": self.face}
        end = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "label": self.label, "confidence": round(self.confidence, 6)}
        row = start | end
        taken = row.keys() | RESERVED
        shares = {
            f"p_{name}" if name.lower() in taken else name: round(float(p), 6) for name, p in self.probabilities.items()
        }
        return row | shares


def face_hashes(X: Any) -> NDArray[np.uint64]:
    """Content hash of each face as it stands, the key of the feature cache.

    Parameters
    ----------
    X : Faces or array-like of shape (n, height, width)
        Grey faces.

    Returns
    -------
    ndarray of shape (n,), dtype uint64
        First 8 bytes of BLAKE2b over pixels, shape and landmarks.
    """
    from hashlib import blake2b

    faces = as_faces(X)
    shape = str(faces.shape[1:]).encode()
    hashes = [
        blake2b(crop.tobytes() + shape + (points.tobytes() if points.size else b""), digest_size=8).digest()
        for crop, points in zip(faces.crops, faces.points, strict=True)
    ]
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


def seen_hashes(X: Any) -> NDArray[np.uint64]:
    """Content hash of each face as it was at 48x48 before light normalisation, without its landmarks.

    What a model keeps of the faces it has seen, so that models of any size and light know the same face. Faces without
    ``hashes``, and plain stacks, are taken as they stand: they should be 48x48 and not lit anew.

    Parameters
    ----------
    X : Faces or array-like of shape (n, height, width)
        Grey faces.

    Returns
    -------
    ndarray of shape (n,), dtype uint64
    """
    faces = as_faces(X)
    return face_hashes(faces.crops) if faces.hashes is None else faces.hashes
