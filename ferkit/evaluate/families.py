"""What each base of a stacked model is worth: a family of features, or families that share a model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.evaluate.paired import compare
from ferkit.model import Stacking
from ferkit.model.bases import one_a_class
from ferkit.records import Faces

Array = NDArray[Any]
BATCH = 256


def can_ablate(model: Any) -> bool:
    """Whether a model fuses several bases by stacking."""
    last = model.pipeline[-1]
    return isinstance(last, Stacking) and len(last.bases_) > 1


def ablation(model: Any, faces: Faces, y_true: Any, groups: Any = None, seed: int = 0) -> list[dict[str, Any]]:
    """Accuracy of a stacked model without each family, and with each family alone; families that share a base as one.

    Alone is the answer of the base. Without it, the fusion is not fitted again: the base stands at its mean margins. A
    model that is fitted without the family can do better than that.

    Parameters
    ----------
    model : Model
        Whose last step is a ``Stacking`` of at least two bases.
    faces : Faces
        As the ``faces`` step gives them.
    y_true : array-like of shape (n,), str
        Labels.
    groups : array-like of shape (n,) or None, default=None
        Rows that are drawn together for intervals.
    seed : int, default=0
        For the intervals.

    Returns
    -------
    list of dict
        One a base: ``family`` (the base's name), ``alone`` and ``without`` (accuracies), ``loss`` (accuracy of the
        whole less that without it), ``loss_ci``, ``p_value`` and ``test`` of that, as ``compare`` gives them.
    """
    if not can_ablate(model):
        raise InputError(f"Got a {type(model.pipeline[-1]).__name__}, expected a Stacking of two or more bases.")
    names = list(model.pipeline[-1].bases_)
    y_true = np.asarray([str(label) for label in y_true], dtype=object)
    parts = [slice(start, start + BATCH) for start in range(0, len(faces), BATCH)]
    right = [_right(model, faces[rows], y_true[rows]) for rows in parts]
    whole, *rest = np.concatenate(right, axis=1)
    found = []
    for name, alone, without in zip(names, rest[: len(names)], rest[len(names) :], strict=True):
        paired = compare(whole, without, groups, seed)
        found.append(
            {
                "family": name,
                "alone": float(alone.mean()),
                "without": paired["other_accuracy"],
                "loss": paired["difference"],
                "loss_ci": paired["difference_ci"],
                "p_value": paired["p_value"],
                "test": paired["test"],
            }
        )
    return found


def _right(model: Any, faces: Faces, y_true: Array) -> Array:
    """Whether the answers of all bases, of each alone, and of all others are right; (1 + 2 n_bases, n)."""
    stacking = model.pipeline[-1]
    found = stacking.base_margins(model.pipeline.named_steps["features"].transform(faces))
    names = list(found.blocks)
    others = [[other for other in names if other != name] for name in names]
    answers = [
        stacking.partial_proba(found, names),
        *(_alone(stacking, found, name) for name in names),
        *(stacking.partial_proba(found, inside) for inside in others),
    ]
    labels = stacking.classes_.astype(str)
    return np.stack([labels[numbers.argmax(axis=1)] == y_true.astype(str) for numbers in answers])


def _alone(stacking: Any, found: Any, name: str) -> Array:
    """What a base says by itself; the fusion of it alone where that is not one number a class."""
    own = found[name]
    return np.asarray(own if one_a_class(found, name, stacking.classes_) else stacking.partial_proba(found, [name]))
