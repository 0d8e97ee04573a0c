"""RBFSVM against scikit-learn's SVC, LocalSVM against a machine fitted by hand on the neighbours."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

from ferkit.errors import InputError
from ferkit.model import RBFSVM, LinearSVM, LocalSVM
from ferkit.model.scaling import apply_scaling, fit_scaling


@pytest.fixture(scope="module")
def rows():
    return make_classification(400, 15, n_informative=8, n_classes=3, class_sep=0.8, random_state=0)


def _scaled(X):
    return apply_scaling(X, *fit_scaling(X, standardize=True))


WAYS = [
    RBFSVM(landmarks=20, n_components=None),
    RBFSVM(loss="squared", n_components=None),
    LinearSVM(loss="logistic"),
]


@parametrize_with_checks(WAYS)
def test_scikit_learn_checks_of_other_ways(estimator, check):
    check(estimator)


def test_two_classes_have_the_margin_of_svc(rows):
    X, y = rows[0][rows[1] < 2], rows[1][rows[1] < 2]
    theirs = SVC(C=2, gamma=1.5).fit(_scaled(X), y)
    ours = RBFSVM(2, 1.5, n_components=None, calibrate=False).fit(X, y)
    np.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(_scaled(X)), atol=1e-6)
    assert len(ours.vectors_) == len(theirs.support_)


def test_the_margin_of_a_class_is_the_mean_of_its_one_vs_one_margins(rows):
    X, y = rows
    pairs = SVC(C=2, gamma=1.0, decision_function_shape="ovo").fit(_scaled(X), y).decision_function(_scaled(X))
    expected = np.stack([pairs[:, 0] + pairs[:, 1], -pairs[:, 0] + pairs[:, 2], -pairs[:, 1] - pairs[:, 2]], axis=1) / 2
    ours = RBFSVM(2, 1.0, n_components=None, calibrate=False).fit(X, y)
    np.testing.assert_allclose(ours.decision_function(X), expected, atol=1e-6)


def test_all_components_are_a_rotation(rows):
    X, y = rows
    kept = [RBFSVM(n_components=n, calibrate=False).fit(X, y).decision_function(X) for n in (None, 15, 999)]
    np.testing.assert_allclose(kept[1], kept[0], atol=1e-6)
    np.testing.assert_allclose(kept[2], kept[0], atol=1e-6)
    assert RBFSVM(n_components=4).fit(X, y).vectors_.shape[1] == 4


@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_squared_errors_give_kernel_ridge(rows, class_weight):
    X, y = rows[0][50:], rows[1][50:]
    weights = compute_sample_weight(class_weight, y)
    targets = np.where(y[:, None] == np.arange(3), 1.0, -1.0)
    middle = np.average(targets, axis=0, weights=weights)
    theirs = KernelRidge(alpha=1 / 4, kernel="rbf", gamma=1.5).fit(_scaled(X), targets - middle, sample_weight=weights)
    ours = RBFSVM(4, 1.5, n_components=None, loss="squared", calibrate=False, class_weight=class_weight).fit(X, y)
    np.testing.assert_allclose(ours.decision_function(X), theirs.predict(_scaled(X)) + middle, atol=1e-6)
    assert len(ours.vectors_) == len(X)


def test_more_rows_than_memory_holds_are_refused(rows, monkeypatch):
    monkeypatch.setattr("ferkit.model.kernel.MOST_ROWS", 100)
    with pytest.raises(InputError, match=r"Got 400 rows .* at most 100\. Set loss"):
        RBFSVM(loss="squared", calibrate=False).fit(*rows)


def test_it_bends_where_a_line_cannot():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    y = np.where(np.linalg.norm(X, axis=1) < 1.1, "in", "out")
    fresh = rng.normal(size=(600, 2))
    truth = np.where(np.linalg.norm(fresh, axis=1) < 1.1, "in", "out")
    for other in ({}, {"loss": "squared"}, {"landmarks": 60}):
        model = RBFSVM(10, n_components=None, **other)
        assert (model.fit(X, y).predict(fresh) == truth).mean() > 0.95
    assert (LinearSVM().fit(X, y).predict(fresh) == truth).mean() < 0.7
    assert model.vectors_.shape == (60, 2)


@pytest.mark.parametrize("settings", [{}, {"loss": "squared"}, {"n_components": None}])
def test_columns_that_say_nothing(settings):
    y = np.repeat(["a", "b", "b"], 20)
    proba = RBFSVM(**settings).fit(np.ones((60, 3)), y).predict_proba(np.ones((1, 3)))
    np.testing.assert_allclose(proba, [[1 / 3, 2 / 3]], atol=0.05)


@pytest.mark.parametrize("settings", [{}, {"loss": "squared"}, {"landmarks": 20}])
def test_compact_rows_give_the_same_answers_when_they_come_back(settings):
    X, y = make_classification(300, 10, n_informative=5, n_classes=3, random_state=1)
    exact = RBFSVM(**settings).fit(X, y)
    model = RBFSVM(compact=True, **settings).fit(X, y)
    text = pickle.dumps(model)
    again = pickle.loads(text)  # noqa: S301
    assert again.vectors_.dtype == model.vectors_.dtype == np.int8
    np.testing.assert_array_equal(again.decision_function(X), model.decision_function(X))
    np.testing.assert_allclose(model.predict_proba(X), exact.predict_proba(X), atol=0.05)
    assert len(text) < len(pickle.dumps(exact)) - 6 * model.vectors_.size
    off = np.abs((model.vectors_ * model.step_)[:, None] - _scaled(X) @ model.components_.T).max(axis=2).min(axis=1)
    assert off.max() <= 0.51 * model.step_
    rows = RBFSVM(compact=True, n_components=None, **settings).fit(sparse.csr_array(X), y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows)).predict(X[:9]), rows.predict(X[:9]))  # noqa: S301


def test_compact_rows_of_16_bits_still_open(rows):
    model = RBFSVM(compact=True).fit(*rows)
    state = model.__getstate__()
    state["vectors_"], state["components_"] = (model.vectors_ * model.step_).astype(np.float16), model.components_
    del state["step_"]
    again = RBFSVM()
    again.__setstate__(state)
    once_more = pickle.loads(pickle.dumps(again))  # noqa: S301
    np.testing.assert_array_equal(once_more.decision_function(rows[0]), again.decision_function(rows[0]))
    np.testing.assert_allclose(again.decision_function(rows[0]), model.decision_function(rows[0]), atol=0.01)
    slopes, expected = (m.slopes(rows[0][:5], np.tile([1.0, -1.0, 0.0], (5, 1))) for m in (again, model))
    for name, one in slopes.items():
        np.testing.assert_allclose(one.values, expected[name].values, atol=0.01)


def test_sparse_rows_for_a_compact_machine_of_dense_ones(rows):
    exact, model = (RBFSVM(compact=compact, n_components=None).fit(*rows) for compact in (False, True))
    X = sparse.csr_array(rows[0])
    assert (model.predict(X) == exact.predict(X)).mean() > 0.97


def test_wide_compact_rows_are_rounded_to_finer_steps():
    X = np.random.default_rng(0).normal(size=(60, 9000))
    y = np.arange(60) % 2
    exact, model = (RBFSVM(compact=compact, n_components=None, loss="squared").fit(X, y) for compact in (False, True))
    assert (model.vectors_ == 0).mean() < 0.1
    np.testing.assert_allclose(model.predict_proba(X[:9]), exact.predict_proba(X[:9]), atol=0.02)


def test_an_outlier_has_room_in_8_bits(rows):
    X = rows[0].copy()
    X[0, 0] += 1e4
    model = RBFSVM(compact=True, n_components=None, standardize=False).fit(X, rows[1])
    assert np.abs(model.vectors_.astype(int)).max() == 127


def test_probabilities_are_worth_the_name():
    X, y = make_classification(1600, 10, n_informative=5, n_classes=3, class_sep=0.6, flip_y=0.2, random_state=2)
    model = RBFSVM(10, n_components=None).fit(X[:800], y[:800])
    proba = model.predict_proba(X[800:])
    accuracy = (proba.argmax(axis=1) == y[800:]).mean()
    assert proba.max(axis=1).mean() == pytest.approx(accuracy, abs=0.05)


@pytest.mark.parametrize("n_components", [None, 5])
@pytest.mark.parametrize("way", [{}, {"landmarks": 40}, {"loss": "squared"}])
def test_sparse_rows(rows, n_components, way):
    X = np.where(np.abs(rows[0]) > 0.8, rows[0], 0)
    model = RBFSVM(n_components=n_components, **way).fit(sparse.csr_array(X), rows[1])
    assert model.score(sparse.csr_array(X), rows[1]) > 0.6
    if n_components is None:
        np.testing.assert_allclose(model.decision_function(X), model.decision_function(sparse.csr_array(X)), atol=1e-6)


def test_wrong_parameters(rows):
    for params in ({"n_components": 0}, {"landmarks": 2.5}, {"gamma": "scale"}, {"C": -1}, {"loss": "log"}):
        with pytest.raises(InputError, match=f"Got {next(iter(params))}="):
            RBFSVM(**params).fit(*rows)
    with pytest.raises(InputError, match="expected landmarks=None"):
        RBFSVM(loss="squared", landmarks=5).fit(*rows)


def test_a_local_machine_is_a_linear_machine_on_the_neighbours(rows):
    X, y = rows
    train, asked = X[:350], X[350:360]
    model = LocalSVM(neighbours=60, C=2, calibrate=False).fit(train, y[:350])
    mean, factor = fit_scaling(train, standardize=True)
    unit = [apply_scaling(part, mean, factor) for part in (train, asked)]
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in unit]
    margins = model.decision_function(asked)
    fitted = 0
    for row, face in enumerate(unit[1]):
        nearest = np.argsort(-(unit[0] @ face), kind="stable")[:60]
        if len(np.unique(y[nearest])) < 3:
            continue
        theirs = LinearSVC(C=2, dual=False, tol=1e-10, intercept_scaling=300, max_iter=20000)
        expected = theirs.fit(unit[0][nearest], y[nearest]).decision_function(face[None])[0]
        np.testing.assert_allclose(margins[row], expected, atol=0.02)
        fitted += 1
    assert fitted >= 3


def test_neighbours_that_agree_need_no_machine():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(50, 3)) * 0.1 + [5, 0, 0], rng.normal(size=(50, 3)) * 0.1 + [0, 5, 0]]
    y = np.repeat(["anger", "fear"], 50)
    model = LocalSVM(neighbours=20, calibrate=False).fit(X, y)
    np.testing.assert_array_equal(model.decision_function(X[[0, 99]]), [-2, 2])


def test_local_calibration_leaves_the_row_and_its_group_out():
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(80, 40)), 4, axis=0), np.repeat(rng.integers(0, 3, 80), 4)
    careless = LocalSVM(neighbours=30, calibration_rows=60).fit(X, y)
    careful = LocalSVM(neighbours=30, calibration_rows=60).fit(X, y, groups=np.repeat(np.arange(80), 4))
    assert careless.predict_proba(X[:40]).max(axis=1).mean() > 0.9
    assert careful.predict_proba(X[:40]).max(axis=1).mean() < 0.7


def test_local_rows_may_be_sparse_and_threads_change_nothing(rows):
    X = np.where(np.abs(rows[0]) > 0.5, rows[0], 0)
    model = LocalSVM(neighbours=25, calibration_rows=40).fit(sparse.csr_array(X), rows[1])
    assert model.score(sparse.csr_array(X[:150]), rows[1][:150]) > 0.6
    threaded = LocalSVM(neighbours=25, calibration_rows=40, n_jobs=2).fit(sparse.csr_array(X), rows[1])
    np.testing.assert_array_equal(threaded.predict_proba(X[:20]), model.predict_proba(X[:20]))


@pytest.mark.parametrize(
    "model", [RBFSVM(), *WAYS, LinearSVM()], ids=["exact", "landmarks", "squared", "logistic", "svm"]
)
@pytest.mark.parametrize("left", [2, 3])
def test_a_class_of_no_weight_is_never_the_answer(rows, model, left):
    X, y = make_classification(300, 8, n_informative=6, n_classes=left + 1, class_sep=1.5, random_state=1)
    weighted = clone(model).set_params(class_weight={0: 0.0}).fit(X, y)
    proba = weighted.predict_proba(X)
    assert proba.shape == (300, left + 1)
    assert (proba.argmax(axis=1) != 0).all()
    assert weighted.score(X[y > 0], y[y > 0]) > 0.8


def test_without_a_class_of_no_weight_the_machine_is_that_of_the_others(rows):
    X, y = rows
    others = y > 0
    ours = RBFSVM(2, 1.5, n_components=None, calibrate=False, class_weight={0: 0.0}).fit(X, y)
    theirs = SVC(C=2, gamma=1.5).fit(_scaled(X)[others], y[others])
    margins = ours.decision_function(X)
    np.testing.assert_allclose(margins[:, 2] - margins[:, 1], theirs.decision_function(_scaled(X)), atol=1e-6)
    np.testing.assert_array_equal(margins[:, 0], -1)
    with pytest.raises(InputError, match=r"Got class_weight=.*, expected weights above 0 for 2 or more classes"):
        RBFSVM(class_weight={0: 0.0, 1: 0.0}).fit(X, y)


def test_a_c_beyond_the_precision_is_named():
    X = np.repeat(np.random.default_rng(0).normal(size=(40, 6)), 5, axis=0).astype(np.float32)
    y = np.arange(200) % 3
    with pytest.raises(InputError, match=r"Got C=1e\+09 with loss='squared', expected less: .* float32"):
        RBFSVM(1e9, loss="squared", calibrate=False).fit(X, y)


def test_one_group_cannot_calibrate_a_local_machine(rows):
    with pytest.raises(InputError, match="Got 1 group, expected at least 2"):
        LocalSVM().fit(*rows, groups=np.zeros(400))
