"""Saving, opening and inspecting model files."""

from __future__ import annotations

import copy
import io
import json
import platform
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ferkit
from ferkit.errors import ModelFileError
from ferkit.files import writable_folder, write_whole
from ferkit.labels import ordered
from ferkit.records import seen_hashes
from ferkit.store.container import (
    FITTED,
    FORMAT,
    FUSION,
    MANIFEST,
    NETWORK,
    PIPELINE,
    array_bytes,
    check_members,
    check_sparse,
    member,
    model_path,
    opened,
    read_array,
    read_manifest,
    sparse_less_dense,
    write,
)
from ferkit.store.reader import PROTOCOL, Reader
from ferkit.store.trusted import LOADERS, PRIVATE, TRUSTED

NAMED_BY = {"network_hash_": ".onnx", "weights_hash_": ".npz"}
"""Attributes of estimators that name a network's file by its hash."""

LIBRARIES = ("numpy", "scipy", "scikit-learn", "scikit-image", "opencv-contrib-python", "onnxruntime", "skops")


@dataclass(frozen=True)
class Model:
    """An opened model file.

    Attributes
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Steps ``faces``, ``features``, ``model``.
    manifest : dict
        What the model is, was trained on and scores.
    path : Path
        Where it was opened.
    """

    pipeline: Any
    manifest: dict[str, Any]
    path: Path
    fitted: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64), repr=False)
    fusion: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64), repr=False)

    @property
    def labels(self) -> list[str]:
        """Labels in ferkit's order, the order of the columns of ``predict_proba``."""
        return ordered(str(label) for label in self.pipeline.classes_)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each label.

        Parameters
        ----------
        X : Faces or sequence of pictures
            What the pipeline's first step takes.

        Returns
        -------
        ndarray of shape (n, len(labels))
            Columns follow ``labels``.
        """
        columns = {str(label): i for i, label in enumerate(self.pipeline.classes_)}
        # Step by step: what a Pipeline checks before each prediction takes as long as the fusion of one face.
        *before, (_, last) = getattr(self.pipeline, "steps", [("model", self.pipeline)])
        for _, step in before:
            X = step.transform(X) if hasattr(step, "transform") else X  # "passthrough" and None have none
        proba: NDArray[np.float64] = np.asarray(last.predict_proba(X), dtype=np.float64)
        return proba[:, [columns[label] for label in self.labels]]

    def seen(self, X: Any) -> tuple[int, int]:
        """How many of these faces fitted the model, and how many fitted its fusion only.

        Parameters
        ----------
        X : Faces, or ndarray of shape (n,), dtype uint64
            Faces, or their hashes as ``seen_hashes`` gives them.
        """
        hashes = X if isinstance(X, np.ndarray) and X.dtype == np.uint64 else seen_hashes(X)
        return int(np.isin(hashes, self.fitted).sum()), int(np.isin(hashes, self.fusion).sum())


def save(
    pipeline: Any,
    path: str | Path,
    manifest: Mapping[str, Any] | None = None,
    fitted: NDArray[np.uint64] | None = None,
    fusion: NDArray[np.uint64] | None = None,
    embed_shipped: bool = True,
    trusted: Collection[str] = (),
) -> Path:
    """Write a model file. A failure leaves what was there before.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted pipeline. The folder of its feature cache is not written.
    path : str or Path
        Where to; folders on the way are made.
    manifest : mapping or None, default=None
        More for the manifest: recipe, metrics, counts.
    fitted, fusion : ndarray of shape (n,), dtype uint64, or None, default=None
        Hashes (``seen_hashes``) of the faces that fitted the model, and of those that fitted its fusion only.
    embed_shipped : bool, default=True
        Put also the network that ships with ferkit into the file.
    trusted : collection of str, default=()
        Types of your own (``module.Class``) in the pipeline; ``load`` needs the same.

    Raises
    ------
    ModelFileError
        The pipeline is not fitted or holds a type that ``load`` would refuse, a network is gone, or the disk is full.
    """
    path = Path(path)
    part = sparse_less_dense(_dumped(_without_cache(pipeline)))
    schema = _schema(part, path)
    _audit(schema, trusted, path)
    classes = getattr(pipeline, "classes_", None)
    if classes is None:
        raise ModelFileError(f"Got a {type(pipeline).__name__} without classes_, expected a fitted classifier.")
    networks = _networks(schema, embed_shipped)
    about = _about(networks) | {"labels": ordered(str(label) for label in classes)} | dict(manifest or {})
    members = {
        MANIFEST: json.dumps(about, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace"),
        PIPELINE: part,
        FITTED: array_bytes(fitted),
        FUSION: array_bytes(fusion),
    }
    members |= {f"nets/{name}": data for name, data in networks.items() if data is not None}
    write(path, members)
    return path


def load(path: str | Path | None = None, trusted: Collection[str] = ()) -> Model:
    """Open a model file.

    Parameters
    ----------
    path : str, Path or None, default=None
        The file, or the name of a model inside the package: ``"default"``, ``"fast"``, ``"ferplus"`` or ``"hybrid"``.
    trusted : collection of str, default=()
        Types beyond ferkit's list (``module.Class``) that you vouch for, such as a feature family of your own.

    Raises
    ------
    ModelFileError
        Not a model file, cut off, from a newer version, or with a type outside the list.
    """
    path = model_path(path)
    with opened(path) as archive:
        check_members(archive, path)
        manifest = read_manifest(archive, path)
        part = member(archive, PIPELINE, path)
        arrays = [read_array(member(archive, name, path), path) for name in (FITTED, FUSION)]
        _remember_networks(archive, path)
    schema = _schema(part, path)
    types = _audit(schema, trusted, path)
    _warn_of_private(types, manifest, path)
    return Model(_without_cache(_constructed(part, schema, types, path)), manifest, path, *arrays)


def inspect(path: str | Path | None = None) -> dict[str, Any]:
    """Manifest of a model file; the pipeline is not opened."""
    path = model_path(path)
    with opened(path) as archive:
        check_members(archive, path)
        return read_manifest(archive, path)


def _without_cache(estimator: Any) -> Any:
    """Shallow copy whose steps name no folder of this machine; what is inside is shared."""
    bare = copy.copy(estimator)
    for name in ("cache", "memory"):
        if hasattr(bare, name):
            setattr(bare, name, None)
    if hasattr(bare, "steps"):
        bare.steps = [(name, _without_cache(step)) for name, step in bare.steps]
    return bare


def _dumped(pipeline: Any) -> bytes:
    from skops import io as skops_io

    try:
        data: bytes = skops_io.dumps(pipeline)
    except Exception as error:  # skops raises what it likes for objects that it cannot write
        raise ModelFileError(f"Got a pipeline that cannot be written ({error}), expected plain estimators.") from error
    return data


def _constructed(part: bytes, schema: dict[str, Any], types: set[str], path: Path) -> Any:
    from sklearn.exceptions import InconsistentVersionWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InconsistentVersionWarning)  # _warn_of_private says it where it matters
            pipeline = _made(part, schema, types)
        if not hasattr(pipeline, "predict_proba"):
            raise TypeError(f"it holds a {type(pipeline).__name__}, not a classifier")
    except Exception as error:  # a damaged file can make any constructor fail
        raise ModelFileError(f"Got {path} with a pipeline that cannot be opened ({error}).") from error
    return pipeline


def _made(part: bytes, schema: dict[str, Any], types: set[str]) -> Any:
    if schema.get("protocol") != PROTOCOL:
        from skops import io as skops_io

        return skops_io.loads(part, trusted=sorted(types))
    with zipfile.ZipFile(io.BytesIO(part)) as archive:
        return Reader(archive).make(schema)


def _schema(part: bytes, path: Path) -> dict[str, Any]:
    """The skops part's own table of contents, after a look at the sizes of what it holds."""
    try:
        with zipfile.ZipFile(io.BytesIO(part)) as archive:
            for item in archive.infolist():
                if item.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"compressed member {item.filename}")
                if item.filename.endswith(".npz"):
                    check_sparse(archive.read(item))
            schema = json.loads(archive.read("schema.json"))
        if not isinstance(schema, dict):
            raise ValueError("a table of contents that is not one")
    except (zipfile.BadZipFile, KeyError, ValueError, RecursionError, NotImplementedError) as error:
        raise ModelFileError(f"Got {path} with a damaged pipeline part ({error}).") from error
    return schema


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object that a skops table of contents describes."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "__loader__" in item or "__class__" in item:
                yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _audit(schema: dict[str, Any], trusted: Collection[str], path: Path) -> set[str]:
    """Types in a pipeline part; one outside the list is an error that names it."""
    types = set()
    for node in _nodes(schema):
        loader, name = node.get("__loader__"), f"{node.get('__module__')}.{node.get('__class__')}"
        if name not in TRUSTED and name not in trusted:
            raise ModelFileError(
                f"Got {path} with type {name!r}, expected only the types that ferkit trusts. If you trust who made it, "
                f"pass trusted=[{name!r}]."
            )
        if loader not in LOADERS:
            raise ModelFileError(f"Got {path} with {name!r} kept as {loader!r}, expected one of {', '.join(LOADERS)}.")
        types.add(name)
    return types


def _warn_of_private(types: set[str], manifest: Mapping[str, Any], path: Path) -> None:
    then, now = str(manifest.get("libraries", {}).get("scikit-learn", "")), metadata.version("scikit-learn")
    if then.split(".")[:2] != now.split(".")[:2] and (inside := sorted(types & PRIVATE)):
        text = f"{path} was made with scikit-learn {then}, this is {now}; {', '.join(inside)} may differ between them."
        warnings.warn(text, UserWarning, stacklevel=3)


def _networks(schema: dict[str, Any], embed_shipped: bool) -> dict[str, bytes | None]:
    """Files of the networks that the pipeline names, by hash and suffix; None for one that is not put in."""
    from ferkit.features.onnx import find, own_files

    names = {
        (json.loads(content[key]["content"]), suffix)
        for node in _nodes(schema)
        if isinstance(content := node.get("content"), dict)
        for key, suffix in NAMED_BY.items()
        if isinstance(content.get(key), dict)
    }
    found: dict[str, bytes | None] = {name + suffix: find(name, suffix=suffix) for name, suffix in sorted(names)}
    own = [] if embed_shipped else [path.read_bytes() for path in own_files()]
    return {name: None if content in own else content for name, content in found.items()}


def _about(networks: Mapping[str, bytes | None]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "ferkit": ferkit.__version__,
        "created": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "networks": {name: "inside" if data is not None else "ferkit's own" for name, data in networks.items()},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def network_file(path: str | Path) -> Path:
    """ONNX file of the network inside a model, with the weights for training beside it where the model has them.

    Both are unpacked into ferkit's cache folder; where that cannot be written, into one that goes with the process.

    Raises
    ------
    ModelFileError
        The file is no model, or does not hold exactly one network.
    """
    from ferkit.features.onnx import find

    path = Path(path)
    with opened(path) as archive:
        check_members(archive, path)
        _remember_networks(archive, path)
        named = [found for name in archive.namelist() if (found := NETWORK.fullmatch(name))]
    networks, weights = ([found[1] for found in named if found[2] == suffix] for suffix in (".onnx", ".npz"))
    if len(networks) != 1:
        raise ModelFileError(
            f"Got {path} with {len(networks)} networks of its own, expected one, as in what ferkit fit cnn writes."
        )
    target = writable_folder("unpacked") / f"{networks[0]}.onnx"
    for names, suffix in ((networks, ".onnx"), (weights[:1], ".npz")):
        for name in names:
            write_whole(target.with_suffix(suffix), find(name, suffix=suffix))
    return target


def _remember_networks(archive: zipfile.ZipFile, path: Path) -> None:
    from ferkit.features.onnx import remember

    for name in archive.namelist():
        if named := NETWORK.fullmatch(name):
            data = member(archive, name, path)
            if sha256(data).hexdigest() != named[1]:
                raise ModelFileError(f"Got {path} with {name} of another content, expected that hash.")
            remember(data, suffix=named[2])
