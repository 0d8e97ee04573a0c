"""Train ferkit's network on FER2013 with PyTorch, which is faster than TensorFlow on a processor without XLA.

    python tools/train_torch.py fer2013.csv.gz --votes fer2013new.csv --out runs/net --epochs 36
    python tools/train_torch.py fer2013.csv.gz --votes fer2013new.csv --out runs/full --strides 1,2,1,2,1,2 \\
        --init runs/net/net.pt --teacher runs/net/net.onnx --lr 0.06
    python tools/train_torch.py fer2013.csv.gz --votes fer2013new.csv --export runs/net/net.pt --out exported

It needs PyTorch (``pip install torch``), which ferkit itself does not. The network is that of ``ferkit.nets.build``,
with a second head that learns FER+'s votes beside FER2013's labels. Training rows that are near-duplicates of a
PublicTest face are left out; PublicTest is only looked at. A run that was stopped goes on from ``checkpoint.pt``.
With --teacher (ONNX files, their logits averaged), a share of each label is what the teachers say of the face and of
its mirror image (distillation: Hinton et al., 2015).
On Linux, the environment
GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296
keeps memory between steps, which is a tenth faster.
With --sizes 32,40,48 the first epochs see smaller faces and take less time (progressive resizing: Howard, 2018; Tan and
Le, 2021).

Written to --out: ``net.pt`` and ``average.pt`` (last weights, and their running average with normalisation statistics
of its own), ``seen.npy`` (hashes of the training faces), and for the weights that --keep names ``net.npz`` and, where
TensorFlow is installed, ``net.onnx``.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from kernel_teacher import KernelTeacher
from scipy.linalg import qr
from torch import Tensor, nn

from ferkit.errors import MissingExtraError
from ferkit.features.onnx import OnnxNetwork
from ferkit.files import write_whole
from ferkit.labels import EXPRESSIONS, FER2013
from ferkit.nets.build import SQUEEZE, STRIDES, WIDTHS
from ferkit.nets.weights import Weights, from_torch, load_weights, save_weights
from ferkit.records import face_hashes
from ferkit.sources import load
from ferkit.sources.duplicates import near_groups

NOTE = (
    "Trained on FER2013 (Goodfellow et al., 2013) and FER+ votes (Barsoum et al., 2016). "
    "The pictures' own terms may limit its use."
)
SMOOTHING = 0.1
WEIGHT_DECAY = 5e-4
MOMENTUM = 0.9
WARM_UP = 0.15
AVERAGE_STEP = 0.002
SIZE = 48
STATISTICS_ROWS = 8192
SHRINK_ROWS = 512


NARROW = torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
"""What is computed in: bfloat16 where the processor has it; elsewhere it would be far slower than 32 bits."""


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


class Optimizer:
    """Muon for the convolutions, SGD with Nesterov momentum for everything else.

    Each step of Muon is the nearest orthogonal matrix to the momentum of a layer's filters, so that all directions move
    alike (Jordan et al., 2024); the filters' length, which normalisation hides, stays as it is.
    """

    def __init__(self, net: Net, lr: float, muon: float) -> None:
        own = [p for p in net.parameters() if p.ndim == 4 and p.shape[1] > 1]
        others = [p for p in net.parameters() if all(p is not one for one in own)]
        decayed, free = ([p for p in others if (p.ndim > 1) == wide] for wide in (True, False))
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": free, "weight_decay": 0.0}]
        self.sgd = torch.optim.SGD(groups, lr=lr, momentum=MOMENTUM, nesterov=True)
        self.own, self.momenta = own, [torch.zeros_like(p) for p in own]
        self.lr, self.muon, self.share = lr, muon, 1.0

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"sgd": self.sgd.state_dict(), "momenta": self.momenta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.sgd.load_state_dict(state["sgd"])
        self.momenta = state["momenta"]

    def set_share(self, share: float) -> None:
        """Share of the highest learning rates for the next step."""
        self.share = share
        for group in self.sgd.param_groups:
            group["lr"] = share * self.lr + 1e-5

    @torch.no_grad()
    def step(self, loss: Tensor) -> None:
        """One step down a loss."""
        self.sgd.zero_grad()
        for p in self.own:
            p.grad = None
        with torch.enable_grad():
            loss.backward()
        self.sgd.step()
        for p, momentum in zip(self.own, self.momenta, strict=True):
            momentum.mul_(MOMENTUM).add_(p.grad)
            along = orthogonal((p.grad + MOMENTUM * momentum).flatten(1)).reshape(p.shape)
            p.mul_(len(p) ** 0.5 / p.norm())
            p.add_(along, alpha=-self.muon * self.share * max(1.0, len(p) / p[0].numel()) ** 0.5)


def orthogonal(x: Tensor, steps: int = 5) -> Tensor:
    """Nearly the nearest matrix with orthonormal rows or columns: Newton and Schulz's iteration, Jordan's factors."""
    y = (x.mT if len(x) > x.shape[1] else x).to(NARROW)
    y = y / (y.norm() + 1e-7)
    for _ in range(steps):
        a = y @ y.mT
        y = 3.4445 * y + (2.0315 * a @ a - 4.7750 * a) @ y
    return (y.mT if len(x) > x.shape[1] else y).float()


@dataclass
class Data:
    """Faces (n, 1, 48, 48) uint8, label codes, targets, shares of votes, 1 where there are votes, rows by use."""

    faces: Tensor
    codes: Tensor
    targets: Tensor
    shares: Tensor
    voted: Tensor
    train: np.ndarray
    watch: np.ndarray


def read(faces: str, votes: str | None = None, teachers: Sequence[str] = (), share: float = 0.0) -> Data:
    """FER2013, with FER+'s votes, and with a share of each target from teachers, where they are given."""
    data = load(faces)
    n, watch = len(data), data.splits == "PublicTest"
    shares, voted = read_votes(votes, data.names) if votes else (np.zeros((n, len(EXPRESSIONS))), np.zeros(n, bool))
    twins = near_groups(data.pictures, held_out=watch)[1]
    train = np.flatnonzero((data.splits == "Training") & ~twins)
    print(f"{len(train)} faces to train on, {twins.sum()} twins of PublicTest left out", flush=True)
    codes = torch.tensor([FER2013.index(label) for label in data.labels])
    targets = F.one_hot(codes, len(FER2013)) * (1 - SMOOTHING) + SMOOTHING / len(FER2013)
    if teachers:
        taught = torch.from_numpy(taught_shares(data.pictures[train], teachers))
        targets[train] = (1 - share) * targets[train] + share * taught
    return Data(
        torch.from_numpy(data.pictures)[:, None],
        codes,
        targets,
        torch.from_numpy(shares).float(),
        torch.from_numpy(voted).float(),
        train,
        np.flatnonzero(watch),
    )


def read_votes(path: str, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of each row's votes, and whether more votes are for emotions than for "unknown" and "not a face".

    ``names`` are ``file:line``; the line says which row of the votes belongs to a face.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = [{key.strip().lower(): value for key, value in row.items()} for row in csv.DictReader(file)]
    lines = [int(str(name).rpartition(":")[2]) - 2 for name in names]
    counts = np.array([[float(rows[line][name]) for name in EXPRESSIONS] for line in lines])
    doubts = np.array([float(rows[line]["unknown"]) + float(rows[line]["nf"]) for line in lines])
    total = counts.sum(axis=1)
    return counts / np.maximum(total, 1)[:, None], (total > 0) & (doubts < total)


def taught_shares(pictures: np.ndarray, teachers: Sequence[str], mirror: bool = True) -> np.ndarray:
    """Probabilities (n, 7) of networks in ONNX, from mean logits over faces and, with ``mirror``, mirror images."""
    networks = [OnnxNetwork(path, n_threads=os.cpu_count() or 1) for path in teachers]
    faces = pictures[..., None].astype(np.float32)
    views = [faces, np.ascontiguousarray(faces[:, :, ::-1])][: 1 + mirror]
    logits = np.mean([network.run(view, ["logits"])["logits"] for network in networks for view in views], axis=0)
    return torch.from_numpy(logits).softmax(1).numpy()


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


class Training:
    """Network, optimiser and running average, one epoch at a time."""

    def __init__(self, data: Data, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        self.data, self.args, self.epoch = data, args, 0
        self.views: dict[int, tuple[Tensor, Tensor]] = {}
        self.net = network(args).to(memory_format=torch.channels_last)
        if args.shrink:
            self.net.load_state_dict(shrunk(args.shrink, self.net, data))
        elif args.init:
            missing = self.net.load_state_dict(mean_state(args.init), strict=False).missing_keys
            if missing:  # shortcuts that these strides do not need may be left over
                raise SystemExit(f"Got {args.init} without {missing[0]}, expected weights of widths {args.widths}.")
        self.forward = torch.compile(self.net) if args.compile else self.net
        self.optimizer = Optimizer(self.net, args.lr, args.muon)
        self.average = {name: value.clone() for name, value in self.net.state_dict().items()}

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, with the targets that the teachers gave before."""
        state = torch.load(path, weights_only=True)
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["opt"])
        self.average, self.epoch, self.data.targets = state["ema"], state["epoch"], state["targets"]

    def save(self, path: Path) -> None:
        """Write a checkpoint in one step."""
        part = path.with_name(path.name + ".part")
        state = {"net": self.net.state_dict(), "opt": self.optimizer.state_dict(), "targets": self.data.targets}
        torch.save(state | {"ema": self.average, "epoch": self.epoch}, part)
        part.replace(path)

    def run_epoch(self) -> float:
        """One pass over the training rows; mean loss."""
        args, seed = self.args, self.args.seed * 1000 + self.epoch
        g, mix = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        torch.manual_seed(seed)  # of the dropout
        self.net.train()
        order = torch.randperm(len(self.data.train), generator=g)
        view = self.view(self.epoch % args.views) if args.views else None
        steps, total = max(len(order) // args.batch, 1), 0.0
        mixes = self.epoch < args.mixed * args.epochs
        size = args.sizes[self.epoch * len(args.sizes) // args.epochs]
        for step in range(steps):
            self.optimizer.set_share(one_cycle((self.epoch * steps + step) / (steps * args.epochs)))
            rows = order[step * args.batch : (step + 1) * args.batch]
            share = float(mix.beta(0.4, 0.4)) if mixes and step % 3 == 0 else None
            total += self.step(rows, g, share, size, view)
        self.epoch += 1
        return total / steps

    def view(self, number: int) -> tuple[Tensor, Tensor]:
        """Changed copies of all training faces, uint8, and targets by what the teachers say of these very copies."""
        if number not in self.views:
            data, g = self.data, torch.Generator().manual_seed(self.args.seed * 1000 + number)
            rows = torch.from_numpy(data.train)
            faces = torch.cat([changed(data.faces[part].float(), g, self.args.light) for part in rows.split(512)])
            faces = faces.round().to(torch.uint8)
            taught = torch.from_numpy(taught_shares(faces[:, 0].numpy(), self.args.teacher, mirror=False))
            if self.args.kernel:
                other = torch.from_numpy(self.kernel_teacher.log_shares(faces[:, 0].numpy())).float()
                taught = ((taught.log() + other) / 2).softmax(1)
            share = self.args.teacher_share
            self.views[number] = faces, (1 - share) * data.targets[rows] + share * taught
        return self.views[number]

    @cached_property
    def kernel_teacher(self) -> KernelTeacher:
        """An SVM on the first teacher's map, fitted out of fold on the training faces."""
        data, args = self.data, self.args
        faces, codes = data.faces[data.train, 0].numpy(), data.codes[data.train].numpy()
        teacher = KernelTeacher(args.teacher[0], faces, codes, args.threads)
        print(f"the SVM is right on {teacher.right:.1%} of the faces that it did not see", flush=True)
        return teacher

    def step(
        self,
        picked: Tensor,
        g: torch.Generator,
        share: float | None,
        size: int,
        view: tuple[Tensor, Tensor] | None = None,
    ) -> float:
        """Cross-entropy of the labels, and half as much of the votes; faces mixed in pairs where a share is given."""
        data = self.data
        rows = torch.from_numpy(data.train)[picked]
        labels, shares, voted = data.targets[rows], data.shares[rows], data.voted[rows]
        if view is None:
            x = augment(resized(data.faces[rows].float(), size), g, self.args.erased, self.args.light)
        else:
            labels = view[1][picked]
            x = patched(standardise(resized(view[0][picked].float(), size)), g, self.args.erased)
            x = torch.where(torch.rand(len(x), 1, 1, 1, generator=g) < 0.5, x.flip(3), x)
        if share is not None:
            other = torch.randperm(len(rows), generator=g)
            x, labels, shares = (share * one + (1 - share) * one[other] for one in (x, labels, shares))
            voted = voted * voted[other]
        with torch.autocast("cpu", NARROW, NARROW is not torch.float32):
            first, second = self.forward(x.contiguous(memory_format=torch.channels_last))
        loss = -(labels * first.float().log_softmax(1)).sum(1).mean()
        loss = loss - 0.5 * ((shares * second.float().log_softmax(1)).sum(1) * voted).mean()
        self.optimizer.step(loss)
        with torch.no_grad():
            for name, value in self.net.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, AVERAGE_STEP)
        return loss.item()

    def averaged(self) -> Net:
        """The running average, with normalisation statistics measured anew on faces as they are."""
        net = network(self.args)
        net.load_state_dict(self.average)
        net.train()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the plain mean over all batches
        order = torch.randperm(len(self.data.train), generator=torch.Generator().manual_seed(1))
        rows = torch.from_numpy(self.data.train)[order][:STATISTICS_ROWS]
        with torch.no_grad():
            for part in rows.split(256):
                net(standardise(resized(self.data.faces[part].float(), self.args.sizes[-1])))
        return net


def mean_state(paths: Sequence[str]) -> dict[str, Tensor]:
    """Mean of the weights of state dicts or checkpoints: of runs that began alike, better than each of them.

    Wortsman et al.: Model soups (2022).
    """
    loaded = [torch.load(path, weights_only=True) for path in paths]
    states = [state.get("net", state) for state in loaded]
    return {name: sum(state[name] for state in states) / len(states) for name in states[0]}


def network(args: argparse.Namespace) -> Net:
    """The network that the command line asks for."""
    return Net(args.widths, args.strides, gates=args.gates, winograd=args.winograd)


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
def shrunk(path: str, net: Net, data: Data) -> dict[str, Tensor]:
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
    rows = data.train[:: max(1, len(data.train) // SHRINK_ROWS)][:SHRINK_ROWS]
    wide(standardise(data.faces[torch.from_numpy(rows)]))
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


def one_cycle(share: float) -> float:
    """Share of the highest learning rate after a share of the training."""
    if share < WARM_UP:
        return share / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


@torch.no_grad()
def accuracy(net: Net, data: Data, size: int = SIZE) -> tuple[float, float]:
    """Share of PublicTest that is right, from each face alone and averaged with its mirror image."""
    net.eval()
    alone = mirrored = 0
    for rows in torch.from_numpy(data.watch).split(512):
        x = standardise(resized(data.faces[rows].float(), size))
        with torch.autocast("cpu", NARROW, NARROW is not torch.float32):
            one, other = net(x)[0].float(), net(x.flip(3))[0].float()
        alone += int((one.argmax(1) == data.codes[rows]).sum())
        mirrored += int(((one + other).argmax(1) == data.codes[rows]).sum())
    return alone / max(len(data.watch), 1), mirrored / max(len(data.watch), 1)


def scored(net: Net, data: Data, args: argparse.Namespace) -> str:
    """What `accuracy` says of a network at its last size."""
    return "PublicTest {:.4f}, with mirror {:.4f}".format(*accuracy(net, data, args.sizes[-1]))


def train(args: argparse.Namespace) -> None:
    """Train, or go on, and write everything."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    data = read(args.faces, args.votes, () if checkpoint.exists() or args.views else args.teacher, args.teacher_share)
    training = Training(data, args)
    if checkpoint.exists():
        training.load(checkpoint)
        print(f"goes on after epoch {training.epoch}", flush=True)
    while training.epoch < args.epochs:
        start = time.monotonic()
        loss = training.run_epoch()
        watched = training.epoch % 4 == 0 or training.epoch > args.epochs - 3
        scores = f"  {scored(training.net, data, args)}" if watched else ""
        print(f"{training.epoch}/{args.epochs}  loss {loss:.4f}{scores}  {time.monotonic() - start:.0f} s", flush=True)
        training.save(checkpoint)
    nets = {"net": training.net, "average": training.averaged()}
    for name, net in nets.items():
        print(f"{name}: {scored(net, data, args)}")
        torch.save(net.state_dict(), out / f"{name}.pt")
    export(nets[args.keep].state_dict(), out, write_seen(data, out), args)


def write_seen(data: Data, out: Path) -> np.ndarray:
    """Content hashes of the training faces, also written to ``seen.npy``."""
    seen = np.unique(face_hashes(data.faces[data.train, 0].numpy()))
    np.save(out / "seen.npy", seen)
    return seen


def export(state: dict[str, Tensor], out: Path, seen: np.ndarray, args: argparse.Namespace) -> None:
    """Write ``net.npz``, and ``net.onnx`` where TensorFlow is installed."""
    arrays = from_torch({name: value.float().numpy() for name, value in state.items()})
    heads = {"votes": tuple(EXPRESSIONS)} if args.votes else {}
    weights = Weights(FER2013, arrays, args.widths, args.strides, args.sizes[-1], seen, heads, args.gates)
    save_weights(weights, out / "net.npz")
    try:
        from ferkit.nets.export import to_onnx

        write_whole(out / "net.onnx", to_onnx(weights, NOTE))
    except MissingExtraError:
        print(
            f"Without TensorFlow there is no net.onnx. Where it is installed, run:\n"
            f"python tools/export_net.py {out / 'net.npz'} {out / 'net.onnx'}"
        )


def numbers(text: str) -> tuple[int, ...]:
    """``32,32,64`` as a tuple."""
    return tuple(int(part) for part in text.split(","))


def sizes(text: str) -> tuple[int, ...]:
    """Sizes of faces, of which the last is the one that the network is for."""
    found = numbers(text)
    if not all(0 < size <= SIZE and size % 8 == 0 for size in found):
        raise argparse.ArgumentTypeError(f"Got {text!r}, expected multiples of 8 up to {SIZE}.")
    return found


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("faces", nargs="?", help="FER2013 as a CSV (also .gz or .zip)")
    add("--votes", help="FER+ votes (fer2013new.csv) of the same rows; without them their head is not exported")
    add("--out", required=True, help="folder for everything that is written")
    add(
        "--init",
        metavar="FILE",
        nargs="+",
        help="start from this state dict or checkpoint, of the same widths; of several from the mean of their weights "
        "(with --epochs 0 this mean is the result; with --keep average, its normalisation is measured anew)",
    )
    add("--shrink", metavar="FILE", help="start from this net.npz of a wider network (see shrunk)")
    add("--no-gates", dest="gates", action="store_false", help="without squeeze-and-excitation, for speed")
    add(
        "--teacher",
        metavar="FILE",
        nargs="+",
        default=(),
        help="networks (ONNX, of FER2013's labels) to learn from too",
    )
    add("--teacher-share", type=float, default=0.5, help="share of each target that teachers say (default: 0.5)")
    add(
        "--views",
        type=int,
        default=0,
        help="ask the teachers about this many changed copies of each face, which the epochs take in turn, instead of "
        "about the face (Beyer et al., 2022)",
    )
    add(
        "--kernel",
        action="store_true",
        help="an SVM on the first teacher's map, out of fold (see kernel_teacher.py), says half of what teachers say; "
        "needs --views and 5 GB",
    )
    add("--erased", type=float, default=0.4, help="share of the faces with an erased patch (default: 0.4)")
    add("--light", type=float, default=1.0, help="strength of the changes of light, noise and detail (default: 1)")
    add("--mixed", type=float, default=0.8, help="share of the epochs that mix faces, from the first (default: 0.8)")
    add("--compile", action="store_true", help="compile the network's passes (needs a C++ compiler); a tenth faster")
    add(
        "--winograd",
        action="store_true",
        help="multiply less in 3x3 convolutions (see winograd.py): 1.2 to 1.6 times faster on a processor without "
        "bfloat16; widths must be multiples of 8",
    )
    add("--export", metavar="FILE", help="only export this state dict or checkpoint; with the faces it saw")
    add("--keep", choices=("net", "average"), default="net", help="weights to export: the last, or their average")
    add("--epochs", type=int, default=36)
    add("--batch", type=int, default=128)
    add("--lr", type=float, default=0.1, help="highest learning rate of all but the convolutions (default: 0.1)")
    add("--muon", type=float, default=0.03, help="highest learning rate of the convolutions (default: 0.03)")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--widths", type=numbers, default=WIDTHS)
    add("--strides", type=numbers, default=STRIDES)
    add(
        "--sizes",
        type=sizes,
        default=(SIZE,),
        help="sizes of the faces, in multiples of 8, each for an equal share of the epochs; small ones first go faster",
    )
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    if args.winograd and NARROW is torch.bfloat16:
        parser.error("Got --winograd on a processor with bfloat16, expected none: its own convolutions are faster.")
    if args.kernel and not (args.views and args.teacher):
        parser.error("Got --kernel without --views or --teacher, expected both: the SVM is asked about changed copies.")
    if args.export:
        state = torch.load(args.export, weights_only=True)
        Path(args.out).mkdir(parents=True, exist_ok=True)
        seen = write_seen(read(args.faces), Path(args.out)) if args.faces else np.empty(0, np.uint64)
        export(state.get({"average": "ema"}.get(args.keep, "net"), state), Path(args.out), seen, args)
    elif args.faces:
        train(args)
    else:
        parser.error("Got no faces, expected FER2013's CSV, or --export FILE.")


if __name__ == "__main__":
    main()
