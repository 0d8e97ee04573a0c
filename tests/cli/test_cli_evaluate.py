"""``ferkit evaluate``: figures, notes, refusals."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.pipeline import Pipeline

from ferkit import store
from ferkit.cli import main
from ferkit.cli.evaluate import evaluate as command
from ferkit.faces import FaceExtractor
from ferkit.features import HOG, FamilyUnion
from ferkit.model import LinearSVM
from ferkit.records import seen_hashes
from ferkit.sources import sample

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
def data():
    return sample(140, seed=6)


@pytest.fixture(scope="module")
def models(tmp_path_factory, data):
    """Two models: one fitted on faces of the set, one on the mirror images of a few."""
    folder = tmp_path_factory.mktemp("models")
    train = data.split("Training")
    _save(folder / "good.ferkit", train.pictures, train.labels, fusion=data.split("PublicTest").pictures)
    _save(folder / "poor.ferkit", train.pictures[:28, :, ::-1], train.labels[:28])
    return folder


def _save(path, pictures, labels, fusion=None, recipe=""):
    steps = [
        ("faces", FaceExtractor(detector="haar", landmarks="none")),
        ("features", FamilyUnion([("hog", HOG(cell=12))])),
        ("model", LinearSVM()),
    ]
    pipeline = Pipeline(steps).fit(pictures, labels)
    hashes = seen_hashes(np.ascontiguousarray(pictures))
    store.save(pipeline, path, {"recipe": recipe}, hashes, None if fusion is None else seen_hashes(fusion))


@pytest.fixture
def folder(tmp_path, data):
    """Every second face in split folders."""
    for i in range(0, 140, 2):
        place = tmp_path / "set" / data.splits[i] / data.labels[i]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.pictures[i]).save(place / f"{i:03}.png")
    return tmp_path / "set"


@pytest.fixture
def call(models, folder):
    def run(*args, model="good.ferkit"):
        return CliRunner().invoke(main, ["evaluate", str(folder), "--model", str(models / model), *map(str, args)])

    return run


def test_figures_are_printed_and_written(call, tmp_path, folder):
    done = call("--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "out.json").read_text())
    assert set(figures) >= KEYS
    assert figures["n"] == 70
    assert f"{figures['accuracy']:.4f}" in done.stdout
    assert figures["data"] == str(folder)
    assert "true \\ predicted" in done.stdout
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.json"]


def test_faces_that_were_seen_raise_a_warning(call, tmp_path):
    done = call("--json", tmp_path / "out.json")
    seen = json.loads((tmp_path / "out.json").read_text())["seen"]
    assert seen["fitted"] > 0
    assert seen["fusion"] > 0
    assert f"Warning: {seen['fitted']} of these faces were used to train the model" in done.stderr
    assert f"Warning: {seen['fusion']} of these faces fitted the model's fusion" in done.stderr
    clean = call("--split", "PrivateTest", "--json", tmp_path / "clean.json")
    assert "Warning" not in clean.stderr
    assert json.loads((tmp_path / "clean.json").read_text())["seen"] == {"fitted": 0, "fusion": 0}


def test_splits_are_listed_and_chosen(call):
    done = call()
    assert "All parts are scored:" in done.stderr
    assert "PublicTest" in done.stderr
    one = call("--split", "PublicTest")
    assert one.exit_code == 0
    assert "All parts" not in one.stderr
    wrong = call("--split", "holiday")
    assert wrong.exit_code == 1
    assert "Got split='holiday'" in wrong.stderr


def test_persons_of_other_splits_are_counted(call, folder, tmp_path):
    for i, path in enumerate(sorted(folder.glob("*/*/*.png"))):
        path.rename(path.with_name(f"person{'abcde'[i % 5]}_{i}.png"))
    done = call("--split", "PublicTest", "--subjects-from-names", "--json", tmp_path / "out.json")
    assert "5 persons of these faces have pictures in other splits of the set: a model" in done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["persons_in_other_splits"] == 5
    assert "other splits" not in call("--subjects-from-names").stderr


def test_two_models_are_compared_row_by_row(call, models, tmp_path):
    done = call("--against", models / "poor.ferkit", "--json", tmp_path / "out.json")
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "out.json").read_text())
    against = result["against"]
    assert against["accuracy"] == result["accuracy"]
    assert against["difference"] == pytest.approx((against["only_this"] - against["only_other"]) / 70)
    assert against["p_value"] < 0.05
    assert "McNemar p = " in done.stdout
    itself = call("--against", models / "good.ferkit")
    assert "difference +0.0000 [+0.0000, +0.0000]" in itself.stdout


def test_a_broken_picture_is_told_and_the_rest_is_scored(call, folder, models, tmp_path):
    broken = sorted(folder.glob("*/*/*.png"))[5]
    broken.write_bytes(b"no picture")
    done = call("--json", tmp_path / "out.json", "--against", models / "poor.ferkit")
    assert done.exit_code == 1
    assert "1 pictures skipped" in done.stderr
    assert f"Skipped: {broken}" in done.stderr or broken.name in done.stderr
    figures = json.loads((tmp_path / "out.json").read_text())
    assert (figures["n"], figures["skipped"], figures["against"]["n"]) == (69, 1, 69)


def test_files_of_the_data_are_not_written_over(call, folder, tmp_path):
    picture = next(folder.rglob("*.png"))
    before = picture.read_bytes()
    for option in ("--json", "--predictions"):
        done = call(option, picture)
        assert done.exit_code == 2
        assert "a file of the data, expected another" in done.stderr
    assert picture.read_bytes() == before
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "thesis.txt").touch()
    assert "which holds other files" in call("--report", tmp_path / "report").stderr
    (tmp_path / "report" / "thesis.txt").unlink()
    for name in ("figures.json", "index.html", "stress.jsonl"):
        (tmp_path / "report" / name).write_text("mine")
        if name != "stress.jsonl":
            assert "which holds other files" in call("--report", tmp_path / "report").stderr
    for name in ("figures.json", "index.html"):
        assert (tmp_path / "report" / name).read_text() == "mine"
        (tmp_path / "report" / name).unlink()
    inside = call("--report", tmp_path / "report", "--json", tmp_path / "report" / "figures.json")
    assert "inside the report, expected another folder" in inside.stderr


def test_compare_names_pictures_that_it_skips(folder, models):
    next(folder.glob("*/*/*.png")).write_bytes(b"no picture")
    names = [str(models / name) for name in ("good.ferkit", "poor.ferkit")]
    done = CliRunner().invoke(main, ["compare", *names, "--data", str(folder)])
    assert done.exit_code == 1
    assert done.stderr.count("Skipped: ") == 1
    (folder / "PublicTest" / "anger").rename(folder / "PublicTest" / "pride")
    assert CliRunner().invoke(main, ["compare", *names, "--data", str(folder), "--drop-unknown"]).exit_code == 1


def test_another_detector(call):
    assert call("--cropped", "no", "--detector", "haar").exit_code == 0
    done = call("--detector", "retina")
    assert done.exit_code == 1
    assert "Got detector='retina', expected one of" in done.stderr


def test_unknown_labels_are_listed_or_dropped(call, folder, tmp_path):
    (folder / "PublicTest" / "anger").rename(folder / "PublicTest" / "pride")
    done = call()
    assert done.exit_code == 1
    assert "Got labels pride, expected labels that the model knows: anger, disgust" in done.stderr
    assert "Traceback" not in done.output
    dropped = call("--drop-unknown")
    assert dropped.exit_code == 0
    assert "left out, because the model does not know their label" in dropped.stderr


def test_models_with_labels_of_their_recipe_are_scored_and_compared(models, folder, data, tmp_path):
    train = data.split("Training").relabel({"happiness": "positive", "fear": None})
    _save(tmp_path / "a.ferkit", train.pictures, train.labels, recipe="labels: {happiness: positive, fear: drop}")
    _save(tmp_path / "b.ferkit", train.pictures[:60], train.labels[:60], recipe="labels: {happy: positive, fear: null}")
    files = [str(tmp_path / "a.ferkit"), str(tmp_path / "b.ferkit")]
    done = CliRunner().invoke(main, ["evaluate", str(folder), "--model", files[0], "--against", files[1]])
    assert done.exit_code == 0, done.output
    assert "Labels as in the model's recipe: fear left out, happiness as positive.\n" in done.stderr
    assert "does not know" not in done.stderr
    done = CliRunner().invoke(main, ["compare", *files, "--data", str(folder)])
    assert done.exit_code == 0, done.output
    assert done.stderr.count("fear left out, happiness as positive.") == 2


def test_models_whose_recipes_merge_labels_differently_are_not_compared(models, folder, data, tmp_path):
    train = data.split("Training").relabel({"fear": "surprise"})
    _save(tmp_path / "merged.ferkit", train.pictures, train.labels, recipe="labels: {fear: surprise}")
    files = [models / "good.ferkit", tmp_path / "merged.ferkit"]
    for own, other, got in ((*files, "'surprise'"), (*files[::-1], "'fear'")):
        done = CliRunner().invoke(main, ["evaluate", str(folder), "--model", str(own), "--against", str(other)])
        assert done.exit_code == 1
        assert f"{other.name}: Got label {got} for" in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize(("choice", "told"), [("yes", True), ("auto", True), ("no", False)])
def test_cropped_pictures_are_told(call, choice, told):
    done = call("--split", "PrivateTest", "--cropped", choice)
    assert done.exit_code == 0
    assert ("taken as already cropped" in done.stderr) is told


def test_output_that_cannot_be_written_is_told_before_any_work(call, models, folder, tmp_path):
    nowhere = call("--json", tmp_path / "no" / "out.json")
    assert nowhere.exit_code == 2
    assert "expected a file in a folder that exists" in nowhere.stderr
    model = models / "good.ferkit"
    before = model.read_bytes()
    itself = call("--json", model)
    assert itself.exit_code == 2
    assert "which is also read" in itself.stderr
    assert model.read_bytes() == before


def test_a_report_does_not_go_into_the_data(call, folder):
    for inside in (folder, folder / "report"):
        done = call("--report", inside)
        assert done.exit_code == 2
        assert "inside the data" in done.stderr
    assert not (folder / "report").exists()


def test_a_full_disk_leaves_the_old_file(call, tmp_path, monkeypatch):
    path = tmp_path / "out.json"
    path.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    done = call("--split", "PrivateTest", "--json", path)
    assert done.exit_code == 1
    assert "No space left on device" in done.stderr
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["out.json"]


def test_data_and_models_that_are_none(call, tmp_path):
    missing = CliRunner().invoke(main, ["evaluate", str(tmp_path / "nothing")])
    assert missing.exit_code == 1
    assert "Error: Got" in missing.stderr
    (tmp_path / "text.ferkit").write_text("no model")
    wrong = call(model=tmp_path / "text.ferkit")
    assert wrong.exit_code == 1
    assert "Error: Got" in wrong.stderr


def test_help_names_an_example():
    text = CliRunner().invoke(command, ["--help"]).stdout
    assert "ferkit evaluate my_photos/ --model mine.ferkit" in text


def test_a_report_with_groups_and_stress(call, folder, tmp_path, monkeypatch):
    names = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*/*.png"))
    rows = "".join(f"{name},{'left' if i % 2 else 'right'},no. {i}\n" for i, name in enumerate(names))
    (tmp_path / "sides.csv").write_text("name,side,remark\n" + rows)
    monkeypatch.setattr("ferkit.evaluate.slices.MOST_VALUES", 5)
    out = tmp_path / "report"
    options = ["--split", "PublicTest", "--slices", tmp_path / "sides.csv", "--json", tmp_path / "out.json"]
    done = call("--report", out, "--stress", "--stress-rows", 10, "--jobs", 1, *options)
    assert done.exit_code == 0, done.output
    assert f"wrote {out / 'index.html'}" in done.stdout
    kept = json.loads((out / "figures.json").read_text())
    assert [own["value"] for own in kept["slices"]["side"]] == ["left", "right"]
    assert "remark" not in kept["slices"]
    assert "Column 'remark' of the groups is left out: " in done.stderr
    assert any("Column 'remark' of the groups is left out: " in note for note in kept["notes"])
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["stress"] == kept["stress"]
    assert f"under stress: {figures['stress']['relative']:.4f}" in done.stdout
    assert len((out / "stress.jsonl").read_text().splitlines()) == 71
    assert any("fitted the model's fusion" in note for note in kept["notes"])


def test_figures_are_kept_when_the_stress_test_is_stopped(call, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ferkit.evaluate.report.stress", stop)
    outputs = ["--json", tmp_path / "out.json", "--predictions", tmp_path / "out.csv"]
    done = call("--split", "PublicTest", "--report", tmp_path / "report", "--stress", *outputs)
    assert done.exit_code == 130
    figures = json.loads((tmp_path / "out.json").read_text())
    assert len((tmp_path / "out.csv").read_text().splitlines()) == figures["n"] + 1


@pytest.mark.parametrize("option", ["--json", "--predictions", "--report"])
def test_a_folder_without_permission_is_told_before_any_work(call, tmp_path, monkeypatch, option):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    done = call(option, tmp_path / "out")
    assert done.exit_code == 2
    assert "that you may write to" in done.stderr
    assert done.stdout == ""


def test_predictions_are_compared(call, models, folder, tmp_path):
    for name in ("good", "poor"):
        done = call("--predictions", tmp_path / f"{name}.csv", model=f"{name}.ferkit")
        assert done.exit_code == 0, done.output
    files = [str(tmp_path / "good.csv"), str(tmp_path / "poor.csv")]
    done = CliRunner().invoke(main, ["compare", *files, "--json", str(tmp_path / "out.json")])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["n"], list(result["models"])) == (70, ["good", "poor"])
    assert result["pairs"][0]["p_value"] < 0.05
    assert "good - poor" in done.stdout
    mixed = CliRunner().invoke(main, ["compare", str(models / "good.ferkit"), files[1], "--data", str(folder)])
    assert mixed.exit_code == 0, mixed.output
    assert mixed.stdout.splitlines()[-1] == done.stdout.splitlines()[-1]
    assert "of these faces fitted the model" in mixed.stderr


def test_comparisons_that_are_none(tmp_path):
    alone = CliRunner().invoke(main, ["compare", "fast"])
    assert alone.exit_code == 2
    assert "Got the model 'fast' without --data" in alone.stderr
    twice = CliRunner().invoke(main, ["compare", "a.csv", "a.csv"])
    assert twice.exit_code == 2
    assert "Got one file twice" in twice.stderr
    for option in (["--data", "sample"], ["--split", "Training"], ["--drop-unknown"]):
        useless = CliRunner().invoke(main, ["compare", "a.csv", "b.csv", *option])
        assert useless.exit_code == 2
        assert f"Got {option[0]} with predictions only" in useless.stderr
    missing = CliRunner().invoke(main, ["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    assert missing.exit_code == 1
    assert "cannot be read" in missing.stderr


def test_a_recipe_is_cross_validated(folder, tmp_path):
    recipe = tmp_path / "small.yaml"
    recipe.write_text("features: {hog: {cell: 16}}\nmodel: {linear_svm: {calibrate: false}}\n")
    options = ["--recipe", str(recipe), "--data", str(folder), "--folds", "2", "--jobs", "1"]
    kept = ["--json", str(tmp_path / "out.json"), "--predictions", str(tmp_path / "out.csv")]
    kept += ["--cache", str(tmp_path / "cache")]
    done = CliRunner().invoke(main, ["evaluate", *options, *kept])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "out.json").read_text())
    assert any((tmp_path / "cache").rglob("*.npy"))
    assert len(figures["folds"]) == 2
    assert figures["n"] == 70
    assert f"{figures['over_folds']['accuracy']['mean']:.4f}" in done.stdout
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 71


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Got no data set"),
        (["x", "--data", "y"], "Got DATA='x' and --data 'y'"),
        (["x", "--stress"], "without --report"),
        (["x", "--report", "out", "--stress-rows", "5"], "--stress-rows without --stress"),
        (["x", "--recipe", "hog_svm", "--model", "fast"], "Got --recipe with --model"),
        (["x", "--set", "seed=1"], "Got --set without --recipe"),
        (["x", "--cache", "none"], "Got --cache without --recipe"),
        (["x", "--folds", "3"], "Got --folds without --recipe"),
        (["x", "--jobs", "2"], "Got --jobs without --stress or --recipe"),
        (["x", "--report", "r", "--json", "r/figures.json"], "expected a file in a folder that exists"),
        (["x", "--json", "o.json", "--predictions", "o.json"], "also read or written by another option"),
        (["x", "--recipe", "hog_svm", "--drop-unknown"], "Got --recipe with --drop-unknown, expected --set labels"),
        (["x", "--predictions", "no/such/place.csv"], "expected a file in a folder that exists"),
    ],
    ids=range(13),
)
def test_options_that_do_not_go_together(options, message):
    done = CliRunner().invoke(main, ["evaluate", *options])
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_table_of_groups_is_looked_at_before_the_work(call, tmp_path, monkeypatch):
    monkeypatch.setattr("ferkit.evaluate.evaluate_dataset", lambda *_, **__: pytest.fail("faces were read"))
    (tmp_path / "ages.csv").write_text("name,age\nelsewhere.png,7\n")
    done = call("--report", tmp_path / "report", "--slices", tmp_path / "ages.csv")
    assert done.exit_code == 1
    assert "which names none of the pictures" in done.stderr
