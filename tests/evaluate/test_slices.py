"""Figures by group."""

from __future__ import annotations

import numpy as np
import pytest

from ferkit.errors import DataError, InputError
from ferkit.evaluate import Predictions, by_value, evaluate, read_slices
from ferkit.evaluate.bootstrap import mean_interval, wilson
from ferkit.evaluate.slices import ranges, share_interval, too_many, values_in_order

CLASSES = ["anger", "fear"]


@pytest.fixture(scope="module")
def answers():
    """The model is right on 9 of 10 old faces and 6 of 10 young ones."""
    rng = np.random.default_rng(0)
    y = np.array(CLASSES)[rng.integers(0, 2, 200)]
    right = np.where(np.arange(200) < 100, np.arange(200) % 10 < 9, np.arange(200) % 10 < 6)
    proba = np.where((y == "fear") == right, 0.8, 0.2)
    return Predictions([f"set/{i}.png" for i in range(200)], y, np.stack([1 - proba, proba], 1), CLASSES)


AGES = np.where(np.arange(200) < 100, "old", "young")


def test_each_group_has_the_figures_of_its_rows(answers):
    old, young = by_value(answers, AGES)
    assert (old.value, old.n, old.accuracy, old.groups) == ("old", 100, 0.9, None)
    assert (young.accuracy, young.difference) == (0.6, pytest.approx(-0.3))
    figures = evaluate(answers.y_true[:100], answers.proba[:100], CLASSES)
    assert old.balanced_accuracy == pytest.approx(figures["balanced_accuracy"])
    assert old.confidence == pytest.approx(0.8)
    assert old.accuracy_ci == pytest.approx([float(end) for end in wilson(90, 100)])


def test_the_difference_is_newcombes():
    """Newcombe 1998, table II, example a: 56 of 70 against 48 of 80."""
    right = np.array([1] * 56 + [0] * 14 + [1] * 48 + [0] * 32, bool)
    proba = np.where(right, 0.9, 0.1)
    answers = Predictions(range(150), ["fear"] * 150, np.stack([1 - proba, proba], 1), CLASSES)
    first = by_value(answers, ["a"] * 70 + ["b"] * 80)[0]
    assert first.difference == pytest.approx(0.2)
    assert first.difference_ci == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_rows_of_persons_are_worth_less(answers):
    persons = np.arange(200) // 4
    grouped = Predictions(answers.names, answers.y_true, answers.proba, CLASSES, None, persons)
    old = by_value(grouped, AGES)[0]
    assert old.groups == 25
    assert old.accuracy_ci == mean_interval(grouped.right[:100], grouped.groups[:100])
    few = np.repeat([0, 1, 2], 10)
    low, high = share_interval(np.arange(30) < 30, few)
    assert (low, high) == tuple(float(end) for end in wilson(3, 3))


def test_rows_without_a_value_and_rare_values_are_left_out(answers):
    values = AGES.astype(object)
    values[:3], values[50:190] = "rare", ""
    found = by_value(answers, values, least=5)
    assert [(part.value, part.n) for part in found] == [("old", 47), ("young", 10)]
    only = by_value(answers, ["all"] * 200)[0]
    assert (only.difference, only.difference_ci) == (None, None)


def test_a_table_is_matched_by_name_or_last_part(answers, tmp_path):
    path = tmp_path / "ages.csv"
    path.write_text("﻿Age, image,sex\n7,0.png,f\n31,set/1.png,m\n9,elsewhere.png,m\n")
    found = read_slices(path, list(answers.names))
    assert found["Age"][:3].tolist() == ["7", "31", ""]
    assert found["sex"][:3].tolist() == ["f", "m", ""]
    doubled = read_slices(path, ["a/0.png", "b/0.png", "set/1.png"])
    assert doubled["sex"].tolist() == ["", "", "m"], "a last part that two rows have names neither"


def test_a_table_made_on_windows_names_the_same_pictures(tmp_path):
    path = tmp_path / "ages.csv"
    path.write_bytes(b"name,age\r\na\\0.png,7\r\nb\\0.png,8\r\n")
    assert read_slices(path, ["a/0.png", "b/0.png"])["age"].tolist() == ["7", "8"]


def test_a_table_of_a_whole_set_gives_a_row_its_own_values(tmp_path):
    path = tmp_path / "ages.csv"
    path.write_text(
        "image,age\ntest/happy/0.png,old\ntrain/happy/0.png,young\n1.png,no\ntest/sad/1.png,yes\n1.png,no\n"
    )
    assert read_slices(path, ["test/happy/0.png", "test/sad/1.png"])["age"].tolist() == ["old", "yes"]
    assert read_slices(path, ["/data/test/happy/0.png"])["age"].tolist() == ["old"]
    with pytest.raises(DataError, match="names none"):
        read_slices(path, ["other/happy/0.png"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,sex\n1,f\n", "expected name"),
        ("name\na\n", "at least one more"),
        ("name,sex\nnobody,f\n", "names none of the pictures"),
    ],
)
def test_tables_that_are_none(answers, tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_slices(tmp_path / "x.csv", list(answers.names))
    with pytest.raises(DataError, match="cannot be read"):
        read_slices(tmp_path / "gone.csv", list(answers.names))


def test_many_numbers_become_ranges():
    ages = np.array([str(age) for age in range(10, 90)] + [""], dtype=object)
    found = ranges(ages)
    assert values_in_order(set(found) - {""}) == [
        "10 to under 29.75",
        "29.75 to under 49.5",
        "49.5 to under 69.25",
        "69.25 to 89",
    ]
    assert [int((found == value).sum()) for value in values_in_order(set(found) - {""})] == [20] * 4
    assert found[-1] == ""
    moments = np.array([str(1_700_000_000 + i) for i in range(40)], dtype=object)
    assert sorted(int((ranges(moments) == value).sum()) for value in set(ranges(moments))) == [10] * 4
    few = np.array(["1", "2", "10"], dtype=object)
    assert ranges(few) is few
    assert values_in_order(few) == ["1", "2", "10"]
    assert values_in_order(["b", "3", "a"]) == ["3", "a", "b"]


def test_names_of_pictures_are_no_groups():
    names = [f"{i}.png" for i in range(51)] + [""]
    assert (too_many(names), too_many(names[1:])) == (51, 0)
    assert too_many(range(1000)) == 0


def test_wrong_length(answers):
    with pytest.raises(InputError, match="Got 2 values, expected 200"):
        by_value(answers, ["a", "b"])
