"""Rows of numbers on disk, each found again by a hash of what it was computed from.

A folder holds blocks: the rows of one computation, dense or sparse, and their hashes, so that any selection finds its
rows. All files are plain ``.npy`` arrays; nothing in them is ever executed. Several processes may share a folder.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from ferkit.files import replacing

HASHES = ".hashes.npy"
ROWS = 1024
"""Rows copied at a time."""
PARTS = ("data", "indices", "indptr", "shape")
BAD = (OSError, ValueError, TypeError, EOFError)
"""What reading a file that is cut off, overwritten or gone can raise."""


def rows_of(
    folder: Path, hashes: NDArray[np.uint64], compute: Callable[[NDArray[np.intp]], Any], dtype: DTypeLike = np.float32
) -> Any:
    """Rows of all hashes; those that are not in the folder are computed and become a new block.

    Parameters
    ----------
    folder : Path
        Made at the first use.
    hashes : ndarray of shape (n,), dtype uint64
        What tells rows apart, n at least 1.
    compute : callable
        Takes places in ``hashes``, shape (m,), and gives their rows, (m, n_columns).
    dtype : dtype, default=float32
        Of the rows; blocks of another one count as not there.

    Returns
    -------
    ndarray or csr_array of shape (n, n_columns)

    Examples
    --------
    >>> import tempfile
    >>> folder, hashes = Path(tempfile.mkdtemp()), np.array([7, 9, 7], np.uint64)
    >>> first = rows_of(folder, hashes, lambda places: hashes[places, None].astype(np.float32))
    >>> again = rows_of(folder, hashes[::-1], lambda places: None)
    >>> again.ravel().tolist()
    [7.0, 9.0, 7.0]
    """
    wanted, first, places = np.unique(hashes, return_index=True, return_inverse=True)
    blocks, block_of, row_of = _find(folder, wanted, np.dtype(dtype))
    new = np.flatnonzero(block_of < 0)
    if len(new):
        rows = compute(first[new])
        _append(folder, wanted[new], rows)
        block_of[new], row_of[new] = len(blocks), np.arange(len(new))
        blocks.append(rows)
    return _gather(blocks, block_of[places], row_of[places])


def keep(files: Mapping[Path, NDArray[Any]]) -> None:
    """Write arrays in order. A full disk costs the cache, not the work."""
    try:
        for path, array in files.items():
            _write(path, array)
    except OSError as error:
        warnings.warn(f"The cache could not be written: {error}", RuntimeWarning, stacklevel=4)


def kept(folder: Path, names: Sequence[str]) -> dict[str, NDArray[Any]] | None:
    """Arrays of a folder by their names; None where one is missing or damaged."""
    try:
        return {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in names}
    except BAD:
        return None


def _find(
    folder: Path, wanted: NDArray[np.uint64], dtype: np.dtype[Any]
) -> tuple[list[Any], NDArray[np.intp], NDArray[np.intp]]:
    """Blocks that hold wanted rows; for each row the block (-1 where there is none) and the row in it."""
    blocks: list[Any] = []
    block_of, row_of = np.full(len(wanted), -1, np.intp), np.zeros(len(wanted), np.intp)
    likely = f"{_name(wanted)}{HASHES}"
    for path in sorted(folder.glob(f"*{HASHES}"), key=lambda path: (path.name != likely, path)):
        try:
            hashes = _read_hashes(path)
            order = np.argsort(hashes)
            at = np.searchsorted(hashes, wanted, sorter=order).clip(max=len(hashes) - 1)
            hit = (hashes[order[at]] == wanted) & (block_of < 0)
            if not hit.any():
                continue
            matrix = _read_block(folder / path.name.removesuffix(HASHES), dtype, len(hashes))
        except BAD:  # a block that is cut off counts as not there
            continue
        block_of[hit], row_of[hit] = len(blocks), order[at[hit]]
        blocks.append(matrix)
        if (block_of >= 0).all():
            break
    return blocks, block_of, row_of


def _read_hashes(path: Path) -> NDArray[np.uint64]:
    hashes = np.load(path, allow_pickle=False)
    if hashes.dtype != np.uint64 or hashes.ndim != 1 or len(hashes) == 0:
        raise ValueError("not the hashes of a block")
    return np.asarray(hashes)


def _read_block(stem: Path, dtype: np.dtype[Any], length: int) -> Any:
    if stem.with_name(f"{stem.name}.npy").exists():
        matrix = np.load(stem.with_name(f"{stem.name}.npy"), mmap_mode="r", allow_pickle=False)
        if matrix.ndim != 2 or matrix.dtype != dtype or len(matrix) != length:
            raise ValueError("not a block of rows")
        return matrix
    data, indices, indptr, shape = (
        np.load(stem.with_name(f"{stem.name}.{part}.npy"), mmap_mode="r", allow_pickle=False) for part in PARTS
    )
    if data.dtype != dtype or len(indptr) != length + 1:
        raise ValueError("not a block of rows")
    matrix = sparse.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
    matrix.check_format(full_check=True)
    return matrix


def _name(hashes: NDArray[np.uint64]) -> str:
    """File name of a block, the same for the same rows."""
    return blake2b(hashes.tobytes(), digest_size=12).hexdigest()


def _append(folder: Path, hashes: NDArray[np.uint64], rows: Any) -> None:
    """Keep rows as a block. The hashes come last: without them the block does not exist."""
    name = _name(hashes)
    if sparse.issparse(rows):
        parts = {"data": rows.data, "indices": rows.indices, "indptr": rows.indptr, "shape": np.array(rows.shape)}
        files = {folder / f"{name}.{part}.npy": parts[part] for part in PARTS}
    else:
        files = {folder / f"{name}.npy": rows}
    keep(files | {folder / f"{name}{HASHES}": hashes})


def _write(path: Path, array: NDArray[Any]) -> None:
    """Write beside the place and move there, so that a reader or a kill never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        np.save(file, array, allow_pickle=False)


def _gather(blocks: Sequence[Any], block_of: NDArray[np.intp], row_of: NDArray[np.intp]) -> Any:
    """Rows from their blocks, in order."""
    if any(sparse.issparse(block) for block in blocks):
        order = np.argsort(block_of, kind="stable")
        parts = [block[row_of[order[block_of[order] == i]]] for i, block in enumerate(blocks)]
        return sparse.csr_array(sparse.vstack(parts, format="csr")[np.argsort(order)])
    out = np.empty((len(block_of), blocks[0].shape[1]), blocks[0].dtype)
    for i, block in enumerate(blocks):
        rows = np.flatnonzero(block_of == i)
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            out[some] = block[row_of[some]]
    return out
