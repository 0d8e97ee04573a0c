"""The report counts what is there; the sheet shows it; splits part neither persons nor duplicates."""

import json

import numpy as np
import pytest
from PIL import Image

from ferkit.errors import DataError, InputError
from ferkit.sources import Dataset, Pictures, sample
from ferkit.sources.report import Pairs, inspect
from ferkit.sources.sheet import contact_sheet, save_picture
from ferkit.sources.splitting import assign_splits


@pytest.fixture
def data():
    base = np.random.default_rng(0).integers(0, 256, (6, 48, 48), dtype=np.uint8)
    pictures = np.stack([base[0], base[1], base[2], base[0], base[1][:, ::-1], base[0]])
    return Dataset(
        pictures,
        ["anger", "bored", "anger", "anger", "bored", "bored"],
        ["Training", "Training", "Training", "Training", "Test", "Test"],
        subjects=["a", "b", "", "a", "b", "c"],
        skipped=[(f"x{i}.png", "broken") for i in range(12)],
        kind="table",
    )


def test_report(data):
    seen = []
    report = inspect(data, advance=seen.append)
    assert (report.n, report.kind, len(seen)) == (6, "table", 6)
    assert report.counts == {"Training": {"anger": 3, "bored": 1}, "Test": {"anger": 0, "bored": 2}}
    assert report.sizes == {"48x48": 6}
    assert (report.subjects, report.subjects_across) == (3, 1)
    assert report.exact == Pairs(within=1, across=2, labels_differ=2)
    assert report.near == Pairs(within=1, across=3, labels_differ=2)
    assert json.loads(json.dumps(report.as_dict()))["near"]["across"] == 3


def test_pairs_are_named_those_across_splits_first(data):
    report = inspect(data)
    named = [(int(pair.first), int(pair.second)) for pair in report.pairs]
    assert named == [(0, 5), (3, 5), (1, 4), (0, 3)]
    assert [pair.exact for pair in report.pairs] == [True, True, False, True]
    assert [pair.labels_differ for pair in report.pairs] == [True, True, False, False]
    assert [pair.across for pair in report.pairs] == [True, True, True, False]
    assert "  0  5  (same pixels, two splits, different labels)" in report.lines()
    assert "  1  4  (two splits)" in report.lines()
    exact = inspect(data, near=False)
    assert [(int(pair.first), int(pair.second)) for pair in exact.pairs] == [(3, 5), (0, 3)]


def test_many_pairs_are_not_all_named(monkeypatch):
    faces = np.random.default_rng(0).integers(0, 256, (1, 48, 48), dtype=np.uint8)
    data = Dataset(np.repeat(faces, 14, axis=0), ["one"] * 14)
    monkeypatch.setattr("ferkit.sources.report.LISTED", 12)
    report = inspect(data)
    assert (len(report.pairs), report.pairs_left_out) == (12, 91 - 12)
    assert json.loads(json.dumps(report.as_dict()))["pairs_left_out"] == 79
    lines = report.lines()
    assert sum("same pixels" in line for line in lines) == 10
    assert "  and 81 more" in lines
    assert report.distinct == {"one": 1}
    assert "  14 of 'one' count as 1: ferkit fit needs 3 to hold some out, collect more" in lines


def test_report_as_text(data):
    text = "\n".join(inspect(data).lines())
    assert "table: 6 pictures, 2 classes" in text
    assert "anger         3       0       3" in text
    assert "all           4       2       6" in text
    assert "4 pairs: 1 within a split, 3 across splits, 2 with different labels" in text
    assert "x9.png: broken" in text
    assert "x10.png" not in text
    assert "and 2 more" in text


def test_report_of_pictures_on_disk(tmp_path):
    for i in range(7):
        Image.new("RGB", (10 + i, 20), (i, 0, 0)).save(tmp_path / f"{i}.png")
    data = Dataset(Pictures(sorted(tmp_path.iterdir())), ["one"] * 7)
    report = inspect(data, near=False)
    text = "\n".join(report.lines())
    assert report.near is None
    assert "and 2 other sizes" in text
    assert "near duplicates   not looked for" in text
    assert "exact duplicates  none" in text
    assert "persons           not named" in text
    assert "no split" in text


def test_contact_sheet_has_a_row_for_each_class(data, tmp_path):
    sheet = contact_sheet(data, per_class=2, tile=50)
    assert sheet.shape == (2 * 54 + 4, 130 + 2 * 54 + 4, 3)
    assert np.ptp(sheet[4:54, 134 - 4 : 180]) > 100
    assert (sheet[:, :130] < 128).any()
    assert np.array_equal(sheet, contact_sheet(data, per_class=2, tile=50))
    save_picture(sheet, tmp_path / "sheet.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "sheet.png")), sheet)


def test_a_picture_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    def broken(self, file, kind):
        file.write(b"half")
        raise OSError("disk full")

    save_picture(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    monkeypatch.setattr(Image.Image, "save", broken)
    with pytest.raises(DataError, match="disk full"):
        save_picture(np.ones((4, 4, 3), np.uint8), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(InputError, match="expected a picture's name"):
        save_picture(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.psd")


def test_contact_sheet_keeps_proportions_and_colour(tmp_path):
    Image.new("RGB", (100, 50), "red").save(tmp_path / "a.png")
    data = Dataset(Pictures([tmp_path / "a.png"]), ["très heureux"])
    tile = contact_sheet(data, per_class=1, tile=40)[4:44, 130:170]
    assert tile[20, 20].tolist() == [255, 0, 0]
    assert tile[5, 20].tolist() == [225, 225, 225]


def test_sheet_errors(data, tmp_path):
    with pytest.raises(InputError, match="tile=0"):
        contact_sheet(data, tile=0)
    with pytest.raises(InputError, match=r"sheet\.doc"):
        save_picture(np.zeros((2, 2, 3), np.uint8), tmp_path / "sheet.doc")
    with pytest.raises(DataError, match="can be written"):
        save_picture(np.zeros((2, 2, 3), np.uint8), tmp_path / "none" / "sheet.png")


def test_splits_keep_persons_and_duplicates_together():
    data = sample(140)
    doubled = np.concatenate([data.pictures, data.pictures[:14, :, ::-1]])
    labels, subjects = [*data.labels, *data.labels[:14]], [*data.subjects, *[""] * 14]
    whole = assign_splits(Dataset(doubled, labels, subjects=subjects))
    for person in set(data.subjects):
        assert len(set(whole.splits[whole.subjects == person])) == 1
    assert whole.splits[140:].tolist() == whole.splits[:14].tolist()
    shares = [(whole.splits == name).mean() for name in ("Training", "PublicTest", "PrivateTest")]
    assert shares == pytest.approx([0.7, 0.15, 0.15], abs=0.06)
    again = assign_splits(Dataset(doubled, labels, subjects=subjects))
    assert again.splits.tolist() == whole.splits.tolist()


def test_splits_that_are_there_stay(data):
    part = Dataset(data.pictures, data.labels, ["", "", "", "Training", "mine", ""])
    splits = assign_splits(part).splits.tolist()
    assert splits[3:5] == ["Training", "mine"]
    assert splits[0] == splits[5] == "Training"
    assert splits[1] == "mine"
    assert splits[2] in ("Training", "PublicTest", "PrivateTest")
