"""Faces that were found, on disk, kept by the content of each picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.blocks import rows_of
from ferkit.faces.extract import FaceExtractor
from ferkit.records import Faces, seen_hashes

VERSION = 2
"""Raised when the same picture and settings give another face than before."""


@dataclass(frozen=True)
class FaceCache:
    """Faces on disk, found again by the content of each picture, so that no picture is searched twice.

    Each set of settings has a folder. What was found with another detector, because more is installed now, does not
    count.

    Parameters
    ----------
    folder : str or Path
        Where the files lie; made at the first use. Several processes may share it.

    Examples
    --------
    >>> import tempfile
    >>> cache = FaceCache(tempfile.mkdtemp())
    >>> pictures = [np.zeros((90, 120), np.uint8), np.zeros((48, 48), np.uint8)]
    >>> cache.transform(FaceExtractor(), pictures).found.tolist()
    [False, True]
    """

    folder: str | Path

    def transform(self, extractor: FaceExtractor, pictures: Any) -> Faces:
        """One face of each picture, as ``extractor.transform`` gives them; only pictures that are new are searched.

        Parameters
        ----------
        extractor : FaceExtractor
            With ``missing="raise"`` nothing is kept.
        pictures : list of ndarray, or what else ``extractor`` takes
            Nothing is kept of a stack of faces that are cropped already.
        """
        stack = isinstance(pictures, np.ndarray) and len(pictures) > 0 and not extractor.takes_as_cropped(pictures[0])
        if not (isinstance(pictures, list) or stack) or not len(pictures) or extractor.missing == "raise":
            return extractor.transform(pictures)

        def search(rows: NDArray[np.intp]) -> NDArray[np.uint8]:
            return _packed(extractor.transform([pictures[row] for row in rows.tolist()]))

        hashes = np.array([_hash(picture) for picture in pictures], np.uint64)
        rows = rows_of(Path(self.folder) / _key(extractor), hashes, search, np.uint8)
        return _unpacked(rows, extractor.size)


def _key(extractor: FaceExtractor) -> str:
    """Name of the folder: settings, what they stand for on this machine, version of the code."""
    settings = {name: value for name, value in extractor.get_params().items() if name != "n_jobs"}
    tools = [_content(tool, tool.stat().st_mtime_ns) if isinstance(tool, Path) else tool for tool in extractor.tools()]
    text = json.dumps([VERSION, cv2.__version__, tools, settings], sort_keys=True, default=repr)
    return f"faces-{blake2b(text.encode(), digest_size=12).hexdigest()}"


@lru_cache(maxsize=8)
def _content(path: Path, changed: int) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _hash(picture: NDArray[Any]) -> int:
    kind = f"{picture.dtype}{picture.shape}".encode()
    digest = blake2b(kind, digest_size=8)
    digest.update(np.ascontiguousarray(picture).data)
    return int.from_bytes(digest.digest(), "little")


def _packed(faces: Faces) -> NDArray[np.uint8]:
    """Everything that a row holds, as bytes."""
    n = len(faces)
    numbers = np.column_stack([faces.points.reshape(n, -1), faces.boxes_xyxy.reshape(n, -1)]).astype("<f4")
    hashes = seen_hashes(faces).astype("<u8").reshape(n, 1).view(np.uint8)
    return np.column_stack([faces.found, faces.crops.reshape(n, -1), hashes, numbers.view(np.uint8)]).astype(np.uint8)


def _unpacked(rows: NDArray[np.uint8], size: int) -> Faces:
    n, end = len(rows), 1 + size * size
    hashes = np.ascontiguousarray(rows[:, end : end + 8]).view("<u8").astype(np.uint64)[:, 0]
    numbers = np.ascontiguousarray(rows[:, end + 8 :]).view("<f4").astype(np.float32)
    points, boxes = numbers[:, :-4].reshape(n, -1, 2), numbers[:, -4:]
    return Faces(rows[:, 1:end].reshape(n, size, size), points, boxes, rows[:, 0].astype(bool), hashes=hashes)
