"""Changed copies of faces for training, like ``ferkit.augment``, in whole batches of PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 48


def standardise(x: Tensor) -> Tensor:
    """Each face less its mean, divided by its deviation."""
    x = x.float()
    variance, mean = torch.var_mean(x, (1, 2, 3), keepdim=True, correction=0)
    return (x - mean) * torch.rsqrt(variance + 1e-3)


def resized(x: Tensor, size: int) -> Tensor:
    """Faces (n, 1, h, w) at another size, smoothed before."""
    if x.shape[3] == size:
        return x
    return F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)


def augment(x: Tensor, g: torch.Generator, erased: float = 0.5, light: float = 1.0) -> Tensor:
    """Changed and standardised copies of grey faces (n, 1, h, w), some with an erased patch."""
    return patched(standardise(changed(x, g, light)), g, erased)


def between(x: Tensor, g: torch.Generator) -> Callable[[float, float], Tensor]:
    """Draws one number for each row of x, between two others."""
    return lambda low, high: torch.empty(len(x)).uniform_(low, high, generator=g)


def changed(x: Tensor, g: torch.Generator, light: float = 1.0) -> Tensor:
    """Changed copies of grey faces (n, 1, h, w), 0 to 255, like ``ferkit.augment``, in whole batches.

    ``light`` is how strong gamma, shadow, contrast, brightness and noise are, and how often detail is lost.
    """
    uniform = between(x, g)

    def wide(numbers: Tensor) -> Tensor:
        return numbers[:, None, None, None]

    shift = torch.stack([uniform(-0.14, 0.14), uniform(-0.14, 0.14)], 1)
    x = turn(x, uniform(-15, 15) * math.pi / 180, uniform(0.88, 1.12), uniform(0, 1) < 0.5, shift)
    rows = uniform(0, 1) < 0.12 * light
    if rows.any():
        x[rows] = F.avg_pool2d(F.pad(x[rows], (1, 1, 1, 1), mode="reflect"), 3, 1)
    rows = uniform(0, 1) < 0.12 * light
    if rows.any():
        small = F.interpolate(x[rows], scale_factor=0.5, mode="area")
        x[rows] = F.interpolate(small, x.shape[2:], mode="bilinear", align_corners=False)
    q = (x / 255).clamp(0, 1) ** wide(torch.exp(uniform(-0.5, 0.5) * light))
    shadow = 1 + wide(uniform(-0.4, 0.4) * light) * torch.linspace(-1, 1, x.shape[3])
    q = q * torch.where(wide(uniform(0, 1) < 0.5), shadow, torch.ones_like(shadow))
    q = q * wide(1 + uniform(-0.4, 0.3) * light) + wide(uniform(-0.1, 0.1) * light)
    q = q + torch.randn(q.shape, generator=g) * wide(uniform(0, 0.05) * light * (uniform(0, 1) < 0.4))
    return q.clamp(0, 1) * 255


def patched(x: Tensor, g: torch.Generator, erased: float) -> Tensor:
    """Standardised faces, a share of them with a rectangle erased."""
    uniform, unit = between(x, g), x.shape[3] / SIZE
    sides = torch.stack([uniform(6 * unit, 20 * unit), uniform(6 * unit, 20 * unit)], 1).long()
    middles = torch.stack([uniform(0, x.shape[2]), uniform(0, x.shape[3])], 1).long()
    return erase(x, sides, middles, uniform(0, 1) < erased)


def turn(x: Tensor, angle: Tensor, scale: Tensor, flip: Tensor, shift: Tensor) -> Tensor:
    """Rotated, scaled, mirrored and shifted (in halves of the width); mirrored at the border."""
    sign = torch.where(flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    matrix = torch.stack([cos * sign, -sin, shift[:, 0], sin * sign, cos, shift[:, 1]], 1).reshape(-1, 2, 3)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def erase(x: Tensor, sides: Tensor, middles: Tensor, on: Tensor) -> Tensor:
    """Rectangles set to 0, the mean of a standardised face, on the rows where ``on``."""
    rows, columns = (
        (torch.arange(length)[None] - middles[:, axis, None]).abs() * 2 < sides[:, axis, None]
        for axis, length in enumerate(x.shape[2:])
    )
    hidden = rows[:, :, None] & columns[:, None, :] & on[:, None, None]
    return x.masked_fill(hidden[:, None], 0.0)
