"""The names that a recipe may use, and nothing else: each stands for one class, imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

FACES = "ferkit.faces:FaceExtractor"
AUGMENT = "ferkit.augment:Augment"

FEATURES = {
    "hog": "ferkit.features:HOG",
    "lbp": "ferkit.features:LBP",
    "geometry": "ferkit.features:Geometry",
    "fisher": "ferkit.features:FisherVectors",
    "words": "ferkit.features:VisualWords",
    "cnn": "ferkit.features:NetworkFeatures",
}
"""Feature families by the name that a recipe calls them."""

MODELS = {
    "linear_svm": "ferkit.model:LinearSVM",
    "rbf_svm": "ferkit.model:RBFSVM",
    "local_svm": "ferkit.model:LocalSVM",
    "stacking": "ferkit.model:Stacking",
    "voting": "ferkit.model:Voting",
    "concatenation": "ferkit.model:Concatenation",
    "fusion_head": "ferkit.model:FusionHead",
    "network": "ferkit.nets:NetworkClassifier",
}
"""Classifiers by the name that a recipe calls them."""

BASES = {"stacking": "bases", "voting": "bases"}
"""Parameter of a model that holds one model for each family."""

INNER = {"concatenation": "estimator"}
"""Parameter of a model that holds one model."""

ON_CROPS = ("network",)
"""Models that read faces, not features."""


def resolve(target: str) -> Any:
    """Class behind ``module:Class``."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def parameters(target: str) -> dict[str, str]:
    """Parameters of a class and their types, as its signature writes them."""
    from inspect import signature

    found = signature(resolve(target).__init__).parameters
    return {name: str(item.annotation) for name, item in found.items() if name != "self"}


def fuses(model: str) -> bool:
    """Whether a model's fit takes a mask of rows that fit the fusion only."""
    from inspect import signature

    return "fusion" in signature(resolve(MODELS[model]).fit).parameters
