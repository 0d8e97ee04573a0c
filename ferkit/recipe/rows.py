"""Which rows of a data set fit the model, which are held out, and which belong together."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.blocks import keep, kept
from ferkit.errors import DataError, RecipeError
from ferkit.labels import EXPRESSIONS, NOT_SURE, ordered
from ferkit.model.folds import fold_of
from ferkit.recipe import registry
from ferkit.recipe.schema import Recipe
from ferkit.recipe.text import nearest
from ferkit.records import Faces, face_hashes
from ferkit.sources import Dataset
from ferkit.sources.duplicates import NEEDED, near_groups

PARTS = 20
"""Groups are looked at in the order of this many even parts when a share is held out."""
AUTO_SHARE = 0.2


@dataclass(frozen=True)
class Rows:
    """Rows by what they are for.

    Attributes
    ----------
    train : ndarray of int
        Rows that fit the model.
    held_out : ndarray of int
        Rows that fit the fusion only, or only score.
    groups : ndarray of shape (n,), dtype int
        Rows of one person or of one chain of near-duplicates share a number.
    twins : int
        Training rows left out because a held-out row is a near-duplicate.
    seen : int
        Rows left out because they were to fit the fusion or to score, and a network was trained on them.
    memorised : int
        Training rows that a network was trained on.
    shared_persons : int
        Persons with training rows and held-out rows; a share never parts a person, a split of the set may.
    held_out_name : str
        What the held-out rows are.
    note : str
        Why a share of some class could not be held out; empty where it could.
    """

    train: NDArray[np.intp]
    held_out: NDArray[np.intp]
    groups: NDArray[np.intp]
    twins: int
    seen: int
    memorised: int
    shared_persons: int
    held_out_name: str
    note: str = ""


def relabelled(dataset: Dataset, recipe: Recipe) -> Dataset:
    """Data set with the recipe's labels."""
    if not recipe.labels:
        return dataset
    known = set(dataset.labels)
    for name in recipe.labels:
        # a built-in label that this set lacks is no slip: one recipe serves several sets
        if name not in known and name not in EXPRESSIONS:
            raise RecipeError(
                f"Got label {name!r} in labels, expected one of {', '.join(dataset.classes)}.{nearest(name, known)}"
            )
    return dataset.relabel(recipe.labels)


def wanted(dataset: Dataset, recipe: Recipe) -> tuple[NDArray[np.bool_], NDArray[np.bool_], str]:
    """Rows to train on before any share is held out, rows of a held-out split, and what will be held out."""
    train = np.ones(len(dataset), bool)
    name = recipe.split or ("Training" if "Training" in dataset.split_names else None)
    if name is not None:
        train = dataset.splits == _split(dataset, name)
    held_out = np.zeros(len(dataset), bool)
    if recipe.held_out == "none":
        return train, held_out, "none"
    chosen = recipe.held_out
    if chosen == "auto":
        chosen = "PublicTest" if "PublicTest" in dataset.split_names and name != "PublicTest" else AUTO_SHARE
    if isinstance(chosen, float):
        return train, held_out, f"{100 * chosen:.3g}% of the training rows"
    chosen = _split(dataset, chosen)
    held_out = dataset.splits == chosen
    if (train & held_out).any():
        raise DataError(f"Got split={chosen!r} both to train on and to hold out, expected two different splits.")
    return train, held_out, chosen


def _split(dataset: Dataset, name: str) -> str:
    """The set's own spelling of a split."""
    return str(dataset.split(name).splits[0])


def divide(
    recipe: Recipe,
    faces: Faces,
    labels: NDArray[Any],
    subjects: NDArray[Any] | None,
    held_out: NDArray[np.bool_],
    name: str,
    seen: NDArray[np.bool_],
    cache: Any = None,
) -> Rows:
    """Hold out what the recipe says, without near-duplicates on both sides and without rows that a network has seen.

    Parameters
    ----------
    faces : Faces of n rows
        All rows, those of a held-out split included.
    labels, subjects : ndarray of shape (n,)
    held_out : ndarray of shape (n,), dtype bool
        Rows of a held-out split; all false where a share is to be held out.
    name : str
        What is held out, as ``wanted`` says it.
    seen : ndarray of shape (n,), dtype bool
        Rows that a network was trained on; it would be over-sure of them.
    cache : str, Path, FeatureCache or None, default=None
        Folder that keeps which faces are near-duplicates.

    Raises
    ------
    DataError
        A fusion lacks groups of a class, most held-out rows were seen, or classes are missing on a side.
    """
    groups, twins = _near_groups(faces, subjects, held_out, cache)
    note = ""
    if name != "none" and not held_out.any():
        share = recipe.held_out if isinstance(recipe.held_out, float) else AUTO_SHARE
        least = 2 if registry.fuses(recipe.model.kind) else 1
        held_out = _share(labels, groups, share, recipe.seed, least)
        poor = _poor(ordered(labels.tolist()), labels[held_out], groups[held_out], least)
        note = _too_few(labels, groups, poor, NEEDED)
        if poor and least > 1:
            drop = f", or leave out: --set labels.{poor[0]}=drop" if len(set(labels)) - len(poor) > 1 else ""
            raise DataError(f"Got {note}: collect more{drop}")
        held_out &= len(set(labels[held_out])) > 1
        name = name if held_out.any() else "none"
    elif not recipe.leave_out_twins:
        twins[:] = False
    train = ~held_out & ~twins
    fuses = registry.fuses(recipe.model.kind)
    checked, rows = held_out, f"held-out rows ({name})"
    if fuses and name == "none":
        checked, rows = train, "rows to fit the fusion on"
    over_sure = checked & seen
    if over_sure.sum() > checked.sum() / 2:
        raise DataError(
            f"Got {over_sure.sum()} of {checked.sum()} {rows} that a network of the features was trained on, expected "
            "rows that it has not seen. Hold out another split, or leave out that family."
        )
    train, held_out = train & ~over_sure, held_out & ~over_sure
    check_classes(labels, train, held_out)
    if fuses and held_out.any():
        _check_fusion(labels, groups, train, held_out, name)
    persons = set() if subjects is None else (set(subjects[train]) & set(subjects[held_out])) - {""}
    return Rows(
        train=np.flatnonzero(train),
        held_out=np.flatnonzero(held_out),
        groups=groups,
        twins=int(twins.sum()),
        seen=int(over_sure.sum()),
        memorised=int((train & seen).sum()),
        shared_persons=len(persons),
        held_out_name=name,
        note=note,
    )


def _near_groups(
    faces: Faces, subjects: NDArray[Any] | None, held_out: NDArray[np.bool_], cache: Any
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """What ``near_groups`` gives, kept by the content of the faces."""
    if cache is None:
        return near_groups(faces.crops, subjects, held_out)
    persons = "" if subjects is None else str(subjects.tolist())
    known = blake2b(b"near-groups 1" + face_hashes(faces).tobytes() + held_out.tobytes(), digest_size=12)
    known.update(persons.encode())
    folder = Path(getattr(cache, "folder", cache)) / f"groups-{known.hexdigest()}"
    found = kept(folder, ("groups", "twins"))
    if found is not None and all(part.shape == (len(faces),) for part in found.values()):
        return found["groups"].astype(np.intp), found["twins"].astype(bool)
    groups, twins = near_groups(faces.crops, subjects, held_out)
    keep({folder / "groups.npy": groups, folder / "twins.npy": twins})
    return groups, twins


def _check_fusion(
    labels: NDArray[Any], groups: NDArray[np.intp], train: NDArray[np.bool_], held_out: NDArray[np.bool_], name: str
) -> None:
    """Refuse held-out rows that no fusion can be cross-fitted on."""
    classes = ordered(labels[train].tolist())
    poor = _poor(classes, labels[held_out], groups[held_out], 2)
    if poor:
        drop = f", or leave out: --set labels.{poor[0]}=drop" if len(classes) - len(poor) > 1 else ""
        few = _too_few(labels[held_out], groups[held_out], poor, 2)
        raise DataError(f"Got {few} in {name}, which fits the fusion: collect more, hold out other rows{drop}")


def _share(labels: NDArray[Any], groups: NDArray[np.intp], share: float, seed: int, least: int) -> NDArray[np.bool_]:
    """About this share of each class, whole groups; ``least`` groups of a class that has ``NEEDED``, else none."""
    counts = _counts(labels, groups)
    has, total = counts > 0, counts.sum(axis=0)
    missing = share * total
    spare = has.sum(axis=0) - (NEEDED - least)
    held_out = np.zeros(len(counts), bool)
    if (spare < least).all():
        return held_out[groups]

    def take(group: int) -> None:
        if not held_out[group] and (spare[has[group]] > 0).all():
            held_out[group] = True
            np.subtract(missing, counts[group], out=missing)
            np.subtract(spare, has[group], out=spare)

    part = np.zeros(len(counts), np.intp)
    part[groups] = fold_of(np.unique(labels, return_inverse=True)[1], groups, PARTS, seed)
    order = np.argsort(-part, kind="stable")
    for group in order:
        if (abs(missing - counts[group]) / total).sum() < (abs(missing) / total).sum():
            take(group)
    for code in np.flatnonzero(has[held_out].sum(axis=0) < least):
        small_first = order[np.argsort(counts[order].sum(axis=1), kind="stable")]
        for group in small_first[has[small_first, code]]:
            if has[held_out, code].sum() < least:
                take(group)
    return held_out[groups]


def _counts(labels: NDArray[Any], groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows of each class (columns, sorted) in each group."""
    codes = np.unique(labels, return_inverse=True)[1]
    counts = np.zeros((groups.max() + 1, codes.max() + 1), np.intp)
    np.add.at(counts, (groups, codes), 1)
    return counts


def _poor(classes: list[str], labels: NDArray[Any], groups: NDArray[np.intp], least: int) -> list[str]:
    """Those of the classes whose rows are of fewer groups."""
    return [name for name in classes if len(set(groups[labels == name])) < least]


def _too_few(labels: NDArray[Any], groups: NDArray[np.intp], poor: list[str], needed: int) -> str:
    """The classes ``poor``, with the pictures and groups that they have, and how many were needed."""
    if not poor:
        return ""
    found = [(len(rows := groups[labels == name]), len(set(rows)), name) for name in poor]
    said = [f"{n} picture{'s' * (n != 1)} of {name!r}" + f" that count as {k}" * (k < n) for n, k, name in found[:3]]
    more = f" and {len(poor) - 3} more labels" if len(poor) > 3 else ""
    once = " (near-duplicates, and pictures of one person, count once)" if any(k < n for n, k, _ in found) else ""
    least = max(needed, 1 + min(k for _, k, _ in found))
    return f"{', '.join(said)}{more}{once}, expected at least {least}{' of each' * (len(poor) > 1)}"


def check_groups(labels: NDArray[Any], groups: NDArray[np.intp]) -> None:
    """Refuse rows that cannot be cross-fitted: without one of their groups, a single class would be left."""
    classes = ordered(labels.tolist())
    poor = _poor(classes, labels, groups, 2)
    if poor and (len(classes) == 2 or len(set(groups)) == 1):
        raise DataError(f"Got {_too_few(labels, groups, poor, 2)} to calibrate on: collect more.")


def check_classes(labels: NDArray[Any], train: NDArray[np.bool_], held_out: NDArray[np.bool_]) -> None:
    """Refuse rows that no classifier can be fitted on, and held-out labels that none could know."""
    classes = ordered(labels[train].tolist())
    if len(classes) < 2:
        got = f"1 class ({classes[0]!r})" if classes else "no rows"
        raise DataError(f"Got {got} to train on, expected at least 2 classes.")
    _check_names(classes)
    if strange := sorted(set(labels[held_out].tolist()) - set(classes)):
        raise DataError(
            f"Got held-out rows of {strange[0]!r}, expected labels that the training rows have. "
            f"To leave them out: --set labels.{strange[0]}=drop"
        )


def _check_names(classes: list[str]) -> None:
    """Refuse categories that later outputs, such as a database's columns, could not tell apart."""
    by_lower: dict[str, str] = {}
    for name in classes:
        other = by_lower.setdefault(name.lower(), name)
        if other != name:
            raise DataError(
                f"Got categories {other!r} and {name!r}, expected names that differ in more than their case. "
                f"To make them one: --set labels.{name}={other}"
            )
    if NOT_SURE in by_lower:
        raise DataError(
            f"Got category {by_lower[NOT_SURE]!r}, which is what ferkit says of an uncertain face, expected another. "
            "Rename it in the recipe's labels block."
        )
