"""A whole data set: what the classes look like to the model, where their evidence lies, which family matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, InputError, PictureError
from ferkit.explain import drawing
from ferkit.explain.explainer import OCCLUSION, Explainer
from ferkit.explain.panels import Panel
from ferkit.features import HOG
from ferkit.records import Faces, Features, as_faces
from ferkit.sources import Dataset

_ROWS = 32
"""Faces whose evidence is worked out together: a row of visual words has a hundred thousand columns."""


@dataclass(frozen=True)
class Importance:
    """What is lost when one family's numbers are dealt out anew among the faces.

    Attributes
    ----------
    accuracy, log_loss : ndarray of shape (repeats,)
        Fall of the accuracy, and rise of the mean log loss, of each dealing.
    """

    accuracy: NDArray[np.float64]
    log_loss: NDArray[np.float64]


@dataclass(frozen=True)
class Overview:
    """What a model sees in a data set.

    Attributes
    ----------
    labels : list of str
        Those that occur in the set.
    counts : dict of str to int
        Faces of each.
    faces : dict of str to ndarray of shape (height, width)
        Mean face of each label.
    evidence : dict of str to ndarray of shape (height, width)
        Mean evidence of each label's faces for that label, by pixel; empty where no family adds up.
    hog : dict of str to ndarray of shape (rows, cols, orientations)
        Mean HOG cells of each label, of the first HOG family; empty without one.
    hog_family : HOG or None
    importance : dict of str to Importance
        By family.
    titles : dict of str to str
        Names of the families for people.
    not_found, dropped : int
        Pictures without a found face, whose middle stood in; rows left out because the model does not know their label.
    skipped : list of (str, str)
        Pictures that could not be read, and why.
    """

    labels: list[str]
    counts: dict[str, int]
    faces: dict[str, NDArray[np.float64]]
    evidence: dict[str, NDArray[np.float64]]
    hog: dict[str, NDArray[np.float64]]
    hog_family: HOG | None
    importance: dict[str, Importance]
    titles: dict[str, str]
    not_found: int
    dropped: int
    skipped: list[tuple[str, str]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: ``counts``, ``importance``, ``evidence`` (rows of pixels), ``not_found`` ..."""
        shares = {
            name: {"accuracy": one.accuracy.tolist(), "log_loss": one.log_loss.tolist()}
            for name, one in self.importance.items()
        }
        maps = {name: np.round(found, 6).tolist() for name, found in self.evidence.items()}
        left = {"not_found": self.not_found, "dropped": self.dropped, "skipped": self.skipped}
        return {"counts": self.counts, "importance": shares, "evidence": maps} | left


def mean_hog(hog: HOG, X: Any, labels: Any) -> dict[str, NDArray[np.float64]]:
    """Mean HOG cells of the faces of each label, of the smallest cells.

    Parameters
    ----------
    hog : HOG
        Fitted.
    X : Faces or array-like of shape (n, height, width)
    labels : array-like of shape (n,), str

    Returns
    -------
    dict of str to ndarray of shape (rows, cols, orientations)
    """
    faces, names = as_faces(X), _checked(X, labels)
    cells = hog.cells(faces, drawing.smallest_cell(hog))
    return {str(name): cells[names == name].mean(axis=0, dtype=np.float64) for name in np.unique(names)}


def mean_evidence(explainer: Explainer, X: Any, labels: Any) -> dict[str, NDArray[np.float64]]:
    """Mean evidence of the faces of each label for that label, by pixel, all families together.

    Parameters
    ----------
    explainer : Explainer
    X : Faces or array-like of shape (n, height, width)
    labels : array-like of shape (n,), str
        Labels that the model knows.

    Returns
    -------
    dict of str to ndarray of shape (height, width), dtype float64
        Log-odds by pixel. Families that are explained by covering are left out; empty where all are.
    """
    faces, names = as_faces(X), _checked(X, labels)
    sums: dict[str, NDArray[np.float64]] = {}
    for start in range(0, len(faces), _ROWS):
        part, own = faces[start : start + _ROWS], names[start : start + _ROWS]
        asked = np.stack([explainer.direction(str(name)) for name in own])
        found = explainer.evidence(part, asked, covering=False)
        maps = [one.maps for one in found.values() if one.method != OCCLUSION]
        for name in np.unique(own) if maps else ():
            sums[str(name)] = sums.get(str(name), 0.0) + np.sum(maps, axis=0)[own == name].sum(axis=0)
    return {name: total / int((names == name).sum()) for name, total in sums.items()}


def family_importance(
    explainer: Explainer, X: Any, labels: Any, repeats: int = 5, seed: int = 0
) -> dict[str, Importance]:
    """What each family is worth to the model: its numbers are dealt out anew among the faces (Breiman 2001).

    Parameters
    ----------
    explainer : Explainer
    X : Faces or array-like of shape (n, height, width)
        Faces that the model was not fitted on.
    labels : array-like of shape (n,), str
        Labels that the model knows.
    repeats : int, default=5
        Dealings.
    seed : int, default=0
        For the dealings.

    Returns
    -------
    dict of str to Importance
        By family; empty for a model that works on pixels.

    References
    ----------
    Breiman (2001). Random forests. Machine learning 45.
    """
    if not isinstance(repeats, (int, np.integer)) or repeats < 1:
        raise InputError(f"Got repeats={repeats!r}, expected a whole number of at least 1.")
    rows, names = explainer.features(X), _checked(X, labels)
    codes = np.array([explainer.labels.index(str(name)) for name in names])
    if not isinstance(rows, Features):
        return {}
    rng = np.random.default_rng(seed)
    whole = _score(explainer, rows, codes)
    found = {}
    for family, block in rows.blocks.items():
        dealt = [
            Features(rows.blocks | {family: block[rng.permutation(len(codes))]}, rows.names) for _ in range(repeats)
        ]
        scores = np.array([_score(explainer, one, codes) for one in dealt])
        found[family] = Importance(whole[0] - scores[:, 0], scores[:, 1] - whole[1])
    return found


def overview(
    explainer: Explainer,
    dataset: Dataset,
    *,
    extractor: Any = None,
    repeats: int = 5,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Overview:
    """What a model sees in a labelled data set. Pictures that cannot be read are skipped and counted.

    Parameters
    ----------
    explainer : Explainer
    dataset : Dataset
        What ``sources.load`` gives. Rows with labels that the model does not know are left out.
    extractor : FaceExtractor or None, default=None
        What finds the faces; None for the model's own.
    repeats, seed
        As for ``family_importance``.
    progress : callable or None, default=None
        Called with the name of each step.

    Raises
    ------
    DataError
        No picture with a known label can be read.
    """
    say = progress or (lambda step: None)
    say("finding faces")
    faces, names, skipped = _faces(explainer, dataset, extractor or explainer.pipeline[0])
    hog = next((family for family in explainer.families.values() if isinstance(family, HOG)), None)
    say("mean evidence")
    evidence = mean_evidence(explainer, faces, names)
    say("importance of each family")
    importance = family_importance(explainer, faces, names, repeats, seed)
    labels = [name for name in explainer.labels if (names == name).any()]
    return Overview(
        labels=labels,
        counts={name: int((names == name).sum()) for name in labels},
        faces={name: faces.crops[names == name].mean(axis=0) for name in labels},
        evidence={name: evidence[name] for name in labels if name in evidence},
        hog={} if hog is None else mean_hog(hog, faces, names),
        hog_family=hog,
        importance=importance,
        titles={name: drawing.family_title(name, family) for name, family in explainer.families.items()},
        not_found=int((~faces.found).sum()),
        dropped=int((~np.isin(dataset.labels, explainer.labels)).sum()),
        skipped=skipped,
    )


def overview_panels(one: Overview) -> list[Panel]:
    """Panels of an overview: importance of the families, mean evidence and mean HOG of each label.

    Parameters
    ----------
    one : Overview

    Returns
    -------
    list of Panel
    """
    found = []
    if len(one.importance) > 1:
        text = "Lost when its numbers are dealt out anew among faces. Whiskers: least and most."
        found.append(Panel("What each family is worth", text, partial(_importance, one), True))
    for name in one.labels:
        crop = np.rint(one.faces[name]).astype(np.uint8)
        if name in one.evidence:
            text = f"Mean evidence for {name} over the mean of {one.counts[name]} faces."
            found.append(Panel(_capital(name), text, partial(_mean_evidence, crop, one.evidence[name])))
    for name in one.labels if one.hog_family is not None else ():
        text = f"Mean edges of {one.counts[name]} faces, orange where stronger than in the mean of all."
        found.append(Panel(f"{_capital(name)}: edges", text, partial(_mean_hog, one, name)))
    return found


def _checked(X: Any, labels: Any) -> NDArray[Any]:
    names = np.asarray(labels)
    if names.shape != (len(X),):
        raise InputError(f"Got labels of shape {names.shape}, expected ({len(X)},), one for each face.")
    return names


def _score(explainer: Explainer, rows: Features, codes: NDArray[Any]) -> tuple[float, float]:
    """Accuracy and mean log loss."""
    logs = explainer.log_odds(rows)
    logs = logs - logs.max(axis=1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return float((logs.argmax(axis=1) == codes).mean()), float(-logs[np.arange(len(codes)), codes].mean())


def _faces(explainer: Explainer, dataset: Dataset, extractor: Any) -> tuple[Faces, NDArray[Any], list[tuple[str, str]]]:
    """Faces of the rows whose labels are known, and what was skipped."""
    skipped, parts, kept = list(dataset.skipped), [], []
    known = np.flatnonzero(np.isin(dataset.labels, explainer.labels))
    for row in known.tolist():
        try:
            parts.append(extractor.transform([dataset.pictures[row]]))
            kept.append(row)
        except PictureError as error:
            skipped.append((str(dataset.names[row]), str(error)))
    if not parts:
        raise DataError(f"Got {len(dataset)} pictures, none with a known label could be read, expected at least 1.")
    return Faces.merge(parts), dataset.labels[kept], skipped


def _importance(one: Overview, axes: Any) -> None:
    order = sorted(one.importance, key=lambda name: one.importance[name].accuracy.mean())
    values = np.array([100 * one.importance[name].accuracy.mean() for name in order])
    ends = [[100 * f(one.importance[name].accuracy) for name in order] for f in (np.min, np.max)]
    reach = np.abs(np.array(ends) - values)
    axes.barh(
        [drawing.tick(one.titles[name]) for name in order],
        values,
        xerr=reach,
        color=drawing.FOR,
        height=0.6,
        ecolor="#333333",
        capsize=3,
    )
    for i, value in enumerate(values):
        axes.text(max(value, ends[1][i]), i, f"  {value:.1f}", va="center", fontsize=8)
    axes.axvline(0, color="#333333", linewidth=0.8)
    axes.margins(x=0.25)
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.set_xlabel("points of accuracy", fontsize=8)


def _mean_evidence(crop: NDArray[np.uint8], found: NDArray[np.float64], axes: Any) -> None:
    drawing.draw_map(axes, crop, found)


def _mean_hog(one: Overview, name: str, axes: Any) -> None:
    hog = one.hog_family
    if hog is None:
        return
    side = drawing.smallest_cell(hog)
    weights = np.array([one.counts[label] for label in one.labels], dtype=np.float64)
    overall = np.tensordot(weights / weights.sum(), np.stack([one.hog[label] for label in one.labels]), axes=1)
    apart = (one.hog[name] - overall).sum(axis=2)
    drawing.draw_hog_cells(axes, one.hog[name], side, hog.signed, apart)


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]
