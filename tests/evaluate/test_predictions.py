"""Answers kept as CSV, and several models compared on the same rows."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from ferkit.errors import DataError, InputError
from ferkit.evaluate import Predictions, compare, compare_all
from ferkit.evaluate.paired import holm
from ferkit.evaluate.text import comparisons

LABELS = ["anger", "fear", "name"]


@pytest.fixture
def answers():
    rng = np.random.default_rng(0)
    names = [f'odd, "name" {i}.png' for i in range(50)]
    y = np.array(LABELS)[rng.integers(0, 3, 50)]
    return Predictions(names, y, rng.dirichlet([1, 1, 1], 50), LABELS, rng.random(50) < 0.9, np.arange(50) // 2)


def test_what_is_written_is_read(answers, tmp_path):
    path = answers.save(tmp_path / "answers.csv")
    again = Predictions.load(path)
    for name in ("names", "y_true", "found", "groups", "predicted", "right"):
        np.testing.assert_array_equal(getattr(again, name), getattr(answers, name))
    np.testing.assert_allclose(again.proba, answers.proba, rtol=1e-8)
    assert again.labels == LABELS
    assert again.figures()["accuracy_ci"] == answers.figures()["accuracy_ci"]
    with path.open(newline="") as file:
        assert next(csv.reader(file)) == ["name", "true", "predicted", "found", "group", "p_anger", "p_fear", "p_name"]


def test_files_of_others_need_little(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("name,true,p_anger,p_fear\na,fear,0.2,0.8\nb,anger,0.1,0.9\n")
    found = Predictions.load(path)
    assert found.right.tolist() == [True, False]
    assert found.groups is None
    assert found.found.all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected rows of name, true and p_<label>"),
        ("name,true,p_a,p_b\n", "expected rows of name, true"),
        ("name,true\na,b\n", "expected rows of name, true"),
        ("name,true,p_a,p_b\nx,a,much,0.1\n", "a row that is none"),
        ("name,true,p_a,p_b\nx,a,0.5\n", "a row that is none"),
        ("name,true,p_a,p_b\nx,a,nan,0.1\n", "negative or no numbers"),
        ("name,true,p_a,p_b\nx,a,-0.5,0.1\n", "negative or no numbers"),
        ("name,true,p_a,p_b\nx,a,0.5,0.5\nx,a,0.5,0.5\n", "each name once"),
    ],
)
def test_files_that_are_none(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        Predictions.load(tmp_path / "x.csv")
    with pytest.raises(DataError, match="cannot be read"):
        Predictions.load(tmp_path / "gone.csv")


def test_wrong_rows_are_named():
    with pytest.raises(InputError, match="Got y_true with 1 rows, expected 2"):
        Predictions(["a", "b"], ["fear"], np.ones((2, 2)) / 2, ["anger", "fear"])
    with pytest.raises(InputError, match=r"proba with shape \(2, 2\), expected \(2, 3\)"):
        Predictions(["a", "b"], ["fear"] * 2, np.ones((2, 2)) / 2, LABELS)


def test_every_two_are_tested_on_the_rows_in_common(answers):
    rng = np.random.default_rng(1)
    worse = Predictions(answers.names, answers.y_true, rng.dirichlet([1, 1, 1], 50), LABELS)
    order = rng.permutation(50)[:40]
    part = Predictions(answers.names[order], answers.y_true[order], answers.proba[order], LABELS)
    result = compare_all({"one": answers, "two": worse, "part": part})
    assert (result["n"], result["left_out"], result["ci_over"]) == (40, 10, "groups")
    assert [(pair["first"], pair["second"]) for pair in result["pairs"]] == [
        ("one", "two"),
        ("one", "part"),
        ("two", "part"),
    ]
    common = np.isin(answers.names, part.names)
    own = compare(answers.right[common], worse.right[common], answers.groups[common])
    assert {name: result["pairs"][0][name] for name in own} == own
    assert (result["pairs"][1]["p_value"], result["pairs"][1]["difference"]) == (1, 0)
    assert result["models"]["one"]["accuracy"] == result["models"]["part"]["accuracy"]
    text = comparisons(result)
    assert "40 pictures in common, 10 that not all of them have left out" in text
    assert "one - two" in text


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_models_that_cannot_be_compared(answers):
    with pytest.raises(DataError, match="Got 1 models"):
        compare_all({"one": answers})
    other = Predictions([f"x{i}" for i in range(50)], answers.y_true, answers.proba, LABELS)
    with pytest.raises(DataError, match="Got no row that all of them have"):
        compare_all({"one": answers, "two": other})
    wrong = np.where(answers.y_true == "fear", "anger", answers.y_true)
    with pytest.raises(DataError, match=r"Got true label 'anger' for .* in two, expected 'fear' as before"):
        compare_all({"one": answers, "two": Predictions(answers.names, wrong, answers.proba, LABELS)})
