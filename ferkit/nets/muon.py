"""Muon, an optimiser for convolutions. Importing this imports Keras: call ``backend.keras`` first."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

FACTORS = (3.4445, -4.7750, 2.0315)
STEPS = 5


class Muon(keras.optimizers.SGD):  # type: ignore[misc]
    """Muon for the convolutions, SGD with Nesterov momentum for everything else.

    Each step is the nearest orthogonal matrix to the momentum of a layer's filters, so that all directions move alike;
    the filters' length, which the normalisation after them hides, is the root of their number. Convolutions of a single
    channel, which are no more than a few numbers a filter, are left to SGD.

    Parameters
    ----------
    momentum : float
    ratio : float
        Rate of the convolutions for a ``learning_rate`` of 1; 0 leaves them to SGD.
    half : bool, default=False
        Look for the orthogonal matrix in bfloat16, which is precise enough.

    References
    ----------
    Jordan et al.: Muon, an optimizer for hidden layers in neural networks (2024).
    """

    def __init__(self, momentum: float, ratio: float, half: bool = False) -> None:
        super().__init__(momentum=momentum, nesterov=True)
        self.ratio = ratio
        self.half = half

    def takes(self, variable: Any) -> bool:
        """Whether Muon moves a variable."""
        return self.ratio > 0 and len(variable.shape) == 4 and variable.shape[2] > 1

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable; called by Keras."""
        if not self.takes(variable):
            super().update_step(gradient, variable, learning_rate)
            return
        kept = self.momentums[self._get_variable_index(variable)]
        self.assign(kept, self.momentum * kept + gradient)
        *window, filters = variable.shape
        rows = ops.transpose(ops.reshape(gradient + self.momentum * kept, (-1, filters)))
        along = orthogonal(ops.cast(rows, "bfloat16") if self.half else rows)
        along = ops.reshape(ops.transpose(ops.cast(along, variable.dtype)), variable.shape)
        numbers = window[0] * window[1] * window[2]
        length = ops.cast(filters**0.5, variable.dtype) / ops.norm(ops.reshape(variable, (-1,)))
        rate = self.ratio * max(1.0, filters / numbers) ** 0.5 * ops.cast(learning_rate, variable.dtype)
        self.assign(variable, length * variable - rate * along)


def orthogonal(x: Any) -> Any:
    """Nearly the nearest matrix with orthonormal rows or columns, by Newton's and Schulz's iteration.

    With Jordan's factors the singular values end between 0.7 and 1.2 after five steps, near enough for a step.
    """
    tall = x.shape[0] > x.shape[1]
    y = ops.transpose(x) if tall else x
    y = y / (ops.norm(y) + 1e-7)
    a, b, c = FACTORS
    for _ in range(STEPS):
        square = y @ ops.transpose(y)
        y = a * y + (b * square + c * (square @ square)) @ y
    return ops.transpose(y) if tall else y
