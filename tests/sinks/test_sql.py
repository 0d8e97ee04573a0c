"""The SQL sink: rows in, rows back, old tables, failures."""

import sqlite3
import subprocess
import sys

import numpy as np
import pytest
import sqlalchemy

import ferkit
from ferkit import sinks
from ferkit.errors import FerkitError, InputError
from ferkit.live.records import LiveReading, columns
from ferkit.records import Reading
from ferkit.sinks import SqlSink

ROWS = [
    {"source": "a, b.jpg", "frame": 0, "time": None, "label": "fear", "confidence": 0.5, "fear": 0.5},
    {"source": "=cmd()", "frame": 1, "time": 0.04, "label": "not sure", "confidence": 0.3, "fear": 0.3},
]


def table(path):
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM readings")]
    connection.close()
    return rows


@pytest.mark.parametrize("target", ["{}", "sqlite:///{}"])
def test_rows_come_back_as_they_went_in(tmp_path, target):
    path = tmp_path / "faces.db"
    with sinks.make("sql", target.format(path)) as sink:
        for row in ROWS:
            sink.append(row)
        assert [row["source"] for row in table(path)] == ["a, b.jpg", "=cmd()"]  # committed before the end
    rows = table(path)
    assert [{name: row[name] for name in ROWS[0]} for row in rows] == ROWS
    assert all(row["at"] > 1.6e9 for row in rows)


@pytest.mark.parametrize("target", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_database_that_keeps_nothing_is_refused(target):
    with pytest.raises(InputError, match=r"in memory.*expected a file like sqlite:///readings\.db"):
        sinks.make("sql", target)


@pytest.mark.parametrize("name", ["faces.csv", "faces.jsonl", "faces.db"])
def test_readings_are_read_back_as_a_frame_whatever_holds_them(tmp_path, name):
    path = tmp_path / name
    with sinks.make(sinks.format_of(path), path) as sink:
        for row in ROWS:
            sink.append(row)
    frame = ferkit.read_readings(path)
    assert frame[list(ROWS[0])].label.tolist() == ["fear", "not sure"]
    assert frame.confidence.tolist() == [0.5, 0.3]
    assert frame.time.isna().tolist() == [True, False]


@pytest.mark.parametrize("name", ["faces.csv", "faces.jsonl", "faces.db"])
def test_texts_stay_texts_and_categories_meet_no_column(tmp_path, name):
    path = tmp_path / name
    shares = {"fresh": 0.4, "at": 0.35, "1": 0.25}
    reading = Reading("0012", 0, None, 0, (0, 0, 1, 1), "1", 0.4, shares)
    with sinks.make(sinks.format_of(path), path) as sink:
        sink.append(reading.row())
    frame = ferkit.read_readings(path)
    assert (frame.source.tolist(), frame.label.tolist()) == (["0012"], ["1"])
    assert (frame["p_fresh"].tolist(), frame["p_at"].tolist()) == ([0.4], [0.35])


@pytest.mark.parametrize("name", ["faces.csv", "faces.jsonl", "faces.db"])
def test_a_category_that_is_called_like_a_column_has_its_own(tmp_path, name):
    shares = {"Face": 0.4, "confidence": 0.3, "Label": 0.2, "100% (a:b), sûr": 0.1}
    reading = Reading("a.jpg", 0, 0.0, 7, (0, 0, 1, 1), "Face", 0.4, shares)
    smooth = {label: share / 2 for label, share in shares.items()}
    row = LiveReading(reading, 1, "Face", smooth, True, np.zeros((1, 1), np.uint8)).row()
    path = tmp_path / name
    with sinks.make(sinks.format_of(path), path, columns(list(shares))) as sink:
        sink.append(row)
    (kept,) = ferkit.read_readings(path).to_dict("records")
    assert (kept["face"], kept["p_Face"], kept["label"], kept["p_Label"]) == (7, 0.4, "Face", 0.2)
    assert (kept["confidence"], kept["p_confidence"], kept["100% (a:b), sûr"]) == (0.4, 0.3, 0.1)
    assert (kept["smooth_confidence"], kept["smooth_p_confidence"]) == (0.2, 0.15)
    assert (kept["smooth_label"], kept["smooth_p_Label"], kept["smooth_Face"]) == ("Face", 0.1, 0.2)


@pytest.mark.parametrize("name", ["faces.csv", "faces.jsonl", "faces.db"])
def test_a_frame_without_a_face_has_an_empty_label_whatever_holds_it(tmp_path, name):
    path = tmp_path / name
    with sinks.make(sinks.format_of(path), path) as sink:
        for label in ("fear", ""):
            sink.append({"source": "clip.mp4", "label": label, "confidence": 0.5 if label else None})
    frame = ferkit.read_readings(path)
    assert frame.label.tolist() == ["fear", ""]
    assert frame.confidence.isna().tolist() == [False, True]


def test_json_lines_are_read_although_the_last_is_cut_off(tmp_path):
    path = tmp_path / "faces.jsonl"
    path.write_text('{"source": "a.jpg", "label": "fear"}\n{"source": "b.jpg", "la', encoding="utf-8")
    assert ferkit.read_readings(path).to_dict("records") == [{"source": "a.jpg", "label": "fear"}]
    for broken in ('{"source": "a.jp', '{"source"\n{"source": "b.jpg"}\n'):
        path.write_text(broken, encoding="utf-8")
        with pytest.raises(FerkitError, match="expected readings"):
            ferkit.read_readings(path)


def test_a_file_is_named_as_it_is_and_one_that_is_no_database_is_said(tmp_path):
    for name in ("p%41.db", "q?x=1.db"):
        with SqlSink(tmp_path / name) as sink:
            sink.append(ROWS[0])
        assert (tmp_path / name).is_file()
        assert len(ferkit.read_readings(tmp_path / name)) == 1
    (tmp_path / "no.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(FerkitError, match="expected a database of readings"):
        ferkit.read_readings(tmp_path / "no.db")


def test_a_second_run_adds_rows_and_columns(tmp_path):
    path = tmp_path / "faces.db"
    for row in (ROWS[0], ROWS[1] | {"contempt": 0.25, "p_label": 0.1}):
        with SqlSink(path) as sink:
            sink.append(row)
    assert [row["contempt"] for row in table(path)] == [None, 0.25]


def test_processes_that_begin_at_the_same_moment_all_write(tmp_path):
    path = tmp_path / "faces.db"
    for i, row in enumerate((ROWS[0], ROWS[1] | {"contempt": 0.25})):  # the table is new, then a column
        with SqlSink(path) as sink:
            others = iter([row])

            @sqlalchemy.event.listens_for(sink.engine, "before_cursor_execute")
            def be_first(connection, cursor, statement, *rest, others=others):
                if statement.lstrip().startswith(("CREATE", "ALTER")):
                    for other_row in others:
                        with SqlSink(path) as other:
                            other.append(other_row)

            sink.append(row)
        assert next(others, None) is None
        assert len(table(path)) == 2 * (i + 1)


def test_rows_of_one_transaction_are_all_written_or_none(tmp_path):
    sink = SqlSink(tmp_path / "faces.db", list(ROWS[0]))
    with sink, pytest.raises(InputError, match="unknown"):
        sink.extend([ROWS[0], {"unknown": 1}])
    assert table(tmp_path / "faces.db") == []


def test_an_address_that_is_none_a_lock_and_a_folder_that_is_missing_are_said(tmp_path):
    with pytest.raises(FerkitError, match="expected a database"):
        SqlSink("nosuch://x")
    with pytest.raises(FerkitError, match="can be written"):
        SqlSink(tmp_path / "gone" / "faces.db").append(ROWS[0])
    with pytest.raises(FerkitError, match="does not exist"):
        ferkit.read_readings(tmp_path / "gone.db")
    with pytest.raises(InputError, match="address"):
        ferkit.read_readings("faces.xlsx")
    assert not (tmp_path / "gone.db").exists()


def test_a_row_after_the_end_is_refused(tmp_path):
    with SqlSink(tmp_path / "faces.db") as sink:
        sink.append(ROWS[0])
    with pytest.raises(InputError, match="closed"):
        sink.append(ROWS[0])


def test_a_killed_process_keeps_its_rows(tmp_path):
    program = (
        "import sys, time; from ferkit import sinks\n"
        f"sink = sinks.make('sql', {str(tmp_path / 'faces.db')!r})\n"
        "for i in range(20): sink.append({'label': 'fear', 'n': i})\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    assert [row["n"] for row in table(tmp_path / "faces.db")] == list(range(20))
