"""A network that works on pixels, as two steps: its logits as a feature family, and what turns them into shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.features import NetworkFeatures
from ferkit.model.base import FaceClassifier, Slopes, by_family, join
from ferkit.records import Features


class Softened(FaceClassifier):
    """Logits divided by a temperature.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    temperature : float
    """

    def __init__(self, classes: Any, temperature: float) -> None:
        self.classes = classes
        self.temperature = temperature

    def _logits(self, X: Features) -> NDArray[Any]:
        return np.asarray(join(X), dtype=np.float64) / self.temperature

    def _slopes(self, X: Features, directions: NDArray[Any]) -> dict[str, Slopes]:
        return by_family(X, directions / self.temperature, np.zeros(len(self.classes)))


def network_pipeline(pipeline: Any) -> Any:
    """The same pipeline; one that ends in a ``NetworkClassifier`` on pixels, in steps that can be explained.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Fitted.
    """
    from sklearn.pipeline import Pipeline

    network = pipeline[-1]
    if not (hasattr(network, "network_hash_") and hasattr(network, "temperature_")):
        return pipeline
    family = NetworkFeatures(output="logits", mirror=network.mirror, n_threads=network.n_threads)
    family.network_hash_, family.output_name_, family.labels_ = network.network_hash_, "logits", []
    family.n_outputs_ = len(network.classes_)
    family.crop_shape_ = (pipeline[0].size, pipeline[0].size)
    head = Softened(network.classes_, float(network.temperature_))
    head.classes_, head.n_features_in_ = network.classes_, family.n_outputs_
    head.families_ = {"features": family.n_outputs_}
    return Pipeline([("faces", pipeline[0]), ("features", family), ("model", head)])
