"""Drawn faces in three classes, and networks small enough to train in seconds."""

import cv2
import numpy as np
import pytest

SMALL = {
    "widths": (8, 16, 16),
    "strides": (2, 2),
    "average": 0.0,
    "batch_size": 16,
    "augment": False,
    "mixup": 0.0,
}
MOUTHS = {"happiness": (0, 180, 30), "sadness": (180, 360, 42), "surprise": (0, 360, 34)}


def draw(label, rng):
    """Face with a mouth that curves up, curves down or is open."""
    face = np.full((48, 48), rng.integers(100, 160), np.uint8)
    x, y = rng.integers(-3, 4, 2).tolist()
    for eye in (15, 33):
        cv2.circle(face, (eye + x, 17 + y), 3, 30, -1)
    first, last, height = MOUTHS[label]
    cv2.ellipse(face, (24 + x, height + y), (9, 6), 0, first, last, 30, 3)
    return (face + rng.integers(0, 20, face.shape)).astype(np.uint8)


@pytest.fixture(scope="session")
def drawn():
    """96 faces and their labels."""
    rng = np.random.default_rng(3)
    labels = np.array([list(MOUTHS)[i % 3] for i in range(96)])
    return np.stack([draw(label, rng) for label in labels]), labels


@pytest.fixture(scope="session")
def small():
    """Parameters of a small, quick `NetworkClassifier`."""
    return dict(SMALL)


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory):
    """Networks are remembered in a folder of the test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("home")))
        yield
