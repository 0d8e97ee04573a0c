"""Recipe to pipeline, and back to text."""

from __future__ import annotations

from inspect import signature
from os import PathLike
from typing import Any

from sklearn.pipeline import Pipeline

from ferkit import store
from ferkit.errors import RecipeError
from ferkit.recipe import registry
from ferkit.recipe.schema import Part, Recipe
from ferkit.recipe.text import dump


def build(recipe: Recipe) -> Pipeline:
    """Unfitted pipeline with the steps ``faces``, ``features`` and ``model``.

    Every ``seed``, and ``labels`` of a fusion, that the recipe leaves open is the recipe's.

    Examples
    --------
    >>> from ferkit import recipe
    >>> [name for name, _ in recipe.build(recipe.load("hog_svm")).steps]
    ['faces', 'features', 'model']
    """
    return Pipeline(
        [
            ("faces", _new(registry.FACES, recipe.faces, recipe)),
            ("features", _union(recipe) if recipe.features else "passthrough"),
            ("model", _model(recipe.model, recipe)),
        ]
    )


def _union(recipe: Recipe) -> Any:
    from ferkit.features import FamilyUnion

    families = [(key, _new(registry.FEATURES[part.kind], part.params, recipe)) for key, part in recipe.features.items()]
    return FamilyUnion(families)


def _new(target: str, params: dict[str, Any], recipe: Recipe) -> Any:
    shared = {"seed": recipe.seed, "labels": recipe.labels or None}
    given = {name: value for name, value in shared.items() if name in registry.parameters(target)}
    if str(params.get("init", "")).endswith(".ferkit"):
        params = params | {"init": str(store.network_file(params["init"]))}
    return registry.resolve(target)(**given | params)


def _model(value: Any, recipe: Recipe) -> Any:
    """Estimators in place of parts, however deep."""
    if isinstance(value, Part):
        params = {name: _model(item, recipe) for name, item in value.params.items()}
        return _new(registry.MODELS[value.kind], params, recipe)
    if isinstance(value, dict):
        return {name: _model(item, recipe) for name, item in value.items()}
    return value


def describe(pipeline: Pipeline) -> str:
    """YAML of a pipeline made of the registry's classes: the parameters that differ from their defaults.

    Raises
    ------
    RecipeError
        A step or a base is of a class that recipes do not know.
    """
    steps = dict(pipeline.steps)
    text: dict[str, Any] = {}
    if faces := _changed(steps["faces"]):
        text["faces"] = faces
    if steps["features"] != "passthrough":
        text["features"] = {key: _family(key, family) for key, family in steps["features"].families}
    text["model"] = _model_text(steps["model"])
    return dump(text)


def _family(key: str, family: Any) -> dict[str, Any]:
    kind = _kind(family, registry.FEATURES)
    return ({} if kind == key else {"kind": kind}) | _changed(family)


def _model_text(model: Any) -> Any:
    kind = _kind(model, registry.MODELS)
    nested = {name for name in (registry.BASES.get(kind), registry.INNER.get(kind)) if name}
    params = {name: value for name, value in _changed(model).items() if name not in nested}
    for name in sorted(nested):
        value = getattr(model, name)
        if isinstance(value, dict):
            params[name] = {key: base if isinstance(base, str) else _model_text(base) for key, base in value.items()}
        elif value is not None:
            params[name] = _model_text(value)
    return {kind: params} if params else kind


def _kind(estimator: Any, names: dict[str, str]) -> str:
    for name, target in names.items():
        # by name first: resolving a class would import every other model's folder
        if target.endswith(f":{type(estimator).__name__}") and registry.resolve(target) is type(estimator):
            return name
    raise RecipeError(f"Got a {type(estimator).__name__}, expected one of {', '.join(names)}.")


def _changed(estimator: Any) -> dict[str, Any]:
    """Parameters that differ from their defaults, as plain values."""
    defaults = {name: item.default for name, item in signature(type(estimator).__init__).parameters.items()}
    values = {name: _listed(value) for name, value in estimator.get_params(deep=False).items()}
    return {name: value for name, value in values.items() if value != _listed(defaults[name])}


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    if isinstance(value, PathLike):
        return str(value)
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
