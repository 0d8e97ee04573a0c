"""A teacher beside a network: an SVM on its last map, which says of each face only what it learnt from others.

A network is sure of the faces that it has learnt from, so it tells a student little of them but their labels. The SVM
is fitted in folds, near-duplicates in one, and asked about the faces of the fold that it did not see.
"""

from __future__ import annotations

import numpy as np

from ferkit.features import NetworkFeatures
from ferkit.model import RBFSVM
from ferkit.model.bases import margins
from ferkit.model.calibration import fit_temperature, log_softmax
from ferkit.model.folds import fold_of
from ferkit.sources.duplicates import near_groups

FOLDS = 5


class KernelTeacher:
    """Support vector machines on a network's map by quarters of the face, each fitted without one fold.

    Parameters
    ----------
    network : str or Path
        ONNX file of one of ferkit's networks.
    faces : ndarray of shape (n, height, width), dtype uint8
        The training faces.
    codes : ndarray of shape (n,), dtype int
        Their classes.
    threads : int, default=1
    """

    def __init__(self, network: str, faces: np.ndarray, codes: np.ndarray, threads: int = 1) -> None:
        self.parts = NetworkFeatures(network, output="map", pool=2, mirror=True, n_threads=threads).fit(faces[:1])
        self.fold = fold_of(codes, near_groups(faces)[0], FOLDS, seed=0)
        self.classes = np.unique(codes)
        numbers = self.parts.transform(faces)
        self.svms = [
            RBFSVM(n_components=None, loss="squared", calibrate=False).fit(numbers[others], codes[others])
            for others in (self.fold != fold for fold in range(self.fold.max() + 1))
        ]
        found = self._answers(numbers)
        self.right = float((self.classes[found.argmax(axis=1)] == codes).mean())
        self.temperature = fit_temperature(found, np.searchsorted(self.classes, codes))
        self.parts.mirror = False

    def log_shares(self, copies: np.ndarray) -> np.ndarray:
        """Log-probabilities (n, n_classes) of changed copies of the faces, in their order."""
        return log_softmax(self._answers(self.parts.transform(copies)) / self.temperature)

    def _answers(self, numbers: np.ndarray) -> np.ndarray:
        """Margins of each row by the machine that did not see its face."""
        found = np.empty((len(numbers), len(self.classes)))
        for fold, svm in enumerate(self.svms):
            own = self.fold == fold
            found[own] = margins(svm, numbers[own], self.classes)
        return found
