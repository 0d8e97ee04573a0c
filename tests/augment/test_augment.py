import cv2
import numpy as np
import pytest
from sklearn.base import clone

from ferkit.augment import Augment, augmented, sheet
from ferkit.augment.augment import SHARES, STRENGTHS
from ferkit.augment.place import Places, draw_places, mirror_order, move_points, warp
from ferkit.errors import InputError
from ferkit.records import Faces

OFF = {**dict.fromkeys((*STRENGTHS, *SHARES), 0.0), "flip": False}


def only(**changes):
    return Augment(**OFF | changes)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def crops():
    """40 smooth pictures with a bright and a dark spot, none of them symmetric."""
    noise = rng(1).uniform(40, 200, (40, 6, 6)).astype(np.float32)
    return np.stack([cv2.resize(n, (48, 48), interpolation=cv2.INTER_CUBIC).clip(10, 240) for n in noise]).astype(
        np.uint8
    )


def test_same_seed_same_faces(crops):
    one, same = Augment(seed=3)(crops), Augment(seed=3)(crops)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, Augment(seed=4)(crops))
    assert one.dtype == np.uint8
    assert one.shape == crops.shape


def test_generator_moves_on_and_input_stays(crops):
    before, stream = crops.copy(), rng()
    first, second = Augment().apply(crops, stream), Augment().apply(crops, stream)
    np.testing.assert_array_equal(crops, before)
    assert not np.array_equal(first, second)


def test_all_off_changes_nothing(crops):
    np.testing.assert_array_equal(only()(crops), crops)


@pytest.mark.parametrize("name", [*STRENGTHS, *SHARES, "flip"])
def test_each_change_does_something_alone(name, crops):
    value = {"rotation": 20.0, "flip": True}.get(name, 1.0 if name in SHARES else 0.3)
    out = only(**{name: value})(crops)
    changed = (out != crops).any(axis=(1, 2)).mean()
    assert changed > (0.9 if name not in ("flip", "noise", "shadow") else 0.2)
    assert changed == 1 or name not in SHARES


def test_flip_mirrors_half(crops):
    out = only(flip=True)(np.concatenate([crops] * 10))
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(out, np.concatenate([crops] * 10), strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(out, np.concatenate([crops] * 10), strict=True)])
    assert (mirrored | kept).all()
    assert 0.4 < mirrored.mean() < 0.6


def test_flip_is_true_or_false(crops):
    with pytest.raises(InputError, match="Got flip='no', expected True or False"):
        only(flip="no")(crops)


def test_rotation_turns_as_far_as_it_says():
    places = draw_places(rng(), (2000, 48, 48), 15.0, 0.0, 0.0, False)
    angles = np.degrees(np.arctan2(places.matrices[:, 1, 0], places.matrices[:, 0, 0]))
    assert 14.5 < np.abs(angles).max() <= 15
    assert abs(angles.mean()) < 1
    middle = places.matrices @ np.array([23.5, 23.5, 1])
    np.testing.assert_allclose(middle, 23.5, atol=1e-9)


def test_shift_and_scale_go_as_far_as_they_say():
    shifted = draw_places(rng(), (2000, 40, 60), 0.0, 0.0, 0.1, False).matrices[:, :, 2]
    assert np.abs(shifted).max(axis=0) == pytest.approx([6, 4], abs=0.1)
    sizes = np.linalg.det(draw_places(rng(), (2000, 48, 48), 15.0, 0.2, 0.0, True).matrices[:, :, :2])
    assert np.sqrt(np.abs(sizes)).min() == pytest.approx(0.8, abs=0.01)
    assert np.sqrt(np.abs(sizes)).max() == pytest.approx(1.2, abs=0.01)
    assert 0.4 < (sizes < 0).mean() < 0.6


def test_points_follow_the_pixels():
    points = rng(2).uniform(14, 34, (60, 5, 2)).round().astype(np.float32)
    crops = np.zeros((60, 48, 48), np.float32)
    for crop, (x, y) in zip(crops, points[:, 0].astype(int), strict=True):
        crop[y, x] = 255
    crops = np.stack([cv2.GaussianBlur(crop, (0, 0), 1.5) for crop in crops])
    crops = (crops * 255 / crops.max()).astype(np.uint8)
    places = draw_places(rng(), crops.shape, 20.0, 0.1, 0.05, True)
    moved = np.where(places.flipped[:, None], move_points(points, places)[:, 2], move_points(points, places)[:, 0])
    for crop, (x, y) in zip(warp(crops, places).astype(float), moved, strict=True):
        ys, xs = np.mgrid[:48, :48]
        assert (crop * xs).sum() / crop.sum() == pytest.approx(x, abs=0.3)
        assert (crop * ys).sum() / crop.sum() == pytest.approx(y, abs=0.3)


def test_mirrored_landmarks_change_sides():
    for n in (5, 68):
        order = np.array(mirror_order(n))
        np.testing.assert_array_equal(np.sort(order), np.arange(n))
        np.testing.assert_array_equal(order[order], np.arange(n))
    assert mirror_order(68)[36] == 45  # outer corners of the eyes
    assert mirror_order(68)[48] == 54  # corners of the mouth
    assert mirror_order(68)[8] == 8  # chin
    flip = Places(np.array([[[-1.0, 0, 47], [0, 1, 0]]]), np.array([True]))
    points = np.zeros((1, 68, 2), np.float32)
    points[0, 36] = 10, 20
    np.testing.assert_array_equal(move_points(points, flip)[0, 45], [37, 20])
    with pytest.raises(InputError, match="7 landmarks"):
        move_points(np.zeros((1, 7, 2), np.float32), flip)


def test_light_noise_and_contrast_keep_to_their_limits(crops):
    flat = np.full((500, 48, 48), 128, np.uint8)
    light = only(light=0.1)(flat).mean(axis=(1, 2))
    assert light.min() == pytest.approx(128 - 25.5, abs=1.5)
    assert light.max() == pytest.approx(128 + 25.5, abs=1.5)
    noise = only(noise=0.05)(flat).std(axis=(1, 2))
    assert 10 < noise.max() < 14
    assert 0.5 < (noise == 0).mean() < 0.7
    contrast = only(contrast=0.3)(flat).mean(axis=(1, 2)) / 128
    assert contrast.min() == pytest.approx(0.7, abs=0.01)
    assert contrast.max() == pytest.approx(1.3, abs=0.01)
    gamma = only(gamma=0.5)(flat).mean(axis=(1, 2)) / 255
    assert gamma.min() == pytest.approx((128 / 255) ** np.exp(0.5), abs=0.01)
    shadow = only(shadow=0.4)(flat).astype(float)
    assert (shadow.max(axis=(1, 2)) == shadow.min(axis=(1, 2))).mean() == pytest.approx(0.5, abs=0.1)
    lit = shadow[shadow.max(axis=(1, 2)) > shadow.min(axis=(1, 2))]
    np.testing.assert_allclose(lit[:, 23:25, 23:25].mean(axis=(1, 2)), 128, atol=2)


def test_shares_are_shares_of_the_faces(crops):
    many = np.concatenate([crops] * 25)
    for name in SHARES:
        changed = (only(**{name: 0.2})(many) != many).any(axis=(1, 2)).mean()
        assert changed == pytest.approx(0.2, abs=0.05), name


def test_blur_and_small_lose_detail_and_jpeg_little():
    sharp = rng().integers(0, 2, (20, 48, 48)).astype(np.uint8) * 255
    assert only(blur=1.0)(sharp).std() < 0.6 * sharp.std()
    assert only(small=1.0)(sharp).std() < 0.6 * sharp.std()
    smooth = np.tile(np.linspace(60, 180, 48), (20, 48, 1)).astype(np.uint8)
    assert 0 < np.abs(only(jpeg=1.0)(smooth).astype(int) - smooth).mean() < 10


def test_erased_rectangle_has_the_mean(crops):
    for before, after in zip(crops, only(erase=1.0)(crops), strict=True):
        gone = before != after
        rows, columns = np.flatnonzero(gone.any(axis=1)), np.flatnonzero(gone.any(axis=0))
        assert 1 <= np.ptp(rows) + 1 <= 20
        assert 1 <= np.ptp(columns) + 1 <= 20
        assert set(after[gone]) == {round(float(before.mean()))}


def test_other_sizes_and_no_faces():
    assert Augment()(np.zeros((0, 48, 48), np.uint8)).shape == (0, 48, 48)
    assert Augment()(np.zeros((3, 96, 64), np.uint8)).shape == (3, 96, 64)
    assert Augment()(np.zeros((3, 1, 1), np.uint8)).shape == (3, 1, 1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rotation": -1}, "rotation=-1, expected a number from 0 to 180"),
        ({"erase": 1.5}, "erase=1.5, expected a number from 0 to 1"),
        ({"noise": float("nan")}, "noise=nan"),
        ({"gamma": -0.1}, "gamma=-0.1"),
        ({"gamma": float("inf")}, "gamma=inf, expected a number from 0 to 10"),
        ({"scale": 1.0}, "scale=1.0"),
        ({"rotation": "lots"}, "rotation=.lots., expected a number from 0 to 180"),
    ],
)
def test_wrong_parameters_are_named(wrong, message, crops):
    with pytest.raises(InputError, match=message):
        Augment(**wrong)(crops)


def test_is_an_estimator():
    one = Augment(rotation=3, flip=False)
    assert clone(one).get_params() == one.get_params()


def test_rows_for_classical_models(crops):
    points = rng().uniform(0, 47, (40, 68, 2))
    faces = Faces(crops, points=points, found=np.arange(40) % 2, index=np.arange(40) + 100)
    y = np.array(["fear", "anger"] * 20)
    more, labels = augmented(faces, y, copies=2, seed=1)
    assert len(more) == len(labels) == 120
    np.testing.assert_array_equal(more.crops[:40], crops)
    np.testing.assert_array_equal(more.points[:40], faces.points)
    np.testing.assert_array_equal(labels, np.tile(y, 3))
    np.testing.assert_array_equal(more.index, np.tile(faces.index, 3))
    np.testing.assert_array_equal(more.found, np.tile(faces.found, 3))
    assert not np.array_equal(more.crops[40:80], more.crops[80:])
    assert not np.allclose(more.points[40:80], more.points[80:])
    again, _ = augmented(faces, y, copies=2, augment=Augment(seed=1))
    np.testing.assert_array_equal(again.crops, more.crops)
    assert len(augmented(faces, y, copies=0)[0]) == 40


def test_rows_with_unknown_landmarks_need_no_flip(crops):
    faces = Faces(crops, points=np.ones((40, 7, 2)))
    with pytest.raises(InputError, match="flip=False"):
        augmented(faces, np.zeros(40))
    assert augmented(faces, np.zeros(40), augment=Augment(flip=False))[0].points.shape == (80, 7, 2)


def test_wrong_rows_are_named(crops):
    with pytest.raises(InputError, match="y with 3 rows, expected 40"):
        augmented(crops, [1, 2, 3])
    with pytest.raises(InputError, match="copies=-1"):
        augmented(crops, np.zeros(40), copies=-1)


def test_sheet_shows_each_kind_that_is_on(crops):
    picture = sheet(crops[:2], columns=3, zoom=1)
    rows = len(STRENGTHS) + len(SHARES) + 1 + 2
    assert picture.shape[0] == rows * 52
    np.testing.assert_array_equal(picture[-52:-4, 120:168], crops[1])
    np.testing.assert_array_equal(picture, sheet(crops[:2], columns=3, zoom=1))
    assert sheet(crops[:2], only(rotation=5), columns=3, zoom=1).shape[0] == 3 * 52
    assert sheet(crops[:2], kinds=False, zoom=3).shape[0] == 2 * (48 * 3 + 4)


def test_sheet_names_what_is_wrong(crops):
    with pytest.raises(InputError, match="0 faces"):
        sheet(crops[:0])
    with pytest.raises(InputError, match="columns=0"):
        sheet(crops, columns=0)
