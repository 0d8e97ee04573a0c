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
the package ``onnx`` is installed, ``net.onnx``.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from kernel_teacher import KernelTeacher
from torch import Tensor
from torch_augment import SIZE, augment, changed, patched, resized, standardise
from torch_net import Net, shrunk

from ferkit.errors import MissingExtraError
from ferkit.features.onnx import OnnxNetwork
from ferkit.files import write_whole
from ferkit.labels import EXPRESSIONS, FER2013
from ferkit.nets.build import STRIDES, WIDTHS
from ferkit.nets.weights import Weights, from_torch, save_weights
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
STATISTICS_ROWS = 8192


HAS_BFLOAT16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
NARROW = torch.bfloat16 if HAS_BFLOAT16 else torch.float32
"""What is computed in: bfloat16 where the processor has it; elsewhere it takes three times as long as 32 bits."""


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


class Training:
    """Network, optimiser and running average, one epoch at a time."""

    def __init__(self, data: Data, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        self.data, self.args, self.epoch = data, args, 0
        self.views: dict[int, tuple[Tensor, Tensor]] = {}
        self.net = network(args).to(memory_format=torch.channels_last)
        if args.shrink:
            self.net.load_state_dict(shrunk(args.shrink, self.net, data.faces[torch.from_numpy(data.train)]))
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
            if isinstance(module, torch.nn.BatchNorm2d):
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
    """Write ``net.npz``, and ``net.onnx`` where the package ``onnx`` is installed."""
    arrays = from_torch({name: value.float().numpy() for name, value in state.items()})
    heads = {"votes": tuple(EXPRESSIONS)} if args.votes else {}
    weights = Weights(FER2013, arrays, args.widths, args.strides, args.sizes[-1], seen, heads, args.gates)
    save_weights(weights, out / "net.npz")
    try:
        from ferkit.nets.export import to_onnx

        write_whole(out / "net.onnx", to_onnx(weights, NOTE))
    except MissingExtraError:
        print(
            f"Without the package onnx there is no net.onnx. Where it is installed, run:\n"
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
