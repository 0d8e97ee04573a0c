"""Near-duplicates are found through scale, light and mirror; different faces are not."""

import cv2
import numpy as np
import pytest

from ferkit.errors import InputError
from ferkit.sources import clusters, duplicates, near_duplicates


@pytest.fixture
def faces():
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 12), dtype=np.uint8)
    return np.stack([cv2.resize(picture, (48, 48), interpolation=cv2.INTER_CUBIC) for picture in noise])


def test_pairs_through_light_scale_and_mirror(faces):
    darker = (faces[0] * 0.6 + 10).astype(np.uint8)
    larger = cv2.resize(faces[1], (130, 130), interpolation=cv2.INTER_CUBIC)
    colour = np.repeat(faces[2][:, ::-1, None], 3, axis=2)
    assert near_duplicates([*faces, darker, larger, colour]).tolist() == [[0, 12], [1, 13], [2, 14]]


def test_the_threshold_counts(faces):
    noisy = np.clip(faces[0] + np.random.default_rng(1).normal(0, 60, (48, 48)), 0, 255).astype(np.uint8)
    stack = np.stack([faces[0], noisy])
    assert len(near_duplicates(stack, 0.5)) == 1
    assert len(near_duplicates(stack, 0.9999)) == 0


def test_blocks_of_rows_give_the_same(faces, monkeypatch):
    stack = np.concatenate([faces, faces[::-1, :, ::-1]])
    whole = near_duplicates(stack)
    monkeypatch.setattr(duplicates, "_ROWS", 5)
    assert np.array_equal(near_duplicates(stack), whole)
    assert whole.tolist() == [[i, 23 - i] for i in range(12)]


def test_flat_and_no_pictures():
    assert near_duplicates(np.zeros((3, 48, 48), np.uint8)).shape == (0, 2)
    assert near_duplicates(np.empty((0, 48, 48), np.uint8)).shape == (0, 2)
    assert clusters(np.empty((0, 48, 48), np.uint8)).shape == (0,)


def test_clusters_join_chains(faces):
    stack = np.concatenate([faces[:3], faces[1:2, :, ::-1], faces[1:2]])
    assert clusters(stack).tolist() == [0, 1, 2, 1, 1]


def test_groups_and_twins_do_not_need_all_pairs(faces, monkeypatch):
    monkeypatch.setattr(duplicates, "_ROWS", 7)
    rng = np.random.default_rng(0)
    stack = faces[rng.integers(0, 12, 60)]
    stack[::2] = stack[::2, :, ::-1]
    people, held_out = np.array(["", "a", "b", "", "c"] * 12, dtype=object), rng.random(60) < 0.3
    groups, twins = duplicates.near_groups(stack, people, held_out)
    pairs = near_duplicates(stack)
    assert np.array_equal(groups, duplicates.groups_of(pairs, people, 60))
    near = {row for pair in pairs for row in pair if held_out[pair].any() and not held_out[row]}
    assert set(np.flatnonzero(twins)) == near
    assert not duplicates.near_groups(stack)[1].any()
    assert len(duplicates.forest(pairs)) < 60 < len(pairs)


@pytest.mark.parametrize("threshold", [0, 1, -0.5, "high", True, None])
def test_wrong_threshold(faces, threshold):
    with pytest.raises(InputError, match="threshold"):
        near_duplicates(faces, threshold)
