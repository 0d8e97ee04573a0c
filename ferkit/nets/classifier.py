"""The network as a scikit-learn classifier."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from numbers import Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from ferkit.augment import Augment
from ferkit.errors import InputError, check_flags
from ferkit.features.onnx import find, open_network, remember
from ferkit.files import can_write, writable_folder, write_whole
from ferkit.labels import canonical
from ferkit.model.calibration import fit_temperature
from ferkit.nets.backend import keras as load_keras
from ferkit.nets.build import STRIDES, WIDTHS
from ferkit.nets.export import load_onnx, to_onnx
from ferkit.nets.start import changed_head, fresh, initial
from ferkit.nets.training import Plan, Rows, sized, train
from ferkit.nets.weights import Weights, dump_weights, load_weights
from ferkit.records import Faces, as_faces, seen_hashes

PRECISIONS = ("float32", "bfloat16")


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A small residual network, trained with Keras, run with ONNX.

    TensorFlow is needed by ``fit`` alone. A fitted classifier names its network by content hash, so that it can be
    pickled, sent to other processes and opened again without TensorFlow.

    Parameters
    ----------
    epochs : int, default=45
        Passes over the faces.
    learning_rate : float or None, default=None
        Peak of the one-cycle schedule; None is 0.1 from nothing and 0.01 from ``init``.
    muon_rate : float or None, default=None
        Peak rate of Muon, which moves the convolutions in place of SGD; 0 leaves them to SGD. None is 0.03 from nothing
        and 0 from ``init``. It rises and falls with ``learning_rate``.
    dropout : float, default=0.3
        Share of the embedding dropped while training.
    batch_size : int or None, default=None
        Faces in one step; None is 128 from nothing and 32 from ``init``, so that a few hundred faces make enough steps.
    weight_decay : float, default=5e-4
        Pull of the kernels that SGD moves towards 0; Muon keeps the length of filters as it is.
    label_smoothing : float, default=0.1
        Share of each label given evenly to all classes. Votes are not smoothed.
    mixup : float, default=0.33
        Share of the batches whose faces are mixed in pairs.
    augment : bool, Augment or mapping, default=True
        Changes to the training faces; True is ``Augment()``, a mapping its settings. Its own seed is not used, ``seed``
        is.
    init : None, 'shipped', 'small' or path, default=None
        Weights to start from: none, those of a network of the package, or an ``.npz`` file of `save` (or its ONNX file
        with the ``.npz`` beside it). Where the classes differ, the head is new, but for the labels that both have.
    freeze : int or 'trunk', default=0
        Stages that stay as ``init`` has them: the stem, then the blocks; 'trunk' is all of them and trains the head.
    average : float, default=0.998
        Share kept at each step by the running average of the weights, which is what ``fit`` gives; 0 gives the last
        weights themselves.
    validation_share : float, default=0.0
        Share of each class held out of the training, for ``history_`` and ``temperature_``.
    widths : sequence of int or None, default=None
        Channels of the stem and of each block; None is those of ``init``, or (32, 32, 64, 64, 128, 128, 256).
    strides : sequence of int or None, default=None
        Step of each block; None is those of ``init``, or (2, 1, 2, 1, 2, 1).
    gates : bool or None, default=None
        Squeeze-and-excitation in each block; None is as ``init`` has it, or True. Without, predicting is faster.
    sizes : sequence of int or None, default=None
        Sizes of the faces in pixels, each for an equal share of the epochs. The last is that of the network, and the
        only one with None: (32, 40, 48) takes two thirds of the time of 48.
    precision : {'float32', 'bfloat16'}, default='float32'
        What training computes in; bfloat16 is nearly twice as fast on processors that have it in hardware.
    mirror : bool, default=True
        Average the logits of a face and of its mirror image.
    n_threads : int, default=1
        Threads of one prediction.
    checkpoint : path, 'cache' or None, default=None
        File written after each epoch; the same fit, started again, goes on from it. 'cache' is one in ferkit's cache
        folder, named by settings and faces, and removed at the end; ``ferkit fit`` sets it.
    seed : int, default=0
        Seed of everything random.
    verbose : int or None, default=None
        Above 0, a line for each epoch on standard error; None is 1 where that is a terminal.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels seen at fit, sorted.
    network_hash_ : str
        SHA-256 of the ONNX file (`ferkit.features.onnx.find`).
    weights_hash_ : str
        SHA-256 of the weights for training (``find(..., suffix=".npz")``).
    temperature_ : float
        Divides the logits before the softmax; chosen on the rows held out, 1 where there are none.
    history_ : dict of str to list of float
        ``loss`` of each epoch and ``held_out`` accuracy.
    seen_ : ndarray of uint64
        Content hashes (of the crops, without landmarks) of all faces that the network was trained on, those of ``init``
        included.

    References
    ----------
    He et al. (2016); Hu et al., Squeeze-and-excitation networks (2018); Smith, Super-convergence (2018); Zhang et
    al., mixup (2018); Jordan et al., Muon (2024); Guo et al., On calibration of modern neural networks (2017);
    progressive sizes: Tan and Le, EfficientNetV2 (2021).
    """

    def __init__(
        self,
        epochs: int = 45,
        learning_rate: float | None = None,
        muon_rate: float | None = None,
        dropout: float = 0.3,
        batch_size: int | None = None,
        weight_decay: float = 5e-4,
        label_smoothing: float = 0.1,
        mixup: float = 0.33,
        augment: bool | Augment | Mapping[str, float] = True,
        init: str | os.PathLike[str] | None = None,
        freeze: int | str = 0,
        average: float = 0.998,
        validation_share: float = 0.0,
        widths: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
        gates: bool | None = None,
        sizes: Sequence[int] | None = None,
        precision: str = "float32",
        mirror: bool = True,
        n_threads: int = 1,
        checkpoint: str | os.PathLike[str] | None = None,
        seed: int = 0,
        verbose: int | None = None,
    ) -> None:
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.muon_rate = muon_rate
        self.dropout = dropout
        self.batch_size = batch_size
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.augment = augment
        self.init = init
        self.freeze = freeze
        self.average = average
        self.validation_share = validation_share
        self.widths = widths
        self.strides = strides
        self.gates = gates
        self.sizes = sizes
        self.precision = precision
        self.mirror = mirror
        self.n_threads = n_threads
        self.checkpoint = checkpoint
        self.seed = seed
        self.verbose = verbose

    def fit(self, X: Any, y: Any, votes: Any = None) -> Self:
        """Train.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            Grey faces, 0 to 255; they are sized as the network needs them.
        y : array-like of shape (n,)
            Labels.
        votes : array-like of shape (n, n_classes) or None, default=None
            Shares of each class, columns as in ``classes_``; they stand in for the labels. A row of zeros has none.

        Raises
        ------
        MissingExtraError
            If TensorFlow, Keras or ``onnx`` is not installed.
        InputError
            If a parameter, a shape, ``init`` or the checkpoint is not what was expected, or the loss runs away.
        """
        faces, codes = self._checked(X, y)
        self._check_checkpoint()
        load_keras()
        load_onnx()  # now, not after hours of training
        start = self._start(tuple(canonical(str(label)) for label in self.classes_))
        plan = self._plan(start)
        targets = self._targets(codes, votes)
        held = _held_out(codes, self.validation_share, self.seed)
        crops = sized(faces.crops, start.input_size)
        watched = (crops[held], codes[held]) if held.any() else (None, None)
        rows = Rows(crops[~held], targets[~held], *watched)
        stamp = self._stamp(start, rows)
        checkpoint = self._place(stamp)
        verbose = sys.stderr.isatty() if self.verbose is None else self.verbose > 0
        arrays, progress = train(start, rows, plan, checkpoint, stamp, verbose)
        self.history_ = {"loss": progress.loss, "held_out": progress.held_out}
        self.seen_ = np.unique(np.concatenate([start.seen, seen_hashes(faces[~held])]))
        self._keep(replace(start, arrays=arrays, seen=self.seen_, heads={}))
        self.temperature_ = 1.0
        if held.any():
            self.temperature_ = fit_temperature(self._logits(faces[held]), codes[held])
        if checkpoint is not None and self.checkpoint == "cache":
            checkpoint.unlink(missing_ok=True)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Logits, before the temperature.

        Returns
        -------
        ndarray of shape (n, n_classes), or (n,) for two classes, dtype float32
        """
        logits = self._logits(self._faces(X))
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class.

        Returns
        -------
        ndarray of shape (n, n_classes)
            Rows sum to 1; columns follow ``classes_``.
        """
        logits = self._logits(self._faces(X)).astype(np.float64)
        probabilities: NDArray[np.float64] = softmax(logits / self.temperature_, axis=1)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable label of each face.

        Returns
        -------
        ndarray of shape (n,)
        """
        logits = self._logits(self._faces(X))
        labels: NDArray[Any] = self.classes_[logits.argmax(axis=1)]
        return labels

    def weights(self) -> Weights:
        """Trained weights, to start another training from.

        Raises
        ------
        ModelFileError
            If they are no longer in the cache folder.
        """
        check_is_fitted(self, "weights_hash_")
        return load_weights(find(self.weights_hash_, suffix=".npz"))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights as ``.npz`` and the ONNX file beside it, ``path`` being either's name or both without it.

        A dot in a name without either suffix, as in ``run.1``, is part of the name.
        """
        check_is_fitted(self, "network_hash_")
        stem = Path(path)
        if stem.suffix in (".npz", ".onnx"):
            stem = stem.with_suffix("")
        for suffix, name in ((".npz", self.weights_hash_), (".onnx", self.network_hash_)):
            write_whole(stem.with_name(stem.name + suffix), find(name, suffix=suffix))

    def _checked(self, X: Any, y: Any) -> tuple[Faces, NDArray[np.intp]]:
        self._check_parameters()
        faces = as_faces(X)
        if y is None:
            raise InputError("Got y=None, expected labels: it requires y to be passed, but the target y is None.")
        labels = column_or_1d(y)
        check_classification_targets(labels)
        if len(labels) != len(faces):
            raise InputError(f"Got y with {len(labels)} rows, expected {len(faces)}, one for each face.")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"Got classes={self.classes_.tolist()}, expected at least 2 classes.")
        return faces, codes

    def _check_parameters(self) -> None:
        check_flags(self)
        for name, least in (("epochs", 1), ("batch_size", 2), ("n_threads", 1), ("seed", 0), ("verbose", 0)):
            value = {"batch_size": self._batch, "verbose": self.verbose or 0}.get(name, getattr(self, name))
            if not isinstance(value, (int, np.integer)) or value < least:
                raise InputError(f"Got {name}={value!r}, expected a whole number of at least {least}.")
        rates = (("learning_rate", self._rate), ("muon_rate", self._muon), ("weight_decay", self.weight_decay))
        for name, value in rates:
            if not isinstance(value, Real) or not 0 <= value < np.inf:
                raise InputError(f"Got {name}={value!r}, expected a number of at least 0.")
        if self.muon_rate and not self._rate:
            raise InputError(
                f"Got muon_rate={self.muon_rate!r} with learning_rate={self._rate!r}, expected a learning_rate above "
                "0, with which it rises and falls."
            )
        for name in ("dropout", "label_smoothing", "average", "validation_share"):
            if not isinstance(getattr(self, name), Real) or not 0 <= getattr(self, name) < 1:
                raise InputError(f"Got {name}={getattr(self, name)!r}, expected a share from 0 to below 1.")
        if not isinstance(self.mixup, Real) or not 0 <= self.mixup <= 1:
            raise InputError(f"Got mixup={self.mixup!r}, expected a share from 0 to 1.")
        for name in ("widths", "strides", "sizes"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, (str, Real)) or not all(isinstance(v, (int, np.integer)) for v in value)
            ):
                raise InputError(f"Got {name}={value!r}, expected whole numbers, or None.")
        if self.gates not in (None, True, False):
            raise InputError(f"Got gates={self.gates!r}, expected True, False or None.")
        if self.precision not in PRECISIONS:
            raise InputError(f"Got precision={self.precision!r}, expected one of {list(PRECISIONS)}.")
        if not isinstance(self.augment, (bool, Augment, Mapping)):
            raise InputError(f"Got augment={self.augment!r}, expected True, False, an Augment or its settings.")
        self._changes()

    def _check_checkpoint(self) -> None:
        if self.checkpoint in (None, "cache"):
            return
        path = Path(self.checkpoint)  # type: ignore[arg-type]
        if not (path.absolute().parent.is_dir() and can_write(path)):
            raise InputError(f"Got checkpoint={str(path)!r}, expected a file in a folder that can be written to.")

    @property
    def _rate(self) -> float:
        if self.learning_rate is not None:
            return self.learning_rate
        return 0.1 if self.init is None else 0.01

    @property
    def _muon(self) -> float:
        if self.muon_rate is not None:
            return self.muon_rate
        return 0.03 if self.init is None else 0.0

    @property
    def _batch(self) -> int:
        if self.batch_size is not None:
            return self.batch_size
        return 128 if self.init is None else 32

    def _start(self, labels: tuple[str, ...]) -> Weights:
        """First weights: those of ``init`` with a head for these labels, or new ones."""
        shape: dict[str, Any] = {
            name: tuple(v) for name in ("widths", "strides") if (v := getattr(self, name)) is not None
        }
        if self.gates is not None:
            shape["gates"] = self.gates
        if self.init is None:
            if self.freeze:
                raise InputError(f"Got freeze={self.freeze!r} and init=None, expected an init that can be kept.")
            return fresh(Weights(labels, {}, **{"widths": WIDTHS, "strides": STRIDES} | shape), self.seed)
        start = initial(self.init)
        for name, value in shape.items():
            if value != getattr(start, name):
                raise InputError(f"Got {name}={value}, expected {getattr(start, name)}, that of init={self.init!r}.")
        return changed_head(start, labels, self.seed)

    def _plan(self, start: Weights) -> Plan:
        count = len(start.widths)
        freeze = count if self.freeze == "trunk" else self.freeze
        if not isinstance(freeze, (int, np.integer)) or not 0 <= freeze <= count:
            raise InputError(f"Got freeze={self.freeze!r}, expected 'trunk' or a whole number from 0 to {count}.")
        return Plan(
            epochs=self.epochs,
            learning_rate=self._rate,
            muon_rate=self._muon,
            batch_size=self._batch,
            weight_decay=self.weight_decay,
            mixup=self.mixup,
            average=self.average,
            dropout=self.dropout,
            precision=self.precision,
            freeze=int(freeze),
            seed=self.seed,
            augment=self._changes(),
            sizes=self._sizes(start),
        )

    def _changes(self) -> Augment | None:
        """The augmentation, with settings that it takes."""
        if isinstance(self.augment, Augment):
            return self.augment
        if isinstance(self.augment, bool):
            return Augment() if self.augment else None
        try:
            return Augment().set_params(**self.augment)
        except ValueError as error:
            known = ", ".join(Augment().get_params())
            raise InputError(f"Got augment={dict(self.augment)}, expected settings among {known}.") from error

    def _sizes(self, start: Weights) -> tuple[int, ...]:
        sizes = (start.input_size,) if self.sizes is None else tuple(self.sizes)
        step = 2 ** start.strides.count(2)
        if not sizes or sizes[-1] != start.input_size or any(size < 1 or size % step for size in sizes):
            raise InputError(
                f"Got sizes={self.sizes!r}, expected multiples of {step} of which {start.input_size}, "
                "the size of the network, comes last."
            )
        return sizes

    def _targets(self, codes: NDArray[np.intp], votes: Any) -> NDArray[np.float32]:
        n, k = len(codes), len(self.classes_)
        targets = np.eye(k)[codes] * (1 - self.label_smoothing) + self.label_smoothing / k
        if votes is not None:
            shares = np.asarray(votes, float)
            if shares.shape != (n, k):
                raise InputError(f"Got votes with shape {shares.shape}, expected {(n, k)}, a column for each class.")
            if not (np.isfinite(shares).all() and (shares >= 0).all()):
                raise InputError("Got votes with NaN or numbers below 0, expected shares.")
            voted = shares.sum(axis=1) > 0
            targets[voted] = shares[voted] / shares[voted].sum(axis=1, keepdims=True)
        return targets.astype(np.float32)

    def _stamp(self, start: Weights, rows: Rows) -> str:
        """What a checkpoint must have been made with, to go on from it."""
        settings = self.get_params()
        for name in ("verbose", "checkpoint", "mirror", "n_threads", "augment"):
            del settings[name]
        changes = self._changes()
        settings["augment"] = changes and changes.get_params()
        parts = (rows.crops.tobytes(), rows.targets.tobytes(), *(a.tobytes() for a in start.arrays.values()))
        data = sha256(b"".join(parts)).hexdigest()[:16]
        return json.dumps({name: repr(value) for name, value in settings.items()} | {"faces": data}, sort_keys=True)

    def _place(self, stamp: str) -> Path | None:
        """Where the checkpoint is written."""
        if self.checkpoint != "cache":
            return None if self.checkpoint is None else Path(self.checkpoint)
        return writable_folder("trainings") / f"{sha256(stamp.encode()).hexdigest()[:16]}.npz"

    def _keep(self, weights: Weights) -> None:
        note = "Trained with ferkit; the faces it was trained on may limit its use."
        self.network_hash_ = remember(to_onnx(weights, note))
        self.weights_hash_ = remember(dump_weights(weights), suffix=".npz")

    def _faces(self, X: Any) -> Faces:
        check_is_fitted(self, "network_hash_")
        return as_faces(X)

    def _logits(self, faces: Faces) -> NDArray[np.float32]:
        network = open_network(self.network_hash_, None, self.n_threads)
        crops = sized(faces.crops, network.input_shape[1] or network.size or faces.size)
        views = [crops, crops[:, :, ::-1]] if self.mirror else [crops]
        parts = [network.run(view[..., None], ["logits"])["logits"] for view in views]
        return np.mean(parts, axis=0, dtype=np.float32)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _held_out(codes: NDArray[np.intp], share: float, seed: int) -> NDArray[np.bool_]:
    """Mask of the same share of each class; every class keeps a row to train on."""
    held = np.zeros(len(codes), bool)
    rng = np.random.default_rng(seed)
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        held[rows[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return held
