"""ferkit's network in PyTorch: the definition of ``ferkit.nets.build``, opened from weights, begun from a wider one."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import qr
from torch import Tensor, nn
from torch_augment import standardise

from ferkit.labels import EXPRESSIONS, FER2013
from ferkit.nets.build import SQUEEZE, STRIDES, WIDTHS
from ferkit.nets.weights import from_torch, load_weights

SHRINK_ROWS = 512


class Gate(nn.Module):
    """Squeeze-and-excitation: each channel weighted by what all channels hold."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = nn.Linear(channels, max(channels // SQUEEZE, 1))
        self.b = nn.Linear(max(channels // SQUEEZE, 1), channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.shares(x)[:, :, None, None]

    def shares(self, x: Tensor) -> Tensor:
        """How much of each channel is let through: (n, channels)."""
        return torch.sigmoid(self.b(F.relu(self.a(x.mean((2, 3))))))


def convolution(into: int, out: int, stride: int, winograd: bool) -> nn.Conv2d:
    """One of 3x3, if wanted by Winograd's minimal filtering where that can be."""
    if winograd and stride == 1:
        from winograd import Conv3x3

        return Conv3x3(into, out)
    return nn.Conv2d(into, out, 3, stride, 1, bias=False)


class Block(nn.Module):
    """Two convolutions and a gate, with a shortcut around them."""

    def __init__(self, into: int, out: int, stride: int, gates: bool = True, winograd: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.c1 = convolution(into, out, stride, winograd)
        self.n1 = nn.BatchNorm2d(out)
        self.c2 = convolution(out, out, 1, winograd)
        self.n2 = nn.BatchNorm2d(out)
        self.se = Gate(out) if gates else nn.Identity()
        changes = stride > 1 or into != out
        self.cs = nn.Conv2d(into, out, 1, bias=False) if changes else None
        self.ns = nn.BatchNorm2d(out) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.n1(self.c1(x)))
        y = self.se(self.n2(self.c2(y)))
        if self.cs is not None:
            x = self.ns(self.cs(F.avg_pool2d(x, 2) if self.stride == 2 else x))
        return F.relu(y + x)


class Net(nn.Module):
    """The network on standardised faces (n, 1, h, w); one output a head. Names are mapped by ``from_torch``."""

    def __init__(
        self,
        widths: tuple[int, ...] = WIDTHS,
        strides: tuple[int, ...] = STRIDES,
        heads: tuple[int, ...] = (len(FER2013), len(EXPRESSIONS)),
        dropout: float = 0.3,
        gates: bool = True,
        winograd: bool = False,
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(1, widths[0], 3, 1, 1, bias=False)
        self.n = nn.BatchNorm2d(widths[0])
        shapes = zip(widths[:-1], widths[1:], strides, strict=True)
        self.blocks = nn.Sequential(*(Block(*shape, gates, winograd) for shape in shapes))
        self.d = nn.Dropout(dropout)
        self.heads = nn.ModuleList(nn.Linear(widths[-1], n) for n in heads)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.blocks(F.relu(self.n(self.c(x))))
        embedding = x.mean((2, 3))
        return [head(self.d(embedding)) for head in self.heads]


def opened(path: str) -> Net:
    """The network of a ``net.npz``, ready to be asked."""
    weights = load_weights(path)
    heads = tuple(map(len, (weights.labels, *weights.heads.values())))
    net = Net(weights.widths, weights.strides, heads, gates=weights.gates)
    own = net.state_dict()
    names = [name for name in own if not name.endswith("num_batches_tracked")]
    for name, key in zip(names, from_torch(own), strict=True):
        array = torch.from_numpy(weights.arrays[key])
        own[name] = {4: lambda a: a.permute(3, 2, 0, 1), 2: lambda a: a.mT}.get(array.ndim, lambda a: a)(array)
    net.load_state_dict(own)
    return net.eval()


@torch.no_grad()
def shrunk(path: str, net: Net, faces: Tensor) -> dict[str, Tensor]:
    """State of ``net`` that begins near a wider network of as many blocks.

    Of each map the channels are kept from which the others are best rebuilt on training faces (QR with pivots), and
    what comes next is changed to read the others from them; a gate that ``net`` lacks is taken for its mean.
    """
    wide, state = opened(path), net.state_dict()
    whole = all(block.cs is not None and not isinstance(block.se, Gate) for block in net.blocks)
    shorter = [len(block.c2.weight) > len(own.c2.weight) for block, own in zip(net.blocks, wide.blocks, strict=False)]
    if not whole or any(shorter) or [b.stride for b in net.blocks] != [b.stride for b in wide.blocks]:
        raise SystemExit(
            f"Got {path} of other strides or narrower, or gates, expected --no-gates, its strides, at most its widths, "
            "and a change of width or stride in each block."
        )
    maps: dict[str, Tensor] = {}
    for name, module in wide.named_modules():
        if isinstance(module, (Block, Gate)) or name.endswith("n1") or name == "n":
            module.register_forward_hook(
                lambda _, given, got, name=name: maps.update({name: got, f"{name}>": given[0]})
            )
    wide(standardise(faces[:: max(1, len(faces) // SHRINK_ROWS)][:SHRINK_ROWS]))
    old = wide.state_dict()

    def put(conv: str, norm: str, keep: Tensor, read: Tensor, scale: Tensor | None = None) -> None:
        state[f"{conv}.weight"] = torch.einsum("ochw,sc->oshw", old[f"{conv}.weight"][keep], read)
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{part}"] = old[f"{norm}.{part}"][keep].clone()
        for part in ("weight", "bias") if scale is not None else ():
            state[f"{norm}.{part}"] *= scale[keep]

    keep, read = _kept(F.relu(maps["n"]), len(net.c.weight))
    put("c", "n", keep, torch.eye(1))
    for i, block in enumerate(net.blocks):
        name = f"blocks.{i}"
        inner, read_inner = _kept(F.relu(maps[f"{name}.n1"]), len(block.c1.weight))
        outer, read_outer = _kept(maps[name], len(block.c2.weight))
        put(f"{name}.c1", f"{name}.n1", inner, read)
        gate = wide.blocks[i].se
        scale = gate.shares(maps[f"{name}.se>"]).mean(0) if isinstance(gate, Gate) else None
        put(f"{name}.c2", f"{name}.n2", outer, read_inner, scale)
        put(f"{name}.cs", f"{name}.ns", outer, read)
        keep, read = outer, read_outer
    for i in range(len(net.heads)):
        state[f"heads.{i}.weight"] = old[f"heads.{i}.weight"] @ read.mT
        state[f"heads.{i}.bias"] = old[f"heads.{i}.bias"].clone()
    return state


def _kept(maps: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Which n channels to keep of maps (rows, channels, h, w), and how all are read from these: (n, channels)."""
    flat = maps.permute(0, 2, 3, 1).flatten(0, 2).double()
    square = (flat.mT @ flat).numpy()
    root = np.linalg.cholesky(square + 1e-6 * np.trace(square) / len(square) * np.eye(len(square))).T
    order = qr(root, mode="r", pivoting=True)[1][:n]
    keep = np.sort(order)
    read = np.linalg.lstsq(root[:, keep], root, rcond=None)[0]
    return torch.from_numpy(keep), torch.from_numpy(read).float()
