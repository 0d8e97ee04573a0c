"""Every estimator of the package passes our checks; those that take matrices also scikit-learn's."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from cases import CASES, case, estimators, role
from checks import Subject, checks_for
from sklearn.utils.estimator_checks import parametrize_with_checks

MATRIX = [name for name, kind in estimators().items() if role(kind) == "classifier"]


def test_the_walk_finds_the_estimators():
    assert {"FamilyUnion", "Geometry", "HOG", "LBP", "LinearSVM", "Stacking", "VisualWords"} <= set(estimators())


def test_no_case_is_left_over():
    assert set(CASES) <= set(estimators())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param(name, check, id=f"{name}-{check.__name__}")
        for name, kind in estimators().items()
        for check in checks_for(kind)
    ],
)
def test_estimator(name, check, tmp_path):
    how = case(name)
    if how.needs and find_spec(how.needs) is None:
        pytest.skip(f"{name} needs the package {how.needs}")
    check(Subject(how.make(tmp_path), how, tmp_path))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([case(name).make(Path()) for name in MATRIX])
def test_scikit_learn(estimator, check):
    check(estimator)
