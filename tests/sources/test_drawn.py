"""Drawn faces are repeatable, look like faces to a detector, and move as the action units say."""

from itertools import pairwise

import cv2
import numpy as np
import pytest

from ferkit.errors import DataError, InputError
from ferkit.labels import EXPRESSIONS, FER2013
from ferkit.sources import clusters, draw_face, frames, sample, sample_video
from ferkit.sources.anatomy import ACTION_UNITS, UNITS, VARIANTS, Strength, brow, eye, mouth
from ferkit.sources.look import STYLES, Look


@pytest.fixture(scope="module")
def small():
    return sample(70)


def units(**strengths):
    return Strength({name.removeprefix("u"): value for name, value in strengths.items()})


def test_same_seed_same_face():
    one, again, other = (draw_face("anger", seed=seed, size=64) for seed in (1, 1, 2))
    assert one.shape == (64, 64, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert np.array_equal(draw_face(size=48), draw_face("neutral", size=48))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_differ_from_neutral_and_fade_with_intensity(expression):
    neutral = draw_face("neutral", size=96).astype(int)
    half, full = (np.abs(draw_face(expression, size=96, intensity=i) - neutral).sum() for i in (0.5, 1.0))
    assert np.array_equal(draw_face(expression, size=96, intensity=0.0), neutral)
    assert (half, full) == (0, 0) if expression == "neutral" else 0 < half < full


def test_a_detector_finds_nearly_all():
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    found = 0
    for i in range(60):
        grey = cv2.cvtColor(draw_face(EXPRESSIONS[i % 8], size=160, seed=5000 + i), cv2.COLOR_RGB2GRAY)
        found += len(cascade.detectMultiScale(grey, 1.1, 4, minSize=(32, 32))) > 0
    assert found > 54


def test_head_turn_moves_the_features():
    def middle(yaw, pitch):
        view = {"ambient": 1.0, "clutter": 0.0, "yaw": yaw, "pitch": pitch}
        plain = draw_face(units={}, size=128, eye_size=1.15, **view).astype(int)
        bare = draw_face(units={"43": 1.0}, size=128, eye_size=1.15, **view).astype(int)
        rows, columns = np.nonzero(np.abs(plain - bare).sum(axis=2) > 60)
        return columns.mean(), rows.mean()

    assert middle(-20, 0)[0] < middle(0, 0)[0] - 3 < middle(20, 0)[0] - 6
    assert middle(0, 15)[1] > middle(0, 0)[1] + 2


def test_light_comes_from_its_side():
    def left_minus_right(light):
        face = draw_face(size=128, light=light, ambient=0.3, clutter=0.0).mean(axis=2)[60:80]
        return face[:, 45:58].mean() - face[:, 70:83].mean()

    assert left_minus_right(-60) > 20 > -20 > left_minus_right(60)


def test_look_and_view_change_what_they_name():
    plain = draw_face(size=96)
    for change in ({"skin": (98, 64, 46)}, {"background": (0, 0, 90)}, {"beard": 0.9}, {"noise": 8.0}, {"roll": 20.0}):
        assert not np.array_equal(draw_face(size=96, **change), plain), change
    faces = [draw_face(size=96, style=style) for style in STYLES]
    assert len({face.tobytes() for face in faces}) == len(STYLES)
    assert draw_face(size=96, background=(0, 0, 90), clutter=0.0)[2, 2, 2] > draw_face(size=96)[2, 2, 0] - 130


def test_action_units_move_their_parts():
    look = Look()
    calm = units()
    inner = brow(look, calm, 1)[0, 1], brow(look, units(u1=1.0), 1)[0, 1], brow(look, units(u4=1.0), 1)[0, 1]
    assert inner[1] < inner[0] < inner[2]
    opening = [
        np.ptp(np.vstack([e.upper, e.lower])[:, 1])
        for e in (eye(look, units(**u), 1) for u in ({}, {"u5": 1.0}, {"u43": 1.0}))
    ]
    assert opening[2] < opening[0] < opening[1]
    corners = [mouth(look, units(**u)).upper_in[-1, 1] for u in ({}, {"u12": 1.0}, {"u15": 1.0})]
    assert corners[1] < corners[0] < corners[2]
    one_sided = mouth(look, units(R12=1.0)).upper_in
    assert one_sided[-1, 1] < one_sided[0, 1] - 0.1
    gaps = [
        mouth(look, units(**u)).gap
        for u in ({}, {"u25": 1.0}, {"u25": 1.0, "u26": 1.0}, {"u25": 1.0, "u26": 1.0, "u27": 1.0})
    ]
    assert gaps == sorted(set(gaps))
    assert np.ptp(mouth(look, units(u20=1.0)).upper_in[:, 0]) > np.ptp(mouth(look, calm).upper_in[:, 0])


def test_every_expression_uses_units_that_are_drawn():
    used = [set(ACTION_UNITS[name]) for name in EXPRESSIONS]
    used += [set(variant) for variants in VARIANTS.values() for variant in variants]
    assert {unit.lstrip("LR") for units in used for unit in units} <= set(UNITS)
    plain = draw_face(size=96, units={})
    for unit in UNITS:
        with_jaw = {unit: 1.0, "25": 1.0}
        base = plain if unit == "25" else draw_face(size=96, units={"25": 1.0})
        assert not np.array_equal(draw_face(size=96, units=with_jaw), base), unit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"expression": "bored"}, "expression='bored'"),
        ({"size": 8}, "size=8"),
        ({"size": True}, "size=True"),
        ({"intensity": 2.0}, "intensity=2.0"),
        ({"jaw_line": 1}, "jaw_line=1"),
        ({"units": {"99": 1.0}}, "units={'99'"),
        ({"units": {"12": 3.0}}, "units={'12'"),
        ({"style": "mohawk"}, "style='mohawk'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        draw_face(**arguments)


def test_sample_is_balanced_and_persons_do_not_cross_splits(small):
    assert small.pictures.shape == (70, 48, 48)
    assert [int((small.labels == name).sum()) for name in FER2013] == [10] * 7
    assert [int((small.splits == name).sum()) for name in small.split_names] == [49, 7, 14]
    for person in set(small.subjects):
        assert len(set(small.splits[small.subjects == person])) == 1
    assert np.array_equal(small.pictures, sample(70).pictures)
    assert not np.array_equal(small.pictures[:7], sample(7, seed=1).pictures)
    assert len(set(clusters(small.pictures))) > 65


def test_sample_of_other_sizes():
    assert sample(3, size=64).pictures.shape == (3, 64, 64)
    for n in (0, 2.5, True):
        with pytest.raises(InputError, match="n="):
            sample(n)


def test_expressions_can_be_learnt_from_other_persons():
    from skimage.feature import hog
    from sklearn.linear_model import RidgeClassifier

    data = sample(210)
    X = np.stack([hog(face, pixels_per_cell=(6, 6), cells_per_block=(2, 2)) for face in data.pictures])
    training = data.splits == "Training"
    model = RidgeClassifier(10.0).fit(X[training], data.labels[training])
    assert model.score(X[~training], data.labels[~training]) > 0.5


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm"])
def test_video_changes_at_known_frames(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    labels = sample_video(path, ["neutral", "surprise"], frames_each=6, fps=10, size=96, seed=2)
    assert labels == ["neutral"] * 6 + ["surprise"] * 6
    got = [frame.image.astype(int) for frame in frames(path)]
    assert len(got) == 12
    step = [np.abs(b - a).mean() for a, b in pairwise(got)]
    assert int(np.argmax(step)) == 5


def test_video_that_cannot_be_written(tmp_path, capfd):
    with pytest.raises(InputError, match=r"ends in \.mp4"):
        sample_video(tmp_path / "clip.txt")
    with pytest.raises(InputError, match="0 expressions"):
        sample_video(tmp_path / "clip.avi", [])
    with pytest.raises(InputError, match="expression='bored'"):
        sample_video(tmp_path / "clip.avi", ["bored"])
    with pytest.raises(DataError, match="cannot write"):
        sample_video(tmp_path / "none" / "clip.avi", ["neutral"], size=64)
