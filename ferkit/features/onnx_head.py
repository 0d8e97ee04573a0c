"""The linear head of a network, read from its ONNX file without the package ``onnx``.

An ONNX file is a protocol-buffer message. Only what a head needs is read: the nodes, and the numbers that they name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError, ModelFileError

Field = tuple[int, int | bytes]
_FLOAT = 1
"""``TensorProto.DataType.FLOAT``."""

# numbers of the fields in onnx.proto
_GRAPH, _NODE, _ARRAY = 7, 1, 5
_INPUT, _OUTPUT, _KIND, _ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_WHOLE = 1, 3
_DIMS, _DATA_TYPE, _FLOATS, _ARRAY_NAME, _RAW = 1, 2, 4, 8, 9


@dataclass
class _Node:
    kind: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    settings: dict[str, int] = field(default_factory=dict)


def read_head(data: bytes, output: str, source: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights and bias of an output that is one linear layer on another output.

    Parameters
    ----------
    data : bytes
        Content of an ONNX file.
    output : str
        Name of the output, such as ``logits``.
    source : str
        Name of what it is computed from, such as ``embedding``.

    Returns
    -------
    weights : ndarray of shape (n_inputs, n_outputs), dtype float32
    bias : ndarray of shape (n_outputs,), dtype float32
        The output is ``source @ weights + bias``.

    Raises
    ------
    InputError
        The output is not such a layer.
    ModelFileError
        The file is cut off.
    """
    try:
        graph = next(value for number, value in _fields(data) if number == _GRAPH)
        parts = list(_fields(_bytes(graph)))
        makers = {name: node for node in map(_node, _all(parts, _NODE)) for name in node.outputs}
        arrays = dict(_array(part) for part in _all(parts, _ARRAY))
    except (IndexError, StopIteration, ValueError, UnicodeDecodeError) as error:
        raise ModelFileError(f"Got a cut-off network of {len(data)} bytes ({error!r}), expected ONNX.") from error
    found = _linear(makers, arrays, output, source)
    if found is None:
        raise InputError(f"Got output={output!r}, expected one linear layer on {source!r}.")
    return found


def _linear(makers: dict[str, _Node], arrays: dict[str, Any], output: str, source: str) -> Any:
    node = makers.get(output, _Node())
    known: list[Any] = [arrays.get(name) for name in node.inputs]
    if node.kind == "Gemm" and node.inputs[0] == source and all(array is not None for array in known[1:]):
        weights = known[1].T if node.settings.get("transB") else known[1]
        return weights, known[2] if len(known) > 2 else np.zeros(weights.shape[1], np.float32)
    if node.kind == "MatMul" and node.inputs[0] == source and known[1] is not None:
        return known[1], np.zeros(known[1].shape[1], np.float32)
    if node.kind == "Add":
        for inner, bias in (node.inputs, node.inputs[::-1]):
            below = _linear(makers, arrays, inner, source) if bias in arrays else None
            if below is not None:
                return below[0], below[1] + arrays[bias]
    return None


def _node(data: bytes) -> _Node:
    node = _Node()
    for number, value in _fields(data):
        if number in (_INPUT, _OUTPUT):
            (node.inputs if number == _INPUT else node.outputs).append(_bytes(value).decode())
        elif number == _KIND:
            node.kind = _bytes(value).decode()
        elif number == _ATTRIBUTE:
            parts = dict(_fields(_bytes(value)))
            whole = parts.get(_ATTRIBUTE_WHOLE, 0)
            node.settings[_bytes(parts[_ATTRIBUTE_NAME]).decode()] = whole if isinstance(whole, int) else 0
    return node


def _array(data: bytes) -> tuple[str, NDArray[np.float32] | None]:
    """Name and numbers of an array; None for one that is not of single precision."""
    dims: list[int] = []
    name, kind, raw = "", 0, b""
    for number, value in _fields(data):
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif number == _DATA_TYPE:
            kind = int(value)
        elif number == _ARRAY_NAME:
            name = _bytes(value).decode()
        elif number in (_RAW, _FLOATS):
            raw += _bytes(value)
    if kind != _FLOAT or 4 * int(np.prod(dims)) != len(raw):
        return name, None
    return name, np.frombuffer(raw, "<f4").reshape(dims)


def _all(parts: list[Field], wanted: int) -> Iterator[bytes]:
    return (_bytes(value) for number, value in parts if number == wanted)


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number in place of a message")
    return value


def _fields(data: bytes) -> Iterator[Field]:
    """Number and value of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, at = _varint(data, at)
        if length is None or at + length > len(data):
            raise ValueError(f"field of kind {kind} at byte {at}")
        yield tag >> 3, data[at : at + length]
        at += length


def _varints(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
