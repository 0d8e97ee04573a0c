"""Curves and areas against scikit-learn, and against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as theirs
from sklearn.calibration import calibration_curve

from ferkit.errors import InputError
from ferkit.evaluate import Predictions, analyse, calibration, coverage, hardest, precision_recall, roc, surely_wrong
from ferkit.evaluate.bootstrap import mean_interval, resampled, wilson
from ferkit.evaluate.intervals import intervals

CLASSES = ["anger", "fear", "happiness", "neutral"]


@pytest.fixture(scope="module", params=["fine", "ties"])
def answers(request):
    """400 answers; once with probabilities that often agree."""
    rng = np.random.default_rng(1)
    proba = rng.dirichlet([0.6] * 4, 400)
    if request.param == "ties":
        proba = np.round(proba * 8) + 0.01
        proba /= proba.sum(axis=1, keepdims=True)
    codes = np.where(rng.random(400) < 0.5, proba.argmax(axis=1), rng.integers(0, 4, 400))
    return Predictions(range(400), np.array(CLASSES)[codes], proba, CLASSES)


def columns(answers):
    return [(answers.y_true == label, answers.proba[:, i]) for i, label in enumerate(CLASSES)]


def test_roc_is_that_of_scikit_learn(answers):
    for positive, score in columns(answers):
        curve = roc(positive, score)
        x, y, thresholds = theirs.roc_curve(positive, score, drop_intermediate=False)
        np.testing.assert_allclose(curve.x, x)
        np.testing.assert_allclose(curve.y, y)
        np.testing.assert_allclose(curve.thresholds, thresholds)
        assert curve.area == pytest.approx(theirs.roc_auc_score(positive, score))


def test_precision_recall_is_that_of_scikit_learn(answers):
    for positive, score in columns(answers):
        curve = precision_recall(positive, score)
        precision, recall, thresholds = theirs.precision_recall_curve(positive, score)
        np.testing.assert_allclose(curve.x[1:], recall[:-1][::-1])
        np.testing.assert_allclose(curve.y[1:], precision[:-1][::-1])
        np.testing.assert_allclose(curve.thresholds[1:], thresholds[::-1])
        assert curve.area == pytest.approx(theirs.average_precision_score(positive, score))


def test_calibration_is_that_of_scikit_learn():
    """Without ties, which scikit-learn never parts and ferkit does, to keep its bins equal."""
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.3, 1, 400)
    right = rng.random(400) < confidence
    found = calibration(right, confidence, bins=8)
    accuracy, mean = calibration_curve(right, confidence, n_bins=8, strategy="quantile")
    np.testing.assert_allclose(found.confidence, mean)
    np.testing.assert_allclose(found.accuracy, accuracy)
    assert found.count.tolist() == [50] * 8
    assert ((found.low <= found.accuracy) & (found.accuracy <= found.high)).all()


def test_calibration_does_not_see_the_order_of_equal_confidences():
    right, confidence = np.arange(100) < 50, np.repeat([0.5, 0.7], 50)[::-1]
    found = [calibration(right[order], confidence[order], bins=3) for order in (np.arange(100), np.arange(100)[::-1])]
    np.testing.assert_allclose(found[0].accuracy, found[1].accuracy)
    np.testing.assert_allclose(calibration(right, np.full(100, 0.5), bins=4).accuracy, 0.5)


def test_all_figures_of_the_analysis_are_those_of_scikit_learn(answers):
    figures = analyse(answers).figures
    y, predicted = answers.y_true.astype(str), answers.predicted.astype(str)
    assert figures["accuracy"] == pytest.approx(theirs.accuracy_score(y, predicted))
    assert figures["balanced_accuracy"] == pytest.approx(theirs.balanced_accuracy_score(y, predicted))
    assert figures["macro_f1"] == pytest.approx(theirs.f1_score(y, predicted, average="macro"))
    assert figures["log_loss"] == pytest.approx(theirs.log_loss(y, answers.proba, labels=CLASSES))
    np.testing.assert_array_equal(figures["confusion"], theirs.confusion_matrix(y, predicted, labels=CLASSES))
    area = theirs.roc_auc_score(y, answers.proba, multi_class="ovr", labels=CLASSES)
    assert figures["macro_roc_auc"] == pytest.approx(area)
    precision = theirs.average_precision_score(y[:, None] == np.array(CLASSES), answers.proba)
    assert figures["macro_average_precision"] == pytest.approx(precision)
    for i, label in enumerate(CLASSES):
        own = figures["per_class"][label]
        assert own["roc_auc"] == pytest.approx(theirs.roc_auc_score(y == label, answers.proba[:, i]))
        assert own["average_precision"] == pytest.approx(
            theirs.average_precision_score(y == label, answers.proba[:, i])
        )
        for name in ("precision", "recall", "f1", "roc_auc", "average_precision"):
            low, high = own["ci"][name]
            assert low < own[name] < high


def test_the_columns_order_does_not_matter(answers):
    order = [2, 0, 3, 1]
    other = Predictions(answers.names, answers.y_true, answers.proba[:, order], [CLASSES[i] for i in order])
    assert analyse(other).record() == analyse(answers).record()


def test_a_perfect_a_random_and_a_reversed_score():
    positive = np.arange(100) < 40
    assert roc(positive, -np.arange(100)).area == 1
    assert roc(positive, np.arange(100)).area == 0
    assert roc(positive, np.zeros(100)).area == 0.5
    assert precision_recall(positive, np.zeros(100)).area == pytest.approx(0.4)
    assert precision_recall(positive, -np.arange(100)).area == 1


def test_a_class_without_rows_has_no_area():
    assert np.isnan(roc([False] * 3, [0.1, 0.2, 0.3]).area)
    assert np.isnan(roc([True] * 3, [0.1, 0.2, 0.3]).area)
    assert np.isnan(precision_recall([False] * 3, [0.1, 0.2, 0.3]).area)
    proba = [[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]
    figures = analyse(Predictions("abc", ["anger", "fear", "fear"], proba, ["anger", "fear", "neutral"])).figures
    assert figures["per_class"]["neutral"]["roc_auc"] is None
    assert figures["per_class"]["neutral"]["ci"]["recall"] == [None, None]
    assert figures["macro_roc_auc"] == pytest.approx(np.mean([0.5, 0.75]))


def test_coverage_by_counting():
    right, confidence = np.array([1, 0, 1, 1, 0, 1], bool), np.array([0.9, 0.9, 0.8, 0.7, 0.5, 0.3])
    curve = coverage(right, confidence)
    np.testing.assert_allclose(curve.coverage, np.array([2, 3, 4, 5, 6]) / 6)
    np.testing.assert_allclose(curve.accuracy, [1 / 2, 2 / 3, 3 / 4, 3 / 5, 4 / 6])
    np.testing.assert_allclose(curve.thresholds, [0.9, 0.8, 0.7, 0.5, 0.3])
    assert curve.at(0.5) == (pytest.approx(2 / 3), 0.8)
    assert curve.at(1.0)[0] == right.mean()
    assert curve.area == pytest.approx((2 * 1 / 2 + 1 / 3 + 1 / 4 + 2 / 5 + 1 / 3) / 6)


def test_resamples_are_those_of_the_mean():
    values = np.random.default_rng(0).random(70)
    for groups in (None, np.arange(70) // 3):
        means = np.concatenate([w @ values / w.sum(axis=1) for w in resampled(70, groups)])
        assert len(means) == 2000
        np.testing.assert_allclose(np.quantile(means, [0.025, 0.975]), mean_interval(values, groups))


def test_intervals_of_shares_have_a_width_where_all_are_right():
    true = np.repeat([0, 1, 2], [5, 3, 0])
    found = intervals(true, np.eye(3)[true])
    assert found["accuracy"] == pytest.approx([float(end) for end in wilson(8, 8)])
    assert found["recall"][1] == found["precision"][1] == pytest.approx([float(end) for end in wilson(3, 3)])
    assert np.isnan(found["recall"][2]).all()
    by_person = intervals(true, np.eye(3)[true], np.repeat([0, 1], 4))
    assert by_person["recall"][0] == pytest.approx([float(end) for end in wilson(2, 2)])
    assert by_person["recall"][1] == pytest.approx([float(end) for end in wilson(1, 1)])


def test_few_persons_make_no_figure_more_certain(answers):
    true = np.array([CLASSES.index(label) for label in answers.y_true])
    few, alone = np.arange(400) % 3, intervals(true, answers.proba)
    found = intervals(true, answers.proba, few)
    for name, ends in alone.items():
        for own, others in zip(np.atleast_2d(found[name]), np.atleast_2d(ends), strict=True):
            assert own[0] <= others[0] <= others[1] <= own[1], name
    many = np.arange(400) // 4
    assert intervals(true, answers.proba, many)["accuracy"] == pytest.approx(mean_interval(answers.right, many))


def test_intervals_agree_with_resampling_by_hand(answers):
    true = np.array([CLASSES.index(label) for label in answers.y_true])
    found = intervals(true, answers.proba)
    assert found["accuracy"] == pytest.approx(mean_interval(answers.right))
    rng = np.random.default_rng(5)
    drawn = [rng.integers(0, 400, 400) for _ in range(120)]
    f1 = [theirs.f1_score(true[rows], answers.proba[rows].argmax(axis=1), average="macro") for rows in drawn]
    area = [theirs.roc_auc_score(true[rows] == 1, answers.proba[rows, 1]) for rows in drawn]
    precision = [theirs.average_precision_score(true[rows] == 1, answers.proba[rows, 1]) for rows in drawn]
    for own, values in (
        (found["macro_f1"], f1),
        (found["roc_auc"][1], area),
        (found["average_precision"][1], precision),
    ):
        np.testing.assert_allclose(own, np.quantile(values, [0.025, 0.975]), atol=0.025)


def test_wilson_by_the_book():
    low, high = wilson([8, 0, 3], [10, 12, 3])
    np.testing.assert_allclose(low, [0.4902, 0.0, 0.4385], atol=1e-4)
    np.testing.assert_allclose(high, [0.9433, 0.2425, 1.0], atol=1e-4)
    assert [float(end) for end in wilson(0, 0)] == [0, 1]


def test_the_worst_mistakes_come_first(answers):
    rows = surely_wrong(answers, most=10)
    assert not answers.right[rows].any()
    assert (np.diff(answers.proba[rows].max(axis=1)) <= 0).all()
    assert answers.proba[rows[0]].max() == answers.proba[~answers.right].max()
    for label, own in hardest(answers, per_class=3).items():
        assert (answers.y_true[own] == label).all()
        column = answers.proba[:, CLASSES.index(label)]
        assert column[own[0]] == column[answers.y_true == label].min()


def test_wrong_rows_are_named():
    with pytest.raises(InputError, match="expected one score for each"):
        roc([True, False], [0.5])
    with pytest.raises(InputError, match="Got 0 rows"):
        coverage([], [])
    with pytest.raises(InputError, match="bins=0"):
        calibration([True], [0.5], bins=0)
