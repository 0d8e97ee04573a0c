"""The imports between ferkit's folders follow the table in docs/architecture.md."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BASE = {"blocks", "errors", "files", "labels", "lettering", "pixels", "records"}
ALLOWED = {
    "blocks": BASE,
    "errors": BASE,
    "files": BASE,
    "labels": BASE,
    "lettering": BASE,
    "pixels": BASE,
    "records": BASE,
    "sources": BASE,
    "faces": BASE,
    "features": BASE,
    "augment": BASE,
    "sinks": BASE,
    "nets": BASE | {"augment", "features", "model"},
    "model": BASE,
    "figures": BASE,
}
LOWER = set(ALLOWED)
ALLOWED |= {"recipe": LOWER | {"store"}, "store": LOWER | {"recipe"}, "evaluate": LOWER | {"recipe", "store"}}
ALLOWED["explain"] = LOWER | {"recipe", "store", "predict"}
ALLOWED["predict"] = LOWER | {"store"}
ALLOWED["live"] = set(ALLOWED)
ALLOWED["serve"] = set(ALLOWED)
HEAVY = (
    "numpy",
    "scipy",
    "sklearn",
    "skimage",
    "cv2",
    "dlib",
    "PIL",
    "onnxruntime",
    "skops",
    "tensorflow",
    "keras",
    "fastapi",
    "sqlalchemy",
    "pandas",
)


def imported(path):
    """Names of ferkit's parts that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "ferkit" else [f"ferkit.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("ferkit."))


def files(part):
    folder = ROOT / "ferkit" / part
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_imports_follow_the_table(part):
    paths = files(part)
    assert paths
    for path in paths:
        wrong = set(imported(path)) - ALLOWED[part] - {part}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}, which the table does not allow"


def test_only_nets_knows_tensorflow():
    for path in (ROOT / "ferkit").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        allowed = path.parent.name == "nets" or path.name == "doctor.py"
        assert allowed or not names & {"tensorflow", "keras"}, path


def loaded(code):
    """Heavy packages that are loaded after running a line of Python in a fresh process."""
    check = f"import sys\n{code}\nprint(*[n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def test_importing_ferkit_loads_nothing_heavy():
    assert loaded("import ferkit") == []


def test_help_loads_nothing_heavy():
    code = "from ferkit.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert loaded(code) == []


def test_predicting_loads_no_tensorflow():
    assert not {"tensorflow", "keras"} & set(loaded("import ferkit.store, ferkit.nets, ferkit.predict"))


def test_onnxruntime_reports_to_nobody(tmp_path):
    code = (
        "from ferkit.features.onnx import OnnxNetwork, shipped\n"
        "import numpy as np\n"
        "OnnxNetwork(shipped('shipped')).run(np.zeros((1, 48, 48, 1), np.float32))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "CI")}
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment | homes, check=True)
    assert not [path for path in tmp_path.rglob("*") if "microsoft" in str(path).lower() or path.name == "deviceid"]
