"""The command group: help without weight, errors in one line, exit codes; info and doctor."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import click
import numpy as np
import pytest
from click.testing import CliRunner

import ferkit
import ferkit.cli.doctor  # the module, not the command
from ferkit import store
from ferkit.cli import COMMANDS, main
from ferkit.errors import FerkitError
from ferkit.model import LinearSVM

doctor_module = sys.modules["ferkit.cli.doctor"]


def run(*args):
    return CliRunner().invoke(main, list(args))


def python(*args, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "ferkit", *args], capture_output=True, text=True, timeout=120, **kwargs
    )


@pytest.fixture
def command(monkeypatch):
    """Put a function in the place of ``ferkit info``."""

    def put(function):
        module = type(sys)("ferkit.cli.info")
        module.info = click.command("info")(function)
        monkeypatch.setitem(sys.modules, "ferkit.cli.info", module)

    return put


def test_help_names_every_command():
    done = run("--help")
    assert done.exit_code == 0
    for name, text in COMMANDS.items():
        assert f"  {name}" in done.output
        assert text in done.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    done = run(name, "--help")
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Usage: main {name}")


def test_version():
    assert run("--version").output.strip() == f"ferkit {ferkit.__version__}"


def test_a_slip_in_a_command_is_a_usage_error():
    done = run("predcit")
    assert done.exit_code == 2
    assert "Did you mean 'predict'?" in done.output
    assert run("fit").exit_code == 2
    assert run("fit", "--jbos", "3").exit_code == 2


@pytest.mark.parametrize("args", [
    ("predict", ""), ("predict", "a.png", "--model", ""), ("predict", "a.png", "--model="), ("explain", ""),
    ("evaluate", ""), ("live", "--source", ""), ("serve", "--token", ""), ("fit", "hog_svm", "--data", ""),
    ("data", "inspect", ""), ("data", "prepare", "sample", ""), ("info", ""),
])  # fmt: skip
def test_a_shell_variable_that_is_not_set_is_a_usage_error(args):
    done = run(*args)
    assert done.exit_code == 2
    assert "Is a variable of your shell not set?" in done.stderr


def test_an_empty_value_in_a_setting_is_left_to_the_command():
    done = run("fit", "hog_svm", "--set", "nothing=")
    assert "variable of your shell" not in done.stderr
    assert "nothing" in done.stderr


def test_our_errors_take_one_line(command):
    def fail():
        raise FerkitError("Got a=1,\n  expected b.")

    command(fail)
    done = run("info")
    assert done.exit_code == 1
    assert done.stderr == "Error: Got a=1, expected b.\n"
    assert done.stdout == ""


def test_a_warning_takes_one_line(command):
    command(lambda: warnings.warn("mind\nthis", UserWarning, stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = run("info")
    assert done.exit_code == 0
    assert done.stderr == "Warning: mind this\n"


def test_other_errors_keep_their_traceback(command):
    command(lambda: 1 / 0)
    assert isinstance(run("info").exception, ZeroDivisionError)


def test_names_that_are_no_text_are_printed_with_an_escape(command):
    command(lambda: click.echo("caf\udce9.png"))
    done = run("info")
    assert (done.exit_code, done.stdout) == (0, "caf\\udce9.png\n")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, click.Abort])
def test_an_interrupt(command, stop):
    def interrupt():
        raise stop

    command(interrupt)
    done = run("info")
    assert done.exit_code == 130
    assert done.stderr.strip() == "Interrupted."


def test_an_exit_code_of_a_command(command):
    command(lambda: click.get_current_context().exit(1))
    assert run("info").exit_code == 1


def test_an_interrupt_of_the_process():
    code = "import sys, time, ferkit.cli.info as i, click\n"
    code += "i.info = click.command('info')(lambda: (print('up', flush=True), time.sleep(60)))\n"
    code += "from ferkit.cli import main\nmain(['info'])"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.strip() == "Interrupted."


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "ferkit", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(timeout=30)
    process.stderr.close()


def test_nothing_heavy_is_loaded_for_help():
    code = "import sys\nfrom ferkit.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "heavy = {'numpy', 'sklearn', 'cv2', 'yaml', 'onnxruntime', 'skops', 'PIL', 'tensorflow'}\n"
    code += "print(sorted(heavy & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_public_names_lead_somewhere():
    for name in ferkit.__all__:
        assert getattr(ferkit, name) is not None
    assert set(ferkit.__all__) <= set(dir(ferkit))
    assert ferkit.load_dataset is sys.modules["ferkit.sources"].load
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        ferkit.Nothing


@pytest.fixture
def model_file(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 4))
    model = LinearSVM(calibrate=False).fit(X, ["anger", "fear", "bored"] * 10)
    manifest = {
        "name": "small",
        "recipe": "model: linear_svm\n",
        "data": {"kind": "sample", "held_out": "PublicTest"},
        "rows": {"train": 30},
        "metrics": {"accuracy": 0.5, "accuracy_ci": [0.25, 0.75], "macro_f1": 0.4, "n": 12, "data": "PublicTest"},
        "licence": "none",
    }
    return store.save(model, tmp_path / "small.ferkit", manifest)


def test_info(model_file):
    done = run("info", str(model_file))
    assert done.exit_code == 0
    lines = dict(line.split(":", 1) for line in done.output.splitlines())
    assert lines["model"].strip() == f"small ({model_file})"
    assert lines["labels"].strip() == "anger, fear, bored"
    assert lines["trained on"].strip() == "30 rows of sample, held out: PublicTest"
    assert lines["scores"].strip() == "accuracy 0.5000 [0.2500, 0.7500], macro F1 0.4000 on 12 rows of PublicTest"
    assert lines["  model"].strip() == "linear_svm"


def test_info_of_a_bare_model(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 4))
    path = store.save(LinearSVM(calibrate=False).fit(X, ["a", "b", "c"] * 10), tmp_path / "m.ferkit")
    done = run("info", str(path))
    assert done.exit_code == 0
    assert "unnamed" in done.output


def test_info_of_a_model_with_notes_of_ones_own(model_file, tmp_path):
    notes = {"metrics": {"accuracy": 0.9}, "data": "my photos"}
    store.save(store.load(model_file).pipeline, tmp_path / "own.ferkit", notes)
    done = run("info", str(tmp_path / "own.ferkit"))
    assert done.exit_code == 0, done.output
    assert 'trained on: "my photos"' in done.stdout
    assert 'scores:     {"accuracy": 0.9}' in done.stdout


def test_info_as_json(model_file):
    done = run("info", str(model_file), "--json")
    assert json.loads(done.output) == store.inspect(model_file)


def test_info_of_what_is_no_model(tmp_path):
    (tmp_path / "m.ferkit").write_text("hello")
    done = run("info", str(tmp_path / "m.ferkit"))
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: Got ")


def test_doctor_is_content():
    done = run("doctor")
    assert done.exit_code == 0, done.output
    assert "ok   onnxruntime" in done.output
    assert "FAIL" not in done.output


def test_doctor_says_how_to_mend(monkeypatch):
    def broken():
        raise OSError("libGL.so.1: cannot open shared object file")

    found = [doctor_module.Check("OpenCV", broken, "Run: apt-get install libgl1")]
    monkeypatch.setattr(doctor_module, "checks", lambda deep: found)
    done = run("doctor")
    assert done.exit_code == 1
    expected = "FAIL OpenCV: libGL.so.1: cannot open shared object file. Run: apt-get install libgl1\n"
    assert done.stdout == expected
    assert done.stderr == "Error: 1 required part failed.\n"


def test_doctor_lets_optional_parts_be(monkeypatch):
    def absent():
        raise doctor_module.Absent("not installed")

    def broken():
        raise ValueError

    found = [doctor_module.Check("a", absent, "Run: b", False), doctor_module.Check("c", broken, "Run: d", False)]
    monkeypatch.setattr(doctor_module, "checks", lambda deep: found)
    done = run("doctor")
    assert done.exit_code == 0
    assert done.output == "-    a: not installed. Run: b\nwarn c: ValueError. Run: d\n"


def test_doctor_finds_a_cascade_that_is_gone(monkeypatch):
    monkeypatch.setattr("ferkit.faces.detect.haar_path", lambda: None)
    done = run("doctor")
    assert done.exit_code == 1
    assert "FAIL OpenCV and its Haar cascade: Got detector='haar'" in done.output


def test_doctor_finds_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "warn cache folder:" in run("doctor").output


def test_doctor_without_dlib_and_tensorflow(monkeypatch):
    monkeypatch.setattr(doctor_module, "find_spec", lambda name: None)
    monkeypatch.setattr("ferkit.faces.landmarks.available", dict)
    output = run("doctor").output
    for line in ("-    dlib detector", "-    dlib landmarks", "-    TensorFlow: not installed"):
        assert line in output


def test_python_m_ferkit():
    done = python("--version", env=os.environ)
    assert done.stdout.strip() == f"ferkit {ferkit.__version__}"
