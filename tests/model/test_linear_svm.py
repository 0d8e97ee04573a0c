"""LinearSVM and its solver against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from ferkit.errors import InputError
from ferkit.model import RBFSVM, LinearSVM
from ferkit.model.calibration import correct_priors, mean_log_loss
from ferkit.model.scaling import apply_scaling, fit_scaling
from ferkit.model.solver import Logistic, Solution, SquaredHinge, minimise
from ferkit.records import Features


@pytest.fixture(scope="module")
def rows():
    X, y = make_classification(300, 12, n_informative=6, n_classes=4, class_sep=0.7, random_state=0)
    return X, np.array(["anger", "fear", "neutral", "happiness"])[y]


def _signs(y):
    classes, codes = np.unique(y, return_inverse=True)
    return np.where(codes[:, None] == np.arange(len(classes)), 1.0, -1.0)


def test_the_solver_finds_what_liblinear_finds(rows):
    X, y = rows
    ours = minimise(X, SquaredHinge(_signs(y), np.full(len(y), 0.5)), 4, tol=1e-8)
    # liblinear draws the intercept to 0 too; a large constant column makes that pull vanish.
    theirs = LinearSVC(C=0.5, dual=False, tol=1e-10, intercept_scaling=300, max_iter=20000).fit(X, y)
    assert ours.converged
    np.testing.assert_allclose(ours.weights.T, theirs.coef_, atol=2e-3)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, atol=2e-3)


def test_the_solver_finds_the_multinomial_logistic_regression(rows):
    X, y = rows
    ours = minimise(X, Logistic((_signs(y) + 1) / 2, np.full(len(y), 0.5)), 4, tol=1e-9)
    theirs = LogisticRegression(C=0.5, tol=1e-9, max_iter=5000).fit(X, y)
    np.testing.assert_allclose(ours.weights.T, theirs.coef_, atol=1e-5)
    shift = theirs.intercept_ - theirs.intercept_.mean()
    np.testing.assert_allclose(ours.intercept - ours.intercept.mean(), shift, atol=1e-5)


def test_row_weights_of_the_solver_are_repeated_rows(rows):
    X, y = rows
    times = np.random.default_rng(0).integers(1, 4, len(y))
    weighted = minimise(X, SquaredHinge(_signs(y), times * 0.1), 4, tol=1e-8)
    signs = np.repeat(_signs(y), times, axis=0)
    repeated = minimise(np.repeat(X, times, axis=0), SquaredHinge(signs, np.full(times.sum(), 0.1)), 4, tol=1e-8)
    np.testing.assert_allclose(weighted.weights, repeated.weights, atol=1e-6)


def test_a_start_saves_steps_and_changes_nothing(rows):
    X, y = rows
    loss = SquaredHinge(_signs(y), np.full(len(y), 1.0))
    cold = minimise(X, loss, 4, tol=1e-8)
    warm = minimise(X, loss, 4, tol=1e-8, start=Solution(cold.weights, cold.intercept, 0, False))
    assert warm.steps < cold.steps
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-6)


def test_margins_are_those_of_linear_svc_on_the_scaled_columns(rows):
    X, y = rows
    scaled = apply_scaling(X, *fit_scaling(X, standardize=True))
    theirs = LinearSVC(C=20, dual=False, tol=1e-10, intercept_scaling=300, max_iter=20000).fit(scaled, y)
    ours = LinearSVM(20, calibrate=False, tol=1e-8).fit(X, y)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(scaled), atol=5e-3)
    assert (ours.predict(X) == theirs.predict(scaled)).mean() > 0.995


@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
def test_two_classes_mirror_each_other(rows, loss):
    X, y = rows
    two = np.isin(y, ["anger", "fear"])
    model = LinearSVM(5, loss=loss, calibrate=False, tol=1e-8).fit(X[two], y[two])
    assert model.coef_.shape == (2, 12)
    np.testing.assert_allclose(model.coef_[0], -model.coef_[1], atol=1e-6)
    margin = model.decision_function(X[two])
    np.testing.assert_allclose(model.predict_proba(X[two])[:, 1], 1 / (1 + np.exp(-margin)))
    if loss == "squared_hinge":
        scaled = apply_scaling(X[two], model.mean_, model.scale_)
        theirs = LinearSVC(C=5, dual=False, tol=1e-10, intercept_scaling=300, max_iter=20000).fit(scaled, y[two])
        np.testing.assert_allclose(margin, theirs.decision_function(scaled), atol=5e-3)


def test_sparse_rows_take_the_same_way_without_centring(rows):
    rng = np.random.default_rng(0)
    X = (rng.random((300, 60)) < 0.1) * 1.0
    y = rows[1]
    model = LinearSVM(1, calibrate=False, tol=1e-8).fit(sparse.csr_matrix(X), y)
    factor = 1 / np.sqrt((X**2).sum(axis=1).mean())
    theirs = LinearSVC(C=1, dual=False, tol=1e-10, intercept_scaling=300, max_iter=20000).fit(X * factor, y)
    np.testing.assert_allclose(
        model.decision_function(sparse.csr_array(X)), theirs.decision_function(X * factor), atol=5e-3
    )
    np.testing.assert_array_equal(model.mean_, 0)


def test_scaling_makes_c_the_same_for_every_unit(rows):
    X, y = rows
    big = X * np.logspace(-3, 3, 12) + 50
    np.testing.assert_allclose(
        LinearSVM(tol=1e-8).fit(big, y).predict_proba(big), LinearSVM(tol=1e-8).fit(X, y).predict_proba(X), atol=1e-6
    )
    plain = LinearSVM(standardize=False, tol=1e-8).fit(X * 1000, y).predict_proba(X * 1000)
    np.testing.assert_allclose(plain, LinearSVM(standardize=False, tol=1e-8).fit(X, y).predict_proba(X), atol=1e-6)


def test_a_column_that_does_not_vary_says_nothing(rows):
    X, y = rows
    with_constant = np.hstack([X, np.full((len(X), 1), 0.1)])
    model = LinearSVM().fit(with_constant, y)
    assert (model.coef_[:, -1] == 0).all()
    np.testing.assert_allclose(model.predict_proba(with_constant), LinearSVM().fit(X, y).predict_proba(X), atol=1e-6)


def test_calibration_lowers_the_loss_on_fresh_rows_and_fits_shares():
    X, y = make_classification(3000, 20, n_informative=6, n_classes=4, weights=[0.7, 0.1, 0.1, 0.1], random_state=1)
    fresh = slice(1500, None)
    losses = {}
    for calibrate in (True, False):
        model = LinearSVM(calibrate=calibrate).fit(X[:1500], y[:1500])
        losses[calibrate] = mean_log_loss(np.log(model.predict_proba(X[fresh])), y[fresh])
        if calibrate:
            np.testing.assert_allclose(
                model.predict_proba(X[fresh]).mean(axis=0), np.bincount(y[fresh]) / 1500, atol=0.03
            )
    assert losses[True] < losses[False] - 0.02


@pytest.mark.parametrize("classifier", [LinearSVM, RBFSVM])
@pytest.mark.parametrize(
    "weight", ["equal", 3, {"x": 2.0}, {"a": None}, {"a": -1.0}, {"a": float("nan")}, {"a": 0, "b": 0}]
)
def test_class_weights_that_are_none(classifier, weight):
    X, y = np.random.default_rng(0).normal(size=(20, 3)), np.repeat(["a", "b"], 10)
    with pytest.raises(InputError, match=r"Got class_weight=.*, expected .* each of a, b"):
        classifier(class_weight=weight).fit(X, y)


def test_class_weights_move_predictions_to_rare_classes():
    rng = np.random.default_rng(0)
    y = (rng.random(4000) < 0.05).astype(int)
    X = rng.normal(size=(4000, 4)) + y[:, None] * 0.5
    plain, balanced = LinearSVM().fit(X, y), LinearSVM(class_weight="balanced").fit(X, y)
    assert balanced.predict(X).mean() > 4 * plain.predict(X).mean()
    chance, share = balanced.predict_proba(X), y.mean()
    assert np.average(chance[:, 1], weights=np.where(y, 1 / share, 1 / (1 - share))) == pytest.approx(0.5, abs=0.02)
    undone = correct_priors(chance, np.array([0.5, 0.5]), np.array([1 - share, share]))
    assert undone[:, 1].mean() == pytest.approx(share, abs=0.01)
    np.testing.assert_allclose(undone, plain.predict_proba(X), atol=0.1)


def test_groups_keep_copies_out_of_the_calibration():
    """A row and its copies on both sides of a fold make a machine look surer than it is."""
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(60, 80)), 6, axis=0), np.repeat(rng.integers(0, 3, 60), 6)
    groups = np.repeat(np.arange(60), 6)
    careless, careful = LinearSVM(10).fit(X, y), LinearSVM(10).fit(X, y, groups=groups)
    assert careless.predict_proba(X).max(axis=1).mean() > 0.9
    assert careful.predict_proba(X).max(axis=1).mean() < 0.7


def test_float32_stays_float32_and_families_are_joined(rows):
    X, y = rows
    families = Features({"hog": X[:, :5].astype(np.float32), "lbp": X[:, 5:].astype(np.float32)})
    model = LinearSVM().fit(families, y)
    assert model.coef_.dtype == model.predict_proba(families).dtype == np.float32
    np.testing.assert_allclose(model.predict_proba(families), LinearSVM().fit(X, y).predict_proba(X), atol=2e-3)
    np.testing.assert_array_equal(model.predict(families.matrix), model.predict(families))
    assert model.families_ == {"hog": 5, "lbp": 7}
    swapped = Features({"lbp": families["lbp"], "hog": families["hog"]})
    with pytest.raises(InputError, match="Got y=None"):
        LinearSVM().fit(families, None)
    np.testing.assert_array_equal(model.predict(swapped), model.predict(families))


def test_it_warns_when_the_steps_do_not_suffice(rows):
    with pytest.warns(ConvergenceWarning, match="Got max_iter=1"):
        LinearSVM(100, calibrate=False, max_iter=1, tol=1e-9).fit(*rows)


def test_labels_of_a_data_set_are_kept_as_plain_strings(rows):
    model = LinearSVM().fit(rows[0], rows[1].astype(object))
    assert model.classes_.dtype.kind == "U"


def test_it_works_in_a_pipeline_with_groups(rows):
    X, y = rows
    pipeline = make_pipeline(LinearSVM())
    assert pipeline.fit(X, y, linearsvm__groups=np.arange(len(y)) // 2).score(X, y) > 0.5


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"C": 0}, "Got C=0, expected a number above 0"),
        ({"C": float("nan")}, "Got C=nan"),
        ({"loss": "hinge"}, "Got loss='hinge', expected one of"),
        ({"max_iter": 1.5}, "Got max_iter=1.5, expected a whole number of at least 1"),
        ({"calibration_folds": 1}, "Got calibration_folds=1, expected a whole number of at least 2"),
    ],
)
def test_wrong_parameters(rows, params, message):
    with pytest.raises(InputError, match=message):
        LinearSVM(**params).fit(*rows)


def test_wrong_rows(rows):
    X, y = rows
    with pytest.raises(InputError, match="Got 1 class"):
        LinearSVM().fit(X, np.full(len(y), "fear"))
    with pytest.raises(InputError, match="Got groups with 3 rows, expected 300"):
        LinearSVM().fit(X, y, groups=[1, 2, 3])
    with pytest.raises(InputError, match="Got 1 group"):
        LinearSVM().fit(X, y, groups=np.zeros(300))
    with pytest.raises(InputError, match="only one class"):
        LinearSVM().fit(X[:4], ["fear", "fear", "anger", "anger"], groups=[0, 0, 1, 1])
    with pytest.raises(ValueError, match="NaN"):
        LinearSVM().fit(Features({"hog": np.full((300, 2), np.nan)}), y)
    with pytest.raises(InputError, match="Got families"):
        LinearSVM().fit(Features({"hog": X}), y).predict(Features({"lbp": X}))
