"""Network to ONNX, with a check that both give the same numbers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

import ferkit
from ferkit.errors import FerkitError, missing
from ferkit.nets.backend import keras as load_keras
from ferkit.nets.weights import Weights

OUTPUTS = ("logits", "embedding", "map")
AXES = {"faces": ("n", "height", "width"), "map": ("n", "rows", "columns")}
OPSET = 17
TOLERANCE = 1e-4


def to_onnx(weights: Weights, note: str = "") -> bytes:
    """ONNX file of a network.

    Parameters
    ----------
    weights : Weights
        The network, with the further heads that ``weights.heads`` names.
    note : str, default=''
        Licence note, kept in the file's metadata.

    Returns
    -------
    bytes
        Input ``faces`` (n, height, width, 1) float32, 0 to 255; outputs ``logits`` (n, classes), ``embedding`` (n, c),
        ``map`` (n, h, w, c) and one of each head. Metadata: ``labels`` (JSON list), ``heads`` (JSON, lists by name),
        ``size`` of the faces that it was trained on, ``ferkit`` (version), ``licence``. Faces may have any size that
        can be halved as often as the network does.

    Raises
    ------
    FerkitError
        If ONNX and Keras differ by more than 1e-4 of an output's largest number.
    """
    load_keras()
    heads = {name: len(labels) for name, labels in weights.heads.items()}
    model = weights.model(input_size=None, dropout=0.0, extra_heads=heads)
    outputs = (*OUTPUTS, *weights.heads)
    faces = _probe(weights.input_size)
    expected = model(faces, training=False)
    data = _convert(model, weights, outputs, note)
    _compare(data, faces, {name: expected[name].numpy() for name in outputs})
    return data


def _convert(model: Any, weights: Weights, outputs: Sequence[str], note: str) -> bytes:
    import tensorflow as tf

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the converter's own old NumPy names
            import onnx
            import tf2onnx

            signature = [tf.TensorSpec((None, None, None, 1), tf.float32, name="faces")]

            @tf.function(input_signature=signature)
            def run(faces: Any) -> dict[str, Any]:
                found = model(faces, training=False)
                return {name: found[name] for name in outputs}

            proto, _ = tf2onnx.convert.from_function(run, input_signature=signature, opset=OPSET)
    except ImportError as error:
        raise missing(error.name or "tf2onnx", "train") from error
    _tidy(proto.graph, outputs)
    _join_pools(proto.graph)
    labels, heads = json.dumps(list(weights.labels)), json.dumps({k: list(v) for k, v in weights.heads.items()})
    size = str(weights.input_size)
    about = {"labels": labels, "heads": heads, "size": size, "ferkit": ferkit.__version__, "licence": note}
    onnx.helper.set_model_props(proto, about)
    return proto.SerializeToString(deterministic=True)


def _tidy(graph: Any, outputs: Sequence[str]) -> None:
    """Fixed order and plain names, so that the same weights give the same bytes: the converter's differ by run."""
    graph.name, graph.doc_string = "ferkit", ""
    nodes = _in_order(graph, outputs)
    arrays = {array.name: array for array in graph.initializer}
    used = list(dict.fromkeys(name for node in nodes for name in node.input if name in arrays))
    names = {array: f"array{i}" for i, array in enumerate(used)}
    for i, node in enumerate(nodes):
        for k, name in enumerate(node.output):
            names[name] = name if name in outputs else f"value{i}_{k}"
    for i, node in enumerate(nodes):
        node.name = f"node{i}"
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for old in used:
        arrays[old].name = names[old]
    ports = {port.name: port for port in graph.output}
    _replace(graph.node, nodes)
    _replace(graph.initializer, [arrays[name] for name in used])
    _replace(graph.output, [ports[name] for name in outputs])
    _replace(graph.value_info, [])
    for port in (*graph.input, *graph.output):
        for axis, length in zip(AXES.get(port.name, ("n",)), port.type.tensor_type.shape.dim, strict=False):
            length.dim_param = axis


def _join_pools(graph: Any) -> None:
    """Means over 2 x 2 places, each before a convolution of one place, as one convolution: the same, and faster."""
    from onnx.helper import make_attribute
    from onnx.numpy_helper import from_array, to_array

    arrays = {array.name: array for array in graph.initializer}
    readers = {name: node for node in graph.node for name in node.input}
    for pool in [node for node in graph.node if node.op_type == "AveragePool"]:
        conv = readers[pool.output[0]]
        if conv.op_type != "Conv" or conv.input[1] not in arrays:
            continue
        kernel = to_array(arrays[conv.input[1]])
        spread = np.broadcast_to(kernel / 4, (*kernel.shape[:2], 2, 2))
        arrays[conv.input[1]].CopyFrom(from_array(np.ascontiguousarray(spread), conv.input[1]))
        conv.input[0] = pool.input[0]
        _replace(conv.attribute, [make_attribute("kernel_shape", [2, 2]), make_attribute("strides", [2, 2])])
        graph.node.remove(pool)


def _in_order(graph: Any, outputs: Sequence[str]) -> list[Any]:
    """Nodes that the outputs need, each after the nodes that it needs itself."""
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output}
    done: dict[int, Any] = {}
    stack = [makers[name] for name in reversed(outputs)]
    while stack:
        node = graph.node[stack[-1]]
        waits = [makers[name] for name in node.input if name in makers and makers[name] not in done]
        if waits:
            stack.append(waits[0])
        else:
            done[stack.pop()] = node
    return list(done.values())


def _replace(field: Any, values: list[Any]) -> None:
    copies = [type(value).FromString(value.SerializeToString(deterministic=True)) for value in values]
    del field[:]
    field.extend(copies)


def _probe(size: int) -> np.ndarray:
    """A few faces' worth of numbers: noise, a ramp and a flat grey."""
    noise = np.random.default_rng(0).integers(0, 256, (3, size, size))
    ramp = np.broadcast_to(np.linspace(0, 255, size), (size, size))
    return np.stack([*noise, ramp, np.full((size, size), 128.0)])[..., None].astype(np.float32)


def _compare(data: bytes, faces: np.ndarray, expected: dict[str, np.ndarray]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for name, got in zip(expected, session.run(list(expected), {"faces": faces}), strict=True):
        difference = float(np.abs(got - expected[name]).max() / max(np.abs(expected[name]).max(), 1e-6))
        if not difference < TOLERANCE:
            raise FerkitError(f"Got {name} from ONNX that differs by {difference:.2g}, expected below {TOLERANCE}.")
