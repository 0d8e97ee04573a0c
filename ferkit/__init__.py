"""Facial expression recognition from classical features, small networks and their fusion.

Names below are imported from their folders when first used, so that ``import ferkit`` stays quick.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported, which else reports to its makers

_HOMES = {
    "ferkit.augment": ("Augment",),
    "ferkit.explain": ("Explainer",),
    "ferkit.faces": ("FaceExtractor",),
    "ferkit.features": (
        "FamilyUnion",
        "FeatureCache",
        "FisherVectors",
        "Geometry",
        "HOG",
        "LBP",
        "NetworkFeatures",
        "VisualWords",
    ),
    "ferkit.model": (
        "Concatenation",
        "FusionHead",
        "LinearSVM",
        "LocalSVM",
        "RBFSVM",
        "Stacking",
        "Voting",
    ),
    "ferkit.nets": ("NetworkClassifier",),
    "ferkit.predict": ("Predictor",),
    "ferkit.records": ("Faces", "Features", "Frame", "Reading"),
    "ferkit.sinks": ("read_readings",),
    "ferkit.store": ("inspect", "load", "save"),
}
_NAMES = {name: (home, name) for home, names in _HOMES.items() for name in names} | {
    "load_dataset": ("ferkit.sources", "load"),
}

__all__ = ["__version__", *sorted(_NAMES)]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'ferkit' has no attribute {name!r}")
    home, attribute = _NAMES[name]
    value = getattr(import_module(home), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


if TYPE_CHECKING:
    from ferkit.augment import Augment as Augment
    from ferkit.explain import Explainer as Explainer
    from ferkit.faces import FaceExtractor as FaceExtractor
    from ferkit.features import HOG as HOG
    from ferkit.features import LBP as LBP
    from ferkit.features import FamilyUnion as FamilyUnion
    from ferkit.features import FeatureCache as FeatureCache
    from ferkit.features import FisherVectors as FisherVectors
    from ferkit.features import Geometry as Geometry
    from ferkit.features import NetworkFeatures as NetworkFeatures
    from ferkit.features import VisualWords as VisualWords
    from ferkit.model import RBFSVM as RBFSVM
    from ferkit.model import Concatenation as Concatenation
    from ferkit.model import FusionHead as FusionHead
    from ferkit.model import LinearSVM as LinearSVM
    from ferkit.model import LocalSVM as LocalSVM
    from ferkit.model import Stacking as Stacking
    from ferkit.model import Voting as Voting
    from ferkit.nets import NetworkClassifier as NetworkClassifier
    from ferkit.predict import Predictor as Predictor
    from ferkit.records import Faces as Faces
    from ferkit.records import Features as Features
    from ferkit.records import Frame as Frame
    from ferkit.records import Reading as Reading
    from ferkit.sinks import read_readings as read_readings
    from ferkit.sources import load as load_dataset  # noqa: F401
    from ferkit.store import inspect as inspect
    from ferkit.store import load as load
    from ferkit.store import save as save
