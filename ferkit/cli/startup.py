"""scikit-learn without what it loads and prediction does not need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_LOCK = RLock()

_UNUSED = (
    "narwhals",
    "narwhals.stable",
    "narwhals.stable.v2",
    "numpy.f2py",
    "numpy.testing",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.preprocessing",
)
"""What the first lines of scikit-learn's pipelines load, and SciPy's do, and nothing asks for while predicting."""


class _Waiting(ModuleType):
    """Module whose code runs when the first of its names is asked for.

    ``importlib.util.LazyLoader`` does the same but is woken by every further ``import`` of the module.
    """

    def __getattr__(self, name: str) -> Any:
        with _LOCK:  # another thread waits until all of it is there
            if self in _RUNNING:
                raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} yet")
            if type(self) is _Waiting:
                _RUNNING.append(self)
                try:
                    _run(self)
                finally:
                    _RUNNING.remove(self)
                self.__class__ = ModuleType  # type: ignore[assignment]
        return getattr(self, name)


_RUNNING: list[ModuleType] = []


def _run(module: ModuleType) -> None:
    loader = module.__spec__.loader if module.__spec__ else None
    if loader is not None:
        loader.exec_module(module)


def import_scikit_learn() -> None:
    """Import scikit-learn's pipelines in a third of the time.

    Their first lines load SciPy's statistics, splines and optimisers, NumPy's testing and Fortran tools, and data
    frames; none of them is used to predict, and together they take longer than recognising a picture.
    """
    with absent("pandas", "rich"):
        postpone(*_UNUSED)
        # the one name that pipelines take from there, so that the rest of preprocessing waits
        transformer = import_module("sklearn.preprocessing._function_transformer").FunctionTransformer
        sys.modules["sklearn.preprocessing"].__dict__.setdefault("FunctionTransformer", transformer)
        import sklearn.pipeline  # noqa: F401


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """While inside, importing these modules fails as if they were not installed, unless they are loaded already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def postpone(*names: str) -> None:
    """Let these modules wait, once they are imported, until one of their names is asked for.

    A package comes before what is inside it. Modules that are loaded already, or not installed, stay as they are.
    """
    for name in names:
        parent, _, own = name.rpartition(".")
        try:
            spec = None if name in sys.modules else find_spec(name)
        except ModuleNotFoundError:  # its package is not installed
            continue
        if spec is not None and spec.loader is not None and name not in sys.modules:
            module = module_from_spec(spec)
            module.__class__ = _Waiting
            sys.modules[name] = module
            if parent:
                setattr(sys.modules[parent], own, module)
