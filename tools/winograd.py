"""Winograd's minimal filtering for training 3x3 convolutions (Lavin and Gray, 2016) on processors without bfloat16.

``Conv3x3`` computes what ``torch.nn.Conv2d(into, out, 3, padding=1, bias=False)`` does, with up to four times fewer
multiplications, forwards and backwards. The transforms are compiled on first use, which needs a C++ compiler and ninja
and takes most of a minute.
"""

from __future__ import annotations

from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

POINTS = (0, 1, -1, 2, -2)
OUTPUTS = (2, 3, 4)
TILES = tuple(min(OUTPUTS, key=lambda m: ((m + 2) * -(-side // m)) ** 2) for side in range(1, 65))
"""How many outputs a tile has each way, for maps of side 1, 2, ...: what needs the fewest multiplications."""


def transforms(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices A (m, t), B (t, t) and G (t, 3) of t = m + 2, by Toom and Cook: y = A((G w) * (B x)).

    >>> a, b, g = transforms(4)
    >>> x, w = np.arange(6.0), np.array([1.0, 2.0, 5.0])
    >>> np.allclose(a @ ((g @ w) * (b @ x)), np.correlate(x, w))
    True
    """
    points = POINTS[: m + 1]
    others = [[q for q in points if q != p] for p in points]
    a = np.array([[*(float(p) ** i for p in points), float(i == m - 1)] for i in range(m)])
    b = np.zeros((m + 2, m + 2))
    for row, roots in enumerate([*others, points]):
        b[row, : len(roots) + 1] = np.poly(roots)[::-1]
    g = np.array([[p**i / prod(p - q for q in rest) for i in range(3)] for p, rest in zip(points, others, strict=True)])
    return a, b, np.vstack([g, [0, 0, 1]])


@cache
def compiled() -> Any:
    """The transforms as functions of C++."""
    from torch.utils.cpp_extension import load_inline

    def matrix(name: str, rows: np.ndarray) -> str:
        text = ", ".join("{" + ", ".join(f"{value}f" for value in row) + "}" for row in rows)
        return f"struct {name} {{ static constexpr float at[{len(rows)}][{len(rows[0])}] = {{{text}}}; }};"

    matrices = ""
    for m in OUTPUTS:
        a, b, _ = transforms(m)
        own = " ".join(matrix(*pair) for pair in (("A", a), ("AT", a.T), ("B", b), ("BT", b.T)))
        matrices += f"template <> struct F<{m}> {{ {own} }};\n"
    source = Path(__file__).with_suffix(".cpp").read_text(encoding="utf-8").replace("MATRICES", matrices)
    flags = ["-O3", "-march=native", "-ffast-math", "-std=c++20"]
    return load_inline("ferkit_winograd", source, functions=["forwards", "backwards"], extra_cflags=flags)


@cache
def kernel_transform(m: int) -> Tensor:
    """The transform of kernels as one matrix (t t, 9)."""
    g = torch.from_numpy(transforms(m)[2]).float()
    return torch.kron(g, g)


def spread(weight: Tensor, m: int) -> Tensor:
    """Kernels (o, i, 3, 3) in the transform's domain: (t t, o, i)."""
    o, i = weight.shape[:2]
    return (kernel_transform(m) @ weight.permute(2, 3, 0, 1).reshape(9, o * i)).reshape(-1, o, i)


@torch.library.custom_op("ferkit::winograd", mutates_args=())
def forwards(x: Tensor, weight: Tensor, m: int) -> Tensor:
    """The convolution by tiles of m x m."""
    return compiled().forwards(x.contiguous(memory_format=torch.channels_last), spread(weight, m), m)


@forwards.register_fake
def _(x: Tensor, weight: Tensor, m: int) -> Tensor:
    return x.new_empty((len(x), *x.shape[2:], len(weight))).permute(0, 3, 1, 2)


@torch.library.custom_op("ferkit::winograd_back", mutates_args=())
def backwards(grad: Tensor, x: Tensor, weight: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """Gradients of the images and of the kernels."""
    grad, x = (one.contiguous(memory_format=torch.channels_last) for one in (grad, x))
    image, own = compiled().backwards(grad, x, spread(weight, m), m)
    kernels = (kernel_transform(m).mT @ own.flatten(1)).reshape(3, 3, *own.shape[1:]).permute(2, 3, 0, 1)
    return image, kernels.contiguous(memory_format=torch.channels_last)


@backwards.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor, m: int) -> tuple[Tensor, Tensor]:
    image = x.new_empty((len(x), *x.shape[2:], x.shape[1])).permute(0, 3, 1, 2)
    return image, torch.empty_like(weight, memory_format=torch.channels_last)


def _setup(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.m = inputs[2]


def _back(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    return *backwards(grad, *ctx.saved_tensors, ctx.m), None


forwards.register_autograd(_back, setup_context=_setup)


class Conv3x3(nn.Conv2d):
    """A convolution of 3x3, stride 1, padded by one, without a bias; both widths multiples of 8, float32.

    Raises ValueError for other widths.
    """

    def __init__(self, into: int, out: int) -> None:
        if into % 8 or out % 8:
            raise ValueError(f"Got {into} and {out} channels, expected multiples of 8.")
        super().__init__(into, out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The maps of x (n, into, h, w), of at most 64 rows and columns."""
        return forwards(x, self.weight, TILES[max(x.shape[2:]) - 1])
