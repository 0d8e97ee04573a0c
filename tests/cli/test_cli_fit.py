"""``ferkit fit`` from a recipe to a model file."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ferkit import store
from ferkit.cli import main
from ferkit.cli.fit import Steps
from ferkit.evaluate import Predictions
from ferkit.features import FamilyUnion
from ferkit.labels import FER2013
from ferkit.sources import load, sample

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("--set", "features.hog.cell=16", "--cache", "none", "--data", "faces.csv")


@pytest.fixture(scope="module")
def drawn():
    """A small drawn set as FER2013's CSV, because drawing takes longer than fitting."""
    data = sample(n=210, seed=4)
    rows = zip(data.labels, data.pictures, data.splits, strict=True)
    lines = [f"{FER2013.index(label)},{' '.join(map(str, face.ravel()))},{split}" for label, face, split in rows]
    return "\n".join(["emotion,pixels,Usage", *lines]) + "\n"


@pytest.fixture
def run(tmp_path, monkeypatch, drawn):
    """Run a command in a folder that holds the drawn set, with an empty cache."""
    (tmp_path / "faces.csv").write_text(drawn)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(*args):
        return CliRunner().invoke(main, [str(arg) for arg in args])

    return call


def test_a_folder_whose_name_is_no_text_is_a_label(run, tmp_path):
    for i, (picture, label) in enumerate(zip(sample(24).pictures, [b"caf\xe9", b"tea"] * 12, strict=True)):
        folder = tmp_path / "drinks" / os.fsdecode(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{i}.png")
    result = run("fit", "hog_svm", *QUICK[:4], "--data", "drinks", "-o", "drinks.ferkit")
    assert result.exit_code == 0, result.output
    assert sorted(store.inspect("drinks.ferkit")["classes"]) == [r"caf\udce9", "tea"]


@pytest.mark.parametrize(
    ("command", "jobs"),
    [
        (["fit", "hog_svm", *QUICK], -1),
        (["fit", "hog_svm", *QUICK, "--jobs", 1], 1),
        (["evaluate", "--recipe", "hog_svm", *QUICK], -1),
        (["evaluate", "--recipe", "hog_svm", *QUICK, "--jobs", 1], 1),
    ],
)
def test_all_cores_work_unless_told(run, monkeypatch, command, jobs):
    asked = []
    monkeypatch.setattr(FamilyUnion, "_in_batches", _noting(asked, FamilyUnion._in_batches))
    assert run(*command).exit_code == 0
    assert set(asked) - {None} == {jobs}  # a fitted model answers with one thread


def _noting(asked, own):
    """``FamilyUnion._in_batches`` that notes how many threads it was given while a model is fitted."""

    def in_batches(self, family, faces):
        asked.extend([self.n_jobs] * (len(faces) > 1))
        return own(self, family, faces)

    return in_batches


def test_a_recipe_on_the_sample_set(run, tmp_path):
    done = run("fit", ROOT / "pipelines" / "hog_svm.yaml", "--jobs", 2, "--json", "out.json")
    assert done.exit_code == 0, done.output
    assert "validation on PublicTest (105 rows): accuracy 0." in done.output
    assert done.stderr == ""
    model = store.load(tmp_path / "hog_svm.ferkit")
    rows = load("faces.csv")  # drawn with another seed: other people
    columns = np.array(model.labels)
    accuracy = (columns[model.predict_proba(rows.pictures).argmax(axis=1)] == rows.labels).mean()
    assert accuracy > 0.5
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["metrics"] == model.manifest["metrics"]
    assert written["metrics"]["n"] == 105
    low, high = written["metrics"]["accuracy_ci"]
    assert low < written["metrics"]["accuracy"] < high
    assert list((tmp_path / "cache" / "ferkit").iterdir())


def test_a_recipe_by_name_and_overrides(run, tmp_path):
    done = run("fit", "hog_svm", *QUICK, "--set", "model.C=0.5", "-o", "deep/mine.ferkit")
    assert done.exit_code == 0, done.output
    model = store.load(tmp_path / "deep" / "mine.ferkit")
    assert model.pipeline.named_steps["model"].C == 0.5
    assert "C: 0.5" in model.manifest["recipe"]
    assert not (tmp_path / "cache").exists()


def test_a_split_and_dropped_labels(run, tmp_path):
    drop = ["--set", "labels.fear=drop", "--set", "labels.disgust=drop"]
    done = run("fit", "hog_svm", *QUICK, "--split", "PublicTest", *drop, "-o", "m.ferkit")
    assert done.exit_code == 0, done.output
    model = store.load(tmp_path / "m.ferkit")
    assert model.labels == ["anger", "happiness", "sadness", "surprise", "neutral"]
    rows = model.manifest["rows"]
    assert rows["train"] + rows["held_out"] == pytest.approx(25, abs=3)
    assert model.manifest["data"]["held_out"] == "20% of the training rows"


def test_answers_for_the_held_out_rows_are_kept(run, drawn):
    done = run("fit", ROOT / "pipelines" / "hog_svm.yaml", *QUICK, "--predictions", "a.csv", "--json", "out.json")
    assert done.exit_code == 0, done.output
    kept = Predictions.load("a.csv")
    assert kept.right.mean() == pytest.approx(json.loads(Path("out.json").read_text())["metrics"]["accuracy"])
    lines = drawn.splitlines()
    held_out = [i for i, line in enumerate(lines, 1) if line.endswith("PublicTest")]
    assert sorted(int(name.rpartition(":")[2]) for name in kept.names) == held_out
    nothing = run(
        "fit", ROOT / "pipelines" / "hog_svm.yaml", *QUICK, "--set", "validation=none", "--predictions", "b.csv"
    )
    assert nothing.exit_code == 1
    assert "no rows held out" in nothing.stderr


def test_nothing_held_out(run):
    done = run("fit", "hog_svm", *QUICK, "--set", "validation=none", "-o", "m.ferkit")
    assert "validation: none" in done.output


def test_a_search_is_reported(run):
    done = run("fit", "hog_svm", *QUICK, "--set", "search.params={model.C: [1.0e-3, 0.1]}", "-o", "m.ferkit")
    assert done.exit_code == 0, done.output
    assert "search: model.C=0.1 (accuracy 0." in done.output


def test_persons_on_both_sides_are_said(run, tmp_path):
    people = sample(n=70, seed=2)
    lines = ["image,label,split,subject"]
    for i, face in enumerate(people.pictures):
        Image.fromarray(face).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{people.labels[i]},{people.splits[i]},ann")
    (tmp_path / "people.csv").write_text("\n".join(lines))
    done = run("fit", "hog_svm", *QUICK[:4], "--data", "people.csv", "--set", "model.calibrate=false", "-o", "m.ferkit")
    assert done.exit_code == 0, done.output
    assert "note: 1 persons have pictures both in the training rows and in PublicTest" in done.stdout


def test_folders_of_pictures_with_broken_ones(run, tmp_path):
    people = sample(n=70, seed=2)
    for i in range(70):
        folder = tmp_path / "faces" / people.labels[i]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(people.pictures[i]).save(folder / f"{i}.png")
    (tmp_path / "faces" / "anger" / "bad.png").write_text("this is text")
    done = run("fit", "hog_svm", *QUICK[:4], "--data", tmp_path / "faces", "-o", "m.ferkit")
    assert done.exit_code == 1, "pictures were skipped"
    assert store.load(tmp_path / "m.ferkit").labels
    assert ", 1 as pictures that cannot be read" in done.output
    assert "bad.png" in done.stderr


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["hog_svn"], "Did you mean 'hog_svm'?"),
        (["none.yaml"], "No such file"),
        (["hog_svm", "--data", "nowhere"], "does not exist"),
        (["hog_svm", "--data", "faces.csv", "--split", "Tarining"], "Got split='Tarining'"),
        (["hog_svm", "--set", "model.c=1"], "Did you mean 'C'?"),
        (["hog_svm", "-o", "file/m.ferkit"], "expected a file in a place that can be written"),
        (["hog_svm", "--set", "name=place"], "expected a file in a place that can be written"),
    ],
)
def test_what_goes_wrong_takes_one_line(run, tmp_path, args, error):
    (tmp_path / "file").touch()
    (tmp_path / "place.ferkit").mkdir()
    done = run("fit", *args)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert error in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ["-o", "faces.csv"],
        ["-o", "own.yaml"],
        ["--json", "faces.csv"],
        ["--predictions", "faces.csv"],
        ["-o", "m.ferkit", "--json", "m.ferkit"],
        ["--json", "new.json", "--predictions", "new.json"],
    ],
)
def test_what_is_read_or_written_already_is_refused(run, drawn, args):
    recipe = (ROOT / "pipelines" / "hog_svm.yaml").read_text()
    Path("own.yaml").write_text(recipe)
    done = run("fit", "own.yaml", *QUICK, *args)
    assert done.exit_code == 2
    assert "which is also read or written" in done.stderr
    assert (Path("faces.csv").read_text(), Path("own.yaml").read_text()) == (drawn, recipe)


def test_a_picture_of_the_set_is_not_written_over(run, tmp_path):
    recordings(tmp_path / "faces", 3)
    picture = tmp_path / "faces" / "anger" / "0.png"
    before = picture.read_bytes()
    done = run("fit", "hog_svm", "--data", "faces", "--json", picture, "--cache", "none")
    assert (done.exit_code, picture.read_bytes()) == (2, before)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--predictions", "no/p.csv"], "expected a file in a folder that exists"),
        (["--json", "no/p.json"], "expected a file in a folder that exists"),
        (["--jobs", "0"], "Got 0, expected 1 or more, or -1"),
        (["--jobs", "-2"], "Got -2, expected 1 or more, or -1"),
    ],
)
def test_what_cannot_work_is_refused_before_the_fit(run, tmp_path, args, error):
    done = run("fit", "hog_svm", *QUICK, *args)
    assert done.exit_code == 2
    assert error in done.stderr
    assert not (tmp_path / "hog_svm.ferkit").exists()


def recordings(folder, n_labels):
    """A folder with one recording of a face for each label, so that its pictures are near-duplicates."""
    people = sample(n=7)
    for label, face in list(zip(people.labels, people.pictures, strict=True))[:n_labels]:
        (folder / label).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(face + np.uint8(i)).save(folder / label / f"{i}.png")


def test_one_recording_of_each_label(run, tmp_path):
    recordings(tmp_path / "two", 2)
    two = run("fit", "hog_svm", "--data", "two", "--cache", "none")
    assert two.exit_code == 1
    assert "4 pictures of 'anger' that count as 1" in two.stderr
    assert "expected at least 2 of each to calibrate on: collect more" in two.stderr
    recordings(tmp_path / "three", 3)
    three = run("fit", "hog_svm", "--data", "three", "--cache", "none")
    assert three.exit_code == 0, three.output
    assert "validation: none, no rows were held out: got 4 pictures of 'anger' that count as 1" in three.output


def test_a_folder_with_one_class(run, tmp_path):
    folder = tmp_path / "faces" / "anger"
    folder.mkdir(parents=True)
    for i, face in enumerate(sample(n=7).pictures):
        Image.fromarray(face).save(folder / f"{i}.png")
    done = run("fit", "hog_svm", "--data", tmp_path / "faces")
    assert done.exit_code == 1
    assert "1 class" in done.stderr or "expected" in done.stderr


def test_a_failed_fit_leaves_the_old_model(run, tmp_path):
    (tmp_path / "m.ferkit").write_text("old")
    assert run("fit", "hog_svm", *QUICK, "--set", "model.C=-1", "-o", "m.ferkit").exit_code == 1
    assert (tmp_path / "m.ferkit").read_text() == "old"


def test_steps_are_shown_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    steps = Steps()
    steps("faces", 0, 10)
    steps("faces", 10, 10)
    steps("model", 0, 0)
    steps.close()
    lines = capsys.readouterr().err.split("\n")
    assert "faces 10/10" in lines[0]
    assert "faces: 0.0 s" in lines[0]
    assert "model: 0.0 s" in lines[1]


def test_steps_are_silent_in_a_pipe(capsys):
    steps = Steps()
    steps("faces", 0, 10)
    steps.close()
    assert capsys.readouterr().err == ""


REAL = ROOT / ".." / "shared" / "data" / "fer2013" / "fer2013.csv.gz"


@pytest.mark.skipif(not REAL.exists(), reason="FER2013 is not here")
def test_real_faces(run, tmp_path):
    with_rows = tmp_path / "part.csv"
    with gzip.open(REAL, "rt") as source:
        lines = [next(source) for _ in range(801)]
        lines += [line for line in source if line.rstrip().endswith("PublicTest")][:200]
    with_rows.write_text("".join(lines))
    done = run("fit", "hog_svm", "--data", with_rows, "--cache", "none", "-o", "m.ferkit")
    assert done.exit_code == 0, done.output
    metrics = store.inspect(tmp_path / "m.ferkit")["metrics"]
    assert metrics["n"] == 200
    assert 0.2 < metrics["accuracy"] < 0.6
