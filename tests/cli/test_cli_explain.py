"""``ferkit explain``: what is written, what is said, what is refused."""

import json
import os
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ferkit import recipe
from ferkit.cli import main
from ferkit.explain import Explainer
from ferkit.sources import draw_face, sample


def run(*args):
    return CliRunner().invoke(main, ["explain", *map(str, args)])


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "smile.png"
    Image.fromarray(draw_face("happiness", size=200, seed=1)).save(path)
    return path


def test_a_page_and_numbers(photo, tmp_path):
    result = run(photo, "-o", tmp_path / "why.html", "--json", tmp_path / "why.json")
    assert result.exit_code == 0, result.output
    assert "smile.png: happiness, " in result.output
    assert f"wrote {tmp_path / 'why.html'}" in result.output
    assert (tmp_path / "why.html").read_text().startswith("<!doctype html>")
    (said,) = json.loads((tmp_path / "why.json").read_text())
    assert said["label"] == "happiness"
    assert np.array(said["map"]).shape == (48, 48)
    added = said["bias"]["happiness"] + said["contributions"]["cnn"]["happiness"]
    assert added == pytest.approx(said["log_odds"]["happiness"], abs=1e-6)


def test_pictures_are_numbered_and_broken_ones_skipped(photo, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    result = run(photo, bad, photo, "-o", tmp_path / "why.png", "--model", "fast", "--label", "fear")
    assert result.exit_code == 1
    assert "Skipped: " in result.output
    assert "Why fear, " in result.output
    assert sorted(path.name for path in tmp_path.glob("why*")) == ["why_1.png", "why_2.png"]
    with Image.open(tmp_path / "why_1.png") as picture:
        assert picture.width > 1000


def test_what_is_drawn_before_an_interruption_stays(photo, tmp_path, monkeypatch):
    explain, left = Explainer.explain, iter(range(2))

    def interrupted(self, *args, **settings):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return explain(self, *args, **settings)

    monkeypatch.setattr(Explainer, "explain", interrupted)
    result = run(photo, photo, photo, "-o", tmp_path / "why.png", "--model", "fast")
    assert result.exit_code == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["why_1.png", "why_2.png"]


def test_no_picture_that_is_read_is_written_over(photo, tmp_path):
    first, second = tmp_path / "shot_1.png", tmp_path / "shot_2.png"
    for path in (first, second):
        path.write_bytes(photo.read_bytes())
    table = tmp_path / "list.csv"
    table.write_text("image,label\nshot_1.png,happiness\nshot_2.png,happiness\n")
    for args in (
        (first, second, "-o", tmp_path / "shot.png"),
        (tmp_path, "-o", tmp_path / "shot.png"),
        (tmp_path / "shot_*.png", "-o", first),
        (first, "-o", tmp_path / "x.html", "--json", tmp_path / "x.html"),
        ("--data", table, "--json", table, "-o", tmp_path / "x.html"),
    ):
        result = run(*args)
        assert result.exit_code == 2, args
        assert "which is also read or written" in " ".join(result.output.split())
    assert first.read_bytes() == second.read_bytes() == photo.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "shot_1.png", "shot_2.png"]


def test_no_picture_of_a_data_set_is_written_over(photo, tmp_path):
    picture = tmp_path / "set" / "happiness" / "a.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(photo.read_bytes())
    (tmp_path / "list.csv").write_text("image,label\nset/happiness/a.png,happiness\n")
    for data, said in (("set", "a file of the data"), ("list.csv", "which is also read or written")):
        result = run("--data", tmp_path / data, "-o", picture)
        assert result.exit_code == 2
        assert said in " ".join(result.output.split())
    assert picture.read_bytes() == photo.read_bytes()


def test_the_only_picture_of_a_folder_is_not_written_over(photo, tmp_path):
    only = tmp_path / "shot_1.png"
    only.write_bytes(photo.read_bytes())
    for output in (only, tmp_path / "shot.png"):
        result = run(tmp_path, "-o", output)
        assert result.exit_code == 2
        assert "which is also read or written" in " ".join(result.output.split())
    assert only.read_bytes() == photo.read_bytes()


def test_a_video_among_pictures_is_skipped_and_the_rest_explained(photo, tmp_path):
    from ferkit.sources import sample_video

    folder = tmp_path / "holiday"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    sample_video(folder / "b.mp4", expressions=["neutral"], frames_each=3)
    result = run(folder, "-o", tmp_path / "why.html")
    assert result.exit_code == 1
    assert "Skipped: Got the video" in result.output
    assert "a.png: " in result.output
    assert (tmp_path / "why.html").stat().st_size > 10_000


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text")
@pytest.mark.parametrize("name", ["why.html", "why.svg"])
def test_a_name_that_is_no_text(photo, tmp_path, name):
    odd = tmp_path / os.fsdecode(b"caf\xe9.png")
    odd.write_bytes(photo.read_bytes())
    result = run(odd, "-o", tmp_path / name, "--json", tmp_path / "why.json", "--model", "fast")
    assert result.exit_code == 0, result.output
    assert "caf\\udce9.png: " in result.stdout
    assert json.loads((tmp_path / "why.json").read_text())[0]["source"] == "caf\\udce9.png"
    assert (tmp_path / name).stat().st_size > 10_000


def test_vectors(photo, tmp_path):
    assert run(photo, "--against", "happiness", "-o", tmp_path / "why.svg").exit_code == 0
    assert b"<svg" in (tmp_path / "why.svg").read_bytes()


def test_nothing_to_explain(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    result = run(bad, "-o", tmp_path / "why.html", "--json", tmp_path / "new.json")
    assert result.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.png"]
    (tmp_path / "why.json").write_text("yesterday's")
    result = run(tmp_path / "gone.png", "-o", tmp_path / "why.html", "--json", tmp_path / "why.json")
    assert result.exit_code == 1
    assert f"Nothing could be read: {tmp_path / 'why.json'} stays as it was." in result.stderr
    assert (tmp_path / "why.json").read_text() == "yesterday's"


def test_a_data_set(tmp_path):
    for label in ("happiness", "anger"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for seed in range(2):
            Image.fromarray(draw_face(label, size=60, seed=seed)).save(tmp_path / "set" / label / f"{seed}.png")
    (tmp_path / "set" / "boredom").mkdir()
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(tmp_path / "set" / "boredom" / "0.png")
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(tmp_path / "set" / "anger" / "black.png")
    for name in ("over.html", "over.png"):
        result = run("--data", tmp_path / "set", "-o", tmp_path / name, "--json", tmp_path / "over.json")
        assert result.exit_code == 0, result.output
        assert "No face found in 1 pictures" in result.output
        assert "1 pictures left out" in result.output
        assert (tmp_path / name).stat().st_size > 10_000
    assert "cnn: " in result.output
    assert json.loads((tmp_path / "over.json").read_text())["counts"] == {"anger": 3, "happiness": 2}


def test_a_data_set_with_the_labels_of_the_models_recipe(tmp_path):
    text = "features: {hog: {cell: 16}}\nmodel: {linear_svm: {calibrate: false}}\nvalidation: none\n"
    text += "labels: {happiness: positive, anger: negative, fear: negative, sadness: drop, surprise: drop, "
    text += "neutral: drop, disgust: drop}"
    recipe.fit(recipe.loads(text), sample(70)).save(tmp_path / "mine.ferkit")
    result = run("--data", "sample", "--model", tmp_path / "mine.ferkit", *("-o", tmp_path / "over.html"))
    assert result.exit_code == 0, result.output
    assert "left out" not in result.output
    page = (tmp_path / "over.html").read_text()
    assert "positive" in page
    assert "negative" in page


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "expected one of them"),
        (["PHOTO", "--data", "sample"], "expected one of them"),
        (["PHOTO", "--split", "Training"], "Got --split without --data"),
        (["--data", "sample", "--label", "fear"], "Got --label with --data"),
        (["--data", "sample", "--faces", "all"], "Got --faces all with --data"),
        (["PHOTO", "-o", "why.gif"], "expected a name that ends in .html"),
        (["PHOTO", "-o", "PHOTO"], "which is also read"),
        (["PHOTO", "-o", "none/why.png"], "expected a file in a folder that exists"),
        (["PHOTO", "--label", "glee"], "Got label='glee', expected one of anger"),
        (["PHOTO", "--against", "glee"], "Got label='glee', expected one of anger"),
        (["PHOTO", "--model", "none.ferkit"], "Got no file 'none.ferkit'"),
    ],
)
def test_refused(photo, tmp_path, monkeypatch, args, said):
    monkeypatch.chdir(tmp_path)
    result = run(*(photo if arg == "PHOTO" else arg for arg in args))
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())


def test_a_folder_without_permission_is_told_before_any_work(photo, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    for args in (("-o", tmp_path / "why.html"), ("--json", tmp_path / "why.json")):
        result = run(photo, *args)
        assert result.exit_code == 2
        assert "that you may write to" in " ".join(result.output.split())


def test_a_video_is_refused(tmp_path):
    from ferkit.sources import sample_video

    sample_video(tmp_path / "clip.mp4", expressions=["neutral"], frames_each=3)
    result = run(tmp_path / "clip.mp4", "-o", tmp_path / "why.html")
    assert result.exit_code == 2
    assert "expected pictures" in result.output
