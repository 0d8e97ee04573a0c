"""Every public estimator of the package, a small one of each to check, and data that suits it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from ferkit.features import FaceFeatures, FamilyUnion
from ferkit.features.dense import DenseDescriptors
from ferkit.features.onnx import shipped
from ferkit.model.base import FaceClassifier
from ferkit.model.bases import FamilyModels
from ferkit.records import Faces, Features

FOLDERS = ("features", "faces", "model", "nets", "augment")
BASES = (FaceFeatures, DenseDescriptors, FaceClassifier, FamilyModels)
"""Classes to inherit from, of no use by themselves."""


@dataclass(frozen=True)
class Case:
    """How to check one estimator.

    ``make(folder)`` builds a small one. ``grid`` is a small search space. ``free`` names parameters that take any value
    (or whose check is that of another package). ``needs`` is a package without which the check is skipped.
    """

    make: Callable[[Path], BaseEstimator]
    grid: dict[str, list[Any]] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    needs: str | None = None


def _tiny_network(folder: Path) -> str:
    """Path of an ONNX file that averages 48x48 faces over four bands and gives three logits."""
    import onnx
    from onnx import helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = {"A": rng.normal(size=(48 * 48, 5)) / 500, "B": rng.normal(size=(5, 3))}
    shapes = {"logits": 3, "embedding": 5}
    nodes = [
        helper.make_node("Flatten", ["faces"], ["flat"]),
        helper.make_node("MatMul", ["flat", "A"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "B"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("faces", onnx.TensorProto.FLOAT, ["n", 48, 48, 1])],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", n]) for name, n in shapes.items()],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    path = folder / "tiny.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return str(path)


def _network(folder: Path) -> BaseEstimator:
    from ferkit.features import NetworkFeatures

    if find_spec("onnx"):
        return NetworkFeatures(_tiny_network(folder))
    if shipped("shipped").is_file():
        return NetworkFeatures()
    pytest.skip("there is no shipped network, and the package onnx, which could write one, is not installed")


def _union(folder: Path) -> BaseEstimator:
    from ferkit.features import HOG, LBP, Geometry

    families = [("hog", HOG(cell=16)), ("lbp", LBP(radii=[1], grid=[3, 3])), ("geometry", Geometry())]
    return FamilyUnion(families)


def _network_classifier(folder: Path) -> BaseEstimator:
    from ferkit.nets import NetworkClassifier

    return NetworkClassifier(epochs=1, batch_size=8, widths=(4, 8, 8), strides=(2, 2))


def _with_defaults(name: str, **params: Any) -> Callable[[Path], BaseEstimator]:
    return lambda folder: estimators()[name](**params)


# An estimator that is quick and works with its defaults needs no line here.
CASES = {
    "HOG": Case(_with_defaults("HOG"), {"cell": [8, [12, 16]]}),
    "LBP": Case(_with_defaults("LBP", radii=[1], grid=[3, 3]), {"method": ["uniform", "nri_uniform"]}),
    "VisualWords": Case(
        _with_defaults("VisualWords", n_words=12, sizes=[5], step=16, pyramid=[1, 2], max_descriptors=2000),
        {"encoding": ["presence", "soft"]},
    ),
    "FisherVectors": Case(
        _with_defaults(
            "FisherVectors", n_gaussians=3, n_dims=8, cells=2, n_axes=4, sizes=[5], step=16, max_descriptors=2000
        ),
        {"power": [0.5, 1.0]},
    ),
    "NetworkFeatures": Case(_network, {"output": ["logits", "embedding"]}),
    "FamilyUnion": Case(_union, {"hog__cell": [12, 16]}, free=("cache",)),
    "LinearSVM": Case(_with_defaults("LinearSVM"), {"C": [0.1, 1.0]}),
    "LocalSVM": Case(_with_defaults("LocalSVM", neighbours=30, calibration_rows=60), {"C": [0.1, 1.0]}),
    "FusionHead": Case(_with_defaults("FusionHead", members=1, calibration_folds=2), {"hidden": [8, 16]}),
    "Stacking": Case(_with_defaults("Stacking", folds=2), {"weights": ["full", "equal"]}),
    "FaceExtractor": Case(
        _with_defaults("FaceExtractor", detector="haar", landmarks="none", smallest=0.5), {"light": ["none", "clahe"]}
    ),
    "NetworkClassifier": Case(_network_classifier, {"dropout": [0.0, 0.4]}, free=("checkpoint",), needs="tensorflow"),
}


@cache
def estimators() -> dict[str, type[BaseEstimator]]:
    """Public estimators of the package by name, found by walking it."""
    found = {}
    for folder in FOLDERS:
        package = importlib.import_module(f"ferkit.{folder}")
        names = [
            package.__name__,
            *(part.name for part in pkgutil.walk_packages(package.__path__, f"ferkit.{folder}.")),
        ]
        for module in map(importlib.import_module, names):
            for name, kind in inspect.getmembers(module, inspect.isclass):
                own = issubclass(kind, BaseEstimator) and kind.__module__ == module.__name__
                if own and kind not in BASES and not name.startswith("_"):
                    found[name] = kind
    return dict(sorted(found.items()))


def case(name: str) -> Case:
    """How to check the estimator of this name; by default with its defaults."""
    return CASES.get(name, Case(_with_defaults(name)))


def role(kind: type[BaseEstimator]) -> str:
    """What an estimator takes and gives: decides on checks and data."""
    if issubclass(kind, FaceFeatures | FamilyUnion):
        return "family"
    if issubclass(kind, FaceClassifier):
        return "classifier"
    if hasattr(kind, "predict_proba"):
        return "network"
    return "pictures" if hasattr(kind, "transform") else "tool"


LABELS = np.array(["anger", "happiness", "neutral"] * 8)


@cache
def faces() -> Faces:
    """24 faces of 48x48 with landmarks: a smooth spot for each label in its own place, and noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:48, :48]
    places = {"anger": (14, 14), "happiness": (34, 24), "neutral": (16, 36)}
    spots = [np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 60) for r, c in (places[label] for label in LABELS)]
    crops = 60 + 120 * np.array(spots) + rng.normal(0, 8, (24, 48, 48))
    layout = rng.uniform(4, 44, (68, 2))
    return Faces(crops.clip(0, 255).astype(np.uint8), points=layout + rng.normal(0, 1, (24, 68, 2)))


@cache
def features() -> Features:
    """Two families of numbers of the same 24 rows."""
    rng = np.random.default_rng(0)
    means = {"anger": 0.0, "happiness": 2.0, "neutral": -2.0}
    shift = np.array([means[label] for label in LABELS])[:, None]
    return Features({"first": shift + rng.normal(size=(24, 6)), "second": shift - rng.normal(size=(24, 4))})


@cache
def pictures() -> list[np.ndarray]:
    """Pictures of different sizes, grey and in colour."""
    grey = [np.pad(crop, 10 + i % 3, constant_values=60) for i, crop in enumerate(faces().crops)]
    return [np.repeat(picture[..., None], 3, axis=2) if i % 2 else picture for i, picture in enumerate(grey)]


def data(kind: str) -> Any:
    """Rows for an estimator of this role."""
    return {"classifier": features, "pictures": pictures}.get(kind, faces)()
