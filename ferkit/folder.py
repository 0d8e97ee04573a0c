"""Where ferkit keeps what it may compute again."""

from __future__ import annotations

import os
from pathlib import Path


def default_folder() -> Path:
    """``$XDG_CACHE_HOME/ferkit`` or ``~/.cache/ferkit``. It is not made before something is kept in it."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferkit"
