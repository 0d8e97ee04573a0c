"""A picture of what augmentation does."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from ferkit.augment.augment import SHARES, STRENGTHS, Augment
from ferkit.errors import InputError
from ferkit.records import as_faces

PAPER, INK = 255, 40
GAP = 4


def sheet(
    X: Any, augment: Augment | None = None, *, columns: int = 8, zoom: int = 2, kinds: bool = True
) -> NDArray[np.uint8]:
    """Faces before and after, as one grey picture to be looked at.

    Parameters
    ----------
    X : Faces or array-like of shape (n, height, width)
        Faces to show.
    augment : Augment or None, default=None
        What to change; by default ``Augment()``. The same seed draws the same picture.
    columns : int, default=8
        Changed copies beside each face.
    zoom : int, default=2
        Screen pixels for each pixel.
    kinds : bool, default=True
        Start with one row for each kind of change that is on, made alone on every copy of the first face.

    Returns
    -------
    ndarray of shape (height, width), dtype uint8
        Each row: its name, the face as it is, then the changed copies.
    """
    faces = as_faces(X)
    augment = Augment() if augment is None else augment
    if len(faces) == 0:
        raise InputError("Got 0 faces, expected at least 1 to show.")
    if columns < 1 or zoom < 1:
        raise InputError(f"Got columns={columns}, zoom={zoom}, expected both at least 1.")
    lines = []
    if kinds:
        lines = [(_title(one, kind), faces.crops[0], one) for kind, one in _alone(augment)]
    lines += [("all" if i == 0 else "", crop, augment) for i, crop in enumerate(faces.crops)]
    rng = np.random.default_rng(augment.seed)
    return np.vstack([_line(title, crop, one, rng, columns, zoom) for title, crop, one in lines])


def _alone(augment: Augment) -> list[tuple[str, Augment]]:
    """Each kind of change that is on, without the others, and on every face."""
    off = dict.fromkeys((*STRENGTHS, *SHARES), 0.0) | {"flip": False}
    kinds = [name for name in (*STRENGTHS[:3], "flip", *STRENGTHS[3:], *SHARES) if getattr(augment, name)]
    return [
        (kind, clone(augment).set_params(**off | {kind: 1.0 if kind in SHARES else getattr(augment, kind)}))
        for kind in kinds
    ]


def _title(one: Augment, kind: str) -> str:
    return kind if kind in SHARES or kind == "flip" else f"{kind} {getattr(one, kind):g}"


def _line(
    title: str, crop: NDArray[np.uint8], augment: Augment, rng: np.random.Generator, columns: int, zoom: int
) -> NDArray[np.uint8]:
    copies = augment.apply(np.repeat(crop[None], columns, axis=0), rng)
    height = crop.shape[0] * zoom + GAP
    name = np.full((height, 120), PAPER, np.uint8)
    cv2.putText(name, title, (8, height // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    cells = [name, _cell(crop, zoom, 3 * GAP), *(_cell(copy, zoom, GAP) for copy in copies)]
    return np.hstack(cells)


def _cell(crop: NDArray[np.uint8], zoom: int, gap: int) -> NDArray[np.uint8]:
    large = crop.repeat(zoom, axis=0).repeat(zoom, axis=1)
    return np.pad(large, ((0, GAP), (0, gap)), constant_values=PAPER)
