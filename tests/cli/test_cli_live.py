"""``ferkit live``: log, recording, summary, errors; and what is left when it is killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import ferkit
from ferkit.cli import main
from ferkit.labels import FER2013
from ferkit.live import window
from ferkit.sources import draw_face, frames

COLUMNS = ["source", "frame", "time", "face", "x1", "y1", "x2", "y2", "label", "confidence", *FER2013]
COLUMNS += ["track", "fresh", "smooth_label", "smooth_confidence", *(f"smooth_{name}" for name in FER2013)]


def run(*args):
    return CliRunner().invoke(main, ["live", *map(str, args)])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Five pictures of a smiling face, then two without one."""
    folder = tmp_path_factory.mktemp("pictures")
    smiling = draw_face("happiness", size=200, seed=1)
    for i in range(7):
        Image.fromarray(smiling if i < 5 else np.full_like(smiling, 90)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def done(pictures, tmp_path_factory):
    """Everything written at once."""
    out = tmp_path_factory.mktemp("out")
    outputs = {"--log": "a.csv", "--record": "a.mp4", "--json": "a.json", "--timeline": "a.png"}
    args = [part for option, name in outputs.items() for part in (option, out / name)]
    result = run("--source", pictures, "--no-window", "--every", 2, "--mirror", *args)
    assert result.exit_code == 0, result.output
    return result, out


def test_the_log_has_a_row_for_every_frame(done):
    rows = list(csv.DictReader((done[1] / "a.csv").read_text().splitlines()))
    assert list(rows[0]) == COLUMNS
    assert [row["time"] for row in rows] == [str(i / 25) for i in range(7)]
    assert {row["label"] for row in rows[:5]} == {"happiness"}
    assert [row["fresh"] for row in rows[:5]] == ["1", "0", "1", "0", "1"]
    assert {row["track"] for row in rows[:5]} == {"1"}
    last = rows[6]
    assert last["source"].endswith("6.png")
    assert {name: value for name, value in last.items() if value} == {
        "source": last["source"],
        "frame": "6",
        "time": "0.24",
    }


def test_the_recording_plays(done):
    assert len(list(frames(done[1] / "a.mp4"))) == 7


def test_the_summary(done):
    result, out = done
    about = json.loads((out / "a.json").read_text())
    keys = ["frames", "frames_with_face", "frames_dropped", "tracks", "frames_per_second", "latency_ms_median"]
    assert {*keys, "first_reading_s", "fresh_readings"} <= set(about)
    assert (about["frames"], about["tracks"], about["frames_dropped"]) == (7, 1, 0)
    assert 5 <= about["frames_with_face"] <= 6
    assert about["first_reading_s"] > 0
    assert result.stdout.startswith("7 frames, ")
    assert "person 1: happiness" in result.stdout
    with Image.open(out / "a.png") as picture:
        assert picture.size[0] == 900


def test_json_lines(pictures, tmp_path):
    assert run("--source", pictures, "--no-window", "--log", tmp_path / "a.jsonl", "--max-seconds", 0.1).exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert list(rows[0]) == COLUMNS


@pytest.mark.parametrize("ending", [".db", ".sqlite", ".sqlite3"])
def test_a_log_in_a_database_by_every_ending_that_predict_takes(pictures, tmp_path, ending):
    log = tmp_path / f"a{ending}"
    assert run("--source", pictures, "--no-window", "--log", log, "--max-seconds", 0.1).exit_code == 0
    assert len(ferkit.read_readings(log)) == 3


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--log", "a.txt"),
        ("--record", "a.avi"),
        ("--json", "none/a.json"),
        ("--timeline", "a.csv"),
        ("--every", "0"),
        ("--max-seconds", "0"),
        ("--log", "folder.csv"),
    ],
)
def test_wrong_outputs_are_refused_before_work(tmp_path, option, name):
    (tmp_path / "folder.csv").mkdir()
    target = tmp_path / name if option not in ("--every", "--max-seconds") else name
    done = run("--source", "sample", "--no-window", option, target)
    assert done.exit_code == 2
    assert option in done.stderr


def test_a_mirror_that_nobody_sees_is_refused():
    done = run("--source", "sample", "--no-window", "--mirror")
    assert done.exit_code == 2
    assert "expected a window or --record" in done.stderr


def test_an_output_that_is_read_or_written_twice_is_refused(tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"mine")
    assert run("--source", clip, "--no-window", "--record", clip).exit_code == 2
    assert clip.read_bytes() == b"mine"
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "1.png").write_bytes(b"mine")
    done = run("--source", folder, "--no-window", "--timeline", folder / "1.png")
    assert done.exit_code == 2
    assert "a file of the data, expected another" in done.stderr
    assert (folder / "1.png").read_bytes() == b"mine"
    same = tmp_path / "a.csv"
    done = run("--source", "sample", "--no-window", "--log", same, "--json", same)
    assert done.exit_code == 2


def test_a_source_that_is_not_there(tmp_path):
    outputs = {"--log": tmp_path / "a.csv", "--json": tmp_path / "a.json", "--timeline": tmp_path / "a.png"}
    args = [part for pair in outputs.items() for part in pair]
    done = run("--source", tmp_path / "none.mp4", "--no-window", *args)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: Got video=")
    assert not list(tmp_path.iterdir())
    for path in outputs.values():
        path.write_text("yesterday's")
    done = run("--source", tmp_path / "none.mp4", "--no-window", *args)
    assert f"Nothing could be read: {outputs['--json']} stays as it was." in done.stderr
    assert {path.read_text() for path in outputs.values()} == {"yesterday's"}


def test_without_a_display_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr(window, "why_no_window", lambda: "no display")
    done = run("--source", "sample")
    assert done.exit_code == 1
    assert "--no-window" in done.stderr


def start(folder):
    out = {"--log": "a.csv", "--record": "a.mp4", "--json": "a.json"}
    args = [part for option, name in out.items() for part in (option, str(folder / name))]
    command = [sys.executable, "-m", "ferkit", "live", "--source", "sample", "--no-window", "--every", "1", *args]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2])
    log, end = folder / "a.csv", time.monotonic() + 240
    while time.monotonic() < end and running.poll() is None:
        if log.exists() and log.read_text().count("\n") > 8:
            return running
        time.sleep(0.01)
    running.kill()
    raise AssertionError(f"no rows; {running.communicate()}")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_a_killed_session_leaves_a_log_and_a_video(tmp_path, name):
    running = start(tmp_path)
    running.send_signal(signal.Signals[name])
    out, err = running.communicate(timeout=120)
    assert running.returncode == (-signal.SIGKILL if name == "SIGKILL" else 130)
    lines = (tmp_path / "a.csv").read_text().splitlines()
    rows = list(csv.DictReader(lines))
    assert len(rows) >= 8
    assert all(row["smooth_neutral"] for row in rows[:-1])
    seen = len({row["frame"] for row in rows})
    assert len(list(frames(tmp_path / "a.mp4"))) >= seen - 1
    if name == "SIGINT":
        about = json.loads((tmp_path / "a.json").read_text())
        assert about["frames"] - seen in (0, 1)
        assert b"Interrupted." in err
        assert b"person 1" in out
