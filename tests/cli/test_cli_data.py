"""``ferkit data``: inspect, prepare and collect on drawn faces."""

import csv
import json
import os
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ferkit.cli.data import data
from ferkit.collect import collect
from ferkit.errors import DataError, InputError, PictureError
from ferkit.faces import FaceExtractor
from ferkit.prepare import prepare
from ferkit.recipe import build
from ferkit.recipe import load as recipe
from ferkit.records import Frame
from ferkit.sources import Dataset, Pictures, draw_face, load, read_image, sample, sample_video


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(data, [str(argument) for argument in arguments])


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for i, label in enumerate(["happy", "happy", "happy", "sad"]):
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_face(label, size=200, seed=20 + i)).save(folder / label / f"Person{i}_0001.png")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.avi"
    sample_video(path, ["happiness"], frames_each=12, size=200, seed=1)
    return path


def listed(folder):
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_help_is_short_and_every_command_has_an_example(run):
    for name in ("inspect", "collect", "prepare"):
        text = run(name, "--help").output
        assert f"Example: ferkit data {name}" in text
    assert data.list_commands(None) == ["inspect", "collect", "prepare", "augment"]


def test_augment_comes_from_its_own_file(monkeypatch):
    import types

    module = types.ModuleType("ferkit.cli.data_augment")
    module.augment = data.commands["inspect"]
    monkeypatch.setitem(sys.modules, "ferkit.cli.data_augment", module)
    assert data.get_command(None, "augment") is module.augment


def test_inspect(run, photos, tmp_path):
    done = run("inspect", photos, "--sheet", tmp_path / "s.png", "--json", tmp_path / "r.json", "--subjects-from-names")
    assert done.exit_code == 0, done.output
    assert "folders: 4 pictures, 2 classes" in done.output
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["counts"] == {"": {"happiness": 3, "sadness": 1}}
    assert report["subjects"] == 4
    assert read_image(tmp_path / "s.png").shape[2] == 3


def test_inspect_counts_broken_pictures_and_says_so_in_its_exit_code(run, photos):
    (photos / "sad" / "broken.png").write_bytes(b"text")
    done = run("inspect", photos, "--no-near")
    assert done.exit_code == 1
    assert "skipped           1" in done.stdout
    assert "broken.png" in done.stdout
    assert "Skipped 1 that cannot be used." in done.stderr


def test_inspect_errors(run, photos, tmp_path):
    assert isinstance(run("inspect", tmp_path / "gone").exception, DataError)
    assert run("inspect", photos, "--json", tmp_path / "no" / "r.json").exit_code == 2
    assert isinstance(run("inspect", photos, "--sheet", tmp_path / "s.xyz").exception, InputError)


def test_inspect_writes_over_nothing_that_it_reads(run, photos, tmp_path):
    table = tmp_path / "lab.csv"
    table.write_text("image,label\nphotos/happy/Person0_0001.png,happy\nphotos/sad/Person3_0001.png,sad\n")
    picture = photos / "happy" / "Person0_0001.png"
    before = table.read_bytes(), picture.read_bytes()
    new = tmp_path / "new.png"
    for args in (("--json", table), ("--sheet", picture), ("--json", picture), ("--sheet", new, "--json", new)):
        done = run("inspect", table, *args)
        assert done.exit_code == 2
        assert "which is also read or written" in done.stderr
    assert (table.read_bytes(), picture.read_bytes()) == before
    assert not new.exists()


def test_prepared_faces_do_not_go_into_the_data(run, photos):
    done = run("prepare", photos, photos / "prepared")
    assert done.exit_code == 2
    assert "inside the data" in done.stderr
    assert not (photos / "prepared").exists()


def test_progress_only_on_a_terminal(run, photos, tmp_path, monkeypatch):
    assert run("prepare", photos, tmp_path / "one").stderr == ""
    monkeypatch.setattr("ferkit.cli.data.sys", type("Terminal", (), {"stderr": FakeTerminal()}))
    assert run("prepare", photos, tmp_path / "two").exit_code == 0
    assert "Preparing" in FakeTerminal.text


class FakeTerminal:
    text = ""

    def isatty(self):
        return True

    def write(self, text):
        FakeTerminal.text += text

    def flush(self):
        pass


def test_prepare_writes_faces_that_load_reads(run, photos, tmp_path):
    out = tmp_path / "out"
    done = run("prepare", photos, out, "--size", 64, "--light", "clahe", "--subjects-from-names")
    assert done.exit_code == 0, done.output
    assert "4 faces written" in done.output
    again = load(out)
    assert again.pictures.shape == (4, 64, 64)
    assert again.labels.tolist() == ["happiness"] * 3 + ["sadness"]
    assert again.subjects.tolist() == ["Person0", "Person1", "Person2", "Person3"]
    assert [row["found"] for row in listed(out)] == ["1"] * 4
    assert listed(out)[0]["image"] == "all/happiness/000000_Person0_0001.png"


def test_prepare_goes_on_where_it_stopped(tmp_path, monkeypatch):
    drawn, out = sample(70), tmp_path / "out"
    calls = []

    def stop_after_some(n):
        calls.append(n)
        if sum(calls) >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(drawn, out, advance=stop_after_some)
    assert len(load(out)) == 32
    first = (out / listed(out)[0]["image"]).stat().st_mtime_ns
    with (out / "prepare.jsonl").open("a") as journal:
        journal.write('{"row": 40, "ima')
    (out / listed(out)[5]["image"]).unlink()
    done = prepare(drawn, out)
    assert (done.before, done.written, done.listed) == (31, 39, 70)
    assert (out / listed(out)[0]["image"]).stat().st_mtime_ns == first
    whole = load(out)
    assert np.array_equal(whole.pictures, drawn.pictures)
    assert whole.labels.tolist() == drawn.labels.tolist()
    assert whole.splits.tolist() == drawn.splits.tolist()
    assert whole.subjects.tolist() == drawn.subjects.tolist()
    assert prepare(drawn, out).written == 0


def test_prepare_on_a_full_disk_keeps_what_is_there(tmp_path, monkeypatch):
    drawn, out = sample(70), tmp_path / "out"
    replace, left = os.replace, [40]

    def until_full(part, path):
        left[0] -= str(path).endswith(".png")
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        replace(part, path)

    monkeypatch.setattr(os, "replace", until_full)
    with pytest.raises(DataError, match="No space left"):
        prepare(drawn, out)
    assert len(load(out)) == 40
    assert not list(out.rglob("*.part"))
    monkeypatch.undo()
    assert prepare(drawn, out).listed == 70


def test_prepare_refuses_other_settings_and_other_folders(tmp_path):
    drawn, out = sample(7), tmp_path / "out"
    prepare(drawn, out)
    with pytest.raises(DataError, match="size=48"):
        prepare(drawn, out, size=64)
    with pytest.raises(DataError, match="pictures=7"):
        prepare(drawn[:3], out)
    (out / "prepare.jsonl").write_text("{no json\n")
    with pytest.raises(DataError, match="damaged"):
        prepare(drawn, out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="holds other files"):
        prepare(drawn, tmp_path / "mine")
    with pytest.raises(DataError, match="a file, expected a folder"):
        prepare(drawn, tmp_path / "mine" / "thesis.txt")
    with pytest.raises(InputError, match="balance='most'"):
        prepare(drawn, out, balance="most")


@pytest.mark.parametrize(("balance", "counts"), [("over", (5, 5, 1)), ("under", (2, 2, 1)), ("none", (5, 2, 1))])
def test_prepare_balances_the_training_rows_only(tmp_path, balance, counts):
    pictures = sample(8).pictures
    splits = ["Training"] * 7 + ["PublicTest"]
    drawn = Dataset(pictures, ["anger"] * 5 + ["bored"] * 2 + ["bored"], splits)
    done = prepare(drawn, tmp_path / "out", balance=balance)
    rows = listed(tmp_path / "out")
    found = [
        sum(r["split"] == s and r["label"] == name for r in rows)
        for s, name in (("Training", "anger"), ("Training", "bored"), ("PublicTest", "bored"))
    ]
    assert tuple(found) == counts
    assert (done.written, done.listed) == (8, sum(counts))
    images = {row["image"] for row in rows}
    assert len(images) == (8 if balance != "under" else 5)
    again = load(tmp_path / "out")
    assert (len(again), again.skipped, len(set(again.names))) == (sum(counts), [], sum(counts))


def test_prepare_takes_names_in_no_encoding_and_an_empty_journal(tmp_path):
    drawn = Dataset(sample(3).pictures, ["a", "a", "b"], names=["x", "caf\udce9.png", "y"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prepare.jsonl").touch()
    assert prepare(drawn, tmp_path / "out").written == 3
    (tmp_path / "out" / "prepare.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match="lines of another kind"):
        prepare(drawn, tmp_path / "out")


def test_prepare_holds_few_large_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("ferkit.prepare._CHUNK_BYTES", 10_000)
    seen, transform = [], FaceExtractor.transform
    monkeypatch.setattr(FaceExtractor, "transform", lambda self, X: seen.append(len(X)) or transform(self, X))
    drawn = Dataset(sample(12).pictures, ["a", "b"] * 6)
    assert prepare(drawn, tmp_path / "out").written == 12
    assert seen == [5, 5, 2]


def test_prepare_without_training_rows_leaves_them_alone(tmp_path):
    drawn = Dataset(sample(3).pictures, ["a", "a", "b"], ["PublicTest"] * 3)
    assert prepare(drawn, tmp_path / "out", balance="over").listed == 3


def test_prepare_can_split(run, tmp_path):
    drawn = sample(140)
    for name, picture in zip(drawn.names, drawn.pictures, strict=True):
        folder = tmp_path / "set" / name.split("_")[1]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{name}.png")
    assert run("prepare", tmp_path / "set", tmp_path / "out", "--split").exit_code == 0
    assert set(load(tmp_path / "out").splits) == {"Training", "PublicTest", "PrivateTest"}


@pytest.mark.parametrize(("size", "told"), [(64, False), (72, True)])
def test_prepare_says_when_faces_do_not_pass_for_cropped(run, tmp_path, monkeypatch, size, told):
    monkeypatch.setattr("ferkit.cli.data._load", lambda *args: sample(7))
    done = run("prepare", "sample", tmp_path / "out", "--size", size)
    assert done.exit_code == 0
    assert ("ferkit fit --set faces.cropped=true" in done.stderr) is told
    faces = load(tmp_path / "out").pictures
    assert FaceExtractor().takes_as_cropped(faces[0]) is not told
    extractor = build(recipe("hog_svm", ["faces.cropped=true", f"faces.size={size}"]))[0]
    assert np.array_equal(extractor.transform(faces).crops, faces)


def test_prepare_says_that_votes_are_lost(run, tmp_path, monkeypatch):
    faces = sample(6)
    votes = np.eye(8)[:6]
    for number, dataset in enumerate((faces, Dataset(faces.pictures, faces.labels, votes=votes))):
        monkeypatch.setattr("ferkit.cli.data._load", lambda *args, found=dataset: found)
        done = run("prepare", tmp_path / "set", tmp_path / f"out{number}")
        assert done.exit_code == 0, done.output
        assert ("votes are not kept" in done.stdout) == (number == 1)


def test_prepare_counts_what_breaks_and_what_has_no_face(run, photos, tmp_path):
    (photos / "sad" / "broken.png").write_bytes(b"")
    Image.new("RGB", (200, 200), (90, 120, 90)).save(photos / "sad" / "wall.png")
    done = run("prepare", photos, tmp_path / "out")
    assert done.exit_code == 1
    assert "5 faces written" in done.stdout
    assert "1 of them are the middle of a picture" in done.stdout
    assert "broken.png" in done.stderr
    gone = Dataset(Pictures([photos / "sad" / "broken.png"]), ["sadness"])
    assert prepare(gone, tmp_path / "none").broken[0][0] == "0"


def test_prepare_can_leave_out_what_has_no_face(run, photos, tmp_path):
    Image.new("RGB", (200, 200), (90, 120, 90)).save(photos / "sad" / "wall.png")
    out = tmp_path / "out"
    done = run("prepare", photos, out, "--missing", "skip")
    assert done.exit_code == 0
    assert "4 faces written" in done.stdout
    assert "1 left out: pictures without a face that was found; labels.csv lists 4" in done.stdout
    assert [row["found"] for row in listed(out)] == ["1"] * 4
    assert len(list(out.rglob("*.png"))) == 4
    again = run("prepare", photos, out, "--missing", "skip")
    assert "0 faces written" in again.stdout
    assert "4 were there; 1 left out" in again.stdout
    assert "missing='skip'" in str(run("prepare", photos, out).exception)
    with pytest.raises(InputError, match="Got missing='drop'"):
        prepare(load(photos), tmp_path / "no", missing="drop")


def test_prepare_takes_a_detector_and_cropped_faces(run, photos, tmp_path):
    out = tmp_path / "out"
    assert run("prepare", photos, out, "--cropped", "yes").exit_code == 0
    whole = read_image(photos / "happy" / "Person0_0001.png")
    expected = FaceExtractor(cropped=True).transform([whole]).crops[0]
    assert np.array_equal(read_image(out / "all/happiness/000000_Person0_0001.png"), expected)
    found = FaceExtractor(detector="haar").transform([whole]).crops[0]
    assert run("prepare", photos, tmp_path / "haar", "--detector", "haar").exit_code == 0
    assert np.array_equal(read_image(tmp_path / "haar/all/happiness/000000_Person0_0001.png"), found)
    refused = run("prepare", photos, tmp_path / "none", "--detector", __file__)
    assert "expected one of ['auto', 'dlib', 'haar'] or a Haar cascade file" in str(refused.exception)
    assert not (tmp_path / "none").exists()


def test_prepare_makes_plain_names(tmp_path):
    drawn = Dataset(sample(1).pictures, ["../up/and:away"], names=["../../etc/pass wd"])
    prepare(drawn, tmp_path / "out")
    assert listed(tmp_path / "out")[0]["image"] == "all/_up_and_away/000000_pass_wd.png"


def test_collect_numbers_on_and_overwrites_nothing(run, clip, tmp_path):
    out = tmp_path / "mine"
    done = run("collect", out, "--label", "happiness", "--source", clip, "--max", 3, "--every", 2)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("3 pictures saved")
    assert "All pictures there count as 1, because near-duplicates count once" in done.stderr
    first = (out / "happiness" / "happiness_00001.png").read_bytes()
    (out / "happiness" / "notes.txt").write_text("mine")
    collect(clip, "happiness", out, most=2, every=1)
    names = sorted(path.name for path in (out / "happiness").glob("*.png"))
    assert names == [f"happiness_{i:05d}.png" for i in range(1, 6)]
    assert (out / "happiness" / "happiness_00001.png").read_bytes() == first
    picture = read_image(out / "happiness" / names[0])
    assert 60 < picture.shape[0] < 200
    assert load(out).labels.tolist() == ["happiness"] * 5


def test_collected_faces_have_a_margin(clip, tmp_path):
    sides = []
    for margin in (0.0, 0.3):
        done = collect(clip, "x", tmp_path / str(margin), most=1, margin=margin)
        sides.append(read_image(next(done.folder.iterdir())).shape[0])
    assert sides[1] > 1.3 * sides[0]


def test_collect_counts_frames_without_a_face(tmp_path):
    import cv2

    writer = cv2.VideoWriter(str(tmp_path / "wall.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for _ in range(4):
        writer.write(np.full((120, 160, 3), 120, np.uint8))
    writer.release()
    done = collect(tmp_path / "wall.avi", "x", tmp_path / "out", every=1)
    assert (done.saved, done.frames, done.without_face, done.distinct) == (0, 4, 4, 0)


def test_collect_ends_whole_and_knows_what_is_there(tmp_path, monkeypatch):
    def clip(source, every=1):
        for seed in range(3):
            yield Frame(draw_face("happiness", seed=seed, size=200))
        raise KeyboardInterrupt

    monkeypatch.setattr("ferkit.collect.frames", clip)
    first = collect("clip", "happiness", tmp_path)
    assert first.saved >= 2
    again = collect("clip", "happiness", tmp_path)
    assert (again.saved, again.distinct) == (first.saved, first.distinct)
    assert len(list((tmp_path / "happiness").glob("*.png"))) == 2 * first.saved


def test_collect_leaves_no_part_of_a_picture(tmp_path, monkeypatch):
    class Full:
        def tobytes(self):
            raise OSError(28, "No space left on device")

    picture = Frame(draw_face("happiness", seed=1, size=200))
    monkeypatch.setattr("ferkit.collect.frames", lambda *a: (one for one in [picture]))
    monkeypatch.setattr("ferkit.collect.cv2.imencode", lambda *a: (True, Full()))
    with pytest.raises(DataError, match="No space left"):
        collect("clip", "happiness", tmp_path)
    assert not list((tmp_path / "happiness").iterdir())


@pytest.mark.parametrize("label", ["", " ", "a/b", "..", "a\\b", "con:x", ".hidden"])
def test_collect_refuses_names_that_no_folder_can_have(tmp_path, clip, label):
    with pytest.raises(InputError, match="label="):
        collect(clip, label, tmp_path)


def test_collect_errors(run, clip, tmp_path, capfd):
    with pytest.raises(InputError, match="max=0"):
        collect(clip, "x", tmp_path, most=0)
    with pytest.raises(PictureError, match="does not exist"):
        collect(tmp_path / "gone.mp4", "x", tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="can be written to"):
        collect(clip, "x", tmp_path / "file", most=1)
    assert run("collect", tmp_path).exit_code == 2
