import numpy as np
import pytest

from ferkit.errors import InputError
from ferkit.features import Geometry
from ferkit.features.geometry import MEASURES, measure
from ferkit.records import Faces


def named(points):
    return dict(zip(MEASURES, measure(np.asarray(points, np.float32)[None])[0].astype(float), strict=True))


def with_points(points):
    return Faces(np.zeros((len(points), 48, 48), np.uint8), points=points)


def test_there_are_many_measures_named_after_action_units(faces):
    names = Geometry().fit(faces).get_feature_names_out()
    assert len(set(names)) == len(names) == len(MEASURES) + 1
    assert sum(name.startswith("geometry/AU") for name in names) >= 30
    assert "geometry/AU12/mouth_corner_pull_left" in names
    assert names[-1] == "geometry/missing"


def test_size_place_and_tilt_do_not_count(points):
    turn = np.deg2rad(25)
    moved = points @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]] * 2.5 + [7, -3]
    np.testing.assert_allclose(list(named(moved).values()), list(named(points).values()), atol=1e-4)


def test_a_mirrored_face_swaps_the_sides(pose):
    points = pose(smile=2)
    points[48, 1] -= 1
    points[21, 1] += 2
    before = named(points)
    swap = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1)]
    swap += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    swap += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    after = named((points * [-1, 1] + [48, 0])[swap])
    for name, value in before.items():
        if name in ("head/turn", "AU14/mouth_slope"):
            assert after[name] == pytest.approx(-value, abs=1e-5)
        else:
            other = name.replace("_right", "_LEFT").replace("_left", "_right").replace("_LEFT", "_left")
            assert after[other] == pytest.approx(value, abs=1e-5), name
    assert before["AU12/mouth_corner_lift_right"] > before["AU12/mouth_corner_lift_left"]
    assert before["AU1/inner_brow_raise_right"] < before["AU1/inner_brow_raise_left"]


def test_values_in_distances_between_the_eyes(points):
    at_rest = named(points)
    assert at_rest["AU18/mouth_width"] == pytest.approx(14 / 20)
    assert at_rest["AU12/mouth_corner_pull_left"] == pytest.approx(7 / 20)
    assert at_rest["AU5/eye_openness_right"] == pytest.approx(3 / 6)
    assert at_rest["AU7/eye_area_left"] == pytest.approx(12 / 400)
    assert at_rest["AU2/outer_brow_raise_right"] == pytest.approx(5 / 20)
    assert at_rest["AU14/mouth_corner_angle_left"] == pytest.approx(np.arctan(2 / 7) + np.arctan(3 / 7), abs=1e-4)
    assert at_rest["head/turn"] == pytest.approx(0, abs=1e-6)


def test_actions_move_their_measures(pose):
    rest, smile, raised, opened = named(pose()), named(pose(smile=3)), named(pose(brow=3)), named(pose(mouth=4))
    assert smile["AU12/mouth_corner_lift_left"] > rest["AU12/mouth_corner_lift_left"] + 0.1
    assert smile["AU15/mouth_corner_drop_right"] < rest["AU15/mouth_corner_drop_right"] - 0.1
    for name in ("AU1/inner_brow_raise_left", "AU2/outer_brow_raise_right", "AU4/brow_height_left"):
        assert raised[name] == pytest.approx(rest[name] + 3 / 20)
    assert opened["AU25/lips_part"] == pytest.approx(rest["AU25/lips_part"] + 4 / 20)
    assert opened["AU27/mouth_opening_area"] > rest["AU27/mouth_opening_area"] * 2
    assert opened["AU16/lower_lip_depress"] > rest["AU16/lower_lip_depress"]
    unmoved = [name for name in MEASURES if name.startswith(("AU1/", "AU2/", "AU5/", "AU7/", "AU9/", "head/"))]
    assert all(smile[name] == pytest.approx(rest[name], abs=1e-6) for name in unmoved)


def test_faces_without_landmarks_get_the_means_and_a_mark(pose):
    points = np.array([pose(smile=i) for i in range(4)])
    points[2] = np.nan
    geometry = Geometry()
    values = geometry.fit_transform(with_points(points))
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[2, :-1], values[[0, 1, 3], :-1].mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(values[:, -1], [0, 0, 1, 0])
    np.testing.assert_array_equal(geometry.transform(with_points(points[2:3]))[0, :-1], geometry.mean_)


def test_one_lost_point_costs_only_its_measures(pose):
    points = np.array([pose(), pose(brow=2)])
    points[1, 54] = np.nan
    values = Geometry().fit_transform(with_points(points))
    whole = Geometry().fit(with_points(points[:1])).transform(with_points([pose(brow=2)]))
    same = [not np.isin(54, np.hstack(groups)) for _, groups in MEASURES.values()]
    np.testing.assert_array_equal(values[1, :-1][same], whole[0, :-1][same])
    assert values[1, -1] == 1


def test_points_on_one_spot_count_as_missing(points):
    flat = np.full_like(points, 20)
    values = Geometry().fit(with_points([points])).transform(with_points([flat]))
    assert np.isfinite(values).all()
    assert values[0, -1] == 1


@pytest.mark.parametrize("n_points", [0, 5])
def test_other_landmarks_are_refused_with_the_fix(points, n_points):
    faces = Faces(np.zeros((2, 48, 48), np.uint8), points=np.ones((2, n_points, 2)))
    message = rf"Got faces with {n_points} landmarks, expected 68\. Set landmarks: 68 in the faces step\."
    with pytest.raises(InputError, match=message):
        Geometry().fit(faces)
    with pytest.raises(InputError, match=message):
        Geometry().fit(with_points([points])).transform(faces)


def test_no_landmark_at_all_cannot_be_learnt_from(points):
    with pytest.raises(InputError, match=r"Got 2 faces without landmarks \(NaN\), expected at least 1 that has them\."):
        Geometry().fit(with_points(np.full((2, 68, 2), np.nan)))


def test_no_faces_give_no_rows(points):
    geometry = Geometry().fit(with_points([points]))
    assert geometry.transform(with_points(np.empty((0, 68, 2)))).shape == (0, len(MEASURES) + 1)
