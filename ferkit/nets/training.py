"""Training of a network: one-cycle SGD or Muon, mixup, a running average of the weights, checkpoints."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.augment import Augment
from ferkit.errors import DataError, InputError
from ferkit.nets.backend import keras as load_keras
from ferkit.nets.checkpoint import load_checkpoint, save_checkpoint
from ferkit.nets.weights import Weights, put_arrays, take_arrays

MOMENTUM = 0.9
WARM_UP = 0.15
MIXUP_SHAPE = 0.4
STATISTICS_ROWS = 8192


@dataclass(frozen=True)
class Plan:
    """How to train. The names are those of `NetworkClassifier`."""

    epochs: int
    learning_rate: float
    muon_rate: float
    batch_size: int
    weight_decay: float
    mixup: float
    average: float
    dropout: float
    precision: str
    freeze: int
    seed: int
    augment: Augment | None
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Rows:
    """Faces (n, size, size) uint8, their targets (n, classes), and faces and classes held out for watching."""

    crops: NDArray[np.uint8]
    targets: NDArray[np.float32]
    watched: NDArray[np.uint8] | None = None
    watched_codes: NDArray[np.intp] | None = None


@dataclass
class Progress:
    """What has happened so far."""

    epoch: int = 0
    loss: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)


def train(start: Weights, rows: Rows, plan: Plan, checkpoint: Path | None, stamp: str, verbose: bool) -> Any:
    """Train from given weights.

    Parameters
    ----------
    start : Weights
        Architecture and first weights.
    rows : Rows
        Training faces.
    plan : Plan
        Settings.
    checkpoint : Path or None
        Written after each epoch; where it exists, training goes on from it.
    stamp : str
        Tells one training from another; a checkpoint with another stamp is refused.
    verbose : bool
        A line for each epoch on standard error.

    Returns
    -------
    arrays : dict of str to ndarray
        Trained weights.
    progress : Progress

    Raises
    ------
    InputError
        The loss of an epoch, or a weight after it, is no number any more.
    """
    trainer = _Trainer(start, plan)
    progress = Progress()
    if checkpoint is not None and checkpoint.exists():
        progress = Progress(**trainer.restore(load_checkpoint(checkpoint, stamp)))
    watch = _Watch(plan.epochs, progress.epoch, verbose)
    try:
        while progress.epoch < plan.epochs:
            loss = trainer.epoch(rows, progress.epoch)
            _check_finite(loss, trainer, progress.epoch + 1)
            progress.loss.append(loss)
            progress.epoch += 1
            if rows.watched is not None:
                progress.held_out.append(trainer.accuracy(rows.watched, rows.watched_codes))
            if checkpoint is not None:
                _keep(checkpoint, stamp, trainer, progress)
            watch.line(progress)
    except KeyboardInterrupt:
        watch.stopped(progress, checkpoint)
        raise
    return trainer.finish(start, rows), progress


def _keep(checkpoint: Path, stamp: str, trainer: _Trainer, progress: Progress) -> None:
    """Write the checkpoint. A full disk costs it, not the training."""
    try:
        save_checkpoint(checkpoint, stamp, trainer.state(), vars(progress))
    except DataError as error:
        warnings.warn(f"{error} The training goes on without that checkpoint.", RuntimeWarning, stacklevel=4)


def _check_finite(loss: float, trainer: _Trainer, epoch: int) -> None:
    """Refuse an epoch after which everything could only be thrown away."""
    if math.isfinite(loss) and all(np.isfinite(array).all() for array in take_arrays(trainer.model).values()):
        return
    got = "weights beyond all numbers" if math.isfinite(loss) else f"loss={loss}"
    raise InputError(
        f"Got {got} in epoch {epoch}, expected numbers. The training ran away: set a smaller learning_rate or "
        "muon_rate."
    )


def one_cycle(share: float, peak: float) -> float:
    """Learning rate after a share of the training: up in a line, then down along a cosine (Smith, 2018)."""
    least = min(1e-5, peak * 1e-3)
    if share < WARM_UP:
        return peak * share / WARM_UP + least
    return peak * 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP))) + least


def size_at(plan: Plan, epoch: int) -> int:
    """Size of the faces in an epoch: each of the plan's sizes has an equal share of the epochs."""
    return plan.sizes[min(epoch * len(plan.sizes) // plan.epochs, len(plan.sizes) - 1)]


def sized(crops: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Faces of another size, square."""
    if crops.shape[1:] == (size, size) or len(crops) == 0:
        return crops.reshape(-1, size, size)
    how = cv2.INTER_AREA if size < crops.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(crop, (size, size), interpolation=how) for crop in crops]).astype(np.uint8)


def stage_of(layer: str) -> int | None:
    """Position of a layer's stage: 0 for the stem, then the blocks; None for the head and the input."""
    first = layer.split("_")[0]
    if first == "stem":
        return 0
    return int(first[5:]) if first.startswith("block") else None


def batches(rows: Rows, plan: Plan, epoch: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Changed and mixed faces of one epoch, in an order of its own; the same for the same seed and epoch."""
    rng = np.random.default_rng([plan.seed, epoch])
    order = rng.permutation(len(rows.crops))
    for part in np.array_split(order, n_batches(len(order), plan.batch_size)):
        crops, targets = rows.crops[part], rows.targets[part]
        faces = (crops if plan.augment is None else plan.augment.apply(crops, rng)).astype(np.float32)
        if rng.random() < plan.mixup:
            faces, targets = _mixed(faces, targets, rng)
        yield faces[..., None], targets


def n_batches(n: int, batch_size: int) -> int:
    """Batches of one epoch, all of about the same size."""
    return max(1, round(n / batch_size))


def _mixed(
    faces: NDArray[np.float32], targets: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Each face mixed with another one, and their targets likewise (mixup: Zhang et al., 2018)."""
    # Of one brightness and contrast first; else the stronger face would count for more than its share.
    axes = (1, 2)
    even = 128 + 48 * (faces - faces.mean(axes, keepdims=True)) / (faces.std(axes, keepdims=True) + 1)
    share = np.float32(rng.beta(MIXUP_SHAPE, MIXUP_SHAPE))
    other = rng.permutation(len(faces))
    return share * even + (1 - share) * even[other], share * targets + (1 - share) * targets[other]


class _Trainer:
    """A Keras model with its optimiser and the running average of its weights."""

    def __init__(self, start: Weights, plan: Plan) -> None:
        self.start, self.plan = start, plan
        self.size = size_at(plan, 0)
        self._build(start, [])
        self.averages = {path: array.copy() for path, array in take_arrays(self.model).items()}
        self.steps = 0

    def _build(self, weights: Weights, momenta: list[NDArray[Any]]) -> None:
        """Model, optimiser and step for faces of this size."""
        load_keras()
        from ferkit.nets.muon import Muon

        plan = self.plan
        dtype = "mixed_bfloat16" if plan.precision == "bfloat16" else "float32"
        self.model = weights.model(input_size=self.size, dropout=plan.dropout, dtype=dtype, seed=plan.seed)
        for layer in self.model.layers:
            stage = stage_of(layer.name)
            layer.trainable = stage is None or stage >= plan.freeze
        self.seeds = [v for v in self.model.variables if "seed_generator" in v.path]
        ratio = plan.muon_rate / plan.learning_rate if plan.learning_rate else 0.0
        self.optimizer = Muon(MOMENTUM, ratio, half=plan.precision == "bfloat16")
        self.optimizer.build(self.model.trainable_variables)
        for variable, array in zip(self.optimizer.variables, momenta, strict=False):
            variable.assign(array)
        self.step = _compiled_step(self.model, self.optimizer, len(weights.labels), plan.weight_decay)

    def _see(self, size: int) -> None:
        """Go on with faces of another size."""
        if size != self.size:
            self.size = size
            arrays, momenta = take_arrays(self.model), [v.numpy() for v in self.optimizer.variables]
            self._build(replace(self.start, arrays=arrays), momenta)

    def epoch(self, rows: Rows, epoch: int) -> float:
        """One pass over the rows; mean loss. It ends where the loss is no number any more."""
        self._see(size_at(self.plan, epoch))
        rows = replace(rows, crops=sized(rows.crops, self.size))
        for variable in self.seeds:  # so that a resumed training drops the same units
            variable.assign(np.array([self.plan.seed, epoch]).astype(variable.dtype))
        per_epoch = n_batches(len(rows.crops), self.plan.batch_size)
        losses = []
        for faces, targets in batches(rows, self.plan, epoch):
            share = self.steps / (per_epoch * self.plan.epochs)
            self.optimizer.learning_rate.assign(one_cycle(share, self.plan.learning_rate))
            losses.append(float(self.step(faces, targets)))
            if not math.isfinite(losses[-1]):
                break
            self.steps += 1
            self._average()
        return float(np.mean(losses))

    def _average(self) -> None:
        keep = min(self.plan.average, (1 + self.steps) / (10 + self.steps))
        with np.errstate(invalid="ignore", over="ignore"):  # where a training runs away, the end of the epoch says so
            for path, array in take_arrays(self.model).items():
                mean = self.averages[path]
                mean += (1 - keep) * (array - mean)

    def accuracy(self, crops: NDArray[np.uint8], codes: Any) -> float:
        """Share of faces that the network, as it is now, puts into the right class."""
        parts = np.array_split(sized(crops, self.size), n_batches(len(crops), 256))
        logits = [self.model(part[..., None].astype(np.float32), training=False)["logits"].numpy() for part in parts]
        return float(np.mean(np.concatenate(logits).argmax(1) == codes))

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that the next epoch depends on."""
        arrays = {f"weight:{path}": array for path, array in take_arrays(self.model).items()}
        arrays |= {f"average:{path}": array for path, array in self.averages.items()}
        momenta = [v.numpy() for v in self.optimizer.variables]
        return arrays | {f"optimizer:{i}": array for i, array in enumerate(momenta)} | {"steps": np.array(self.steps)}

    def restore(self, saved: tuple[dict[str, NDArray[Any]], dict[str, Any]]) -> dict[str, Any]:
        """Take up what ``state`` gave; returns the progress that was saved with it."""
        arrays, progress = saved
        put_arrays(self.model, {k.partition(":")[2]: v for k, v in arrays.items() if k.startswith("weight:")})
        self.averages = {k.partition(":")[2]: v for k, v in arrays.items() if k.startswith("average:")}
        for i, variable in enumerate(self.optimizer.variables):
            variable.assign(arrays[f"optimizer:{i}"])
        self.steps = int(arrays["steps"])
        return progress

    def finish(self, start: Weights, rows: Rows) -> dict[str, NDArray[np.float32]]:
        """Final weights: the running average, with normalisation statistics that belong to it."""
        if not self.plan.average:
            return take_arrays(self.model)
        model = start.model(dropout=0.0)
        put_arrays(model, self.averages)
        for layer in model.layers:
            layer.trainable = self.model.get_layer(layer.name).trainable
        refresh_statistics(model, rows.crops, np.random.default_rng(self.plan.seed))
        return take_arrays(model)


def _compiled_step(model: Any, optimizer: Any, classes: int, weight_decay: float) -> Any:
    import tensorflow as tf

    size = model.input_shape[1]
    variables = model.trainable_variables
    decayed = [v.path.endswith("kernel") and not optimizer.takes(v) for v in variables]
    signature = [tf.TensorSpec((None, size, size, 1), tf.float32), tf.TensorSpec((None, classes), tf.float32)]

    @tf.function(input_signature=signature, autograph=False, jit_compile=False)
    def step(faces: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(faces, training=True)["logits"]
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        gradients = tape.gradient(loss, [v.value for v in variables])
        # Decay through the gradient, as in PyTorch; Keras' own leaves out the momentum and is ten times weaker.
        gradients = [g + weight_decay * v if d else g for g, v, d in zip(gradients, variables, decayed, strict=True)]
        optimizer.apply(gradients)
        return loss

    traced = step.get_concrete_function()  # called by itself: TensorFlow takes many trainings in a row for a mistake
    return lambda faces, targets: traced(tf.constant(faces), tf.constant(targets))


def refresh_statistics(model: Any, crops: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Normalisation statistics measured anew on faces as they are, for weights that were averaged.

    Averaged weights give other activations than each of the weights that went in; copied statistics cost a point.
    """
    norms = [layer for layer in model.layers if layer.name.split("_")[-1].startswith("norm") and layer.trainable]
    rows = rng.permutation(len(crops))[:STATISTICS_ROWS]
    for i, part in enumerate(np.array_split(rows, n_batches(len(rows), 256))):
        for layer in norms:
            layer.momentum = i / (i + 1)
        model(crops[part][..., None].astype(np.float32), training=True)


class _Watch:
    """Progress lines on standard error."""

    def __init__(self, epochs: int, done: int, verbose: bool) -> None:
        self.epochs, self.done, self.verbose, self.begin = epochs, done, verbose, time.monotonic()

    def line(self, progress: Progress) -> None:
        if not self.verbose:
            return
        each = (time.monotonic() - self.begin) / (progress.epoch - self.done)
        held_out = f"  held out {progress.held_out[-1]:.1%}" if progress.held_out else ""
        left = f"{each:.1f} s an epoch, {each * (self.epochs - progress.epoch) / 60:.1f} min left"
        print(
            f"\repoch {progress.epoch}/{self.epochs}  loss {progress.loss[-1]:.4f}{held_out}  {left}",
            file=sys.stderr,
            flush=True,
        )

    def stopped(self, progress: Progress, checkpoint: Path | None) -> None:
        more = f"; the same fit goes on from {checkpoint}" if checkpoint and checkpoint.exists() else ""
        print(f"\rStopped after epoch {progress.epoch} of {self.epochs}{more}.", file=sys.stderr)
