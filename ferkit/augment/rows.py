"""More training rows for models that do not draw their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ferkit.augment.augment import Augment
from ferkit.augment.place import move_points
from ferkit.errors import InputError
from ferkit.records import Faces, as_faces


def augmented(
    faces: Any, y: Any, copies: int = 1, seed: int | None = None, augment: Augment | None = None
) -> tuple[Faces, np.ndarray]:
    """Training faces followed by changed copies of them. For training rows only, never for rows that are scored.

    Parameters
    ----------
    faces : Faces or array-like of shape (n, height, width)
        Training faces. Their landmarks move along.
    y : array-like of shape (n,)
        Their labels.
    copies : int, default=1
        Changed copies of each face.
    seed : int or None, default=None
        Seed; by default ``augment.seed``.
    augment : Augment or None, default=None
        What to change; by default ``Augment()``.

    Returns
    -------
    faces : Faces of n * (1 + copies) rows
        Row ``i`` and its copies ``i + n``, ``i + 2 n`` ... have one ``index``: use it as the group in cross-validation.
    y : ndarray of shape (n * (1 + copies),)

    Examples
    --------
    >>> faces, y = augmented(np.zeros((2, 48, 48), np.uint8), ["fear", "anger"], copies=2)
    >>> len(faces), y.tolist(), faces.index.tolist()
    (6, ['fear', 'anger', 'fear', 'anger', 'fear', 'anger'], [0, 1, 0, 1, 0, 1])
    """
    rows, labels = as_faces(faces), np.asarray(y)
    if len(labels) != len(rows):
        raise InputError(f"Got y with {len(labels)} rows, expected {len(rows)}, one for each face.")
    if copies < 0:
        raise InputError(f"Got copies={copies}, expected 0 or more.")
    augment = Augment() if augment is None else augment
    rng = np.random.default_rng(augment.seed if seed is None else seed)
    parts = [rows]
    for _ in range(copies):
        crops, places = augment.apply_placed(rows, rng)
        points = move_points(rows.points, places)
        parts.append(Faces(crops, points, rows.boxes_xyxy, rows.found, rows.index))
    return Faces.merge(parts), np.concatenate([labels] * (1 + copies))
