"""Drawn faces with the landmarks that they were drawn from."""

import numpy as np
import pytest
from skimage.draw import disk, ellipse, line

from ferkit.records import Faces


def landmarks(smile: float = 0.0, brow: float = 0.0, mouth: float = 0.0) -> np.ndarray:
    """68 points of an upright 48x48 face: ``smile`` lifts the mouth corners, ``brow`` the brows, ``mouth`` opens it."""
    turn = np.linspace(np.pi, 0, 17)
    jaw = np.column_stack([24 + 20 * np.cos(turn), 20 + 26 * np.sin(turn)])
    arch = np.array([[-5, 1], [-2.5, -0.5], [0, -1], [2.5, -0.5], [5, 1]])
    brows = np.vstack([np.add(arch, (14, 13 - brow)), np.add(arch, (34, 13 - brow))])
    nose = [[24, 19], [24, 22], [24, 25], [24, 28], [20, 31], [22, 32], [24, 32.5], [26, 32], [28, 31]]
    rim = np.array([[-3, 0], [-1, -1.5], [1, -1.5], [3, 0], [1, 1.5], [-1, 1.5]])
    eyes = np.vstack([np.add(rim, (14, 19)), np.add(rim, (34, 19))])
    outer = np.array(
        [
            [-7, 0],
            [-4, -2],
            [-1.5, -2.5],
            [0, -2],
            [1.5, -2.5],
            [4, -2],
            [7, 0],
            [4, 2],
            [1.5, 3],
            [0, 3],
            [-1.5, 3],
            [-4, 2],
        ]
    )
    outer[[0, 6], 1] -= smile
    outer[7:, 1] += mouth
    inner = np.array([[-5, 0], [-2, -0.7], [0, -0.7], [2, -0.7], [5, 0], [2, 0.7], [0, 0.7], [-2, 0.7]])
    inner[5:, 1] += mouth
    return np.vstack([jaw, brows, nose, eyes, np.add(outer, (24, 38)), np.add(inner, (24, 38))])


def draw(points: np.ndarray, light: int = 110) -> np.ndarray:
    """The face of these landmarks as grey pixels."""
    face = np.full((48, 48), 40, np.uint8)
    face[ellipse(22, 24, 24, 20, shape=face.shape)] = light
    for row, column in ((19, 14), (19, 34)):
        face[disk((row, column), 2.5, shape=face.shape)] = light // 3
    for first in [*range(17, 21), *range(22, 26), *range(48, 59)]:
        (x1, y1), (x2, y2) = np.rint(points[first : first + 2]).astype(int).clip(0, 47)
        face[line(y1, x1, y2, x2)] = light // 4
    return face


@pytest.fixture
def face() -> np.ndarray:
    """One drawn face, 48x48."""
    return draw(landmarks(smile=2))


@pytest.fixture
def points() -> np.ndarray:
    """Landmarks of a face at rest."""
    return landmarks()


@pytest.fixture(scope="session")
def faces() -> Faces:
    """Twelve drawn faces that differ in expression, light and noise, with landmarks."""
    rng = np.random.default_rng(0)
    shapes = [landmarks(smile=i % 3, brow=i % 4, mouth=i % 2 * 2) for i in range(12)]
    crops = np.array([draw(shape, light=90 + 5 * i) for i, shape in enumerate(shapes)])
    noisy = crops + rng.integers(0, 12, crops.shape)
    return Faces(noisy, points=shapes)


@pytest.fixture
def pose():
    """Function that gives the landmarks of an expression."""
    return landmarks
