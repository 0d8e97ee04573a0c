"""The one place that imports Keras and TensorFlow."""

from __future__ import annotations

import os
from typing import Any

from ferkit.errors import MissingExtraError, missing


def keras() -> Any:
    """Keras on TensorFlow, imported at the first call.

    Raises
    ------
    MissingExtraError
        If TensorFlow or Keras is not installed, or Keras is set to another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # else its start-up lines bury the progress lines
    try:
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise missing("tensorflow", "train") from error
    import keras

    if keras.backend.backend() != "tensorflow":
        raise MissingExtraError(
            f"Got KERAS_BACKEND={keras.backend.backend()!r}, expected 'tensorflow'. Set it before the start."
        )
    return keras
