"""``ferkit serve``: what it refuses before it listens. tests/serve has the server itself."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from ferkit.cli import main


def run(*words):
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    return CliRunner().invoke(main, ["serve", *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "without a token"),
        (["--public", "--store", "sqlite:///r.db"], "recognition only"),
        (["--token", "short"], "at least 12"),
        (["--host", "no such host", "--token", "one two three four"], "address of this machine"),
        (["--port", "0", "--model", "gone.ferkit"], "gone.ferkit"),
        (["--port", "0", "--store", "sqlite:////gone/r.db"], "can be written"),
        (["--port", "0", "--store", "nosuch://x"], "expected a database"),
        (["--config", "gone.yaml"], "gone.yaml"),
    ],
)
def test_what_cannot_work_is_one_line(words, said):
    done = run(*words)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: Got ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_retention_needs_a_store(tmp_path):
    done = run("--retention", "30", "--host", "0.0.0.0")
    assert done.exit_code == 2
    assert "Got --retention without --store" in done.stderr
    (tmp_path / "settings.yaml").write_text("store: nosuch://x\n")
    done = run("--retention", "30", "--port", "0", "--config", str(tmp_path / "settings.yaml"))
    assert "expected a database" in done.stderr


def test_a_missing_extra_names_the_line_that_brings_it():
    code = "import sys; sys.modules['fastapi'] = None; from ferkit.cli import main; main(['serve'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'ferkit[serve]'" in done.stderr


def test_the_token_is_not_shown_by_settings():
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from ferkit.serve import Settings

    assert "secret" not in repr(Settings(token="secret secret"))
