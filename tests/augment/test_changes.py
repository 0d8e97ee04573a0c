"""Single changes of known strength do what they say, by as much as they say."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ferkit.augment import changes
from ferkit.augment.place import warp


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def crops():
    """30 smooth pictures, none of them symmetric, with levels of 40 to 200."""
    noise = rng(1).uniform(40, 200, (30, 6, 6)).astype(np.float32)
    large = [cv2.resize(one, (48, 48), interpolation=cv2.INTER_CUBIC) for one in noise]
    return np.stack(large).clip(40, 200).astype(np.uint8)


def test_levels_are_scaled_and_added(crops):
    np.testing.assert_allclose(changes.scaled(crops, 0.5), crops / 2, atol=0.51)
    np.testing.assert_allclose(changes.scaled(crops, 1, 0.1), crops + 25.5, atol=0.51)
    assert changes.scaled(crops, 1, 0.9).max() == 255


def test_contrast_keeps_the_mean_and_scales_the_deviation(crops):
    flat = changes.flattened(crops, 0.25).astype(float)
    np.testing.assert_allclose(flat.mean(axis=(1, 2)), crops.mean(axis=(1, 2)), atol=0.5)
    np.testing.assert_allclose(flat.std(axis=(1, 2)), crops.std(axis=(1, 2)) / 4, rtol=0.05)


def test_shadow_darkens_one_side_of_each_face():
    lit = changes.shaded(np.full((200, 48, 48), 100, np.uint8), 0.6, rng())
    left, right = lit[:, :, 0].mean(axis=1), lit[:, :, -1].mean(axis=1)
    assert set(np.round(left).tolist()) == {40, 160}
    np.testing.assert_array_equal(np.round(left + right), 200)
    assert 60 < (left < right).sum() < 140


def test_gamma_goes_both_ways():
    levels = changes.gamma(np.full((200, 8, 8), 128, np.uint8), 2.0, rng())[:, 0, 0]
    dark, bright = round(255 * (128 / 255) ** 2), round(255 * (128 / 255) ** 0.5)
    assert set(levels.tolist()) == {dark, bright}
    assert 60 < (levels == dark).sum() < 140


def test_noise_has_the_deviation_that_it_says():
    noisy = changes.grained(np.full((20, 48, 48), 128, np.uint8), 0.1, rng())
    assert noisy.std() == pytest.approx(25.5, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.5)


def test_blur_is_as_wide_as_it_says_at_any_size():
    for size in (48, 96):
        dot = np.zeros((1, size, size), np.uint8)
        dot[0, size // 2, size // 2] = 255
        spread = changes.smoothed(np.repeat(dot, 1, 0), 0.04).astype(float)[0]
        place = np.arange(size) - size // 2
        deviation = np.sqrt((spread.sum(axis=0) * place**2).sum() / spread.sum())
        assert deviation == pytest.approx(0.04 * size, rel=0.25)


def test_motion_blurs_along_one_line():
    dot = np.zeros((40, 48, 48), np.uint8)
    dot[:, 24, 24] = 255
    for picture in changes.dragged(dot, 0.25, rng()).astype(float):
        places = np.argwhere(picture > 0) - 24
        weights = picture[picture > 0]
        wide, narrow = np.linalg.eigvalsh(np.cov(places.T, aweights=weights, ddof=0))[::-1]
        assert np.sqrt(12 * wide) == pytest.approx(12, rel=0.2)  # a line of 12 pixels, evenly lit
        assert narrow < 0.5


def test_jpeg_and_low_resolution_lose_more_the_stronger_they_are(crops):
    textured = rng().integers(0, 2, (10, 48, 48)).astype(np.uint8) * 200
    for change, weak, strong in ((changes.compressed, 60, 5), (changes.coarse, 0.7, 0.2)):
        near, far = (np.abs(change(textured, level).astype(float) - textured).mean() for level in (weak, strong))
        assert 0 < near < far
    np.testing.assert_array_equal(changes.coarse(crops, 1.0), crops)


def test_a_box_is_covered_and_nothing_else(crops):
    out = changes.covered(crops, (0.25, 0.5, 0.75, 1.0))
    assert (out[:, 24:, 12:36] == np.rint(crops.mean(axis=(1, 2)))[:, None, None]).all()
    rest = np.ones((48, 48), bool)
    rest[24:, 12:36] = False
    np.testing.assert_array_equal(out[:, rest], crops[:, rest])


def test_tilt_turns_about_the_middle_either_way():
    places = changes.tilts((300, 48, 48), 20, rng())
    angles = np.degrees(np.arctan2(places.matrices[:, 1, 0], places.matrices[:, 0, 0]))
    assert set(np.round(angles, 6).tolist()) == {-20.0, 20.0}
    np.testing.assert_allclose(places.matrices @ [23.5, 23.5, 1], 23.5, atol=1e-9)


def test_shift_moves_as_far_as_it_says(crops):
    places = changes.shifts(crops.shape, 0.1, rng())
    np.testing.assert_allclose(np.linalg.norm(places.matrices[:, :, 2], axis=1), 4.8)
    right = changes.shifts((1, 48, 48), 0.125, rng())
    right.matrices[0, :, 2] = 6, 0
    np.testing.assert_array_equal(warp(crops[:1], right)[0, :, 6:], crops[0, :, :-6])


def test_input_stays_and_no_faces_are_fine(crops):
    before = crops.copy()
    ways = [
        lambda x: changes.scaled(x, 0.5),
        lambda x: changes.flattened(x, 0.5),
        lambda x: changes.shaded(x, 0.5, rng()),
        lambda x: changes.gamma(x, 2, rng()),
        lambda x: changes.grained(x, 0.1, rng()),
        lambda x: changes.smoothed(x, 0.03),
        lambda x: changes.dragged(x, 0.1, rng()),
        lambda x: changes.compressed(x, 20),
        lambda x: changes.coarse(x, 0.5),
        lambda x: changes.covered(x, (0, 0, 0.5, 0.5)),
    ]
    for way in ways:
        out = way(crops)
        assert out.dtype == np.uint8
        assert (out != crops).any()
        np.testing.assert_array_equal(crops, before)
        assert way(crops[:0]).shape == (0, 48, 48)
