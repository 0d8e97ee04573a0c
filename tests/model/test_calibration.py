"""Temperature, vector scaling, priors, and the folds that feed them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ferkit.errors import InputError
from ferkit.model import RBFSVM, FusionHead, LinearSVM, LocalSVM, Stacking
from ferkit.model.calibration import correct_priors, fit_temperature, fit_vector, log_softmax, mean_log_loss, softmax
from ferkit.model.folds import fold_of, known_elsewhere, out_of_fold
from ferkit.records import Features


@pytest.fixture(scope="module")
def drawn():
    """Logits, and labels drawn from exactly their softmax."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 3)) * 2
    return logits, (softmax(logits).cumsum(axis=1) < rng.random((20000, 1))).sum(axis=1)


def test_softmax_and_loss_agree_with_scipy_and_scikit_learn(drawn):
    logits, codes = drawn
    np.testing.assert_allclose(softmax(logits), scipy_softmax(logits, axis=1))
    np.testing.assert_allclose(np.exp(log_softmax(logits)), softmax(logits))
    assert mean_log_loss(logits, codes) == pytest.approx(log_loss(codes, softmax(logits)))
    weights = np.arange(len(codes)) % 3
    expected = log_loss(codes, softmax(logits), sample_weight=weights)
    assert mean_log_loss(logits, codes, weights) == pytest.approx(expected)


def test_the_temperature_that_was_put_in_is_found(drawn):
    logits, codes = drawn
    assert fit_temperature(logits * 3.5, codes) == pytest.approx(3.5, rel=0.03)
    assert fit_temperature(logits / 4, codes) == pytest.approx(0.25, rel=0.03)


@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("classes", [2, 5])
def test_rows_that_are_all_right_prove_only_as_much_as_they_are(rows, classes):
    """As if one more row of each class had been answered by chance."""
    codes, n = np.repeat(np.arange(classes), rows), classes * rows
    logits = 30 * np.eye(classes)[codes]
    scale, shift = fit_vector(logits, codes)
    for calibrated in (logits / fit_temperature(logits, codes), logits * scale + shift):
        np.testing.assert_allclose(softmax(calibrated).max(axis=1), (n + 1) / (n + classes), atol=1e-4)


def test_added_rows_leave_the_shares_of_the_classes():
    codes = np.repeat([0, 1, 2], [40, 15, 5])
    logits = np.eye(3)[codes] + np.random.default_rng(0).normal(size=(60, 3))
    for weights in (None, 60 / np.array([40, 15, 5])[codes]):
        scale, shift = fit_vector(logits, codes, weights)
        shares = np.average(softmax(logits * scale + shift), axis=0, weights=weights)
        np.testing.assert_allclose(shares, np.average(np.eye(3)[codes], axis=0, weights=weights), atol=0.03)


def test_among_thousands_of_rows_the_prior_is_not_felt(drawn):
    logits, codes = drawn
    assert fit_temperature(logits, codes) == pytest.approx(fit_temperature(logits, codes, prior=0), rel=1e-3)
    for soft, hard in zip(fit_vector(logits, codes), fit_vector(logits, codes, prior=0), strict=True):
        np.testing.assert_allclose(soft, hard, atol=2e-3)


def test_a_small_set_is_not_made_sure_of_itself():
    rng = np.random.default_rng(0)
    codes, truth = np.repeat([0, 1, 2], 8), rng.integers(0, 3, 600)
    losses, plain = [], []
    for _ in range(12):
        X, fresh = (np.eye(3)[rows] * 3 + rng.normal(size=(len(rows), 3)) for rows in (codes, truth))
        losses.append(mean_log_loss(np.log(LinearSVM().fit(X, codes).predict_proba(fresh)), truth))
        plain.append(mean_log_loss(LogisticRegression().fit(X, codes).predict_log_proba(fresh), truth))
    assert max(losses) < max(plain) + 0.15


def test_a_class_without_rows_takes_the_mean_scale():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, 400)
    logits = np.column_stack([np.eye(2)[codes] * 2 + rng.normal(size=(400, 2)), np.full(400, 99.0)])
    scale, shift = fit_vector(logits, codes)
    two = fit_vector(logits[:, :2], codes)
    np.testing.assert_allclose(scale, [*two[0], np.sqrt(two[0].prod())])
    np.testing.assert_allclose(shift, [*two[1], 0])
    assert fit_temperature(logits, codes) == fit_temperature(logits[:, :2], codes)
    for few in (codes[:0], codes[:1]):
        assert fit_temperature(logits[: len(few)], few) == 1
        np.testing.assert_array_equal(fit_vector(logits[: len(few)], few), [[1, 1, 1], [0, 0, 0]])


ALONE = {
    "linear": LinearSVM(C=1),
    "logistic": LinearSVM(C=1, loss="logistic"),
    "kernel": RBFSVM(n_components=None),
    "squared": RBFSVM(n_components=None, loss="squared"),
    "local": LocalSVM(neighbours=40),
    "head": FusionHead(8, epochs=40, learning_rate=0.02, members=1),
    "stacking": Stacking(weights="family"),
    "stacked head": Stacking(final=FusionHead(8, epochs=40, learning_rate=0.02, members=1)),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_class_of_one_person_leaves_the_others_calibrated(name):
    """Held-out rows of that class are scored by models that never saw it: nothing may be learnt from them."""
    data, y = load_iris(return_X_y=True)
    X = Features({"sepal": data[:, :2], "petal": data[:, 2:]})
    together = ALONE[name].fit(X, y).predict_proba(X)
    alone = ALONE[name].fit(X, y, groups=np.where(y == 2, 999, np.arange(150))).predict_proba(X)
    assert alone.max(axis=1).mean() == pytest.approx(together.max(axis=1).mean(), abs=0.12)
    hits = alone.argmax(axis=1) == y
    assert min(hits[y == code].mean() for code in range(3)) > 0.7
    assert hits.mean() > 0.88


@pytest.mark.parametrize("name", ALONE)
def test_classes_of_one_person_each_are_told_apart_all_the_same(name):
    data, y = load_iris(return_X_y=True)
    X = Features({"sepal": data[:, :2], "petal": data[:, 2:]})
    assert ALONE[name].fit(X, y, groups=y).score(X, y) > 0.8


def test_the_scales_and_shifts_that_were_put_in_are_found(drawn):
    logits, codes = drawn
    scale, shift = np.array([0.5, 1.0, 2.0]), np.array([0.4, -0.6, 0.2])
    found_scale, found_shift = fit_vector((logits - shift) / scale, codes)
    np.testing.assert_allclose(found_scale, scale, rtol=0.06)
    np.testing.assert_allclose(found_shift, shift, atol=0.06)


def test_weighted_rows_count_as_repeated_ones(drawn):
    logits, codes = drawn[0][:500], drawn[1][:500]
    times = np.random.default_rng(1).integers(1, 4, 500)
    weighted = fit_vector(logits * 2, codes, times.astype(float), prior=0)
    repeated = fit_vector(np.repeat(logits * 2, times, axis=0), np.repeat(codes, times), prior=0)
    for ours, theirs in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_class_with_two_rows_takes_the_scale_of_the_others():
    rng = np.random.default_rng(0)
    codes = np.r_[np.zeros(300, int), np.ones(300, int), 2, 2]
    logits = np.eye(3)[codes] * 2 + rng.normal(size=(602, 3))
    scale, _ = fit_vector(logits, codes)
    assert scale.min() > 0
    assert scale[2] == pytest.approx(scale[:2].mean(), rel=0.5)


def test_priors_are_undone_exactly():
    """Bayes' rule: with likelihoods fixed, changing the shares changes the probabilities by their ratio."""
    likelihood = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    old, new = np.array([1 / 3, 1 / 3, 1 / 3]), np.array([0.6, 0.3, 0.1])
    under = [likelihood * shares / (likelihood * shares).sum(axis=1, keepdims=True) for shares in (old, new)]
    np.testing.assert_allclose(correct_priors(under[0], old, new), under[1])
    np.testing.assert_allclose(correct_priors(under[1], new * 7, old), under[0])


@pytest.mark.parametrize(("fitted", "wanted"), [([1, 0], [1, 1]), ([1, 1, 1], [1, 1]), ([1, 1], [-1, 2])])
def test_wrong_priors(fitted, wanted):
    with pytest.raises(InputError, match=r"Got .*expected"):
        correct_priors(np.array([[0.5, 0.5]]), fitted, wanted)


def test_folds_keep_groups_whole_and_shares_even():
    rng = np.random.default_rng(0)
    codes = rng.choice(4, 2000, p=[0.6, 0.25, 0.13, 0.02])
    groups = rng.integers(0, 900, 2000)
    fold = fold_of(codes, groups, 5, seed=0)
    assert all(len(np.unique(fold[groups == group])) == 1 for group in np.unique(groups))
    counts = np.array([np.bincount(codes[fold == i], minlength=4) for i in range(5)])
    assert counts.sum(axis=1).min() > 330
    assert counts[:, 0].max() - counts[:, 0].min() < 60
    assert counts[:, 3].min() >= 3


def test_a_rare_class_of_two_persons_is_in_two_folds():
    sizes = np.random.default_rng(0).integers(5, 30, 60)
    for rare in range(0, 58, 2):
        groups = np.repeat(np.arange(12), sizes[rare % 48 : rare % 48 + 12])
        codes = np.zeros(len(groups), int)
        for person in (rare % 5, 11 - rare % 6):
            codes[np.flatnonzero(groups == person)[:2]] = 1
        fold = fold_of(codes, groups, 3, seed=rare)
        assert len(set(fold[codes == 1])) == 2
        assert known_elsewhere(codes, fold).all()
        assert all(len(set(fold[groups == person])) == 1 for person in range(12))


def test_folds_without_groups_differ_by_one_row_a_class():
    codes = np.repeat([0, 1, 2], [50, 23, 7])
    fold = fold_of(codes, None, 5, seed=3)
    counts = np.array([np.bincount(codes[fold == i], minlength=3) for i in range(5)])
    assert (np.ptp(counts, axis=0) <= 1).all()
    np.testing.assert_array_equal(fold, fold_of(codes, None, 5, seed=3))
    assert (fold != fold_of(codes, None, 5, seed=4)).any()


def test_out_of_fold_answers_never_come_from_the_own_row():
    codes = np.arange(40) % 2
    fold = fold_of(codes, None, 4, seed=0)

    def answer(train, test):
        assert not set(train) & set(test)
        return np.stack([test, -test], axis=1).astype(float)

    out, known = out_of_fold(codes, fold, answer, 2)
    np.testing.assert_array_equal(out[:, 0], np.arange(40))
    assert known.all()


def test_a_class_that_a_fold_cannot_learn_is_put_last():
    codes = np.array([0, 0, 1, 1, 2])
    fold = np.array([0, 1, 0, 1, 1])
    out, known = out_of_fold(
        codes, fold, lambda train, test: np.tile([3.0, 5.0, 7.0][: len(set(codes[train]))], (len(test), 1)), 3
    )
    np.testing.assert_array_equal(out[0], [3, 5, 7])
    np.testing.assert_array_equal(out[4], [3, 5, 3])
    np.testing.assert_array_equal(known, [True, True, True, True, False])


def test_answers_may_have_columns_of_classes_without_rows():
    codes, fold = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    out, _ = out_of_fold(codes, fold, lambda train, test: np.tile([1.0, 2.0, 3.0], (len(test), 1)), 3)
    np.testing.assert_array_equal(out, np.tile([1, 2, 3], (4, 1)))


def test_a_class_is_known_elsewhere_where_two_parts_hold_it():
    codes, part = np.array([0, 0, 1, 1, 2]), np.array([4, 4, 4, 0, 0])
    np.testing.assert_array_equal(known_elsewhere(codes, part), [False, False, True, True, False])
