"""Dataset keeps its arrays parallel; Pictures stay on disk until asked for."""

import os
import pickle
from itertools import islice

import numpy as np
import pytest
from PIL import Image
from sklearn.model_selection import train_test_split

from ferkit.errors import DataError, InputError, PictureError
from ferkit.labels import EXPRESSIONS
from ferkit.sources import Dataset, Pictures, load
from ferkit.sources.dataset import split_names


@pytest.fixture
def data():
    votes = np.zeros((4, 8), np.float32)
    votes[[0, 1, 2, 3], [0, 3, 0, 6]] = 0.75
    votes[:, 5] += 0.25
    return Dataset(
        np.arange(4 * 9, dtype=np.uint8).reshape(4, 3, 3),
        ["anger", "happiness", "anger", "neutral"],
        ["Training", "Training", "PublicTest", "PrivateTest"],
        subjects=["a", "b", "a", ""],
        votes=votes,
        names=list("wxyz"),
        skipped=[("v", "broken")],
        kind="table",
    )


@pytest.fixture
def paths(tmp_path):
    for i in range(4):
        Image.new("L", (4 + i, 4), i).save(tmp_path / f"{i}.png")
    return [tmp_path / f"{i}.png" for i in range(4)]


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([True, False, False, True], "wz"),
        (slice(1, 3), "xy"),
        (np.array([2, 0]), "yw"),
        (1, "x"),
        (-1, "z"),
        ([], ""),
    ],
)
def test_rows_are_kept_in_all_arrays(data, rows, names):
    part = data[rows]
    assert "".join(part.names) == names
    order = ["wxyz".index(name) for name in names]
    assert np.array_equal(part.pictures, data.pictures[order])
    assert part.labels.tolist() == data.labels[order].tolist()
    assert part.subjects.tolist() == data.subjects[order].tolist()
    assert np.array_equal(part.votes, data.votes[order])
    assert part.skipped == data.skipped
    assert part.kind == "table"


def test_split_takes_the_usual_spellings(data):
    assert data.split("Training").names.tolist() == ["w", "x"]
    assert data.split("train").names.tolist() == ["w", "x"]
    assert data.split("val").names.tolist() == ["y"]
    assert data.split("test").names.tolist() == ["z"]
    with pytest.raises(DataError, match=r"split='holdout'.*Training, PublicTest, PrivateTest"):
        data.split("holdout")
    with pytest.raises(DataError, match="none: leave the split out"):
        Dataset(data.pictures, data.labels).split("Training")


def test_split_names():
    assert split_names(["TRAIN", "Test"]) == ["Training", "Test"]
    assert split_names(["train", "validation", "testing"]) == ["Training", "PublicTest", "PrivateTest"]
    assert split_names(["fold1", ""]) == ["fold1", ""]


def test_relabel_renames_merges_and_drops(data):
    part = data.relabel({"anger": "negative", "neutral": None, "sadness": "negative", "surprise": None})
    assert part.labels.tolist() == ["negative", "happiness", "negative"]
    assert part.names.tolist() == ["w", "x", "y"]
    assert part.classes == ["happiness", "negative"]
    assert "surprise" not in part.vote_names
    assert part.votes.sum(axis=1) == pytest.approx(1)
    assert part.votes[0, part.vote_names.index("negative")] == pytest.approx(1)
    assert part[1:].vote_names == part.vote_names
    with pytest.raises(DataError, match="label='angr'"):
        data.relabel({"angr": "x"})
    assert Dataset(data.pictures, data.labels).relabel({"anger": "cross"}).classes == ["happiness", "neutral", "cross"]


def test_wrong_lengths(data):
    with pytest.raises(InputError, match="labels with 2 rows, expected 4"):
        Dataset(data.pictures, ["a", "b"])
    with pytest.raises(InputError, match="subjects with 1 rows"):
        Dataset(data.pictures, data.labels, subjects=["a"])
    with pytest.raises(InputError, match="votes with shape"):
        Dataset(data.pictures, data.labels, votes=np.zeros((4, 3)))


def test_going_through_the_rows_ends(data):
    assert [row.labels.tolist() for row in islice(data, 9)] == [[label] for label in data.labels]
    assert data[-4].names.tolist() == ["w"]
    for beyond in (4, -5):
        with pytest.raises(IndexError, match=f"row={beyond}, expected one of 4 rows"):
            data[beyond]


def test_a_list_of_pictures_is_a_stack(data):
    listed = Dataset(list(data.pictures), data.labels)
    assert np.array_equal(listed[listed.labels == "anger"].pictures, data.pictures[[0, 2]])
    assert len(Dataset([], [])) == 0
    for wrong in ([np.zeros((4, 4)), np.zeros((4, 5))], ["a.png", "b.png"]):
        with pytest.raises(InputError, match=r"expected one shape\. .*Pictures\(paths\)"):
            Dataset(wrong, ["a", "b"])


def test_defaults_and_text(data):
    plain = Dataset(data.pictures, data.labels)
    assert (plain.splits.tolist(), plain.names.tolist(), plain.split_names) == ([""] * 4, list("0123"), [])
    assert plain.vote_names == EXPRESSIONS
    assert repr(plain) == "Dataset(own, n=4, 3 classes, no splits)"


def test_a_label_of_another_alphabet_can_be_written(tmp_path):
    for name in (b"caf\xe9", b"happy"):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        Image.new("L", (4, 4)).save(folder / "a.png")
    data = load(tmp_path)
    assert data.classes == ["happiness", r"caf\udce9"]
    assert [picture.shape for picture in data.pictures] == [(4, 4), (4, 4)]


def test_pictures_are_read_when_asked_for(paths):
    some = Pictures(paths)
    paths[3].unlink()
    assert [picture.shape for picture in some[:3]] == [(4, 4), (4, 5), (4, 6)]
    assert some[1].shape == (4, 5)
    assert some[np.array([2, 0])][0].shape == (4, 6)
    assert some[[False, True, False, False]].paths.tolist() == [str(paths[1])]
    assert len(some[[]]) == 0
    with pytest.raises(PictureError, match=r"3\.png"):
        some[-1]
    assert repr(some) == "Pictures(n=4)"


def test_pictures_pickle_and_split_without_reading(paths):
    some = pickle.loads(pickle.dumps(Pictures(paths)))  # noqa: S301 - our own bytes
    for path in paths:
        path.unlink()
    train, test = train_test_split(some, test_size=1, random_state=0)
    assert (type(train), len(train), len(test)) == (Pictures, 3, 1)
    assert len(some[np.array([0, 2]), ...]) == 2
