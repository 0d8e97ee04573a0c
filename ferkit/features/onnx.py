"""ONNX networks named by the hash of their file: finding, keeping and running them.

A model names its networks by SHA-256 and finds the files again: at the path that the user gave, inside the package, in
the cache folder, or in the memory of this process. Every file is checked against its hash before it is used.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from hashlib import sha256 as _sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError, ModelFileError
from ferkit.files import default_folder, replacing

ASSETS = Path(__file__).resolve().parents[1] / "assets"
OWN = {"shipped": "net.onnx", "small": "small.onnx"}
"""The package's own networks by what ``init`` calls them."""

KEPT_CALLS, KEPT_ROWS = 4, 64
"""Calls whose outputs are kept for another family of the same network, and the most rows of such a call."""

_MEMORY: dict[str, bytes] = {}
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


def shipped(init: str | os.PathLike[str]) -> Path | None:
    """File of the package's own network that ``init`` names; None where it is a path."""
    return ASSETS / OWN[str(init)] if str(init) in OWN else None


def own_files() -> list[Path]:
    """Files of the package's own networks, as far as this copy has them."""
    return [path for path in (ASSETS / name for name in OWN.values()) if path.is_file()]


def cache_folder() -> Path:
    """Folder of remembered networks: ``nets`` in the default folder."""
    return default_folder() / "nets"


def remember(data: bytes, suffix: str = ".onnx") -> str:
    """Keep a network so that ``find`` meets it again.

    It is written to the cache folder; where that cannot be written, it stays in the memory of this process.

    Parameters
    ----------
    data : bytes
        Content of an ONNX file.
    suffix : str, default=".onnx"
        How the name of the kept file ends; a network's weights for training are kept as ".npz".

    Returns
    -------
    str
        SHA-256 of the content, 64 hexadecimal digits.
    """
    name = _sha256(data).hexdigest()
    try:
        path = cache_folder() / f"{name}{suffix}"
        if _verified(path, name)[0] is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(data)
        kept = _verified(path, name)[0] is not None
    except (OSError, RuntimeError):  # RuntimeError: a user without a home folder
        kept = False
    if not kept:
        _MEMORY[name] = data
    return name


def find(sha256: str, path: str | Path | None = None, suffix: str = ".onnx") -> bytes:
    """Content of the network with this hash.

    Parameters
    ----------
    sha256 : str
        Hash of the ONNX file.
    path : str, Path or None, default=None
        Where it was last seen; looked at first.
    suffix : str, default=".onnx"
        How the name of the file ends.

    Raises
    ------
    ModelFileError
        No place holds a file with this hash; the message names the places.
    """
    tried = []
    for place in _places(sha256, path, suffix):
        data, problem = _verified(place, sha256)
        if data is not None:
            return data
        tried.append(f"{place} ({problem})")
    if sha256 in _MEMORY:
        return _MEMORY[sha256]
    raise ModelFileError(
        f"Got network sha256={sha256}, expected its {suffix[1:].upper()} file in one of: {', '.join(tried)}."
    )


def _places(sha256: str, path: str | Path | None, suffix: str) -> Iterator[Path]:
    if path is not None:
        yield Path(path)
    yield from sorted(ASSETS.glob(f"*{suffix}")) or [ASSETS / f"*{suffix}"]
    try:
        yield cache_folder() / f"{sha256}{suffix}"
    except RuntimeError:  # a user without a home folder has no cache folder
        return


def _verified(path: Path, sha256: str) -> tuple[bytes | None, str]:
    """Content of the file, or None and why it is not the one with this hash."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None, "no such file"
    except OSError as error:
        return None, error.strerror or "cannot be read"
    return (data, "") if _sha256(data).hexdigest() == sha256 else (None, "another content")


class _Kept(threading.local):
    """What the last calls of one thread took and gave."""

    def __init__(self) -> None:
        self.calls: deque[tuple[NDArray[Any], dict[str, NDArray[Any]]]] = deque(maxlen=KEPT_CALLS)


class OnnxNetwork:
    """One network of pictures in, arrays out, run on the processor.

    The file is opened at first use. A pickle holds the hash and the path, never the weights.

    Parameters
    ----------
    path : str, Path or None, default=None
        ONNX file. May be missing where ``sha256`` is given and another place holds the file.
    sha256 : str or None, default=None
        Hash of the file; by default that of the file at ``path``.
    n_threads : int, default=1
        Threads that one run may use.

    Raises
    ------
    ModelFileError
        The file cannot be found or is no ONNX network.
    InputError
        Neither path nor hash is given.

    See Also
    --------
    open_network : the same, opened once and shared.
    """

    def __init__(self, path: str | Path | None = None, *, sha256: str | None = None, n_threads: int = 1) -> None:
        if path is None and sha256 is None:
            raise InputError("Got path=None and sha256=None, expected at least one.")
        self.path = None if path is None else str(path)
        self.sha256 = _hash_file(path) if sha256 is None else sha256  # type: ignore[arg-type]
        self.n_threads = n_threads
        self._session: Any = None
        self._heads: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._asked: frozenset[str] = frozenset()
        self._kept = _Kept()

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("path", "sha256", "n_threads")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"OnnxNetwork(sha256={self.sha256[:12]}, path={self.path!r})"

    @property
    def session(self) -> Any:
        """The ``onnxruntime.InferenceSession``."""
        if self._session is None:
            self._session = _session(find(self.sha256, self.path), self.n_threads, self.path or self.sha256)
        return self._session

    @property
    def input_name(self) -> str:
        """Name of the one input."""
        return str(self._input.name)

    @cached_property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of the input, the batch first; None where the graph leaves a length open."""
        return tuple(length if isinstance(length, int) and length > 0 else None for length in self._input.shape)

    @cached_property
    def _input(self) -> Any:
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            raise ModelFileError(f"Got a network with inputs={[i.name for i in inputs]}, expected one input.")
        return inputs[0]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(output.name for output in self.session.get_outputs())

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself (its metadata properties)."""
        return dict(self.session.get_modelmeta().custom_metadata_map)

    @cached_property
    def size(self) -> int | None:
        """Height and width of the faces that it was trained on, from the metadata; None where the file says nothing."""
        text = self.metadata.get("size", "")
        return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of ``logits``, from the metadata; empty where there are none."""
        return self.labels_of("logits")

    def labels_of(self, output: str) -> tuple[str, ...]:
        """Names of the columns of an output, from the metadata; empty where there are none."""
        key = "labels" if output == "logits" else "heads"
        text = self.metadata.get(key, "[]" if key == "labels" else "{}")
        try:
            labels = json.loads(text) if key == "labels" else json.loads(text).get(output, [])
        except (ValueError, AttributeError) as error:
            raise ModelFileError(f"Got network metadata {key}={text!r}, expected a JSON list of names.") from error
        if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
            raise ModelFileError(f"Got network metadata {key}={text!r}, expected a JSON list of names.")
        return tuple(labels)

    def head(self, output: str, source: str = "embedding") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights (n_inputs, n_outputs) and bias (n_outputs,) of an output that is one linear layer on another.

        Raises
        ------
        InputError
            It is not such a layer.
        """
        from ferkit.features.onnx_head import read_head

        if output not in self._heads:
            self._heads[output] = read_head(find(self.sha256, self.path), output, source)
        return self._heads[output]

    def output_name(self, output: str | int) -> str:
        """Name of an output given by name or position."""
        names = self.outputs
        if isinstance(output, str) and output in names:
            return output
        if isinstance(output, int) and -len(names) <= output < len(names):
            return names[output]
        raise InputError(f"Got output={output!r}, expected one of {list(names)} or its position.")

    def run(
        self, batch: NDArray[Any], outputs: Sequence[str] | None = None, batch_size: int = 256
    ) -> dict[str, NDArray[Any]]:
        """Outputs for any number of rows.

        Parameters
        ----------
        batch : ndarray of shape (n, ...)
            Rows as the graph takes them; ferkit's own networks take (n, h, w, 1), grey, 0 to 255.
        outputs : sequence of str or None, default=None
            Names of the outputs; by default all.
        batch_size : int, default=256
            Rows run at once; a graph with a fixed batch is run with that.

        Returns
        -------
        dict of str to ndarray of shape (n, ...)
            Raises InputError where the rows do not have the graph's shape.
        """
        self._check(batch)
        names = list(self.outputs if outputs is None else outputs)
        rows = np.asarray(batch, dtype=_DTYPES.get(self._input.type, np.float32))
        step = self.input_shape[0] or batch_size
        parts = [self._run_once(rows[i : i + step], names) for i in range(0, max(len(rows), 1), step)]
        return {
            name: np.concatenate(part)[: len(rows)] for name, part in zip(names, zip(*parts, strict=True), strict=True)
        }

    def _run_once(self, rows: NDArray[Any], names: list[str]) -> list[NDArray[Any]]:
        """One call, or what the last calls in this thread gave for the same few rows.

        Two families of one network, such as its map and its logits, then cost one run of a face.
        """
        self._asked |= frozenset(names)
        if len(self._asked) == 1 or len(rows) > KEPT_ROWS:
            return self._called(rows, names)
        for known, results in self._kept.calls:
            if results.keys() >= set(names) and np.array_equal(known, rows):
                return [results[name] for name in names]
        results = dict(zip(asked := sorted(self._asked), self._called(rows, asked), strict=True))
        self._kept.calls.append((rows.copy(), results))
        return [results[name] for name in names]

    def _called(self, rows: NDArray[Any], names: list[str]) -> list[NDArray[Any]]:
        """One run of the graph; rows of zeros fill up an empty batch and the batch that a graph insists on."""
        missing = (self.input_shape[0] or 1) - len(rows)
        if missing > 0:
            rows = np.concatenate([rows, np.zeros((missing, *rows.shape[1:]), rows.dtype)])
        try:
            result: list[NDArray[Any]] = self.session.run(names, {self.input_name: rows})
        except Exception as error:  # onnxruntime's own errors share no narrower base
            raise InputError(f"Got a batch of shape {rows.shape} that the network cannot run: {error}.") from error
        return result

    def _check(self, batch: NDArray[Any]) -> None:
        expected = self.input_shape
        fits = batch.ndim == len(expected) and all(
            want in (None, got) for want, got in zip(expected[1:], batch.shape[1:], strict=True)
        )
        if not fits:
            raise InputError(f"Got a batch of shape {batch.shape}, expected {('n', *expected[1:])}.")


@lru_cache(maxsize=8)
def open_network(sha256: str, path: str | None = None, n_threads: int = 1) -> OnnxNetwork:
    """The network with this hash, opened once in this process and shared by everything that runs it."""
    return OnnxNetwork(path, sha256=sha256, n_threads=n_threads)


def _hash_file(path: str | Path) -> str:
    try:
        return _sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(f"Got network path={str(path)!r} ({error.strerror}), expected an ONNX file.") from error


def _session(data: bytes, n_threads: int, name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its errors are raised, not printed
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no narrower base
        raise ModelFileError(
            f"Got network {name!r} ({error}), expected an ONNX file that onnxruntime opens."
        ) from error
