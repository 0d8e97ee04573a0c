"""Weights that a training starts from."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ferkit.errors import InputError
from ferkit.features.onnx import shipped
from ferkit.labels import canonical
from ferkit.nets.build import build
from ferkit.nets.weights import Weights, load_weights, take_arrays

HEAD = ("logits/kernel", "logits/bias")


def initial(init: str | os.PathLike[str]) -> Weights:
    """Weights of one of the package's own networks (``'shipped'``, ``'small'``) or of a file."""
    own = shipped(init)
    path = own or Path(init)
    path = path.with_suffix(".npz") if path.suffix == ".onnx" else path
    if own is not None and not path.is_file():
        raise InputError(f"Got init={init!r}, expected the package's weights at {path}, which this copy lacks.")
    return load_weights(path)


def fresh(shape: Weights, seed: int) -> Weights:
    """New weights for the labels, widths, strides and further heads of ``shape``."""
    heads = {name: len(labels) for name, labels in shape.heads.items()}
    model = build(
        len(shape.labels),
        widths=shape.widths,
        strides=shape.strides,
        gates=shape.gates,
        input_size=shape.input_size,
        extra_heads=heads,
        seed=seed,
    )
    return replace(shape, arrays=take_arrays(model))


def changed_head(start: Weights, labels: tuple[str, ...], seed: int) -> Weights:
    """The same trunk with one head for ``labels``: columns of labels that both have are kept, others are new."""
    new = fresh(replace(start, labels=labels, heads={}), seed)
    known = {canonical(label): column for column, label in enumerate(start.labels)}
    arrays = {name: start.arrays.get(name, array) for name, array in new.arrays.items()}
    for name in HEAD:
        head = new.arrays[name].copy()
        for column, label in enumerate(labels):
            if label in known:
                head[..., column] = start.arrays[name][..., known[label]]
        arrays[name] = head
    return replace(new, arrays=arrays)
