"""Computed features on disk, kept by the content of each face."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ferkit.features.base import FaceFeatures
from ferkit.files import replacing
from ferkit.records import Faces, as_faces, face_hashes

HASHES = ".hashes.npy"
ROWS = 1024
"""Rows copied at a time."""
PARTS = ("data", "indices", "indptr", "shape")
FOLDER = re.compile(r"\w+-[0-9a-f]{24}(-learnt-[0-9a-f]{32})?")
RUN_ONLY = ("n_jobs", "n_threads", "batch_size")
"""Parameters that change how a family runs, and not its numbers."""
BAD = (OSError, ValueError, TypeError, EOFError)
"""What reading a file that is cut off, overwritten or gone can raise."""


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
        learnt = _read_state(folder, family.state)
        if learnt is None:
            family.fit(faces, y)
            state = {name: getattr(family, name) for name in family.state}
            # Another value, such as the hash of a network's file, tells what a fit found: that may change.
            if all(isinstance(value, np.ndarray) for value in state.values()):
                _keep({folder / f"{name}.npy": value for name, value in state.items()})
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
        compute = compute or family.transform
        if not family.cached or len(faces) == 0 or faces.shape[1:] != getattr(family, "crop_shape_", None):
            return compute(faces)
        folder = Path(self.folder) / _key(family, faces.shape[1:], family.state)
        wanted, first, places = np.unique(face_hashes(faces), return_index=True, return_inverse=True)
        blocks, block_of, row_of = _find(folder, wanted)
        new = np.flatnonzero(block_of < 0)
        if len(new):
            rows = compute(faces[first[new]])
            _append(folder, wanted[new], rows)
            block_of[new], row_of[new] = len(blocks), np.arange(len(new))
            blocks.append(rows)
        return _gather(blocks, block_of[places], row_of[places])

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in Path(self.folder).rglob("*.npy"))

    def clear(self) -> None:
        """Remove everything that is kept, and nothing else that lies in the folder."""
        for kept in Path(self.folder).glob("*-*"):
            if FOLDER.fullmatch(kept.name):
                shutil.rmtree(kept)


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


def _find(folder: Path, wanted: NDArray[np.uint64]) -> tuple[list[Any], NDArray[np.intp], NDArray[np.intp]]:
    """Blocks that hold wanted rows; for each row the block (-1 where there is none) and the row in it."""
    blocks: list[Any] = []
    block_of, row_of = np.full(len(wanted), -1, np.intp), np.zeros(len(wanted), np.intp)
    for hashes, matrix in _blocks(folder):
        order = np.argsort(hashes)
        at = np.searchsorted(hashes, wanted, sorter=order).clip(max=len(hashes) - 1)
        hit = (hashes[order[at]] == wanted) & (block_of < 0)
        if hit.any():
            block_of[hit], row_of[hit] = len(blocks), order[at[hit]]
            blocks.append(matrix)
        if (block_of >= 0).all():
            break
    return blocks, block_of, row_of


def _blocks(folder: Path) -> Iterator[tuple[NDArray[np.uint64], Any]]:
    """Hashes and rows of each sound block; a block that is cut off counts as not there."""
    for path in sorted(folder.glob(f"*{HASHES}")):
        try:
            hashes = np.load(path, allow_pickle=False)
            matrix = _read_block(folder / path.name.removesuffix(HASHES))
        except BAD:
            continue
        if hashes.dtype == np.uint64 and hashes.ndim == 1 and 0 < len(hashes) == matrix.shape[0]:
            yield hashes, matrix


def _read_block(stem: Path) -> Any:
    if stem.with_name(f"{stem.name}.npy").exists():
        matrix = np.load(stem.with_name(f"{stem.name}.npy"), mmap_mode="r", allow_pickle=False)
        if matrix.ndim != 2 or matrix.dtype != np.float32:
            raise ValueError("not a block of rows")
        return matrix
    data, indices, indptr, shape = (
        np.load(stem.with_name(f"{stem.name}.{part}.npy"), mmap_mode="r", allow_pickle=False) for part in PARTS
    )
    if data.dtype != np.float32:
        raise ValueError("not a block of rows")
    matrix = sparse.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
    matrix.check_format(full_check=True)
    return matrix


def _append(folder: Path, hashes: NDArray[np.uint64], rows: Any) -> None:
    """Keep rows as a block. The hashes come last: without them the block does not exist."""
    name = blake2b(hashes.tobytes(), digest_size=12).hexdigest()
    if sparse.issparse(rows):
        parts = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr, "shape": np.array(rows.shape)}
        files = {folder / f"{name}.{part}.npy": parts[part] for part in PARTS}
    else:
        files = {folder / f"{name}.npy": rows}
    _keep(files | {folder / f"{name}{HASHES}": hashes})


def _keep(files: Mapping[Path, NDArray[Any]]) -> None:
    """Write arrays in order. A full disk costs the cache, not the work."""
    try:
        for path, array in files.items():
            _write(path, array)
    except OSError as error:
        warnings.warn(f"The feature cache could not be written: {error}", RuntimeWarning, stacklevel=3)


def _write(path: Path, array: NDArray[Any]) -> None:
    """Write beside the place and move there, so that a reader or a kill never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.save(file, array, allow_pickle=False)


def _read_state(folder: Path, names: Sequence[str]) -> dict[str, NDArray[Any]] | None:
    try:
        return {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in names}
    except BAD:
        return None


def _gather(blocks: Sequence[Any], block_of: NDArray[np.intp], row_of: NDArray[np.intp]) -> Any:
    """Rows from their blocks, in order."""
    if any(sparse.issparse(block) for block in blocks):
        order = np.argsort(block_of, kind="stable")
        parts = [block[row_of[order[block_of[order] == i]]] for i, block in enumerate(blocks)]
        return sparse.csr_array(sparse.vstack(parts, format="csr")[np.argsort(order)])
    out = np.empty((len(block_of), blocks[0].shape[1]), np.float32)
    for i, block in enumerate(blocks):
        rows = np.flatnonzero(block_of == i)
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            out[some] = block[row_of[some]]
    return out
