"""Our own checks of every estimator; scikit-learn's do next to nothing for input that is not a matrix.

``GENERAL`` holds for every estimator, ``FITTED`` for those that learn, ``FAMILY`` for feature families.
Each check takes a ``Subject``: a small estimator that is not fitted yet, and rows that suit it.
"""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import LABELS, Case, data, role
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from ferkit.errors import FerkitError, InputError
from ferkit.features import HOG, Geometry
from ferkit.model import LinearSVM
from ferkit.records import Faces, Features

FORM = r"(?s)Got .*expected "
"""How every error of ours reads."""


FITTED_ONCE: dict[type, Any] = {}
"""Estimators that were fitted for a check."""


@dataclass(frozen=True)
class Subject:
    """An estimator to check."""

    estimator: BaseEstimator
    case: Case
    folder: Path

    @property
    def role(self) -> str:
        return role(type(self.estimator))

    @property
    def rows(self) -> Any:
        return data(self.role)

    def fitted(self) -> Any:
        """A copy of a fit that all checks share."""
        kind = type(self.estimator)
        if kind not in FITTED_ONCE:
            FITTED_ONCE[kind] = self.fit()
        return deepcopy(FITTED_ONCE[kind])

    def fit(self) -> Any:
        return clone(self.estimator).fit(self.rows, LABELS)


def answers(estimator: Any, X: Any) -> dict[str, np.ndarray]:
    """What an estimator says about rows, as arrays."""
    methods = ("transform", "predict_proba", "decision_function", "predict")
    return {
        f"{method} {name}".strip(): array
        for method in methods
        if hasattr(estimator, method)
        for name, array in arrays(getattr(estimator, method)(X)).items()
    }


def arrays(value: Any) -> dict[str, np.ndarray]:
    """Arrays of a record or matrix, one entry a row. Positions in the input are left out."""
    if isinstance(value, Features):
        return {family: arrays(block)[""] for family, block in value.blocks.items()}
    if isinstance(value, Faces):
        return {name: getattr(value, name) for name in ("crops", "points", "boxes_xyxy", "found")}
    return {"": value.toarray() if sparse.issparse(value) else np.asarray(value)}


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray], what: str) -> None:
    """Equal up to the rounding of sums."""
    assert left.keys() == right.keys(), what
    for name in left:
        if left[name].dtype.kind in "fc":
            np.testing.assert_allclose(left[name], right[name], rtol=1e-4, atol=1e-5, err_msg=f"{what}: {name}")
        else:
            np.testing.assert_array_equal(left[name], right[name], err_msg=f"{what}: {name}")


def take(X: Any, rows: Any) -> Any:
    """Rows of data of any kind."""
    return [X[row] for row in np.arange(len(X))[rows]] if isinstance(X, list) else X[rows]


def snapshot(X: Any) -> bytes:
    """Bytes of all that X holds."""
    return pickle.dumps([arrays(part) for part in X] if isinstance(X, list) else arrays(X))


def signature(estimator: BaseEstimator) -> dict[str, inspect.Parameter]:
    """Parameters of the constructor; none where the class has no constructor of its own."""
    if type(estimator).__init__ is object.__init__:
        return {}
    return dict(list(inspect.signature(type(estimator).__init__).parameters.items())[1:])


def check_clone(subject: Subject) -> None:
    twin = clone(subject.estimator)
    assert twin is not subject.estimator
    assert repr(twin.get_params(deep=False)) == repr(subject.estimator.get_params(deep=False))


def check_parameters_can_be_read_and_set(subject: Subject) -> None:
    estimator = clone(subject.estimator)
    params = estimator.get_params(deep=False)
    assert params.keys() == signature(estimator).keys()
    assert estimator.set_params(**params) is estimator
    assert all(getattr(estimator, name) is value for name, value in params.items())
    with pytest.raises(ValueError, match="no_such_parameter"):
        estimator.set_params(no_such_parameter=1)


def check_constructor_only_stores(subject: Subject) -> None:
    marks = {name: object() for name in signature(subject.estimator)}
    made = type(subject.estimator)(**marks)
    assert vars(made) == marks


def check_docstring_tells_the_parameters(subject: Subject) -> None:
    kind = type(subject.estimator)
    text = inspect.getdoc(kind) or ""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}\n|\Z)", text, flags=re.S | re.M)
    told = re.findall(r"^(\w[\w, ]*) : (.+)$", section[1] if section else "", flags=re.M)
    names = [name for group, _ in told for name in group.split(", ")]
    parameters = signature(subject.estimator)
    assert names == list(parameters), f"{kind.__name__}: the docstring tells {names}"
    for group, description in told:
        default = re.search(r"default=(.+)$", description)
        for name in group.split(", "):
            expected = parameters[name].default
            if expected is inspect.Parameter.empty:
                assert default is None, f"{kind.__name__}.{name} has no default"
            else:
                assert default, f"{kind.__name__}.{name} is told without a default"
                assert ast.literal_eval(default[1]) == expected, f"{kind.__name__}.{name}"
    assert "Examples\n" in text or "Attributes\n" in text or not hasattr(kind, "fit")


def check_pickle(subject: Subject) -> None:
    assert repr(_again(subject.estimator)) == repr(subject.estimator)
    if hasattr(subject.estimator, "fit"):
        fitted = subject.fitted()
        assert_same(answers(_again(fitted), subject.rows), answers(fitted, subject.rows), "after a pickle")


def _again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - made on the spot


def check_fit_only_learns(subject: Subject) -> None:
    estimator = clone(subject.estimator)
    before, told = set(vars(estimator)), repr(estimator.get_params())
    assert estimator.fit(subject.rows, LABELS) is estimator
    assert repr(estimator.get_params()) == told, "fit changed a parameter"
    learnt = {name for name in vars(estimator) if not name.startswith("_")} - before
    assert all(name.endswith("_") for name in learnt), f"learnt {sorted(learnt)}"


def check_refit_gives_the_same(subject: Subject) -> None:
    estimator = subject.fitted()
    first = answers(estimator, subject.rows)
    assert_same(answers(estimator.fit(subject.rows, LABELS), subject.rows), first, "fitted again")
    assert_same(answers(subject.fit(), subject.rows), first, "a clone")


def check_refit_forgets(subject: Subject) -> None:
    half = np.arange(len(LABELS)) % 2 == 0
    estimator = clone(subject.estimator).fit(take(subject.rows, ~half), LABELS[~half])
    estimator.fit(take(subject.rows, half), LABELS[half])
    fresh = clone(subject.estimator).fit(take(subject.rows, half), LABELS[half])
    assert_same(answers(estimator, subject.rows), answers(fresh, subject.rows), "fitted on other rows before")


def check_input_stays_as_it_is(subject: Subject) -> None:
    before = snapshot(subject.rows)
    answers(subject.fitted(), subject.rows)
    assert snapshot(subject.rows) == before


def check_it_must_be_fitted(subject: Subject) -> None:
    if not get_tags(subject.estimator).requires_fit:
        assert answers(clone(subject.estimator), subject.rows)
        return
    for method in ("transform", "predict", "predict_proba", "get_feature_names_out"):
        if hasattr(subject.estimator, method):
            arguments = [] if method == "get_feature_names_out" else [subject.rows]
            with pytest.raises(NotFittedError):
                getattr(clone(subject.estimator), method)(*arguments)


def check_order_of_rows(subject: Subject) -> None:
    estimator = subject.fitted()
    order = np.random.default_rng(1).permutation(len(LABELS))
    expected = {name: array[order] for name, array in answers(estimator, subject.rows).items()}
    assert_same(answers(estimator, take(subject.rows, order)), expected, "in another order")


def check_one_row_is_as_in_a_batch(subject: Subject) -> None:
    estimator = subject.fitted()
    whole = answers(estimator, subject.rows)
    for row in (0, 7):
        expected = {name: array[row : row + 1] for name, array in whole.items()}
        assert_same(answers(estimator, take(subject.rows, slice(row, row + 1))), expected, "alone")


def check_empty_input(subject: Subject) -> None:
    none = take(subject.rows, slice(0, 0))
    with pytest.raises(ValueError, match=rf"{FORM}|Found array with 0 sample"):
        clone(subject.estimator).fit(none, LABELS[:0])
    if subject.role in ("family", "pictures"):
        assert all(len(array) == 0 for array in answers(subject.fitted(), none).values())


def check_wrong_input(subject: Subject) -> None:
    wrong: list[Any] = [np.zeros(5), "faces", None, np.array([["a", "b"]])]
    if subject.role in ("family", "network"):
        wrong += [np.zeros((4, 9)), np.zeros((4, 48, 48, 3), np.uint8), np.full((4, 48, 48), np.nan)]
    for X in wrong:
        with pytest.raises((ValueError, TypeError), match=f"{FORM}|Expected 2D array|could not convert"):
            clone(subject.estimator).fit(X, LABELS[: len(X)] if hasattr(X, "__len__") else LABELS)


def check_other_input_than_at_fit(subject: Subject) -> None:
    estimator = subject.fitted()
    other = {
        "family": lambda: Faces(subject.rows.crops[:, :30], points=subject.rows.points),
        "classifier": lambda: Features({"first": subject.rows["first"]}),
    }
    if subject.role in other:
        with pytest.raises(InputError, match=FORM):
            answers(estimator, other[subject.role]())


def check_wrong_parameters(subject: Subject) -> None:
    for name, value in subject.estimator.get_params(deep=False).items():
        # Any seed will do, and joblib knows what a number of jobs is.
        if name in ("seed", "n_jobs", *subject.case.free):
            continue
        estimator = clone(subject.estimator)
        setattr(estimator, name, "no such thing")
        with pytest.raises((ValueError, TypeError, FerkitError), match=f"{FORM}|{name}") as caught:
            estimator.fit(subject.rows, LABELS)
        assert "no such thing" in str(caught.value), f"{name}: {caught.value}"
        if isinstance(value, bool):
            assert re.search("expected True(,| or) False", str(caught.value)), f"{name}: {caught.value}"


def check_cross_validation(subject: Subject) -> None:
    pipeline, X = _pipeline(subject), subject.rows
    X = np.array(X, dtype=object) if isinstance(X, list) else X
    scores = cross_val_score(pipeline, X, LABELS, cv=StratifiedKFold(2), error_score="raise")
    assert np.isfinite(scores).all()


def check_grid_search(subject: Subject) -> None:
    names = [name for name, value in subject.estimator.get_params(deep=False).items() if value is not None]
    grid = subject.case.grid or {name: [getattr(subject.estimator, name)] for name in names[:1]}
    X = np.array(subject.rows, dtype=object) if isinstance(subject.rows, list) else subject.rows
    search = GridSearchCV(
        _pipeline(subject),
        {f"subject__{name}": values for name, values in grid.items()},
        cv=StratifiedKFold(2),
        error_score="raise",
    )
    search.fit(X, LABELS)
    assert len(search.cv_results_["params"]) == np.prod([len(values) for values in grid.values()])
    assert len(search.predict(X)) == len(LABELS)


def _pipeline(subject: Subject) -> Pipeline:
    """The estimator, and what it takes to get from its output to labels."""
    steps: list[tuple[str, Any]] = [("subject", clone(subject.estimator))]
    if subject.role == "pictures":
        steps += [("hog", HOG(cell=16))]
    if subject.role in ("pictures", "family"):
        steps += [("dense", FunctionTransformer(dense)), ("model", LinearDiscriminantAnalysis())]
    return Pipeline(steps)


def dense(X: Any) -> np.ndarray:
    """Matrix of a record or CSR array."""
    return np.asarray(X.toarray() if sparse.issparse(X) else X)


def check_processes(subject: Subject) -> None:
    estimator = subject.fitted()
    method = "transform" if hasattr(estimator, "transform") else "predict_proba"
    expected = arrays(getattr(estimator, method)(subject.rows))
    found = Parallel(n_jobs=2)(delayed(getattr(estimator, method))(subject.rows) for _ in range(2))
    for part in found:
        assert_same(arrays(part), expected, "in another process")


def check_model_file(subject: Subject) -> None:
    from ferkit import store

    steps = {
        "family": [("features", subject.estimator), ("model", LinearSVM(calibrate=False))],
        "pictures": [("faces", subject.estimator), ("features", HOG(cell=16)), ("model", LinearSVM(calibrate=False))],
    }
    pipeline = Pipeline(steps.get(subject.role, [("model", subject.estimator)])).fit(subject.rows, LABELS)
    opened = store.load(store.save(pipeline, subject.folder / "model.ferkit")).pipeline
    assert_same(answers(opened, subject.rows), answers(pipeline, subject.rows), "from a model file")
    for (name, before), (_, after) in zip(pipeline.steps, opened.steps, strict=True):
        assert repr(after.get_params()) == repr(before.get_params()), name


def check_names_match_columns(subject: Subject) -> None:
    estimator = subject.fitted()
    names = [str(name) for name in estimator.get_feature_names_out()]
    out = estimator.transform(subject.rows)
    families = list(out.blocks) if isinstance(out, Features) else [estimator.family]
    assert len(names) == out.shape[1]
    assert len(set(names)) == len(names)
    assert {name.split("/")[0] for name in names} == set(families)
    blocks = out.blocks.values() if isinstance(out, Features) else [out]
    assert all(block.dtype == np.float32 for block in blocks)


def check_plain_stacks_are_faces(subject: Subject) -> None:
    needs_points = subject.estimator.get_params().get("geometry") or isinstance(subject.estimator, Geometry)
    if needs_points:
        with pytest.raises(InputError, match="Set landmarks: 68"):
            subject.fitted().fit(subject.rows.crops)
        return
    expected = arrays(clone(subject.estimator).fit_transform(Faces(subject.rows.crops), LABELS))
    got = clone(subject.estimator).fit_transform(subject.rows.crops.astype(np.float64), LABELS)
    assert_same(arrays(got), expected, "as a plain stack")


GENERAL = [
    check_clone,
    check_parameters_can_be_read_and_set,
    check_constructor_only_stores,
    check_docstring_tells_the_parameters,
    check_pickle,
]
FITTED = [
    check_fit_only_learns,
    check_refit_gives_the_same,
    check_refit_forgets,
    check_input_stays_as_it_is,
    check_it_must_be_fitted,
    check_order_of_rows,
    check_one_row_is_as_in_a_batch,
    check_empty_input,
    check_wrong_input,
    check_other_input_than_at_fit,
    check_wrong_parameters,
    check_cross_validation,
    check_grid_search,
    check_processes,
    check_model_file,
]
FAMILY = [check_names_match_columns, check_plain_stacks_are_faces]


def checks_for(kind: type[BaseEstimator]) -> list[Any]:
    """Checks that an estimator has to pass."""
    fitted = FITTED if hasattr(kind, "fit") else []
    return GENERAL + fitted + (FAMILY if role(kind) == "family" else [])
