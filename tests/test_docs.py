"""Documentation says what the code does: commands, options, recipe keys, public names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ferkit

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_command_page_is_current():
    # in a process of its own: click keeps the help option of a command that a test ran before
    command = [sys.executable, str(ROOT / "tools" / "write_command_pages.py"), "--print"]
    page = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert text == page, "run: python tools/write_command_pages.py"


PAGES = [
    "recipes.md",
    "architecture.md",
    "commands.md",
    "model_card.md",
    "data.md",
    "live.md",
    "explain.md",
    "evaluate.md",
    "gallery.md",
    "serve.md",
]


@pytest.mark.parametrize("name", PAGES)
def test_the_readme_links_the_page(name):
    assert f"docs/{name}" in README
    assert (ROOT / "docs" / name).exists()


def test_links_in_the_documents_lead_somewhere():
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} links {target}"


def test_the_code_of_the_evaluation_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/evaluate.md", "exec"), {})
    assert capsys.readouterr().out == "1.0\n1.0\n"
    assert (tmp_path / "out" / "report" / "index.html").is_file()


def test_every_family_and_model_of_the_registry_is_documented():
    from ferkit.recipe import registry

    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    for name in [*registry.FEATURES, *registry.MODELS]:
        assert f"`{name}`" in text, f"docs/recipes.md does not speak of {name}"


def test_every_public_name_has_a_docstring():
    for name in dir(ferkit):
        if not name.startswith("_"):
            assert getattr(ferkit, name).__doc__, name
