"""Sinks: every row is out at once, columns stay, failures say what is wrong."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ferkit import sinks
from ferkit.errors import FerkitError, InputError

ROW = {"source": "a b,\n.jpg", "frame": 0, "time": None, "label": "fear", "confidence": 0.987654}


@pytest.mark.parametrize("name", ["csv", "jsonl", "table"])
def test_each_row_is_in_the_file_before_the_next(name, tmp_path):
    path = tmp_path / "out"
    with sinks.make(name, path) as sink:
        for i in range(3):
            sink.append(ROW | {"frame": i})
            text = path.read_text(encoding="utf-8")
            assert text.count("fear") == i + 1
            assert text.endswith("\n")


@pytest.mark.parametrize("name", ["csv", "jsonl", "table"])
def test_a_killed_process_keeps_its_rows(name, tmp_path):
    path = tmp_path / "out"
    program = (
        "import sys, time; from ferkit import sinks\n"
        f"sink = sinks.make({name!r}, {str(path)!r}).__enter__()\n"
        "for i in range(20): sink.append({'label': 'fear', 'n': i})\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_text(encoding="utf-8").count("fear") == 20


def test_csv_reads_back(tmp_path):
    path = tmp_path / "rows.csv"
    with sinks.CsvSink(path) as sink:
        sink.append(ROW)
        sink.append({"label": "anger"})
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"source": "a b,\n.jpg", "frame": "0", "time": "", "label": "fear", "confidence": "0.987654"}
    assert rows[1] == {"source": "", "frame": "", "time": "", "label": "anger", "confidence": ""}


def test_json_lines_read_back(tmp_path):
    path = tmp_path / "rows.jsonl"
    with sinks.JsonLinesSink(path) as sink:
        sink.append(ROW | {"frame": np.int64(3), "confidence": np.float32(0.5), "source": "größe.png"})
        sink.append({"label": "anger"})
    first, second = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert first == ROW | {"frame": 3, "confidence": 0.5, "source": "größe.png"}
    assert list(second) == list(ROW)
    assert second["source"] is None


def test_json_lines_refuse_what_is_not_json(tmp_path):
    with sinks.JsonLinesSink(tmp_path / "x") as sink, pytest.raises(InputError, match="finite numbers"):
        sink.append({"confidence": float("nan")})


def test_table_is_aligned():
    out = io.StringIO()
    with sinks.TableSink(out) as sink:
        sink.append({"source": "a.jpg", "face": 0, "label": "fear", "confidence": 0.5})
        sink.append({"source": "b.jpg", "face": 11, "label": "happiness", "confidence": 0.25})
        sink.append({"source": "c.jpg"})
    head, first, second, third = out.getvalue().splitlines()
    assert head.index("label") == first.index("fear") == second.index("happiness")
    assert head.rindex("e") + 1 == len(first) == len(second)
    assert third == "c.jpg"


def test_table_keeps_to_the_width():
    out = io.StringIO()
    with sinks.TableSink(out, [*ROW, "fear", "anger"], width=60) as sink:
        sink.append(ROW | {"source": "folder/" * 12 + "name.jpg", "fear": 0.1, "anger": 0.2})
    lines = out.getvalue().splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert lines[0].endswith("…")
    assert "…" in lines[1]
    assert "name.jpg" in lines[1]


@pytest.mark.parametrize(("name", "header"), [("csv", "a,b\n"), ("jsonl", ""), ("table", "    a      b\n")])
def test_without_rows_the_file_says_so(name, header, tmp_path):
    path = tmp_path / "out"
    with sinks.make(name, path, ["a", "b"]):
        pass
    assert path.read_text(encoding="utf-8") == header


def test_without_columns_and_rows_the_file_is_empty(tmp_path):
    with sinks.CsvSink(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_bytes() == b""


def test_work_that_fails_before_the_first_row_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), sinks.CsvSink(path, ["a"]):
        raise RuntimeError("no model")
    assert path.read_text() == "old"


def test_work_that_fails_later_keeps_its_rows(tmp_path):
    path = tmp_path / "out.csv"

    def rows():
        yield {"a": 1}
        raise RuntimeError("power")

    with pytest.raises(RuntimeError), sinks.CsvSink(path) as sink:
        list(map(sink.append, rows()))
    assert path.read_text() == "a\n1\n"


def test_columns_stay(tmp_path):
    with sinks.CsvSink(tmp_path / "x") as sink:
        sink.append({"a": 1})
        with pytest.raises(InputError, match=r"\['b'\]"):
            sink.append({"a": 1, "b": 2})
    assert (tmp_path / "x").read_text() == "a\n1\n"


def test_closed_is_closed(tmp_path):
    sink = sinks.CsvSink(tmp_path / "x", ["a"])
    sink.append({"a": 1})
    sink.close()
    sink.close()
    with pytest.raises(InputError, match="closed"):
        sink.append({"a": 2})
    assert (tmp_path / "x").read_text() == "a\n1\n"


def test_standard_output_stays_open(capsys):
    with sinks.make("csv", "-") as sink:
        sink.append({"a": 1})
    print("more")
    assert capsys.readouterr().out == "a\n1\nmore\n"


def test_a_name_that_is_no_text_is_written(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    with sinks.JsonLinesSink(tmp_path / "x") as sink:
        sink.append({"source": name})
    assert json.loads((tmp_path / "x").read_text(encoding="utf-8"))["source"] == name


def test_a_terminal_without_the_letters(tmp_path):
    with (tmp_path / "x").open("w", encoding="ascii") as stream, sinks.CsvSink(stream) as sink:
        sink.append({"source": "größe"})
    assert (tmp_path / "x").read_text() == "source\ngr\\xf6\\xdfe\n"


def test_a_place_that_is_not_there(tmp_path):
    with pytest.raises(FerkitError, match="expected a file that can be written"), sinks.CsvSink(tmp_path / "a/b") as s:
        s.append({"a": 1})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_of_ours():
    with pytest.raises(FerkitError, match="No space left"), sinks.CsvSink("/dev/full") as sink:
        sink.append({"a": 1})


def test_a_reader_that_has_gone_is_not_called_a_full_disk():
    class Gone(io.StringIO):
        def flush(self):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError), sinks.CsvSink(Gone()) as sink:
        sink.append({"a": 1})


def test_unknown_name():
    with pytest.raises(InputError, match="Got format='xml', expected one of"):
        sinks.make("xml")


def test_another_sink_can_be_put_in(monkeypatch):
    class Kept(list):
        suffixes = (".kept",)

        def __init__(self, target, columns):
            super().__init__()

    monkeypatch.setitem(sinks.SINKS, "kept", Kept)
    sink = sinks.make("kept")
    sink.append({"a": 1})
    assert sink == [{"a": 1}]
    assert sinks.format_of("x.KEPT") == "kept"
