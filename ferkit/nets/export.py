"""A network as ONNX, written layer by layer as `build` makes it in Keras; neither Keras nor TensorFlow is needed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ferkit
from ferkit.errors import missing
from ferkit.nets.build import NORM_EPSILON, SQUEEZE, STANDARDISE_EPSILON
from ferkit.nets.weights import Weights, array_at

OUTPUTS = ("logits", "embedding", "map")
OPSET, FORMAT = 17, 8
"""Versions of ONNX's operators and of its file; older onnxruntimes read these, too."""


def to_onnx(weights: Weights, note: str = "") -> bytes:
    """ONNX file of a network. The same weights give the same bytes.

    Each normalisation is part of the convolution before it, and so is the mean over 2 x 2 places before a shortcut's.

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
    InputError
        If an array is missing or has another shape.
    MissingExtraError
        If the package ``onnx`` is not installed.
    """
    onnx = load_onnx()
    heads = {"logits": weights.labels} | weights.heads
    last = weights.widths[-1]
    ports = {"logits": ["n", len(weights.labels)], "embedding": ["n", last], "map": ["n", "rows", "columns", last]}
    ports |= {name: ["n", len(labels)] for name, labels in weights.heads.items()}
    layers = _network(onnx, weights, heads)

    def port(name: str, shape: list[Any]) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    faces = port("faces", ["n", "height", "width", 1])
    outputs = [port(name, shape) for name, shape in ports.items()]
    graph = onnx.helper.make_graph(layers.nodes, "ferkit", [faces], outputs, [*layers.constants.values()])
    versions = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, producer_name="ferkit", ir_version=FORMAT, opset_imports=versions)
    about = {
        "labels": json.dumps(list(weights.labels)),
        "heads": json.dumps({name: list(labels) for name, labels in weights.heads.items()}),
        "size": str(weights.input_size),
        "ferkit": ferkit.__version__,
        "licence": note,
    }
    onnx.helper.set_model_props(model, about)
    return bytes(model.SerializeToString(deterministic=True))


def load_onnx() -> Any:
    """The package ``onnx``, imported at the first call.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise missing("onnx", "train") from error
    return onnx


def _network(onnx: Any, weights: Weights, heads: dict[str, tuple[str, ...]]) -> _Layers:
    layers = _Layers(onnx, weights.arrays)
    width, *widths = weights.widths
    x = layers.conv(_standardised(layers), "stem_conv", "stem_norm", (3, 3, 1, width))
    x = layers.add("Relu", "stem_relu", x)
    for i, (new, stride) in enumerate(zip(widths, weights.strides, strict=True), start=1):
        x = _block(layers, x, f"block{i}", width, new, stride, weights.gates)
        width = new
    layers.add("Transpose", "map", x, perm=[0, 2, 3, 1])
    layers.add("Flatten", "embedding", layers.add("GlobalAveragePool", "mean", x))
    for name, labels in heads.items():
        layers.dense("embedding", name, (width, len(labels)))
    return layers


def _standardised(layers: _Layers) -> str:
    """Each face by its own mean and deviation, as (n, 1, height, width)."""
    faces = layers.add("Transpose", "channels_first", "faces", perm=[0, 3, 1, 2])
    around = layers.add("Sub", "centred", faces, _mean(layers, "face_mean", faces))
    variance = _mean(layers, "variance", layers.add("Mul", "squares", around, around))
    some = layers.add("Add", "some_variance", variance, layers.constant("epsilon", np.float32(STANDARDISE_EPSILON)))
    return layers.add("Div", "standardise", around, layers.add("Sqrt", "deviation", some))


def _mean(layers: _Layers, name: str, x: str) -> str:
    return layers.add("ReduceMean", name, x, axes=[1, 2, 3], keepdims=1)


def _block(layers: _Layers, x: str, name: str, width: int, new: int, stride: int, gates: bool) -> str:
    y = layers.conv(x, f"{name}_conv1", f"{name}_norm1", (3, 3, width, new), stride)
    y = layers.add("Relu", f"{name}_relu1", y)
    y = layers.conv(y, f"{name}_conv2", f"{name}_norm2", (3, 3, new, new))
    if gates:
        y = layers.add("Mul", f"{name}_gate", y, _gate(layers, y, name, new))
    if stride > 1 or width != new:
        x = layers.conv(x, f"{name}_shortcut_conv", f"{name}_shortcut_norm", (1, 1, width, new), stride)
    return layers.add("Relu", f"{name}_relu2", layers.add("Add", f"{name}_add", y, x))


def _gate(layers: _Layers, y: str, name: str, width: int) -> str:
    few = max(width // SQUEEZE, 1)
    mean = layers.add("Flatten", f"{name}_means", layers.add("GlobalAveragePool", f"{name}_mean", y))
    squeezed = layers.add("Relu", f"{name}_squeezed", layers.dense(mean, f"{name}_squeeze", (width, few)))
    excited = layers.add("Sigmoid", f"{name}_excited", layers.dense(squeezed, f"{name}_excite", (few, width)))
    return layers.add("Unsqueeze", f"{name}_spread", excited, layers.constant("places", np.array([2, 3])))


class _Layers:
    """Nodes and constants of a graph; each node is named like its one output."""

    def __init__(self, onnx: Any, arrays: dict[str, NDArray[np.float32]]) -> None:
        self.onnx, self.arrays = onnx, arrays
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def add(self, kind: str, name: str, *inputs: str, **settings: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [name], name, **settings))
        return name

    def constant(self, name: str, array: Any) -> str:
        if name not in self.constants:
            self.constants[name] = self.onnx.numpy_helper.from_array(np.asarray(array), name)
        return name

    def dense(self, x: str, name: str, shape: tuple[int, int]) -> str:
        kernel = self.constant(f"{name}/kernel", array_at(self.arrays, f"{name}/kernel", shape))
        bias = self.constant(f"{name}/bias", array_at(self.arrays, f"{name}/bias", shape[1:]))
        return self.add("Gemm", name, x, kernel, bias)

    def conv(self, x: str, name: str, norm: str, shape: tuple[int, int, int, int], stride: int = 1) -> str:
        """A convolution with a kernel (height, width, in, out) and the normalisation after it.

        One of a single place with a stride is the shortcut's, which begins with the mean over as many places.
        """
        kernel, bias = self._normed(name, norm, shape)
        size = shape[0]
        if size == 1 and stride > 1:
            size, kernel = stride, np.broadcast_to(kernel / stride**2, (*kernel.shape[:2], stride, stride))
        inputs = [self.constant(f"{name}/kernel", kernel), self.constant(f"{name}/bias", bias)]
        pads = [shape[0] // 2] * 4
        return self.add("Conv", name, x, *inputs, kernel_shape=[size, size], strides=[stride, stride], pads=pads)

    def _normed(
        self, name: str, norm: str, shape: tuple[int, int, int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Kernel (out, in, height, width) and bias of both layers together."""
        kernel = array_at(self.arrays, f"{name}/kernel", shape).astype(np.float64)
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (array_at(self.arrays, f"{norm}/{part}", shape[3:]) for part in names)
        factor = gamma / np.sqrt(variance.astype(np.float64) + NORM_EPSILON)
        return (kernel * factor).transpose(3, 2, 0, 1).astype(np.float32), (beta - mean * factor).astype(np.float32)
