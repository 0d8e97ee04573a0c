"""The built wheel, in a clean environment with only the packages it declares, runs the README's first lines."""

import os
import re
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def declared(name, seen=None):
    """Distributions that a package needs, extras left out, with all that those need."""
    seen = set() if seen is None else seen
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen:
        return seen
    seen.add(key)
    for line in metadata.requires(name) or []:
        marker = line.partition(";")[2]
        if "extra" in marker or ("platform" in marker and "linux" not in marker):
            continue
        needed = re.match(r"[A-Za-z0-9_.-]+", line).group()
        try:
            declared(needed, seen)
        except metadata.PackageNotFoundError:
            continue  # only for another Python or platform
    return seen


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory):
    """Python of a fresh environment with the wheel and links to what it declares, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        if name.startswith(("ferkit/", "pipelines/", "setup", "pyproject", "README", "LICENSE", "NOTICE")):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(folder.glob("*.whl"))
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True)
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    for name in declared("ferkit") - {"ferkit"}:
        distribution = metadata.distribution(name)
        for top in {path.parts[0] for path in distribution.files or [] if path.parts[0] != ".."}:
            link = site / top
            if not link.exists() and top != "__pycache__":
                link.symlink_to(distribution.locate_file(top))
    return python


def run(python, tmp_path, *words):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_"))}
    return subprocess.run([python, *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)


def test_the_first_lines_of_the_readme_run(clean_python, tmp_path):
    picture = "import skimage.data, PIL.Image as I; I.fromarray(skimage.data.astronaut()).save('photo.jpg')"
    assert run(clean_python, tmp_path, "-c", picture).returncode == 0
    done = run(clean_python, tmp_path, "-m", "ferkit", "predict", "photo.jpg", "--format", "csv")
    assert done.returncode == 0, done.stderr
    header, row = done.stdout.splitlines()
    assert header.startswith("source,frame,time,face,x1,y1,x2,y2,label,confidence,")
    assert row.startswith("photo.jpg,0,,0,")


def test_the_command_is_installed_and_doctor_is_content(clean_python, tmp_path):
    command = clean_python.parent / "ferkit"
    done = subprocess.run([command, "doctor"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_optional_is_needed(clean_python, tmp_path):
    names = ("dlib", "tensorflow", "fastapi", "pandas")
    code = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert run(clean_python, tmp_path, "-c", code).stdout.strip() == "[]"
