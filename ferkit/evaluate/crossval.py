"""Cross-validation of a recipe: the model that answers a picture saw neither it, its person, nor a twin of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit import recipe as recipes
from ferkit.errors import DataError, InputError
from ferkit.evaluate.metrics import evaluate
from ferkit.evaluate.predictions import Predictions
from ferkit.labels import ordered
from ferkit.model.folds import fold_of
from ferkit.recipe import Recipe, registry
from ferkit.recipe.fit import fit_material, seen_by_networks
from ferkit.recipe.material import Material, extract
from ferkit.recipe.rows import AUTO_SHARE, relabelled
from ferkit.records import seen_hashes
from ferkit.sources import Dataset
from ferkit.sources.duplicates import near_groups

Array = NDArray[Any]
BATCH = 256
BY_FOLD = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece")


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Answers for every picture from the model of the fold that it was held out of.

    Attributes
    ----------
    answers : Predictions
        ``groups`` are persons joined with their near-duplicates.
    fold : ndarray of shape (n,), dtype int
        Fold of each row, from 0.
    left_out : int
        Rows not scored because a network of the features was trained on them.
    skipped : list of (str, str)
        Pictures that could not be read, and why.
    """

    answers: Predictions
    fold: Array
    left_out: int
    skipped: list[tuple[str, str]]

    def figures(self, seed: int = 0) -> dict[str, Any]:
        """Figures of all rows together, and of each fold.

        Returns
        -------
        dict
            Those of ``evaluate`` over all rows, with intervals over groups; ``folds``, one dict each with ``n``,
            ``accuracy``, ``accuracy_ci``, ``balanced_accuracy``, ``macro_f1``, ``log_loss``, ``ece``; ``over_folds``,
            ``mean`` and ``std`` (n - 1) of each of these; ``left_out``, ``skipped``, ``ci_over``.
        """
        folds = [self._of(self.fold == k, seed) for k in np.unique(self.fold)]
        spread = {name: _spread([own[name] for own in folds]) for name in BY_FOLD}
        return self.answers.figures(seed) | {
            "folds": folds,
            "over_folds": spread,
            "ci_over": "groups",
            "left_out": self.left_out,
            "skipped": len(self.skipped),
        }

    def _of(self, rows: Array, seed: int) -> dict[str, Any]:
        own = self.answers
        found = evaluate(own.y_true[rows], own.proba[rows], own.labels, own.found[rows], own.groups[rows], seed)
        return {name: found[name] for name in ("n", *BY_FOLD, "accuracy_ci")}


def cross_validate(
    recipe: Recipe,
    dataset: Dataset,
    folds: int = 5,
    *,
    seed: int = 0,
    jobs: int | None = None,
    cache: Any = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> CrossValidation:
    """Fit a recipe on all folds but one and answer that one, for each fold.

    Rows of one person, and near-duplicates, share a fold. Everything that learns (dictionaries, scalings, classifiers,
    fusion, calibration, a search for settings) is fitted within the other folds: a fusion gets a share of them that
    its bases do not, as in ``recipe.fit``. Splits of the set are not looked at.

    Parameters
    ----------
    recipe : Recipe
        ``split`` is not used; of ``fusion_rows`` only a share or ``none`` is, a split's name becomes a fifth.
    dataset : Dataset
    folds : int, default=5
    seed : int, default=0
        For the folds.
    jobs, cache, progress
        As for ``recipe.fit``.

    Raises
    ------
    DataError
        A network of the features was trained on most of the rows, or fewer than two classes are left.

    Examples
    --------
    >>> from ferkit import recipe
    >>> from ferkit.sources import sample
    >>> found = cross_validate(recipe.load("hog_svm", ["features.hog.cell=16"]), sample(105), folds=3)
    >>> len(found.answers), len(found.figures()["folds"])
    (105, 3)
    """
    if folds < 2:
        raise InputError(f"Got folds={folds}, expected 2 or more.")
    tell = progress or (lambda step, done, total: None)
    recipe, name = _whole(recipe)
    material = extract(recipe, replace(relabelled(dataset, recipe), splits=None), jobs=jobs, cache=cache, progress=tell)
    if len(set(material.names.tolist())) < len(material.names):
        raise DataError("Got pictures of one name, expected a name of its own for each: predictions go by name.")
    tell("near-duplicates", 0, 0)
    groups = near_groups(material.faces.crops, material.subjects)[0]
    labels = ordered(material.labels.tolist())
    codes = np.array([labels.index(label) for label in material.labels])
    scored = _unseen(recipe, material)
    fold = fold_of(codes, groups, folds, seed)
    proba = np.zeros((len(codes), len(labels)))
    for k in range(int(fold.max()) + 1):

        def told(step: str, done: int, total: int, k: int = k) -> None:
            tell(f"fold {k + 1}: {step}", done, total)

        others = material[np.flatnonzero(fold != k)]
        fitted = fit_material(recipe, others, name, validate=False, jobs=jobs, cache=cache, progress=told)
        rows = np.flatnonzero((fold == k) & scored)
        proba[rows] = _answers(fitted.pipeline, material, rows, labels)
    kept = np.flatnonzero(scored)
    answers = Predictions(
        material.names[kept],
        material.labels[kept],
        proba[kept],
        labels,
        material.faces.found[kept],
        groups[kept],
    )
    return CrossValidation(answers, fold[kept], int((~scored).sum()), material.skipped)


def _whole(recipe: Recipe) -> tuple[Recipe, str]:
    """The recipe for rows without splits, and what it holds out of them."""
    held_out: str | float = recipe.held_out if isinstance(recipe.held_out, float) else AUTO_SHARE
    if recipe.held_out == "none" or not registry.fuses(recipe.model.kind):
        held_out = "none"
    name = "none" if held_out == "none" else f"{held_out:.0%} of the training rows"
    return replace(recipe, split=None, held_out=held_out), name


def _unseen(recipe: Recipe, material: Material) -> Array:
    """Rows that no network of the features was trained on."""
    seen = np.isin(seen_hashes(material.faces), seen_by_networks(recipes.build(recipe)))
    if seen.sum() > len(seen) / 2:
        raise DataError(
            f"Got {seen.sum()} of {len(seen)} pictures that a network of the features was trained on, expected "
            "pictures that it has not seen: name another --split, or leave out that family."
        )
    return ~seen


def _answers(pipeline: Any, material: Material, rows: Array, labels: list[str]) -> Array:
    """Probabilities by label; 0 for one that this fold could not learn."""
    columns = [labels.index(str(label)) for label in pipeline.classes_]
    proba = np.zeros((len(rows), len(labels)))
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        proba[part, columns] = pipeline.predict_proba(material.faces[rows[part]])
    return proba


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}
