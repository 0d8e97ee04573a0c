"""Weights of a network as one plain ``.npz`` file: no pickle, no TensorFlow."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.files import write_whole
from ferkit.nets.build import STRIDES, WIDTHS, build

CONFIG = "config"
SEEN = "seen"


@dataclass(frozen=True)
class Weights:
    """A network without a framework: what to build and the numbers to put in.

    Parameters
    ----------
    labels : tuple of str
        Label of each column of ``logits``.
    arrays : dict of str to ndarray
        By Keras path, ``layer/variable``, float32.
    widths, strides : tuple of int
    gates : bool, default=True
        See `build`.
    input_size : int, default=48
        Height and width of the faces that it was trained on, in pixels.
    seen : ndarray of uint64, default=empty
        Content hashes (`ferkit.records.seen_hashes`) of the faces that the network was trained on.
    heads : dict of str to tuple of str, default={}
        Labels of the columns of each further output on the embedding.
    """

    labels: tuple[str, ...]
    arrays: dict[str, NDArray[np.float32]]
    widths: tuple[int, ...] = WIDTHS
    strides: tuple[int, ...] = STRIDES
    input_size: int = 48
    seen: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    heads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    gates: bool = True

    @property
    def config(self) -> dict[str, Any]:
        """Everything but the arrays, as plain JSON values."""
        return {name: getattr(self, name) for name in ("labels", "widths", "strides", "gates", "input_size", "heads")}

    def model(self, **options: Any) -> Any:
        """Keras model that holds these weights; ``options`` go to `build`."""
        shape: dict[str, Any] = {name: getattr(self, name) for name in ("widths", "strides", "gates", "input_size")}
        model = build(len(self.labels), **shape | options)
        put_arrays(model, self.arrays)
        return model


def take_arrays(model: Any) -> dict[str, NDArray[np.float32]]:
    """Weights of a Keras model by path, extra heads included."""
    return {v.path: v.numpy().astype(np.float32) for v in model.variables if "seed_generator" not in v.path}


def put_arrays(model: Any, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Set the weights of a Keras model by path. Arrays of heads that the model lacks are left out.

    Raises
    ------
    InputError
        If an array is missing or has another shape.
    """
    for variable in model.variables:
        if "seed_generator" in variable.path:
            continue
        variable.assign(array_at(arrays, variable.path, tuple(variable.shape)))


def array_at(arrays: Mapping[str, NDArray[np.float32]], path: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The array of a path.

    Raises
    ------
    InputError
        If it is missing or has another shape.
    """
    array = arrays.get(path)
    if array is None or array.shape != shape:
        got = "nothing" if array is None else f"shape {array.shape}"
        raise InputError(f"Got {got} for the weight {path!r}, expected shape {shape}.")
    return array


def dump_weights(weights: Weights, half: bool = False) -> bytes:
    """The ``.npz`` file as bytes; the same weights give the same bytes.

    Parameters
    ----------
    weights : Weights
    half : bool, default=False
        Keep kernels in 16 bits, half the size; everything else stays in 32.
    """
    config = np.array(json.dumps(weights.config, sort_keys=True))
    arrays = {name: a.astype(np.float16) if half and a.ndim > 1 else a for name, a in weights.arrays.items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{CONFIG: config, SEEN: weights.seen}, **arrays)
    return buffer.getvalue()


def save_weights(weights: Weights, path: str | os.PathLike[str], half: bool = False) -> None:
    """Write the ``.npz`` file, see `dump_weights`; where that fails, what stood at the path before stays."""
    write_whole(path, dump_weights(weights, half))


def load_weights(source: str | os.PathLike[str] | bytes) -> Weights:
    """Read a file that `save_weights` wrote, or its bytes.

    Raises
    ------
    InputError
        If it is not such a file.
    """
    name = "weights" if isinstance(source, bytes) else os.fspath(source)
    try:
        arrays = read_arrays(source if isinstance(source, bytes) else Path(source).read_bytes())
        config = json.loads(str(arrays.pop(CONFIG)))
        seen = arrays.pop(SEEN)
        arrays = {key: a.astype(np.float32) if a.dtype == np.float16 else a for key, a in arrays.items()}
        config = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
        config["heads"] = {name: tuple(labels) for name, labels in config.get("heads", {}).items()}
        return Weights(arrays=arrays, seen=seen, **config)
    except UNREADABLE as error:
        raise InputError(f"Got weights={name!r}, expected an .npz file of ferkit's network ({error}).") from error


UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)
"""What reading a file that is cut off, or is something else, may raise."""


def read_arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """All arrays of an ``.npz`` file; pickled ones are refused."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


LAYERS = {
    "c": "stem_conv", "n": "stem_norm", "c1": "conv1", "n1": "norm1", "c2": "conv2", "n2": "norm2",
    "se.a": "squeeze", "se.b": "excite", "cs": "shortcut_conv", "ns": "shortcut_norm",
}  # fmt: skip
"""Keras layer (within its block) for each PyTorch module of ``tools/train_torch.py``."""

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def from_torch(
    state: Mapping[str, Any], heads: tuple[str, ...] = ("logits", "votes")
) -> dict[str, NDArray[np.float32]]:
    """Arrays by Keras path from the state dict of ``tools/train_torch.py``.

    Parameters
    ----------
    state : mapping of str to tensor or ndarray
        State dict.
    heads : tuple of str
        Keras name of each head, in order.

    Returns
    -------
    dict of str to ndarray, dtype float32
        Convolutions turned from (out, in, h, w) to (h, w, in, out), dense layers from (out, in) to (in, out).
    """
    arrays = {}
    for key, value in state.items():
        module, _, name = key.rpartition(".")
        if name == "num_batches_tracked":
            continue
        array = np.asarray(value, np.float32)
        if array.ndim == 4:
            array, name = array.transpose(2, 3, 1, 0), "kernel"
        elif array.ndim == 2:
            array, name = array.T, "kernel"
        elif f"{module}.running_mean" in state:
            name = NORM[name]
        arrays[f"{_layer(module, heads)}/{name}"] = np.ascontiguousarray(array)
    return arrays


def _layer(module: str, heads: tuple[str, ...]) -> str:
    kind, _, rest = module.partition(".")
    try:
        if kind == "heads":
            return heads[int(rest)]
        if kind == "blocks":
            number, _, inner = rest.partition(".")
            return f"block{int(number) + 1}_{LAYERS[inner]}"
        return LAYERS[module]
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"Got the PyTorch module {module!r}, expected one of ferkit's network.") from error
