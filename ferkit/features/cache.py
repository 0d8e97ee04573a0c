"""Computed features on disk, kept by the content of each face."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ferkit.blocks import keep, kept, rows_of
from ferkit.features.base import FaceFeatures
from ferkit.records import Faces, as_faces, face_hashes

FOLDER = re.compile(r"\w+-[0-9a-f]{24}(-learnt-[0-9a-f]{32})?")
RUN_ONLY = ("n_jobs", "n_threads", "batch_size")
"""Parameters that change how a family runs, and not its numbers."""


@dataclass(frozen=True)
class FeatureCache:
    """Computed features on disk, found again by the content of each face.

    Every family has a folder, named by its settings, what it learnt and the version of its code. In it lie blocks of
    rows and the hashes of their faces, so that any selection of faces finds its rows; only the missing ones are
    computed, and become a new block. What a family learns (a codebook) is kept by the faces that it learnt from.
    All files are plain ``.npy`` arrays; nothing in them is ever executed.

    Parameters
    ----------
    folder : str or Path
        Where the files lie; made at the first use. Several processes may share it.

    Examples
    --------
    >>> import tempfile
    >>> from ferkit.features import HOG
    >>> faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    >>> cache = FeatureCache(tempfile.mkdtemp())
    >>> hog = cache.fit(HOG(), faces)
    >>> bool((cache.transform(hog, faces) == cache.transform(hog, faces[::-1])[::-1]).all())
    True
    """

    folder: str | Path

    def fit(self, family: FaceFeatures, X: Any, y: Any = None) -> FaceFeatures:
        """Fit a family, or give it back the arrays that it learnt from these very faces before.

        Parameters
        ----------
        family : FaceFeatures
            The family; it is changed in place and returned.
        X : Faces or array-like of shape (n, height, width)
            Grey faces, 0 to 255.
        y : ignored, or array-like of shape (n,)
        """
        if not family.state or not family.cached:
            return family.fit(X, y)
        faces = family._check(X, fitting=True)
        target = b"" if y is None else str(np.asarray(y).tolist()).encode()
        seen = blake2b(face_hashes(faces).tobytes() + target, digest_size=16).hexdigest()
        folder = Path(self.folder) / f"{_key(family, faces.shape[1:])}-learnt-{seen}"
        learnt = kept(folder, family.state)
        if learnt is None:
            family.fit(faces, y)
            state = {name: getattr(family, name) for name in family.state}
            # Another value, such as the hash of a network's file, tells what a fit found: that may change.
            if all(isinstance(value, np.ndarray) for value in state.values()):
                keep({folder / f"{name}.npy": value for name, value in state.items()})
        else:
            family.crop_shape_ = faces.shape[1:]
            for name, value in learnt.items():
                setattr(family, name, value)
        return family

    def transform(self, family: FaceFeatures, X: Any, compute: Callable[[Faces], Any] | None = None) -> Any:
        """Numbers of each face, as ``family.transform`` gives them; only faces that are new are computed.

        Parameters
        ----------
        family : FaceFeatures
            The fitted family.
        X : Faces or array-like of shape (n, height, width)
            Grey faces, 0 to 255.
        compute : callable or None, default=None
            What to run instead of ``family.transform``, such as the same in parallel.

        Returns
        -------
        ndarray or csr_array of shape (n, n_features), dtype float32
        """
        faces = as_faces(X)
        compute = compute or family._numbers
        if not family.cached or len(faces) == 0 or faces.shape[1:] != getattr(family, "crop_shape_", None):
            return compute(faces)
        folder = Path(self.folder) / _key(family, faces.shape[1:], family.state)
        return rows_of(folder, face_hashes(faces), lambda rows: compute(faces[rows]))

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in Path(self.folder).rglob("*.npy"))

    def clear(self) -> None:
        """Remove everything that is kept, and nothing else that lies in the folder."""
        for place in Path(self.folder).glob("*-*"):
            if FOLDER.fullmatch(place.name):
                shutil.rmtree(place)


def _key(family: FaceFeatures, shape: tuple[int, ...], state: Sequence[str] = ()) -> str:
    """Name of a family's folder: settings, version of the code, shape of the crops, and what was learnt."""
    kind = f"{type(family).__module__}.{type(family).__qualname__}"
    settings = {name: value for name, value in family.get_params().items() if name not in RUN_ONLY}
    text = json.dumps([kind, family.version, list(shape), settings], sort_keys=True, default=repr)
    digest = blake2b(text.encode(), digest_size=12)
    for name in state:
        value = np.asarray(getattr(family, name))
        digest.update(f"{name}{value.dtype}{value.shape}".encode() + value.tobytes())
    return f"{family.family}-{digest.hexdigest()}"
