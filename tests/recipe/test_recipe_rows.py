"""Which rows fit, which are held out, and which belong together."""

import numpy as np
import pytest

from ferkit import recipe
from ferkit.errors import DataError
from ferkit.features import FeatureCache
from ferkit.recipe import rows as rows_module
from ferkit.recipe.rows import _share, check_classes, check_groups, divide, wanted
from ferkit.records import Faces
from ferkit.sources import sample

SMALL = "features: {hog: {cell: 16}}\nmodel: {linear_svm: {calibrate: false}}\n"
STACKED = "features: {hog: {cell: 16}, fine: {kind: hog}}\nmodel: {stacking: {weights: family}}\n"


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 48, 48), dtype=np.uint8)


def divided(text, faces, labels, held_out, seen=None, subjects=None, name=None, cache=None):
    seen = np.zeros(len(labels), bool) if seen is None else seen
    name = name or ("PublicTest" if held_out.any() else "share")
    return divide(recipe.loads(text), Faces(faces), np.asarray(labels), subjects, held_out, name, seen, cache)


def test_labels_stand_in_messages_as_the_user_wrote_them():
    labels, rows = np.array(["Bored", "Bored", "fear"]), np.arange(3)
    with pytest.raises(DataError, match=r"1 class \('Bored'\)"):
        check_classes(labels, rows < 2, rows > 2)
    with pytest.raises(DataError, match=r"held-out rows of 'fear'"):
        check_classes(np.append(labels, "anger"), np.arange(4) != 2, np.arange(4) == 2)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("bored", "Bored"), "Got categories 'Bored' and 'bored'.*--set labels.bored=Bored"),
        (("fear", "Not sure"), "Got category 'Not sure', which is what ferkit says"),
    ],
)
def test_names_that_outputs_could_not_tell_apart(names, message):
    with pytest.raises(DataError, match=message):
        check_classes(np.array(names), np.ones(2, bool), np.zeros(2, bool))


def test_splits_by_name():
    people = sample(n=210, seed=3)
    found = recipe.loads(SMALL, sets=["split=val", "validation=test"])
    train, held_out, name = wanted(people, found)
    assert name == "PrivateTest"
    assert set(people.splits[train]) == {"PublicTest"}
    assert set(people.splits[held_out]) == {"PrivateTest"}
    with pytest.raises(DataError, match="expected two different splits"):
        wanted(people, recipe.loads(SMALL, sets=["validation=Training"]))
    with pytest.raises(DataError, match="Got split='mine'"):
        wanted(people, recipe.loads(SMALL, sets=["split=mine"]))


def test_twins_of_held_out_rows_are_left_out():
    faces = noise(20)
    faces[3] = faces[17][:, ::-1]
    held_out = np.arange(20) >= 15
    labels = ["anger", "fear"] * 10
    rows = divided(SMALL, faces, labels, held_out)
    assert rows.twins == 1
    assert 3 not in rows.train
    assert 17 in rows.held_out
    assert rows.groups[3] == rows.groups[17]
    kept = divided(SMALL + "leave_out_twins: false", faces, labels, held_out)
    assert kept.twins == 0
    assert 3 in kept.train


def test_near_duplicates_are_searched_once(tmp_path, monkeypatch):
    faces, held_out, labels = noise(20), np.arange(20) >= 15, ["anger", "fear"] * 10
    faces[3] = faces[17][:, ::-1]
    first = divided(SMALL, faces, labels, held_out, cache=tmp_path)
    searched = []
    search = rows_module.near_groups
    monkeypatch.setattr(rows_module, "near_groups", lambda *args: searched.append(1) or search(*args))
    again = divided(SMALL, faces, labels, held_out, cache=tmp_path)
    assert not searched
    assert (again.twins, again.train.tolist()) == (1, first.train.tolist())
    np.testing.assert_array_equal(again.groups, first.groups)
    others = {
        "faces": np.roll(faces, 1, axis=0),
        "held_out": np.arange(20) >= 16,
        "subjects": np.array(list("ab") * 10),
    }
    for name, other in others.items():  # whatever it hangs on
        divided(SMALL, **{"faces": faces, "labels": labels, "held_out": held_out} | {name: other}, cache=tmp_path)
        assert searched.pop(), name
    for path in tmp_path.rglob("twins.npy"):
        path.write_bytes(path.read_bytes()[:-3])
    assert divided(SMALL, faces, labels, held_out, cache=tmp_path).twins == 1
    assert searched.pop()
    FeatureCache(tmp_path).clear()
    assert not list(tmp_path.iterdir())


def test_rows_that_a_network_has_seen_are_not_held_out():
    faces, labels = noise(20), ["anger", "fear"] * 10
    held_out, seen = np.arange(20) >= 10, np.arange(20) >= 16
    rows = divided(SMALL, faces, labels, held_out, seen)
    assert rows.held_out.tolist() == [10, 11, 12, 13, 14, 15]
    assert rows.seen == 4
    assert rows.train.tolist() == list(range(10))
    with pytest.raises(DataError, match=r"Got 6 of 10 held-out rows.*a network"):
        divided(SMALL, faces, labels, held_out, np.arange(20) >= 14)


def test_a_fusion_is_not_fitted_on_rows_that_a_network_has_seen():
    faces, labels, nobody = noise(20), ["anger", "fear"] * 10, np.zeros(20, bool)
    alone = STACKED + "fusion_rows: none"
    assert divided(alone, faces, labels, nobody, np.arange(20) >= 16, name="none").train.tolist() == list(range(16))
    with pytest.raises(DataError, match=r"Got 12 of 20 rows to fit the fusion on that a network"):
        divided(alone, faces, labels, nobody, np.arange(20) >= 8, name="none")
    rows = divided(SMALL + "validation: none", faces, labels, nobody, np.arange(20) >= 8, name="none")
    assert len(rows.train) == 20


def test_a_split_without_two_groups_of_a_class_fits_no_fusion():
    faces, held_out = noise(20), np.arange(20) >= 12
    labels = np.array(["anger", "fear", "sadness"] * 6 + ["anger", "fear"])
    held_out[[14, 17]] = False
    with pytest.raises(DataError, match=r"Got 0 pictures of 'sadness', expected at least 2 in PublicTest, .*=drop"):
        divided(STACKED, faces, labels, held_out)
    held_out[[14, 17]] = True
    faces[14] = faces[17][:, ::-1]
    with pytest.raises(DataError, match=r"Got 2 pictures of 'sadness' that count as 1 .* PublicTest, which fits"):
        divided(STACKED, faces, labels, held_out)
    assert len(divided(SMALL, faces, labels, held_out).held_out) == 8


def test_a_class_in_one_cluster_stays_on_the_training_side():
    faces = noise(60)
    faces[:20] = faces[0]
    rows = divided(SMALL, faces, ["fear"] * 20 + ["anger", "sadness"] * 20, np.zeros(60, bool))
    assert set(range(20)) <= set(rows.train)
    assert len(rows.held_out) > 0


@pytest.mark.parametrize(
    ("labels", "groups", "held"),
    [
        ("a" * 10 + "b" * 10, range(20), {"a": 2, "b": 2}),
        ("a" * 5 + "b" * 6, range(11), {"a": 1, "b": 1}),
        ("a" * 90 + "b" * 7 + "c" * 3, range(100), {"a": 18, "b": 1, "c": 1}),
        ("a" * 10 + "b" * 10, [0] * 5 + [1] * 3 + list(range(2, 14)), {"a": 2, "b": 2}),
        ("aabbb", range(5), {"a": 0, "b": 1}),
        ("ab" * 25, np.arange(50) // 10, {"a": 5, "b": 5}),
        ("ab" * 10, np.arange(20) // 10, {"a": 0, "b": 0}),
    ],
)
def test_a_share_is_one_of_each_class(labels, groups, held):
    labels, groups = np.array(list(labels)), np.array(groups)
    held_out = _share(labels, groups, 0.2, seed=0, least=1)
    assert {name: int((held_out & (labels == name)).sum()) for name in held} == held
    assert not set(groups[held_out]) & set(groups[~held_out])
    for name in held:
        assert len(set(groups[~held_out & (labels == name)])) >= 2


def test_a_fusion_gets_two_groups_of_each_class():
    labels = np.repeat(["a", "b"], 3)
    held_out = _share(labels, np.arange(6), 0.2, seed=0, least=2)
    assert [int((held_out & (labels == name)).sum()) for name in "ab"] == [2, 2]


def test_too_few_to_validate_is_said():
    labels = np.repeat(["anger", "fear", "Bored"], [3, 2, 5])
    faces = noise(10)
    faces[5:] = faces[5]
    rows = divided(SMALL, faces, labels, np.zeros(10, bool))
    assert len(rows.held_out) == 0  # one label alone says nothing
    assert rows.held_out_name == "none"
    assert rows.note.startswith("2 pictures of 'fear', 5 pictures of 'Bored' that count as 1 (near-duplicates")
    with pytest.raises(
        DataError, match=r"Got 2 pictures of 'fear', 5 pictures of 'Bored' that count as 1 .*least 3 of"
    ):
        divided(STACKED, faces, labels, np.zeros(10, bool))


def test_one_recording_of_each_of_two_labels_cannot_be_calibrated():
    labels = np.repeat(["Bored", "fear"], [13, 4])
    with pytest.raises(
        DataError, match=r"Got 13 pictures of 'Bored' that count as 1 .* expected at least 2 to calibrate"
    ):
        check_groups(labels, np.repeat([0, 1, 2], [13, 2, 2]))
    with pytest.raises(DataError, match=r"Got 1 picture of 'Bored', expected at least 2 to"):
        check_groups(labels[12:], np.arange(5))
    check_groups(np.repeat(["Bored", "fear", "anger"], 2), np.arange(6) // 2)


def test_people_without_a_name_are_their_own_group():
    faces = noise(4)
    subjects = np.array(["a", "", "", "a"], dtype=object)
    rows = divided(SMALL + "validation: none", faces, ["fear", "anger"] * 2, np.zeros(4, bool), subjects=subjects)
    assert len(set(rows.groups)) == 3
