"""Checks of parameters and the splitting of batches, shared by the families."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def is_whole(value: Any) -> bool:
    """Whether a parameter is a whole number (``True`` and ``2.0`` are not)."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether a parameter is a finite number."""
    return is_whole(value) or (isinstance(value, float | np.floating) and bool(np.isfinite(value)))


def is_list(value: Any) -> bool:
    """Whether a parameter is a list, tuple or array with at least one item."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and len(value) > 0


def chunks(shape: tuple[int, ...], pixels: int) -> Iterator[slice]:
    """Slices of rows that hold about ``pixels`` pixels each, for crops of this shape (n, height, width)."""
    step = max(1, pixels // max(1, shape[1] * shape[2]))
    return (slice(start, start + step) for start in range(0, shape[0], step))
