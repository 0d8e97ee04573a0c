"""``ferkit predict``: rows in each form, notes beside them, exit codes, and nothing overwritten by mistake."""

import csv
import io
import json

import pytest
import skimage.data
from click.testing import CliRunner
from PIL import Image
from sklearn.pipeline import Pipeline

from ferkit import sources, store
from ferkit.cli import main
from ferkit.cli.predict import notes
from ferkit.errors import PictureError
from ferkit.faces import FaceExtractor
from ferkit.features import HOG, FamilyUnion
from ferkit.labels import FER2013
from ferkit.model import LinearSVM
from ferkit.predict import Counts
from ferkit.records import Frame

COLUMNS = ["source", "frame", "time", "face", "x1", "y1", "x2", "y2", "label", "confidence", *FER2013]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    data = sources.sample(90)
    steps = [("faces", FaceExtractor()), ("features", FamilyUnion([("hog", HOG(cell=12))])), ("model", LinearSVM())]
    pipeline = Pipeline(steps).fit(data.pictures, data.labels)
    return str(store.save(pipeline, tmp_path_factory.mktemp("model") / "small.ferkit"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(skimage.data.astronaut()).save(folder / "a.png")
    Image.fromarray(sources.sample(1).pictures[0]).save(folder / "b.png")
    return folder


def run(model, *args, **kwargs):
    return CliRunner().invoke(main, ["predict", "--model", model, *map(str, args)], **kwargs)


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_in_a_pipe_with_the_columns_of_the_contract(model, photos):
    done = run(model, photos)
    assert done.exit_code == 0, done.output
    rows = table(done.stdout)
    assert list(rows[0]) == COLUMNS
    assert [row["source"] for row in rows] == [str(photos / "a.png"), str(photos / "b.png")]
    for row in rows:
        shares = [float(row[name]) for name in FER2013]
        assert sum(shares) == pytest.approx(1, abs=1e-4)
        assert float(row["confidence"]) == max(shares) == float(row[row["label"]])
    assert done.stderr == "1 picture taken as already cropped: the whole is the face (change: --cropped no).\n"


@pytest.mark.parametrize(
    ("name", "form"), [("out.csv", "csv"), ("out.jsonl", "jsonl"), ("out.txt", "table"), ("out", "csv")]
)
def test_the_form_follows_the_file(model, photos, tmp_path, name, form):
    done = run(model, photos, "-o", tmp_path / name)
    assert (done.exit_code, done.stdout) == (0, "")
    text = (tmp_path / name).read_text()
    if form == "csv":
        assert list(table(text)[0]) == COLUMNS
        assert len(table(text)) == 2
    elif form == "jsonl":
        rows = [json.loads(line) for line in text.splitlines()]
        assert list(rows[0]) == COLUMNS
        assert rows[0]["time"] is None
        assert len(rows) == 2
    else:
        assert text.split("\n")[0].split() == COLUMNS


def test_format_goes_before_the_ending(model, photos, tmp_path):
    run(model, photos, "-o", tmp_path / "x.csv", "--format", "jsonl")
    assert json.loads((tmp_path / "x.csv").read_text().splitlines()[0])["face"] == 0
    assert run(model, photos, "-o", tmp_path / "x.dat", "--format", "csv").exit_code == 0
    assert list(table((tmp_path / "x.dat").read_text())[0]) == COLUMNS


def test_a_table_on_a_terminal(model, photos, monkeypatch):
    monkeypatch.setattr("ferkit.cli.predict._on_terminal", lambda output: True)
    monkeypatch.setenv("COLUMNS", "70")
    lines = run(model, photos, "--format", "table").stdout.splitlines()
    assert lines[0].split()[0] == "source"
    assert lines[0].endswith("…")
    assert max(map(len, lines)) <= 70
    assert len(lines) == 3


def test_good_pictures_among_bad_ones(model, photos, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "text.png").write_text("no picture")
    (bad / "empty.jpg").touch()
    Image.fromarray(skimage.data.astronaut()).save(bad / "cut.jpg")
    (bad / "cut.jpg").write_bytes((bad / "cut.jpg").read_bytes()[:3000])
    done = run(model, photos / "a.png", bad, tmp_path / "none.png", photos / "b.png")
    assert done.exit_code == 1
    assert [row["source"] for row in table(done.stdout)] == [str(photos / "a.png"), str(photos / "b.png")]
    said = [line for line in done.stderr.splitlines() if line.startswith("Skipped: ")]
    assert [
        name in line for name, line in zip(["cut.jpg", "empty.jpg", "text.png", "none.png"], said, strict=True)
    ] == [True] * 4
    assert done.stderr.splitlines()[-1] == "4 pictures skipped, reasons above."


def test_only_bad_ones_still_write_the_header(model, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    done = run(model, tmp_path / "text.png", "-o", tmp_path / "out.csv")
    assert done.exit_code == 1
    assert (tmp_path / "out.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_a_mistyped_input_leaves_an_older_output(model, photos, tmp_path):
    out = tmp_path / "out.csv"
    assert run(model, photos, "-o", out).exit_code == 0
    before = out.read_bytes()
    done = run(model, tmp_path / "fotos.png", "-o", out)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"Nothing could be read: {out} stays as it was."
    assert out.read_bytes() == before


def test_standard_input(model, photos):
    done = run(model, "-", input=(photos / "a.png").read_bytes())
    assert done.exit_code == 0
    [row] = table(done.stdout)
    assert row["source"] == "-"
    assert float(row["x1"]) > 100


def test_faces_and_cropped_reach_the_predictor(model, photos):
    done = run(model, photos / "b.png", "--cropped", "no", "--faces", "largest")
    assert "already cropped" not in done.stderr
    done = run(model, photos / "a.png", "--cropped", "yes")
    [row] = table(done.stdout)
    assert [float(row[name]) for name in ("x1", "y1", "x2", "y2")] == [0, 0, 512, 512]
    assert "1 picture taken as already cropped" in done.stderr


def test_missing_and_detector_reach_the_predictor(model, photos, tmp_path):
    Image.new("RGB", (200, 200), (90, 120, 90)).save(tmp_path / "wall.png")
    done = run(model, photos / "a.png", tmp_path / "wall.png", "--missing", "skip", "--detector", "haar")
    assert done.exit_code == 0
    assert [row["source"] for row in table(done.stdout)] == [str(photos / "a.png")]
    assert done.stderr == "1 picture without a found face: no row for these.\n"
    assert len(table(run(model, tmp_path / "wall.png", "--missing", "center").stdout)) == 1
    refused = run(model, photos, "--detector", __file__)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: Got detector=")


def test_a_video_has_times(model, tmp_path):
    path = tmp_path / "clip.gif"
    face = Image.fromarray(skimage.data.astronaut()[:300, 80:380])
    blank = Image.new("RGB", face.size, "grey")
    blank.save(
        path,
        save_all=True,
        append_images=[face, face.transpose(Image.Transpose.FLIP_LEFT_RIGHT), blank, face],
        duration=200,
    )
    done = run(model, path)
    rows = table(done.stdout)
    assert [int(row["frame"]) for row in rows] == [1, 2, 4]
    assert float(rows[0]["time"]) > 0
    assert done.stderr == "2 of 5 video frames without a found face: no row for these.\n"
    assert [int(row["frame"]) for row in table(run(model, path, "--every", "2").stdout)] == [2, 4]


@pytest.mark.parametrize(
    "name", ["photo.png", "clip.mp4", "model.ferkit", "missing/out.csv", ".", "rows.parquet", "rows.json"]
)
def test_an_output_that_would_harm_is_refused_before_work(model, photos, tmp_path, name):
    target = tmp_path / name
    if target.suffix and target.parent.is_dir():
        target.write_text("mine")
    done = run(model, photos, "-o", target)
    assert done.exit_code == 2
    assert "Got " in done.stderr
    assert not target.is_file() or target.read_text() == "mine"


def test_an_output_that_is_read_is_refused(model, photos, tmp_path):
    path = tmp_path / "picture"
    path.write_bytes((photos / "a.png").read_bytes())
    done = run(model, path, "-o", path)
    assert done.exit_code == 2
    assert "which is also read" in done.stderr
    assert path.read_bytes() == (photos / "a.png").read_bytes()


def test_an_older_output_stays_when_the_model_is_none(tmp_path, photos):
    (tmp_path / "out.csv").write_text("old")
    (tmp_path / "m.ferkit").write_text("no model")
    done = run(str(tmp_path / "m.ferkit"), photos, "-o", tmp_path / "out.csv")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: Got ")
    assert (tmp_path / "out.csv").read_text() == "old"


@pytest.mark.parametrize(
    "args", [(), ("--format", "xml", "a.png"), ("--faces", "two", "a.png"), ("--every", "0", "a.png")]
)
def test_wrong_usage(model, args):
    assert run(model, *args).exit_code == 2


def test_rows_are_out_before_the_next_frame_is_read(model, tmp_path, monkeypatch):
    out, lines = tmp_path / "out.csv", []

    def frames(inputs, every):
        for i in range(4):
            lines.append(len(out.read_text().splitlines()) if out.exists() else 0)
            yield Frame(skimage.data.astronaut(), "camera", i, i / 5)

    monkeypatch.setattr(sources, "pictures", frames)
    assert run(model, "0", "-o", out).exit_code == 0
    assert lines == [0, 2, 3, 4]


def test_notes():
    assert notes(Counts(pictures=3, faces=3)) == []
    counts = Counts(cropped=2, not_found=1, frames=9, frames_without=4, skipped=[PictureError("x")])
    said = notes(counts)
    assert [said[0][:10], said[1][:9], said[2][:4], said[3][:17]] == [
        "2 pictures",
        "1 picture",
        "4 of",
        "1 picture skipped",
    ]


def test_a_database_is_not_written_over_by_rows_of_another_form(model, photos, tmp_path):
    path = tmp_path / "faces.db"
    assert run(model, photos / "a.png", "-o", path).exit_code == 0
    before = path.read_bytes()
    done = run(model, photos / "a.png", "--format", "csv", "-o", path)
    assert done.exit_code == 2
    assert "expected one of them" in done.stderr
    assert path.read_bytes() == before
