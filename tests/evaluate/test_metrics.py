"""Figures against scikit-learn, and against counting by hand."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from scipy.stats import binom
from sklearn import metrics as theirs

from ferkit.errors import InputError
from ferkit.evaluate import compare, confusion_table, evaluate, table
from ferkit.evaluate.bootstrap import accuracy_interval, mean_interval, wilson
from ferkit.evaluate.metrics import calibration_error
from ferkit.evaluate.paired import sign_flip
from ferkit.evaluate.text import comparison

CLASSES = ["anger", "fear", "happiness", "neutral"]
KEYS = {
    "n",
    "accuracy",
    "accuracy_ci",
    "balanced_accuracy",
    "macro_f1",
    "per_class",
    "confusion",
    "log_loss",
    "ece",
    "not_found",
}


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([0.5] * 4, 500)
    codes = np.where(rng.random(500) < 0.6, proba.argmax(axis=1), rng.integers(0, 4, 500))
    return np.array(CLASSES)[codes], proba


def test_figures_are_those_of_scikit_learn(answers):
    y, proba = answers
    predicted = np.array(CLASSES)[proba.argmax(axis=1)]
    figures = evaluate(y, proba, CLASSES)
    assert set(figures) >= KEYS
    assert figures["n"] == 500
    assert figures["labels"] == CLASSES
    assert figures["accuracy"] == pytest.approx(theirs.accuracy_score(y, predicted))
    assert figures["balanced_accuracy"] == pytest.approx(theirs.balanced_accuracy_score(y, predicted))
    assert figures["log_loss"] == pytest.approx(theirs.log_loss(y, proba, labels=CLASSES))
    np.testing.assert_array_equal(figures["confusion"], theirs.confusion_matrix(y, predicted, labels=CLASSES))
    precision, recall, f1, _ = theirs.precision_recall_fscore_support(y, predicted, average="macro")
    for name, value in {"macro_precision": precision, "macro_recall": recall, "macro_f1": f1}.items():
        assert figures[name] == pytest.approx(value)
    by_class = theirs.precision_recall_fscore_support(y, predicted, labels=CLASSES)
    for i, label in enumerate(CLASSES):
        own = figures["per_class"][label]
        assert [own[name] for name in ("precision", "recall", "f1", "support")] == pytest.approx(
            [v[i] for v in by_class]
        )
    assert json.loads(json.dumps(figures)) == figures


def test_labels_stand_in_the_order_of_the_vocabulary(answers):
    y, proba = answers
    order = [3, 1, 0, 2]
    shuffled = evaluate(y, proba[:, order], [CLASSES[i] for i in order])
    assert shuffled == evaluate(y, proba, CLASSES)
    own = evaluate(["zeal", "bored"], [[0.2, 0.8], [0.9, 0.1]], ["bored", "zeal"])
    assert own["labels"] == ["bored", "zeal"]
    assert own["accuracy"] == 1


def test_classes_that_do_not_occur_are_in_no_mean(answers):
    y, proba = answers
    rows = y != "fear"
    figures = evaluate(y[rows], proba[rows], CLASSES)
    predicted = np.array(CLASSES)[proba[rows].argmax(axis=1)]
    occur = [label for label in CLASSES if label != "fear"]
    expected = theirs.f1_score(y[rows], predicted, labels=occur, average="macro")
    assert figures["macro_f1"] == pytest.approx(expected)
    recall = theirs.recall_score(y[rows], predicted, labels=occur, average="macro", zero_division=0)
    assert figures["balanced_accuracy"] == pytest.approx(recall)
    assert figures["per_class"]["fear"]["support"] == 0
    assert figures["per_class"]["fear"]["recall"] == 0
    assert np.isfinite(json.loads(json.dumps(figures))["macro_f1"])


def test_faces_that_were_not_found_count_and_stand_apart(answers):
    y, proba = answers
    found = np.arange(500) % 4 != 0
    figures = evaluate(y, proba, CLASSES, found=found)
    right = np.array(CLASSES)[proba.argmax(axis=1)] == y
    assert figures["not_found"] == pytest.approx(0.25)
    assert figures["accuracy"] == pytest.approx(right.mean())
    assert figures["accuracy_found"] == pytest.approx(right[found].mean())
    nowhere = evaluate(y, proba, CLASSES, found=np.zeros(500, bool))
    assert (nowhere["accuracy_found"], nowhere["not_found"]) == (None, 1.0)
    assert "none found" in table(nowhere)


def test_the_interval_is_that_of_a_binomial():
    values = np.arange(400) < 280
    low, high = mean_interval(values)
    expected = binom(400, 0.7).ppf([0.025, 0.975]) / 400
    np.testing.assert_allclose([low, high], expected, atol=0.006)
    assert mean_interval(values) == (low, high)
    assert mean_interval(values, seed=1) != (low, high)


@pytest.mark.parametrize("share", [0, 1])
def test_the_interval_has_a_width_where_all_or_none_are_right(share):
    right = np.full(20, bool(share))
    ends = pytest.approx([float(end) for end in wilson(20 * share, 20)])
    assert accuracy_interval(right) == ends
    assert evaluate(["a" if share else "b"] * 20, [[0.9, 0.1]] * 20, ["a", "b"])["accuracy_ci"] == ends
    persons = np.repeat(range(5), 4)
    assert accuracy_interval(right, persons) == pytest.approx([float(end) for end in wilson(5 * share, 5)])


def test_one_person_makes_a_wide_interval_and_others_stay_as_they_are():
    right = np.arange(20) < 15
    low, high = accuracy_interval(right, np.zeros(20))
    assert low < 0.2
    assert high > 0.95
    assert accuracy_interval(right) == mean_interval(right)


def test_few_persons_who_agree_make_no_narrow_interval():
    right = np.concatenate([np.arange(100) < share for share in (70, 71, 72)])
    persons = np.repeat(range(3), 100)
    for interval in (accuracy_interval, mean_interval):
        low, high = interval(right, persons)
        assert (low, high) == interval(right)
        assert low < 0.67
        assert high > 0.75
    assert evaluate(np.where(right, "a", "b"), [[0.9, 0.1]] * 300, ["a", "b"], groups=persons)["accuracy_ci"] == [
        low,
        high,
    ]


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(100):
        low, high = mean_interval(rng.random(150) < 0.6, seed=seed)
        inside += low <= 0.6 <= high
    assert 88 <= inside <= 99


def test_groups_widen_the_interval_as_copies_must():
    values = np.random.default_rng(0).random(100) < 0.7
    copies, groups = np.repeat(values, 9), np.repeat(np.arange(100), 9)
    plain, careful = mean_interval(copies), mean_interval(copies, groups)
    assert careful == mean_interval(values)
    assert careful[1] - careful[0] > 2.5 * (plain[1] - plain[0])


def test_calibration_error_by_hand():
    confidence = np.linspace(0.5, 0.95, 30)
    proba = np.stack([confidence, 1 - confidence], axis=1)
    true = (np.arange(30) % 3 == 0).astype(int)
    expected = 0.0
    for i in range(15):
        rows = [2 * i, 2 * i + 1]
        expected += 2 / 30 * abs(np.mean(true[rows] == 0) - confidence[rows].mean())
    assert calibration_error(true, proba) == pytest.approx(expected)
    assert calibration_error(true[:4], proba[:4]) == pytest.approx(np.mean(np.abs((true[:4] == 0) - confidence[:4])))


def test_the_order_of_rows_of_equal_confidence_does_not_matter():
    true, proba = np.arange(1000) // 500, np.full((1000, 2), 0.5)
    assert calibration_error(true, proba) == pytest.approx(0)
    rng = np.random.default_rng(0)
    sure = rng.choice([0.5, 0.6, 0.9], 1000)
    proba, order = np.stack([sure, 1 - sure], axis=1), rng.permutation(1000)
    assert calibration_error(true, proba) == pytest.approx(calibration_error(true[order], proba[order]), abs=1e-12)


def test_calibration_error_is_small_where_probabilities_are_true():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet([1, 1, 1], 20000)
    true = (proba.cumsum(axis=1) < rng.random((20000, 1))).sum(axis=1)
    assert calibration_error(true, proba) < 0.015
    sharp = proba**3 / (proba**3).sum(axis=1, keepdims=True)
    assert calibration_error(true, sharp) > 0.15


@pytest.mark.parametrize(
    ("y", "proba", "message"),
    [
        ([], np.empty((0, 2)), "Got 0 rows"),
        (["anger"], [[0.5, 0.3, 0.2]], r"Got proba with shape \(1, 3\), expected \(1, 2\)"),
        (["anger"], [[0.9, 0.9]], "not probabilities"),
        (["anger"], [[np.nan, 0.9]], "not probabilities"),
        (["pride", "joy"], [[0.5, 0.5]] * 2, r"Got labels \['joy', 'pride'\], expected labels among"),
    ],
)
def test_wrong_answers(y, proba, message):
    with pytest.raises(InputError, match=message):
        evaluate(y, proba, ["anger", "fear"])


def test_wrong_lengths():
    with pytest.raises(InputError, match="Got found with 2 rows, expected 1"):
        evaluate(["anger"], [[1.0, 0.0]], ["anger", "fear"], found=[True, False])
    with pytest.raises(InputError, match="Got groups with 2 rows, expected 1"):
        evaluate(["anger"], [[1.0, 0.0]], ["anger", "fear"], groups=[1, 2])


def test_mcnemar_by_hand():
    one = np.array([True] * 30 + [False] * 20 + [True] * 9 + [False] * 2)
    two = np.array([True] * 30 + [False] * 20 + [False] * 9 + [True] * 2)
    result = compare(one, two)
    assert (result["only_this"], result["only_other"]) == (9, 2)
    assert result["p_value"] == pytest.approx(2 * binom(11, 0.5).cdf(2))
    assert result["difference"] == pytest.approx(7 / 61)
    assert result["difference"] == pytest.approx(result["accuracy"] - result["other_accuracy"])
    low, high = result["difference_ci"]
    assert 0 < low < 7 / 61 < high
    assert compare(two, one)["difference"] == -result["difference"]
    assert "+0.1148" in comparison(result, "old.ferkit")


def test_persons_are_flipped_whole():
    one, two = np.ones(400, bool), np.arange(400) >= 50  # the other fails on every picture of one person of eight
    assert compare(one, two)["p_value"] < 1e-12
    result = compare(one, two, np.repeat(range(8), 50))
    assert (result["p_value"], result["test"]) == (1.0, "sign-flip")
    assert "sign-flip p = 1" in comparison(result, "old.ferkit")
    alone = compare(one, two, np.arange(400))
    assert (alone["p_value"], alone["test"]) == (compare(one, two)["p_value"], "McNemar")


def test_sign_flips_by_counting():
    net = np.random.default_rng(0).integers(-4, 5, 10)
    signs = np.array(list(product([-1, 1], repeat=10)))
    counted = (abs(signs @ net) >= abs(net.sum())).mean()
    assert sign_flip(net) == pytest.approx(counted)
    singles = [1] * 9 + [-1] * 2
    assert sign_flip(singles) == pytest.approx(2 * binom(11, 0.5).cdf(2))


def test_a_model_against_itself_does_not_differ():
    result = compare([True, False, True], [True, False, True])
    assert (result["difference"], result["p_value"], result["difference_ci"]) == (0, 1.0, [0.0, 0.0])
    with pytest.raises(InputError, match="expected the same rows"):
        compare([True], [True, False])


def test_pairs_tell_apart_what_separate_intervals_cannot():
    rng = np.random.default_rng(0)
    two = rng.random(600) < 0.6
    one = two | (rng.random(600) < 0.08)
    separate = [mean_interval(model) for model in (one, two)]
    assert separate[0][0] < separate[1][1], "the two intervals overlap"
    result = compare(one, two)
    assert result["difference_ci"][0] > 0
    assert result["p_value"] < 0.001


def test_text_holds_the_figures_in_aligned_columns(answers):
    y, proba = answers
    figures = evaluate(y, proba, CLASSES)
    text = table(figures)
    low, high = figures["accuracy_ci"]
    assert f"{figures['accuracy']:.4f}  [{low:.4f}, {high:.4f}]" in text
    rows = text.split("\n\n")[1].splitlines()
    assert [row.split()[0] for row in rows[1:]] == CLASSES
    assert len({len(row) for row in rows}) == 1
    counts = [list(map(int, row.split()[1:])) for row in confusion_table(figures).splitlines()[1:]]
    assert counts == figures["confusion"]
