"""The small network: residual blocks with squeeze-and-excitation, ending in global average pooling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from ferkit.errors import InputError
from ferkit.nets.backend import keras as load_keras

WIDTHS = (32, 32, 64, 64, 128, 128, 256)
"""Channels of the stem and of each block."""

STRIDES = (2, 1, 2, 1, 2, 1)
"""Step of each block; 2 halves the map."""

SQUEEZE = 8
"""Channels are squeezed by this factor."""

STANDARDISE_EPSILON, NORM_EPSILON = 1e-3, 1e-5
"""Added to a face's variance, and to a channel's."""


def build(
    n_classes: int,
    *,
    input_size: int | None = 48,
    widths: Sequence[int] = WIDTHS,
    strides: Sequence[int] = STRIDES,
    gates: bool = True,
    dropout: float = 0.3,
    extra_heads: Mapping[str, int] | Iterable[tuple[str, int]] = (),
    dtype: str = "float32",
    seed: int = 0,
) -> Any:
    """Keras model of the network, not trained.

    Faces go in as raw grey levels and are standardised inside, each by its own mean and deviation. Any batch size.

    Parameters
    ----------
    n_classes : int
        Columns of ``logits``.
    input_size : int or None, default=48
        Height and width of a face in pixels; None for a network that takes any size.
    widths : sequence of int
        Channels of the stem, then of each block.
    strides : sequence of int
        Step, 1 or 2, of each block.
    gates : bool, default=True
        Squeeze-and-excitation in each block: better from nothing, slower to run.
    dropout : float, default=0.3
        Share of the embedding that is dropped while training.
    extra_heads : mapping of str to int, or pairs, default=()
        Further linear outputs on the embedding: name and columns of each, used while training only.
    dtype : str, default='float32'
        ``'mixed_bfloat16'`` computes in bfloat16 and keeps weights in float32.
    seed : int, default=0
        Seed of the first weights and of the dropout.

    Returns
    -------
    keras.Model
        Input ``faces`` (n, input_size, input_size, 1), 0 to 255. A dict of outputs: ``logits`` (n, n_classes),
        ``embedding`` (n, c), ``map`` (n, h, w, c), whose mean over h and w is the embedding, and each extra head.

    References
    ----------
    He et al., Deep residual learning (2016); Hu et al., Squeeze-and-excitation networks (2018).
    """
    _check(n_classes, input_size, widths, strides, dropout)
    keras = load_keras()
    make = _Maker(keras, dtype, seed)
    faces = keras.Input((input_size, input_size, 1), name="faces", dtype="float32")
    # In float32 whatever the policy: grey levels of changed faces are not whole numbers.
    x = keras.layers.LayerNormalization(
        axis=(1, 2, 3), epsilon=STANDARDISE_EPSILON, center=False, scale=False, dtype="float32", name="standardise"
    )(faces)
    x = make.relu(make.norm(make.conv(x, widths[0], 3, "stem_conv"), "stem_norm"), "stem_relu")
    for i, (width, stride) in enumerate(zip(widths[1:], strides, strict=True), start=1):
        x = _block(make, x, width, stride, gates, f"block{i}")
    x = keras.layers.Activation("linear", dtype="float32", name="map")(x)
    embedding = keras.layers.GlobalAveragePooling2D(dtype="float32", name="embedding")(x)
    dropped = keras.layers.Dropout(dropout, dtype="float32", seed=seed, name="dropout")(embedding)
    heads = {"logits": n_classes} | dict(extra_heads)
    outputs = {name: make.dense(dropped, n, name, dtype="float32") for name, n in heads.items()}
    return keras.Model(faces, outputs | {"embedding": embedding, "map": x}, name="ferkit")


def _check(
    n_classes: int, input_size: int | None, widths: Sequence[int], strides: Sequence[int], dropout: float
) -> None:
    if n_classes < 1:
        raise InputError(f"Got n_classes={n_classes}, expected at least 1.")
    if not widths or min(widths) < 1:
        raise InputError(f"Got widths={tuple(widths)}, expected one positive number for the stem and for each block.")
    if len(strides) != len(widths) - 1 or not set(strides) <= {1, 2}:
        raise InputError(f"Got strides={tuple(strides)}, expected {len(widths) - 1} of 1 or 2, one for each block.")
    halvings = sum(stride == 2 for stride in strides)
    if input_size is not None and (input_size < 1 or input_size % 2**halvings):
        raise InputError(f"Got input_size={input_size}, expected a multiple of {2**halvings}, halved {halvings} times.")
    if not 0 <= dropout < 1:
        raise InputError(f"Got dropout={dropout}, expected a share from 0 to below 1.")


class _Maker:
    """Layers with one policy, seeded one after the other."""

    def __init__(self, keras: Any, dtype: str, seed: int) -> None:
        self.layers = keras.layers
        self.initializers = keras.initializers
        self.dtype = dtype
        self.seeds = count(1 + 1000 * seed)

    def conv(self, x: Any, width: int, size: int, name: str, stride: int = 1) -> Any:
        # "same" pads a stride of 2 on one side only; PyTorch pads both, and so does this.
        if size > 1:
            x = self.layers.ZeroPadding2D(size // 2, dtype=self.dtype, name=f"{name}_pad")(x)
        start = self.initializers.HeNormal(seed=next(self.seeds))
        return self.layers.Conv2D(
            width, size, stride, use_bias=False, kernel_initializer=start, dtype=self.dtype, name=name
        )(x)

    def norm(self, x: Any, name: str) -> Any:
        return self.layers.BatchNormalization(momentum=0.9, epsilon=NORM_EPSILON, dtype=self.dtype, name=name)(x)

    def relu(self, x: Any, name: str) -> Any:
        return self.layers.ReLU(dtype=self.dtype, name=name)(x)

    def dense(self, x: Any, width: int, name: str, activation: str | None = None, dtype: str | None = None) -> Any:
        start = self.initializers.GlorotUniform(seed=next(self.seeds))
        return self.layers.Dense(width, activation, kernel_initializer=start, dtype=dtype or self.dtype, name=name)(x)


def _block(make: _Maker, x: Any, width: int, stride: int, gates: bool, name: str) -> Any:
    """Two convolutions, channels weighted by squeeze-and-excitation where gates are asked for, and a shortcut."""
    layers = make.layers
    y = make.relu(make.norm(make.conv(x, width, 3, f"{name}_conv1", stride), f"{name}_norm1"), f"{name}_relu1")
    y = make.norm(make.conv(y, width, 3, f"{name}_conv2"), f"{name}_norm2")
    if gates:
        gate = layers.GlobalAveragePooling2D(dtype=make.dtype, name=f"{name}_mean")(y)
        gate = make.dense(gate, max(width // SQUEEZE, 1), f"{name}_squeeze", "relu")
        gate = make.dense(gate, width, f"{name}_excite", "sigmoid")
        gate = layers.Reshape((1, 1, width), dtype=make.dtype, name=f"{name}_spread")(gate)
        y = layers.Multiply(dtype=make.dtype, name=f"{name}_gate")([y, gate])
    if stride > 1 or x.shape[-1] != width:
        if stride > 1:
            x = layers.AveragePooling2D(stride, dtype=make.dtype, name=f"{name}_shortcut_pool")(x)
        x = make.norm(make.conv(x, width, 1, f"{name}_shortcut_conv"), f"{name}_shortcut_norm")
    return make.relu(layers.Add(dtype=make.dtype, name=f"{name}_add")([y, x]), f"{name}_relu2")
