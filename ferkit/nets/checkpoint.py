"""State of an unfinished training as a plain ``.npz`` file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.files import write_whole
from ferkit.nets.weights import UNREADABLE, read_arrays

STAMP, PROGRESS = "stamp", "progress"


def save_checkpoint(path: Path, stamp: str, arrays: Mapping[str, NDArray[Any]], progress: Mapping[str, Any]) -> None:
    """Write the state; until that is done, the state before stays."""
    buffer = io.BytesIO()
    texts = {STAMP: np.array(stamp), PROGRESS: np.array(json.dumps(dict(progress)))}
    np.savez(buffer, allow_pickle=False, **texts, **arrays)
    write_whole(path, buffer.getvalue())


def load_checkpoint(path: Path, stamp: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and progress.

    Raises
    ------
    InputError
        If it is no checkpoint, or belongs to a training with other settings or faces.
    """
    try:
        arrays = read_arrays(path.read_bytes())
        found, progress = str(arrays.pop(STAMP)), json.loads(str(arrays.pop(PROGRESS)))
    except UNREADABLE as error:
        raise InputError(f"Got checkpoint={str(path)!r}, expected one of ferkit's ({error}).") from error
    if found != stamp:
        raise InputError(
            f"Got checkpoint={str(path)!r} of another training ({_difference(found, stamp)}), expected the same "
            "settings and faces. Remove it or name another file."
        )
    return arrays, progress


def _difference(found: str, wanted: str) -> str:
    old, new = json.loads(found), json.loads(wanted)
    return ", ".join(f"{key}: {old.get(key)} there, {new[key]} here" for key in new if old.get(key) != new[key])
