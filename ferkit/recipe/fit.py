"""Recipe and data set to a fitted pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from hashlib import blake2b
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from ferkit import store
from ferkit.errors import DataError
from ferkit.faces.light import relit
from ferkit.labels import ordered
from ferkit.recipe import registry
from ferkit.recipe.build import build, describe
from ferkit.recipe.material import Material, Progress, extract, silent
from ferkit.recipe.rows import Rows, check_classes, check_groups, divide, relabelled, wanted
from ferkit.recipe.schema import Recipe
from ferkit.recipe.search import best_on_fusion_rows, best_settings
from ferkit.records import Faces, Features, seen_hashes
from ferkit.sources import Dataset


@dataclass(frozen=True)
class Validation:
    """Rows that no base model and no network was fitted on, and what the fitted model says of them.

    Attributes
    ----------
    y : ndarray of shape (n,)
        Labels.
    proba : ndarray of shape (n, n_classes)
        Probabilities; for rows that fitted the fusion, from fusions fitted on the other folds.
    classes : list of str
        Columns of ``proba``, in ferkit's order.
    found : ndarray of shape (n,), dtype bool
        Where a face was found.
    groups : ndarray of shape (n,), dtype int
        Rows that belong together.
    data : str
        What the rows are.
    names : ndarray of shape (n,), str
        Their names in the data set.
    """

    y: NDArray[Any]
    proba: NDArray[np.float64]
    classes: list[str]
    found: NDArray[np.bool_]
    groups: NDArray[np.intp]
    data: str
    names: NDArray[Any]


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline and what there is to know about it.

    Attributes
    ----------
    pipeline : Pipeline
        Steps ``faces``, ``features`` and ``model``, ready for pictures.
    manifest : dict
        Recipe, data, counts and notes for the model file.
    validation : Validation or None
        Answers on the held-out rows; None where nothing was held out.
    fitted, fusion : ndarray of dtype uint64
        Hashes of the faces that fitted the model, and of those that fitted its fusion only.
    """

    pipeline: Pipeline
    manifest: dict[str, Any]
    validation: Validation | None
    fitted: NDArray[np.uint64] = field(repr=False)
    fusion: NDArray[np.uint64] = field(repr=False)

    def save(self, path: str | Path, metrics: dict[str, Any] | None = None, embed_shipped: bool = True) -> Path:
        """Write a model file; ``metrics`` go into its manifest, networks of the package too unless told otherwise."""
        manifest = self.manifest | ({"metrics": metrics} if metrics is not None else {})
        return store.save(self.pipeline, path, manifest, self.fitted, self.fusion, embed_shipped)


def fit(
    recipe: Recipe,
    dataset: Dataset,
    *,
    jobs: int | None = None,
    cache: Any = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit a recipe on a data set.

    Faces are found once, near-duplicates are kept on one side of every split, features are computed once, settings are
    searched for on the training rows (on the fusion rows where a network has seen the training rows), and the model is
    fitted.

    Parameters
    ----------
    recipe : Recipe
    dataset : Dataset
        Labelled pictures; bad ones are skipped and counted.
    jobs : int or None, default=None
        Threads or processes for the steps that can use several; -1 for one a core.
    cache : str, Path, FeatureCache or None, default=None
        Where found faces and computed features are kept, so that another fit starts at the classifier.
    progress : callable or None, default=None
        Called as ``progress(step, done, total)``.

    Raises
    ------
    DataError
        Fewer than two classes, a split that the set does not have, no picture that can be read.
    InputError
        A setting that an estimator refuses.

    Examples
    --------
    >>> from ferkit import recipe
    >>> from ferkit.sources import sample
    >>> fitted = recipe.fit(recipe.load("hog_svm", ["features.hog.cell=16"]), sample(140))
    >>> fitted.validation.proba.shape
    (21, 7)
    """
    data = relabelled(dataset, recipe)
    train, held_out, name = wanted(data, recipe)
    check_classes(data.labels, train, held_out)
    chosen = train | held_out
    material = extract(recipe, data[chosen], held_out[chosen], jobs=jobs, cache=cache, progress=progress)
    if held_out.any() and not material.held_out.any():
        why = material.skipped[-1][1]
        raise DataError(f"Got no picture of {name} that can be used, expected some to hold out: {why}")
    return fit_material(recipe, material, name, jobs=jobs, cache=cache, progress=progress)


def fit_material(
    recipe: Recipe,
    material: Material,
    name: str,
    *,
    validate: bool = True,
    jobs: int | None = None,
    cache: Any = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit a recipe on faces that were found already.

    Parameters
    ----------
    recipe : Recipe
    material : Material
        What ``extract`` gives, or rows of it.
    name : str
        What is held out, as ``wanted`` says it.
    validate : bool, default=True
        Whether the held-out rows are answered too.
    jobs, cache, progress
        As for ``fit``.
    """
    tell = progress or silent
    pipeline = build(recipe)
    _share_work(pipeline, jobs, cache)
    tell("near-duplicates", 0, 0)
    hashes, known = seen_hashes(material.faces), seen_by_networks(pipeline)
    seen = np.isin(hashes, known)
    rows = divide(recipe, material.faces, material.labels, material.subjects, material.held_out, name, seen, cache)
    if _cross_fits(recipe, pipeline[-1], rows):
        check_groups(material.labels[rows.train], rows.groups[rows.train])
    found = _search(recipe, pipeline, material, rows, tell) if recipe.search else {}
    X, fusion, groups, y = _train_rows(recipe, pipeline, material, rows, tell)
    tell(f"model ({recipe.model.kind})", 0, 0)
    _fit_model(pipeline[-1], X, y, groups, fusion, _votes(material, rows.train, y))
    tell("validation", 0, 0)
    validation = _validate(recipe, pipeline, material, rows) if validate else None
    if jobs is not None:
        _work_alone(pipeline)
    manifest = _manifest(recipe, pipeline, material, rows) | found
    fitted = np.concatenate([hashes[rows.train], known, getattr(pipeline[-1], "seen_", known[:0])])
    return Fitted(
        pipeline, manifest, validation, np.unique(fitted), hashes[rows.held_out if fusion is not None else []]
    )


def seen_by_networks(pipeline: Pipeline) -> NDArray[np.uint64]:
    """Hashes of the faces that the pipeline's networks were trained on before, as far as their files say."""
    from ferkit.features import NetworkFeatures
    from ferkit.features.onnx import shipped
    from ferkit.nets import NetworkClassifier
    from ferkit.nets.start import initial
    from ferkit.nets.weights import load_weights

    union = pipeline.named_steps["features"]
    networks = [family for _, family in getattr(union, "families", []) if isinstance(family, NetworkFeatures)]
    files = {shipped(family.init) or Path(family.init) for family in networks}
    weights = sorted(file.with_suffix(".npz") for file in files)
    seen = [load_weights(file).seen for file in weights if file.is_file()]
    models = [pipeline[-1], *pipeline[-1].get_params().values()]
    starts = [model.init for model in models if isinstance(model, NetworkClassifier) and model.init is not None]
    seen += [initial(start).seen for start in starts]
    return np.concatenate([np.empty(0, np.uint64), *seen])


def _parameters(estimator: Any, last: str) -> dict[str, Any]:
    """Parameters of an estimator, and of those inside it, whose own name is ``last``."""
    return {name: value for name, value in estimator.get_params().items() if name.rpartition("__")[2] == last}


def _work_alone(pipeline: Pipeline) -> None:
    """One process again: starting others for each face would cost more than the face."""
    for estimator in (pipeline, *(family for _, family in getattr(pipeline[1], "families_", []))):
        estimator.set_params(**dict.fromkeys(_parameters(estimator, "n_jobs")))


def _share_work(pipeline: Pipeline, jobs: int | None, cache: Any) -> None:
    """Threads for all steps; features, and how far the trainings of networks got, kept in the cache folder."""
    if jobs is not None:
        pipeline.set_params(**dict.fromkeys(_parameters(pipeline, "n_jobs"), jobs))
    if pipeline.named_steps["features"] != "passthrough":
        pipeline.set_params(features__cache=cache)
    if cache is not None:
        free = [name for name, place in _parameters(pipeline, "checkpoint").items() if place is None]
        pipeline.set_params(**dict.fromkeys(free, "cache"))


def _train_rows(
    recipe: Recipe, pipeline: Pipeline, material: Material, rows: Rows, tell: Progress
) -> tuple[Any, NDArray[np.bool_] | None, NDArray[Any], NDArray[Any]]:
    """What the model is fitted on: features, fusion mask, groups and labels."""
    faces, y, groups = material.faces[rows.train], material.labels[rows.train], rows.groups[rows.train]
    if recipe.augment and recipe.augment["copies"]:
        unlit = faces if material.unlit is None else material.unlit[rows.train]
        faces, y, groups = _augmented(recipe, unlit, y, groups)
        faces = relit(faces, pipeline.named_steps["faces"].light)
    union = pipeline.named_steps["features"]
    if union != "passthrough":
        tell("features: fit", 0, 0)
        union.fit(faces, y)
    fusion = None
    if _fuses(recipe, rows):
        fusion = np.repeat([False, True], [len(y), len(rows.held_out)])
        faces = Faces.merge([faces, material.faces[rows.held_out]])
        y = np.concatenate([y, material.labels[rows.held_out]])
        groups = np.concatenate([groups, rows.groups[rows.held_out]])
    if union == "passthrough":
        return faces, fusion, groups, y
    tell(f"features: {', '.join(recipe.features)} of {len(faces)} faces", 0, 0)
    if fusion is None:
        return union.transform(faces), fusion, groups, y
    return _for_fusion(union, faces, fusion, getattr(pipeline[-1], "bases", None) or {}), fusion, groups, y


def _for_fusion(union: Any, faces: Faces, fusion: NDArray[np.bool_], bases: Mapping[str, Any]) -> Features:
    """Features of all faces; logits of networks that only the fusion reads are 0 on the rows that do not fit it."""
    from ferkit.features import NetworkFeatures
    from ferkit.model.bases import PASSTHROUGH

    blocks, names = {}, {}
    for name, family in union.families_:
        alone = copy(union)
        alone.families_ = [(name, family)]
        late = isinstance(family, NetworkFeatures) and bases.get(name) == PASSTHROUGH
        X = alone.transform(faces[np.flatnonzero(fusion)] if late else faces)
        blocks[name], names[name] = X[name], X.names[name]
        if late:
            blocks[name] = np.zeros((len(faces), X.shape[1]), np.float32)
            blocks[name][fusion] = X[name]
    return Features(blocks, names)


def _augmented(recipe: Recipe, faces: Faces, y: NDArray[Any], groups: NDArray[Any]) -> tuple[Faces, Any, Any]:
    from ferkit.augment import augmented

    settings = {"seed": recipe.seed} | dict(recipe.augment or {})
    copies = settings.pop("copies")
    more, labels = augmented(faces, y, copies, augment=registry.resolve(registry.AUGMENT)(**settings))
    return more, labels, np.concatenate([groups] * (1 + copies))


def _fuses(recipe: Recipe, rows: Rows) -> bool:
    """Whether the held-out rows fit a fusion."""
    return registry.fuses(recipe.model.kind) and len(rows.held_out) > 0


def _fusion_rows_choose(recipe: Recipe, rows: Rows) -> bool:
    """Whether a search scores the fusion rows, because a network is over-sure of the training rows."""
    return recipe.search is not None and _fuses(recipe, rows) and rows.memorised > 0


def _cross_fits(recipe: Recipe, model: Any, rows: Rows) -> bool:
    """Whether a model is fitted on parts of the training rows too, for its calibration or its fusion."""
    if _fuses(recipe, rows):
        return False
    return "groups" in signature(model.fit).parameters and getattr(model, "calibrate", True)


def _votes(material: Material, rows: NDArray[np.intp], y: NDArray[Any]) -> NDArray[Any] | None:
    """Shares of the votes for labels ``y`` of the rows, or of several copies: a column for each class, sorted."""
    if material.votes is None:
        return None
    column = dict(zip(material.vote_names, material.votes[rows].T, strict=True))
    none = np.zeros(len(rows))
    votes = np.column_stack([column.get(name, none) for name in np.unique(y).tolist()])
    return np.tile(votes, (len(y) // len(votes), 1))


def _fit_model(
    model: Any,
    X: Any,
    y: NDArray[Any],
    groups: NDArray[Any],
    fusion: NDArray[np.bool_] | None,
    votes: NDArray[Any] | None,
) -> None:
    known = {"groups": groups, "fusion": fusion, "votes": votes}
    takes = signature(model.fit).parameters
    model.fit(X, y, **{name: rows for name, rows in known.items() if rows is not None and name in takes})


def _search(recipe: Recipe, pipeline: Pipeline, material: Material, rows: Rows, tell: Progress) -> dict[str, Any]:
    """Best settings, which are also set in the pipeline. Pictures are not augmented here."""
    assert recipe.search is not None
    on_fusion_rows = _fusion_rows_choose(recipe, rows)
    used = np.concatenate([rows.train, rows.held_out]) if on_fusion_rows else rows.train
    faces, y, groups = material.faces[used], material.labels[used], rows.groups[used]
    union = pipeline.named_steps["features"]
    if union == "passthrough" or any(path.startswith("features__") for path in recipe.search.params):
        X: Any = faces
        steps = pipeline.steps[1:]
    else:
        X = union.fit(material.faces[rows.train], material.labels[rows.train]).transform(faces)
        steps = pipeline.steps[2:]
    tell(f"search ({recipe.search.kind}, {len(recipe.search.params)} settings)", 0, 0)
    if on_fusion_rows:
        fusion = np.isin(used, rows.held_out)
        best, score = best_on_fusion_rows(recipe.search, Pipeline(steps), X, y, groups, fusion, recipe.seed)
    else:
        best, score = best_settings(recipe.search, Pipeline(steps), X, y, groups, recipe.seed)
    pipeline.set_params(**best)
    named = {path.replace("__", "."): value for path, value in best.items()}
    scored = rows.held_out_name if on_fusion_rows else "folds of the training rows"
    return {"search": {"best": named, "score": score, "metric": recipe.search.score, "rows": scored}}


def _validate(recipe: Recipe, pipeline: Pipeline, material: Material, rows: Rows) -> Validation | None:
    if not len(rows.held_out):
        return None
    faces, y, groups = material.faces[rows.held_out], material.labels[rows.held_out], rows.groups[rows.held_out]
    union, model = pipeline.named_steps["features"], pipeline[-1]
    data = rows.held_out_name
    if _fuses(recipe, rows):
        proba = model.cross_fitted(None, y, groups=groups)
        data += ", cross-fitted"
        if _fusion_rows_choose(recipe, rows):
            data += "; these rows also chose the settings"
    else:
        proba = model.predict_proba(faces if union == "passthrough" else union.transform(faces))
    classes = ordered(str(label) for label in model.classes_)
    order = [model.classes_.tolist().index(label) for label in classes]
    proba = np.asarray(proba, np.float64)[:, order]
    return Validation(y, proba, classes, faces.found, groups, data, material.names[rows.held_out])


def _manifest(recipe: Recipe, pipeline: Pipeline, material: Material, rows: Rows) -> dict[str, Any]:
    used = np.concatenate([rows.train, rows.held_out])
    found = material.faces.found[used]
    labels = material.labels[rows.train]
    copies = recipe.augment["copies"] if recipe.augment else 0
    return {
        "name": recipe.name,
        "recipe": recipe.text,
        "settings": describe(pipeline),
        "data": {
            "kind": material.kind,
            "fingerprint": _fingerprint(material, used),
            "held_out": rows.held_out_name,
            "note": rows.note,
        },
        "rows": {
            "train": len(rows.train),
            "augmented": len(rows.train) * copies,
            "held_out": len(rows.held_out),
            "twins_left_out": rows.twins,
            "seen_by_a_network": rows.seen,
            "trained_a_network": rows.memorised,
            "persons_on_both_sides": rows.shared_persons,
            "skipped": len(material.skipped),
            "not_found": int((~found).sum()),
        },
        "classes": {label: int((labels == label).sum()) for label in ordered(labels.tolist())},
        "skipped": [f"{name}: {reason}" for name, reason in material.skipped[:100]],
        "notes": _notes(recipe, pipeline[-1], rows),
        "licence": _licence(recipe),
    }


def _notes(recipe: Recipe, model: Any, rows: Rows) -> list[str]:
    """What makes the model or its validation figure look better than it is, one sentence each."""
    said = []
    if rows.shared_persons:
        said.append(
            f"{rows.shared_persons} persons have pictures both in the training rows and in {rows.held_out_name}: "
            "the model knows their faces, and strangers will be harder."
        )
    searched = recipe.search is not None and not _fusion_rows_choose(recipe, rows)
    if rows.memorised > len(rows.train) / 2 and (searched or _cross_fits(recipe, model, rows)):
        said.append(
            f"{rows.memorised} of {len(rows.train)} training rows also trained a network of this recipe, which is "
            "over-sure of them: so are probabilities fitted on them, and settings searched for on them suit memorised "
            "faces. Other training rows, or stacking with fusion_rows, avoid that."
        )
    return said


def _fingerprint(material: Material, used: NDArray[np.intp]) -> str:
    """Content of the data that was used: the same rows in another order give the same text."""
    hashes = seen_hashes(material.faces)[used]
    lines = sorted(f"{number:016x} {label}" for number, label in zip(hashes, material.labels[used], strict=True))
    return blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _licence(recipe: Recipe) -> str:
    note = "The terms of the data that it was trained on apply to the model."
    if str(recipe.faces.get("landmarks")) == "68":
        note += " It needs dlib's 68-point predictor, which was trained on data for non-commercial use."
    return note
