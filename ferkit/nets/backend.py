"""The one place that imports Keras and TensorFlow."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ferkit.errors import MissingExtraError, missing


def keras() -> Any:
    """Keras on TensorFlow, imported at the first call.

    Raises
    ------
    MissingExtraError
        If TensorFlow or Keras is not installed, or Keras is set to another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with _silent():
            import tensorflow

            tensorflow.config.list_physical_devices()  # looks for CUDA, and says so where there is none
    except ImportError as error:
        raise missing("tensorflow", "train") from error
    try:
        import keras
    except ImportError as error:
        if error.name == "keras":
            raise missing("keras", "train") from error
        raise _other_backend(f"one that needs {error.name}") from error  # from the environment or ~/.keras/keras.json
    if keras.backend.backend() != "tensorflow":
        raise _other_backend(keras.backend.backend())
    return keras


def _other_backend(name: str) -> MissingExtraError:
    return MissingExtraError(
        f"Got Keras set to another backend, {name}, expected 'tensorflow'. "
        "Set KERAS_BACKEND=tensorflow before the start."
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing on standard error: TensorFlow's start-up lines come before its log level is read."""
    try:
        kept = None if "tensorflow" in sys.modules else os.dup(2)
    except OSError:  # closed, as for some services
        kept = None
    if kept is None:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
