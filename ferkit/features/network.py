"""Activations of a convolutional network (ONNX) as a feature family."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError, ModelFileError
from ferkit.features import onnx
from ferkit.features.base import FaceFeatures
from ferkit.features.onnx import OnnxNetwork, find, open_network, remember
from ferkit.records import Faces, as_faces

_SCALES = ("raw", "unit", "signed", "standard", "imagenet")
_LAYOUTS = ("auto", "nhwc", "nchw")
_POOLS = ("mean", "flatten")
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


class NetworkFeatures(FaceFeatures):
    """Output of a network: ferkit's own, or any ONNX file of one picture in, arrays out.

    Colour, size and order of the axes follow the graph's input. Grey faces fill all three channels of an RGB network.

    Parameters
    ----------
    init : str, default="shipped"
        "shipped" for the network inside the package, "small" for the quicker one beside it, or path of an ONNX file.
        ``fit`` keeps a copy of that file in the cache folder (``ferkit.features.onnx.remember``), so that a model finds
        it by hash when it has moved.
    output : str or int, default="embedding"
        Name or position of the graph's output. ferkit's networks have "logits", "embedding" and "map"; those inside
        the package also "votes", logits for the eight expressions of FER+.
    mirror : bool, default=True
        Average the outputs of the face and of its mirror image.
    scale : {"raw", "unit", "signed", "standard", "imagenet"}, default="raw"
        Grey levels that the network takes: 0 to 255, 0 to 1, -1 to 1, each face less its mean and divided by its
        deviation, or ImageNet's mean and deviation by channel. ferkit's networks take "raw".
    layout : {"auto", "nhwc", "nchw"}, default="auto"
        Where the channels stand; "auto" looks for a length of 1 or 3 in the graph.
    size : int, list of int or None, default=None
        Height and width of the faces shown to a graph that takes any, as ferkit's own do (multiples of 8); outputs at
        several sizes are averaged. None is what the graph insists on or, where its file says so, was trained on,
        otherwise those of the crop.
    pool : {"mean", "flatten"} or int, default="mean"
        What to do with an output of more than two axes: average over positions, keep every number, or, for a map of
        rows and columns, average over each part of a grid of so many rows and as many columns. The map of a mirror
        image is turned back first.
    batch_size : int, default=256
        Faces run at once.
    n_threads : int, default=1
        Threads that one run may use.

    Attributes
    ----------
    network_hash_ : str
        SHA-256 of the ONNX file, by which it is found again.
    labels_ : list of str
        Labels that the file names for the columns of that output; empty where it names none.
    output_name_ : str
        Name of the output.
    n_outputs_ : int
        Number of columns.

    Raises
    ------
    ModelFileError
        At fit, when there is no such network; at transform, when its file cannot be found again.
    InputError
        At fit, when a parameter or the graph's input is not as expected.
    """

    family: ClassVar[str] = "cnn"

    def __init__(
        self,
        init: str = "shipped",
        *,
        output: str | int = "embedding",
        mirror: bool = True,
        scale: str = "raw",
        layout: str = "auto",
        size: int | Sequence[int] | None = None,
        pool: str | int = "mean",
        batch_size: int = 256,
        n_threads: int = 1,
    ) -> None:
        self.init = init
        self.output = output
        self.mirror = mirror
        self.scale = scale
        self.layout = layout
        self.size = size
        self.pool = pool
        self.batch_size = batch_size
        self.n_threads = n_threads

    def _learn(self, faces: Faces, y: Any) -> None:
        self._check_params()
        own = onnx.shipped(self.init)
        if own is not None and not own.is_file():
            raise ModelFileError(
                f"Got init={self.init!r}, expected the network of the package at {own}, which this copy lacks. "
                "Give the path of an ONNX file instead."
            )
        self.network_hash_ = OnnxNetwork(own or self._path).sha256
        if self._path is not None:
            remember(find(self.network_hash_, self._path))
        network = self._network()
        self._check_size(network)
        self.output_name_ = network.output_name(self.output)
        self.labels_ = list(network.labels_of(self.output_name_))
        self.n_outputs_ = int(self._run(network, faces.crops[:1]).shape[1])

    def _extract(self, faces: Faces) -> NDArray[np.float32]:
        network = self._network()
        out = np.empty((len(faces), self.n_outputs_), np.float32)
        for i in range(0, len(faces), self.batch_size):
            rows = slice(i, i + self.batch_size)
            out[rows] = self._run(network, faces.crops[rows])
        return out

    def _evidence_map(self, faces: Faces, evidence: Any, slopes: NDArray[Any]) -> NDArray[np.float64] | None:
        """Class activation map, moved so that its sum is the evidence; None for a network that does not allow it."""
        cells = self.activation_map(faces, slopes)
        if cells is None:
            return None
        left = (np.sum(evidence, axis=1) - cells.sum(axis=(1, 2))) / (cells.shape[1] * cells.shape[2])
        return spread_cells(cells + left[:, None, None], faces.shape[1:])

    def activation_map(self, X: Any, slopes: Any) -> NDArray[np.float64] | None:
        """Class activation map (Zhou et al. 2016): what each place of the last map adds to the outputs.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            The faces.
        slopes : array-like of shape (n, n_features)
            Weights of this family's columns: 1 for the logit of a class and 0 for the others gives that class's map.

        Returns
        -------
        ndarray of shape (n, rows, cols), dtype float64, or None
            Its sum is ``transform(X)`` along the slopes, less the head's bias. The mirror image's map is turned back
            and averaged, as the outputs are. None unless the network has the outputs ``map`` and ``embedding``, its
            mean, and the family's output is the map's mean (of all of it or of parts) or one linear layer on the
            embedding, as in ferkit's own networks.

        References
        ----------
        Zhou, Khosla, Lapedriza, Oliva, Torralba (2016). Learning deep features for discriminative localization. CVPR.
        """
        faces, network = as_faces(X), self._network()
        if not {"map", "embedding"} <= set(network.outputs) or self._input(network)[0] != 3:
            return None
        weights = np.asarray(slopes, dtype=np.float64)
        parts = self._grid or 1  # fit allows a grid for maps only
        if self.output_name_ not in ("embedding", "map"):
            try:
                weights = weights @ network.head(self.output_name_)[0].T
            except InputError:  # another kind of head
                return None
        elif self.output_name_ == "map" and self.pool == "flatten":
            return None
        weights = weights.reshape(len(weights), parts, parts, -1)
        found: list[NDArray[np.float64]] = []
        for size, turned in self._views():
            batch = self._batch(network, faces.crops[:, :, ::turned], size)
            maps = network.run(batch, ["map"], self.batch_size)["map"].astype(np.float64)
            cells = np.einsum(
                "nijc,nklc,ki,lj->nij",
                maps[:, :, ::turned],
                weights,
                *(_area_shares(n, parts) for n in maps.shape[1:3]),
                optimize=True,
            )
            found.append(cells)
        finest = max((cells.shape[1:] for cells in found), key=np.prod)
        same = [cells if cells.shape[1:] == finest else spread_cells(cells, finest) for cells in found]
        return np.asarray(np.mean(same, axis=0))

    def _names(self) -> list[str]:
        if self.labels_ and len(self.labels_) == self.n_outputs_:
            return list(self.labels_)
        k = self._grid
        if k is None:
            return [f"{self.output_name_}{i}" for i in range(self.n_outputs_)]
        cells = [f"row{row}/col{col}" for row in range(k) for col in range(k)]
        return [f"{cell}/{self.output_name_}{i}" for cell in cells for i in range(self.n_outputs_ // k**2)]

    @property
    def _grid(self) -> int | None:
        """Rows and columns of parts over which a map is averaged; None for the mean of all of it or every number."""
        return int(self.pool) if _is_length(self.pool) else None

    @property
    def version(self) -> str:  # type: ignore[override]
        """Hash of the network, so that the feature cache forgets what another network computed."""
        return self.network_hash_

    @property
    def _path(self) -> str | None:
        return None if onnx.shipped(self.init) else str(self.init)

    def _network(self) -> OnnxNetwork:
        return open_network(self.network_hash_, self._path, self.n_threads)

    def _run(self, network: OnnxNetwork, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        # A face and its mirror image in one run: a twentieth faster than one after the other.
        both = np.concatenate([crops, crops[:, :, ::-1]]) if self.mirror else crops
        outputs = [self._view(network, both, size) for size in self._sizes()]
        if len({out.shape for out in outputs}) > 1:
            raise InputError(
                f"Got size={self.size!r} with pool={self.pool!r}, which gives {[out.shape[1] for out in outputs]} "
                "numbers a face, expected pool='mean' or one size."
            )
        views = np.stack(outputs).reshape(-1, len(crops), outputs[0].shape[1])
        return np.asarray(views.mean(axis=0, dtype=np.float32))

    def _sizes(self) -> list[Any]:
        return list(self.size) if isinstance(self.size, (list, tuple)) else [self.size]

    def _views(self) -> list[tuple[int | None, int]]:
        """Size and step along the columns of each view; -1 is the mirror image."""
        return [(size, turned) for size in self._sizes() for turned in ((1, -1) if self.mirror else (1,))]

    def _view(self, network: OnnxNetwork, crops: NDArray[np.uint8], size: int | None) -> NDArray[np.float32]:
        channels_at = self._input(network)[0]
        out = network.run(self._batch(network, crops, size), [self.output_name_], self.batch_size)[self.output_name_]
        first = channels_at == 1 and out.ndim == 4
        if out.ndim == 4 and self.mirror and self.pool != "mean":  # whose mean is the same either way
            half = len(out) // 2
            out = np.concatenate([out[:half], np.flip(out[half:], 3 if first else 2)])
        if self._grid is not None:
            out = self._parts(np.moveaxis(out, 1, 3) if first else out, self._grid)
        elif out.ndim > 2 and self.pool == "mean":
            features_at = 1 if first else out.ndim - 1
            out = out.mean(axis=tuple(axis for axis in range(1, out.ndim) if axis != features_at))
        return out.reshape(len(crops), -1).astype(np.float32, copy=False)

    def _parts(self, maps: NDArray[Any], k: int) -> NDArray[Any]:
        """Means over each part of maps (n, rows, columns, channels): (n, k, k, channels)."""
        if maps.ndim != 4 or min(maps.shape[1:3]) < k:
            raise InputError(
                f"Got pool={k} and the output {self.output_name_!r} of shape {maps.shape[1:]} a face, "
                f"expected a map of at least {k} rows and columns, such as output='map'."
            )
        n, height, width, channels = maps.shape
        rows, columns = (_area_shares(length, k).astype(np.float32) for length in (height, width))
        bands = rows @ maps.reshape(n, height, width * channels)
        return np.asarray(columns @ bands.reshape(n * k, width, channels)).reshape(n, k, k, channels)

    def _batch(self, network: OnnxNetwork, crops: NDArray[np.uint8], size: int | None) -> NDArray[np.float32]:
        """Crops as the graph takes them."""
        channels_at, channels, height, width = self._input(network)
        height, width = (
            length or size or network.size or own for length, own in zip((height, width), crops.shape[1:], strict=True)
        )
        batch = np.repeat(_resized(crops, height, width)[..., None].astype(np.float32), channels, axis=3)
        batch = _scaled(batch, self.scale)
        return np.ascontiguousarray(batch if channels_at == 3 else batch.transpose(0, 3, 1, 2))

    def _input(self, network: OnnxNetwork) -> tuple[int, int, int | None, int | None]:
        """Axis of the channels, their number, height and width of the graph's input."""
        shape = network.input_shape
        axes = {"auto": (3, 1), "nhwc": (3,), "nchw": (1,)}[self.layout]
        at = next((axis for axis in axes if len(shape) == 4 and shape[axis] in (1, 3)), None)
        if at is None:
            raise InputError(
                f"Got layout={self.layout!r} and a network with input shape {shape}, expected four axes with one of "
                "1 or 3 channels."
            )
        height, width = shape[1:3] if at == 3 else shape[2:]
        return at, int(shape[at] or 1), height, width

    def _check_params(self) -> None:
        for name, known in (("scale", _SCALES), ("layout", _LAYOUTS)):
            if getattr(self, name) not in known:
                raise InputError(f"Got {name}={getattr(self, name)!r}, expected one of {list(known)}.")
        if self.pool not in _POOLS and not _is_length(self.pool):
            raise InputError(f"Got pool={self.pool!r}, expected one of {list(_POOLS)} or a whole number of at least 1.")
        for name in ("batch_size", "n_threads"):
            value = getattr(self, name)
            if not _is_length(value):
                raise InputError(f"Got {name}={value!r}, expected a whole number of at least 1.")
        sizes = self._sizes()
        if self.size is not None and not (sizes and all(map(_is_length, sizes))):
            raise InputError(f"Got size={self.size!r}, expected a whole number of at least 1 or a list of them.")

    def _check_size(self, network: OnnxNetwork) -> None:
        """Refuse a size that the graph would not be shown."""
        lengths = self._input(network)[2:]
        for size in self._sizes():
            if size is not None and any(length not in (None, size) for length in lengths):
                raise InputError(f"Got size={self.size!r} and a network for faces of {lengths}, expected size=None.")


def _is_length(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= 1)


@lru_cache
def _area_shares(n: int, parts: int) -> NDArray[np.float64]:
    """How much each of n cells in a row is of each of so many parts of the row: (parts, n), rows summing to 1."""
    ends, part = np.arange(n + 1) * (parts / n), np.arange(parts)[:, None]
    shares = np.clip(np.minimum(ends[1:], part + 1) - np.maximum(ends[:-1], part), 0, None)
    shares.flags.writeable = False  # every caller gets the same array
    return np.asarray(shares)


def spread_cells(cells: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Numbers of a coarse map over the pixels of a face, smoothly, with the same sum.

    Parameters
    ----------
    cells : ndarray of shape (n, rows, cols), dtype float64
    shape : tuple of (int, int)
        Height and width of the face.

    Returns
    -------
    ndarray of shape (n, height, width), dtype float64
    """
    size = (shape[1], shape[0])
    fine = [cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_LINEAR) for part in cells]
    large = np.asarray(fine, dtype=np.float64) * (np.prod(cells.shape[1:]) / np.prod(shape))
    left = cells.sum(axis=(1, 2)) - large.sum(axis=(1, 2))  # of interpolation at the border
    return np.asarray(large + left[:, None, None] / np.prod(shape))


def _resized(crops: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if crops.shape[1:] == (height, width):
        return crops
    how = cv2.INTER_AREA if height < crops.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=how) for crop in crops])


def _scaled(batch: NDArray[np.float32], scale: str) -> NDArray[np.float32]:
    """Grey levels of shape (n, height, width, channels) as the network takes them."""
    if scale == "raw":
        return batch
    if scale == "signed":
        return batch / np.float32(127.5) - 1
    if scale == "standard":
        deviation = batch.std(axis=(1, 2, 3), keepdims=True)
        return (batch - batch.mean(axis=(1, 2, 3), keepdims=True)) / np.maximum(deviation, np.float32(1e-3))
    unit = batch / np.float32(255)
    if scale == "imagenet" and batch.shape[3] != 3:
        raise InputError("Got scale='imagenet' and a grey network, expected one with 3 channels.")
    return unit if scale == "unit" else (unit - _IMAGENET_MEAN) / _IMAGENET_STD
