"""Steady expressions: probabilities averaged over time, and a label that changes only for a reason."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.labels import NOT_SURE

TAU = 0.15
"""Seconds over which probabilities are averaged."""

MARGIN = 0.1
"""How far a new label must lead over the one that is shown."""

THRESHOLD = 0.4
"""Probability below which no label is shown."""

_FLOOR = 1e-2
"""Least probability that counts: one reading without doubt may not outweigh all others."""


class Smoother:
    """Averages the log-probabilities of one face over time, with hysteresis.

    The weight of a reading fades with a time constant in seconds, so that the result does not depend on the frame
    rate. With two labels that change places, the average crosses after ``tau * log(2)``.

    Parameters
    ----------
    labels : sequence of str
        Labels in the order of the probabilities.
    tau : float, default=0.15
        Time constant in seconds; 0 does not smooth.
    margin : float, default=0.1
        A label gives way only to one that leads by this.
    threshold : float, default=0.4
        Probability below which the label is ``NOT_SURE``; half of ``margin`` more is needed to come back from it.

    Attributes
    ----------
    probabilities : ndarray of shape (n_labels,)
        Smoothed probabilities; they sum to 1. All the same before the first reading.
    label : str
        Label that is shown.
    """

    def __init__(
        self, labels: list[str], tau: float = TAU, margin: float = MARGIN, threshold: float = THRESHOLD
    ) -> None:
        if not tau >= 0:
            raise InputError(f"Got tau={tau!r}, expected seconds of at least 0.")
        for name, value in (("margin", margin), ("threshold", threshold)):
            if not 0 <= value <= 1:
                raise InputError(f"Got {name}={value!r}, expected a number from 0 to 1.")
        self.labels = labels
        self.tau, self.margin, self.threshold = tau, margin, threshold
        self.probabilities: NDArray[np.float64] = np.full(len(labels), 1 / len(labels))
        self.label = NOT_SURE
        self._logs: NDArray[np.float64] | None = None
        self._time = 0.0

    def add(self, probabilities: NDArray[np.float64], time: float) -> None:
        """Take in a reading.

        Parameters
        ----------
        probabilities : ndarray of shape (n_labels,)
        time : float
            Seconds; not before the reading before.
        """
        logs = np.log(np.maximum(probabilities, _FLOOR))
        if self._logs is None:
            self._logs = logs
        else:
            passed = max(0.0, time - self._time)
            share = 1 - np.exp(-passed / self.tau) if self.tau else 1.0
            self._logs = self._logs + share * (logs - self._logs)
        self._time = time
        raised = np.exp(self._logs - self._logs.max())
        self.probabilities = raised / raised.sum()
        self.label = self._chosen()

    def _chosen(self) -> str:
        best = int(np.argmax(self.probabilities))
        highest = float(self.probabilities[best])
        if self.label == NOT_SURE:
            return self.labels[best] if highest >= min(1.0, self.threshold + self.margin / 2) else NOT_SURE
        shown = float(self.probabilities[self.labels.index(self.label)])
        if highest < self.threshold:
            return NOT_SURE
        return self.labels[best] if highest >= shown + self.margin else self.label
