"""Modules that wait until they are used."""

import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from skimage import data

from ferkit.cli.startup import absent, postpone

WAITS = """
import sys
from ferkit.cli import main
try:
    main(["predict", sys.argv[1], "--format", "csv"])
finally:
    assert "sklearn.pipeline" in sys.modules
    assert "scipy.stats._stats_py" not in sys.modules
    waiting = {"scipy.optimize._optimize", "sklearn.preprocessing._data", "numpy.f2py.rules"}
    assert not (waiting | {"pandas", "rich"}) & set(sys.modules)
    import numpy, pandas, scipy.stats
    assert scipy.stats.norm.cdf(0) == 0.5
    assert "scipy.stats._stats_py" in sys.modules
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.pipeline import make_pipeline
    from sklearn.utils import _safe_indexing
    rows = numpy.array([[1.0], [3.0]])
    assert make_pipeline(FunctionTransformer(), StandardScaler()).fit_transform(rows).ravel().tolist() == [-1, 1]
    assert _safe_indexing(pandas.DataFrame(rows), [1]).shape == (1, 1)
    numpy.testing.assert_array_equal(rows, rows)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text(
        "import sys\nsys.slow_runs = getattr(sys, 'slow_runs', 0) + 1\nfact = 42\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "slow_module"
    sys.modules.pop("slow_module", None)
    vars(sys).pop("slow_runs", None)


def test_a_module_runs_once_and_when_it_is_used(module):
    postpone(module)
    import slow_module

    assert not hasattr(sys, "slow_runs")
    assert slow_module.fact == 42
    from slow_module import fact

    assert (fact, sys.slow_runs) == (42, 1)
    with pytest.raises(AttributeError, match="other"):
        slow_module.other


def test_a_module_inside_a_package_waits_too(tmp_path, monkeypatch):
    (tmp_path / "slow_package").mkdir()
    (tmp_path / "slow_package" / "__init__.py").write_text("fact = 1\n")
    (tmp_path / "slow_package" / "inside.py").write_text("from slow_package import fact\nfact += 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        postpone(
            "slow_package",
            "slow_package.inside",
            "slow_package.missing",
            "slow_packages.missing",
            "slow_packages.missing.deeper",
        )
        import slow_package
        import slow_package.inside as inside

        assert "fact" not in vars(inside)
        assert "fact" not in vars(slow_package)
        assert (inside.fact, slow_package.fact) == (2, 1)
    finally:
        for name in [name for name in sys.modules if name.startswith("slow_package")]:
            del sys.modules[name]


def test_a_module_that_fails_says_why_each_time(tmp_path, monkeypatch):
    (tmp_path / "failing_module.py").write_text("fact = 1\nraise ValueError('why')\n")
    monkeypatch.syspath_prepend(tmp_path)
    postpone("failing_module")
    import failing_module

    for _ in range(2):
        with pytest.raises(ValueError, match="why"):
            failing_module.other
    del sys.modules["failing_module"]


def test_other_threads_wait_for_the_whole_module(tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text("import time\nfirst = 1\ntime.sleep(0.3)\nlast = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    postpone("slow_module")
    import slow_module

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda name: getattr(slow_module, name), ["first", "last", "last"])) == [1, 2, 2]
    del sys.modules["slow_module"]


def test_what_is_loaded_or_missing_stays(module):
    import slow_module

    postpone(module, "no_such_module_anywhere")
    assert sys.modules[module] is slow_module
    assert "no_such_module_anywhere" not in sys.modules


def test_an_absent_module_comes_back(module):
    with absent(module, "sys"):
        import sys as again

        assert again is sys
        with pytest.raises(ImportError):
            importlib.import_module(module)
    assert importlib.import_module(module).fact == 42


def test_a_prediction_needs_no_statistics(tmp_path):
    Image.fromarray(data.astronaut()).save(tmp_path / "photo.png")
    done = subprocess.run([sys.executable, "-c", WAITS, str(tmp_path / "photo.png")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
