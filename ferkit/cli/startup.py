"""Modules that a command needs in name only, loaded when they are first used."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from threading import RLock
from types import ModuleType
from typing import Any

_LOCK = RLock()


class _Waiting(ModuleType):
    """Module whose code runs when the first of its names is asked for.

    ``importlib.util.LazyLoader`` does the same but is woken by every further ``import`` of the module.
    """

    def __getattr__(self, name: str) -> Any:
        with _LOCK:
            if type(self) is _Waiting:
                self.__class__ = ModuleType  # type: ignore[assignment]
                _run(self)
        return getattr(self, name)


def _run(module: ModuleType) -> None:
    loader = module.__spec__.loader if module.__spec__ else None
    if loader is not None:
        loader.exec_module(module)


def postpone(*names: str) -> None:
    """Let these modules wait, once they are imported, until one of their names is asked for.

    scikit-learn imports SciPy's statistics in its first lines and does not use them to predict; loading them takes
    longer than recognising a picture. Modules that are loaded already, or not installed, stay as they are.
    """
    for name in names:
        spec = None if name in sys.modules else find_spec(name)
        if spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            module.__class__ = _Waiting
            sys.modules[name] = module
