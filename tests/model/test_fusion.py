"""Linear fusion, the neural head, voting and concatenation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from ferkit.errors import InputError
from ferkit.model import RBFSVM, Concatenation, FusionHead, LinearFusion, LinearSVM, Voting
from ferkit.model.calibration import mean_log_loss, softmax
from ferkit.records import Features

LABELS = np.array(["anger", "fear", "happiness", "neutral"])


def make(n, seed=0, strengths=(2.0, 1.0, 0.0), mixing=None):
    """Margins of three families, and labels drawn from the softmax of their weighted sum."""
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(size=(n, 4)) for _ in strengths]
    logits = sum(strength * block for strength, block in zip(strengths, blocks, strict=True))
    logits = logits if mixing is None else logits + blocks[0] @ mixing
    codes = (softmax(logits).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return Features(dict(zip("abc", blocks, strict=True))), codes, logits


def test_family_weights_that_were_put_in_are_found():
    X, codes, _ = make(6000)
    for weights in ("family", "full"):
        model = LinearFusion(weights).fit(X, codes)
        found = [model.family_weights_[name] for name in "abc"]
        np.testing.assert_allclose(found, [2, 1, 0], atol=0.15)
    assert model.pull_ >= 0.1, "nothing but family weights was in the data"


def test_family_weights_are_never_negative():
    X, codes, _ = make(2000, strengths=(1.0, -1.0, 0.0))
    assert LinearFusion("family").fit(X, codes).family_weights_["b"] == 0


def test_equal_weights_learn_only_how_sure_the_sum_is():
    X, codes, _ = make(4000, strengths=(2.0, 0.5, 0.5))
    model = LinearFusion("equal", bias=False).fit(X, codes)
    weights = list(model.family_weights_.values())
    assert weights == [weights[0]] * 3
    assert weights[0] > 0.3
    summed = sum(X.blocks.values())
    np.testing.assert_allclose(model.decision_function(X), weights[0] * summed, atol=1e-9)
    np.testing.assert_array_equal(model.intercept_, 0)
    truth = mean_log_loss(model.decision_function(X), codes)
    assert all(truth < mean_log_loss(factor * weights[0] * summed, codes) + 1e-3 for factor in (0.8, 1.25))
    rows = np.flatnonzero((codes != 2) | (np.arange(len(codes)) % 5 == 0))
    assert LinearFusion("equal").fit(X[rows], codes[rows]).intercept_[2] < -0.5


def test_without_a_bias_the_shares_of_the_rows_are_not_learnt():
    X, codes, _ = make(4000)
    rows = np.flatnonzero((codes != 2) | (np.arange(len(codes)) % 5 == 0))  # four of five of one class are gone
    usual, plain = (LinearFusion("family", bias=bias).fit(X[rows], codes[rows]) for bias in (True, False))
    assert usual.intercept_[2] < -0.8
    np.testing.assert_array_equal(plain.intercept_, 0)
    truth = [mean_log_loss(model.decision_function(X), codes) for model in (usual, plain)]
    assert truth[1] < truth[0] - 0.05
    assert plain.family_weights_["a"] == pytest.approx(2, abs=0.3)


def test_the_matrix_is_used_where_rows_suffice_to_learn_it():
    mixing = np.random.default_rng(9).normal(size=(4, 4)) * 1.5
    X, codes, _ = make(1500, mixing=mixing)
    fresh, truth, _ = make(2000, seed=1, mixing=mixing)
    full, family = LinearFusion(folds=3).fit(X, codes), LinearFusion("family", folds=3).fit(X, codes)
    loss = [mean_log_loss(model.decision_function(fresh), truth) for model in (full, family)]
    assert loss[0] < loss[1] - 0.1
    assert LinearFusion().fit(X[:60], codes[:60]).pull_ > full.pull_


def test_a_weak_pull_is_the_plain_logistic_regression():
    X, codes, _ = make(500)
    ours = LinearFusion(pull=0.02, calibrate=False).fit(X.matrix, codes)
    theirs = LogisticRegression(C=1 / (0.02 * 500), tol=1e-10, max_iter=5000).fit(X.matrix, codes)
    np.testing.assert_allclose(ours.predict_proba(X.matrix), theirs.predict_proba(X.matrix), atol=1e-4)
    assert ours.family_weights_ == {}, "12 columns are not one for each of 4 classes"


def test_fused_logits_are_calibrated_on_fresh_rows():
    X, codes, _ = make(300, strengths=(3.0, 0.0, 0.0))
    fresh, truth, best = make(4000, seed=1, strengths=(3.0, 0.0, 0.0))
    loss = mean_log_loss(LinearFusion().fit(X, codes).decision_function(fresh), truth)
    assert loss < mean_log_loss(best, truth) + 0.05


def test_a_class_of_one_group_spoils_neither_pull_nor_temperature():
    X, codes, _ = make(300, mixing=np.random.default_rng(9).normal(size=(4, 4)) * 1.5)
    groups = np.where(codes == 3, 999, np.arange(300))
    plain, alone = (LinearFusion(folds=3).fit(X, codes, groups=own) for own in (None, groups))
    assert alone.temperature_ == pytest.approx(plain.temperature_, rel=0.3)
    assert plain.pull_ / 11 < alone.pull_ < plain.pull_ * 11 < np.inf


def test_fusion_takes_sparse_matrices_and_refuses_nonsense():
    X, codes, _ = make(200)
    model = LinearFusion().fit(sparse.csr_array(X.matrix), codes)
    np.testing.assert_allclose(model.predict_proba(sparse.csr_array(X.matrix)), model.predict_proba(X.matrix))
    for params in ({"weights": "none"}, {"folds": 0}, {"pull": -1.0}, {"pull": "weak"}):
        with pytest.raises(InputError, match=f"Got {next(iter(params))}="):
            LinearFusion(**params).fit(X, codes)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_arrays_of_a_head_are_the_network(n_classes):
    X, codes, _ = make(300)
    rows = codes < n_classes
    matrix, y = X.matrix[rows], codes[rows]
    head = FusionHead(8, epochs=5, members=1, calibrate=False, seed=3).fit(matrix, y)
    scaled = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)
    theirs = MLPClassifier((8,), alpha=0.01, batch_size=128, max_iter=5, n_iter_no_change=9, random_state=3)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        theirs.fit(scaled, y)
    np.testing.assert_allclose(head.predict_proba(matrix), theirs.predict_proba(scaled), atol=1e-6)


def test_members_are_averaged():
    X, codes, _ = make(300)
    options = {"epochs": 5, "calibrate": False}
    alone = [FusionHead(8, members=1, seed=seed, **options).fit(X, codes).decision_function(X) for seed in (4, 5)]
    both = FusionHead(8, members=2, seed=4, **options).fit(X, codes).decision_function(X)
    np.testing.assert_allclose(both, np.mean(alone, axis=0), atol=1e-9)


def test_a_head_learns_what_no_line_can_and_is_calibrated():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2))
    y = LABELS[((X[:, 0] * X[:, 1] > 0) ^ (rng.random(3000) < 0.2)).astype(int)]
    head = FusionHead(16, epochs=30, learning_rate=0.02, alpha=0).fit(X[:800], y[:800])
    assert head.score(X[800:], y[800:]) > 0.72
    assert LinearSVM().fit(X[:800], y[:800]).score(X[800:], y[800:]) < 0.6
    proba = head.predict_proba(X[800:])
    assert proba.max(axis=1).mean() == pytest.approx(head.score(X[800:], y[800:]), abs=0.08)


def test_a_head_takes_sparse_rows_and_refuses_nonsense():
    X, codes, _ = make(120)
    head = FusionHead(4, epochs=3, members=1).fit(sparse.csr_array(X.matrix), codes)
    np.testing.assert_allclose(head.predict_proba(sparse.csr_array(X.matrix)), head.predict_proba(X.matrix))
    for params in ({"hidden": 0}, {"epochs": 1.5}, {"alpha": -1}, {"learning_rate": 0}, {"members": "two"}):
        with pytest.raises(InputError, match=f"Got {next(iter(params))}="):
            FusionHead(**params).fit(X, codes)


@pytest.mark.parametrize(("rule", "mean"), [("log", "geometric"), ("mean", "arithmetic")])
def test_votes_are_means_of_the_bases(rule, mean):
    X, codes, _ = make(300)
    y = LABELS[codes]
    bases = {"a": LinearSVM(), "b": RBFSVM(n_components=None), "c": "passthrough"}
    model = Voting(bases, rule=rule, weights={"a": 2, "c": 0.5}).fit(X, y)
    alone = [
        LinearSVM().fit(X["a"], y).predict_proba(X["a"]),
        RBFSVM(n_components=None).fit(X["b"], y).predict_proba(X["b"]),
        softmax(X["c"]),
    ]
    weights = np.array([2, 1, 0.5]) / 3.5
    stacked = np.stack([np.log(p) if mean == "geometric" else p for p in alone])
    expected = np.tensordot(weights, stacked, axes=1)
    expected = softmax(expected) if mean == "geometric" else expected
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-9)


def test_votes_of_named_logits_follow_their_names():
    X, codes, _ = make(200)
    order = [3, 1, 0, 2]
    named = Features({"cnn": X["a"][:, order]}, {"cnn": [f"cnn/{LABELS[i]}" for i in order]})
    model = Voting({"cnn": "passthrough"}).fit(named, LABELS[codes])
    np.testing.assert_allclose(model.predict_proba(named), softmax(X["a"]))


def test_wrong_votes():
    X, codes, _ = make(100)
    for params in (
        {"weights": {"d": 1}},
        {"weights": {"a": -1}},
        {"weights": {"a": 0, "b": 0, "c": 0}},
        {"weights": [1, 1, 1]},
        {"rule": "max"},
    ):
        with pytest.raises(InputError, match=f"Got {next(iter(params))}="):
            Voting(**params).fit(X, codes)
    with pytest.raises(InputError, match="Got 12 columns of 'x', expected 4, one for each class"):
        Voting({"x": "passthrough"}).fit(Features({"x": X.matrix}), codes)


def test_families_weigh_the_same_whatever_their_unit_and_width():
    rng = np.random.default_rng(0)
    y = LABELS[rng.integers(0, 4, 200)]
    X = Features({"wide": rng.normal(size=(200, 300)) * 1000, "narrow": rng.normal(size=(200, 3)) / 1000})
    model = Concatenation().fit(X, y)
    joined = model._joined(X)
    for own in (slice(0, 300), slice(300, 303)):
        assert (joined[:, own] ** 2).sum(axis=1).mean() == pytest.approx(1)
    assert model.estimator_.predict(joined).tolist() == model.predict(X).tolist()


def test_concatenation_takes_any_classifier_and_sparse_families():
    X, codes, _ = make(300)
    for estimator in (RBFSVM(n_components=None), LogisticRegression()):
        assert Concatenation(estimator).fit(X, codes).score(X, codes) > 0.6
    mixed = Features({"a": sparse.csr_array(X["a"]), "b": X["b"]})
    assert Concatenation().fit(mixed, codes).score(mixed, codes) > 0.5
    with pytest.raises(InputError, match="Got estimator='svm'"):
        Concatenation("svm").fit(X, codes)
