"""How accuracy falls when faces are darkened, blurred, turned, covered ...: every change at every strength."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, InputError
from ferkit.evaluate.bootstrap import careful, quantiles, resampled
from ferkit.evaluate.kinds import KINDS, STRENGTHS, stressed
from ferkit.faces.light import relit
from ferkit.files import write_whole
from ferkit.records import Faces, face_hashes

Array = NDArray[Any]
CHUNK = 256
VERSION = 1


@dataclass(frozen=True, eq=False)
class Stress:
    """Answers under stress.

    Attributes
    ----------
    clean : ndarray of shape (n,), dtype bool
        Whether the model was right on each face as it is.
    right : ndarray of shape (n_kinds, 5, n), dtype bool
        Whether it was right under each change and strength, weak to strong.
    groups : ndarray of shape (n,) or None
        Rows that are drawn together for intervals.
    seed : int
    """

    clean: Array
    right: Array
    groups: Array | None = None
    seed: int = 0

    @property
    def accuracy(self) -> Array:
        """Accuracy by kind and strength, shape (n_kinds, 5)."""
        return np.asarray(self.right.mean(axis=2))

    @property
    def relative(self) -> float:
        """Mean accuracy over all kinds and strengths, divided by the accuracy on the faces as they are."""
        return float(self.accuracy.mean() / self.clean.mean()) if self.clean.any() else float("nan")

    def record(self) -> dict[str, Any]:
        """Numbers for JSON: ``clean``, ``mean``, ``relative`` with its 95 % interval, ``kinds``."""
        accuracy = self.accuracy
        clean = float(self.clean.mean())
        kinds = {
            kind.name: {
                "unit": kind.unit,
                "levels": list(kind.levels),
                "accuracy": accuracy[i].tolist(),
                "mean": float(accuracy[i].mean()),
                "relative": float(accuracy[i].mean() / clean) if clean else None,
            }
            for i, kind in enumerate(KINDS)
        }
        return {
            "n": len(self.clean),
            "seed": self.seed,
            "clean": clean,
            "mean": float(accuracy.mean()),
            "relative": self.relative,
            "relative_ci": list(self._interval()),
            "kinds": kinds,
        }

    def _interval(self) -> tuple[float, float]:
        """Bootstrap over faces: the same draw for clean and changed ones."""
        each = self.right.mean(axis=(0, 1))

        def interval(groups: Any) -> tuple[float, float]:
            ratios = []
            for weights in resampled(len(each), groups, self.seed):
                clean = weights @ self.clean
                ratios.append(np.divide(weights @ each, clean, out=np.full(len(clean), np.nan), where=clean > 0))
            return quantiles(np.concatenate(ratios))

        ends: tuple[float, float] = careful(interval, self.groups)
        return ends


def stress(
    model: Any,
    faces: Faces,
    y_true: Any,
    *,
    groups: Any = None,
    light: str = "none",
    seed: int = 0,
    jobs: int | None = None,
    keep: str | Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Stress:
    """Answers of a model for changed faces.

    The crops are changed, as they are before light normalisation; whether a face would still be found is not tested.

    Parameters
    ----------
    model : Model
        What ``store.load`` gives.
    faces : Faces
        Crops before light normalisation.
    y_true : array-like of shape (n,), str
        Labels.
    groups : array-like of shape (n,) or None, default=None
        Rows that are drawn together for intervals.
    light : {"none", "equalise", "clahe"}, default="none"
        The model's light normalisation, done after the change.
    seed : int, default=0
        For noise and directions.
    jobs : int or None, default=None
        Threads; None for one a core that is free to this process.
    keep : path or None, default=None
        File of JSON lines to which each result is added when it is there. Results that it holds already, of the same
        model, faces, labels, and seed, are not computed again.
    progress : callable or None, default=None
        Called with the number of results (of 71) done since the last call.

    References
    ----------
    Hendrycks, Dietterich: Benchmarking neural network robustness to common corruptions and perturbations (2019), for
    the kinds and the five strengths.

    Examples
    --------
    >>> from ferkit import load, load_dataset
    >>> data = load_dataset("sample", split="PublicTest")
    >>> result = stress(load("fast"), Faces(data.pictures[:4]), data.labels[:4], jobs=1)
    >>> result.accuracy.shape
    (14, 5)
    """
    y_true = np.asarray([str(label) for label in y_true], dtype=object)
    if len(y_true) != len(faces) or len(faces) == 0:
        raise InputError(f"Got {len(faces)} faces and {len(y_true)} labels, expected 1 or more of each.")
    cells = [("clean", 0), *((kind.name, strength) for kind in KINDS for strength in range(1, STRENGTHS + 1))]
    log = _Log(keep, _key(model, faces, y_true, light, seed), len(faces))
    tell = progress or (lambda n: None)
    tell(sum(cell in log.done for cell in cells))
    answer = partial(_right, model, faces, y_true, light, seed)
    for cell, right in _in_threads(answer, [cell for cell in cells if cell not in log.done], jobs):
        log.add(cell, right)
        tell(1)
    rows = [log.done[cell] for cell in cells]
    return Stress(rows[0], np.stack(rows[1:]).reshape(len(KINDS), STRENGTHS, len(faces)), groups, seed)


def _in_threads(
    answer: Callable[[tuple[str, int]], Array], cells: list[tuple[str, int]], jobs: int | None
) -> Iterator[tuple[tuple[str, int], Array]]:
    """Results as they come; threads, because the work is in libraries that let others run."""
    from joblib import cpu_count
    from threadpoolctl import threadpool_limits

    threads = jobs if jobs and jobs > 0 else cpu_count()
    if threads == 1:
        yield from ((cell, answer(cell)) for cell in cells)
        return
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        waiting = {pool.submit(answer, cell): cell for cell in cells}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _right(model: Any, faces: Faces, y_true: Array, light: str, seed: int, cell: tuple[str, int]) -> Array:
    """Whether the model is right on each face after one change, some faces at a time."""
    kind, strength = cell
    labels = np.array(model.labels, dtype=object)
    right = np.empty(len(faces), bool)
    for number, start in enumerate(range(0, len(faces), CHUNK)):
        rows = slice(start, start + CHUNK)
        some = faces[rows] if kind == "clean" else stressed(faces[rows], kind, strength, seed + 7919 * number)
        proba = model.predict_proba(relit(some, light))
        right[rows] = labels[proba.argmax(axis=1)] == y_true[rows]
    return right


def _key(model: Any, faces: Faces, y_true: Array, light: str, seed: int) -> str:
    """What results depend on."""
    text = blake2b(digest_size=16)
    path = Path(model.path)
    text.update(path.read_bytes() if path.is_file() else json.dumps(model.manifest, default=str).encode())
    text.update(face_hashes(faces.crops).tobytes())
    text.update("\n".join(y_true).encode("utf-8", "surrogateescape"))
    text.update(json.dumps([VERSION, light, seed, CHUNK, [(kind.name, kind.levels) for kind in KINDS]]).encode())
    return text.hexdigest()


class _Log:
    """Results by cell, each written as a line when it is there.

    Parameters
    ----------
    path : path or None
        File; None keeps nothing.
    key : str
        Lines of another key are of other results: the file is then begun anew.
    n : int
        Faces.
    """

    def __init__(self, path: str | Path | None, key: str, n: int) -> None:
        self.path, self.key, self.n = None if path is None else Path(path), key, n
        self.done: dict[tuple[str, int], Array] = {}
        if self.path is not None and self.path.exists():
            self._read(self.path)
        if self.path is not None:
            # written again as a whole, so that no line that was cut off stays in its middle
            write_whole(self.path, "".join(self._line(cell, right) for cell, right in self.done.items()))

    def add(self, cell: tuple[str, int], right: Array) -> None:
        self.done[cell] = right
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self._line(cell, right))
        except OSError as error:
            raise DataError(f"Got {self.path} that cannot be written ({error}), expected a place with room.") from error

    def _line(self, cell: tuple[str, int], right: Array) -> str:
        row = {"kind": cell[0], "strength": cell[1], "accuracy": float(right.mean()), "key": self.key}
        return json.dumps(row | {"right": np.packbits(right).tobytes().hex()}) + "\n"

    def _read(self, path: Path) -> None:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                if row["key"] == self.key:
                    bits = np.frombuffer(bytes.fromhex(row["right"]), np.uint8)
                    self.done[row["kind"], row["strength"]] = np.unpackbits(bits, count=self.n).astype(bool)
            except (ValueError, KeyError, TypeError):
                continue  # cut off when the process was killed: it is computed again
