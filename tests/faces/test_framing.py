"""The canonical framing: transforms are exact, crops do not alias, detected faces come to the framing."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from ferkit.errors import InputError
from ferkit.faces import FaceExtractor, framing
from ferkit.faces.framing import EYES, MOUTH, NOSE, crop, from_box, from_points, similarity, to_crop, to_picture
from ferkit.faces.grey import grey
from ferkit.faces.landmarks import anchors, available
from ferkit.sources import read_image

PHOTOS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "photos"

with_landmarks = pytest.mark.skipif("5" not in available(), reason="dlib or its predictor files are not installed")


def turned(points, degrees, scale, shift):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(points) @ turn.T * scale + shift


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1), (30, 2.5), (-75, 0.1), (180, 40)])
def test_similarity_undoes_turn_scale_and_shift(degrees, scale):
    points = np.array([(1, 2), (7, 3), (4, 9)], float)
    matrix = similarity(turned(points, degrees, scale, (50, -20)), points)
    moved = turned(points, degrees, scale, (50, -20))
    np.testing.assert_allclose(moved @ matrix[:, :2].T + matrix[:, 2], points, atol=1e-9)


def test_similarity_is_the_least_squares_one():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 6, 2))
    matrix = similarity(source, target)

    def error(change):
        a, b, c, d = np.array([matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2]]) + change
        return np.sum((source @ np.array([[a, -b], [b, a]]).T + (c, d) - target) ** 2)

    assert all(error(np.zeros(4)) < error(step) for step in 0.01 * np.vstack([np.eye(4), -np.eye(4)]))
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize(
    ("source", "target"),
    [([(1, 1), (1, 1)], [(0, 0), (1, 1)]), ([(1, 1)], [(0, 0), (1, 1)]), ([(np.nan, 0), (1, 1)],) * 2],
)
def test_similarity_refuses_points_that_give_none(source, target):
    with pytest.raises(InputError, match="Got points"):
        similarity(source, target)


def test_box_without_detector_is_the_framing():
    matrix = from_box((10, 20, 58, 68))
    picture = np.random.default_rng(0).integers(0, 256, (90, 100), dtype=np.uint8)
    np.testing.assert_array_equal(crop(picture, matrix), picture[20:68, 10:58])
    np.testing.assert_allclose(framing.framed_box(matrix), (10, 20, 58, 68))


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (5, 5, 4, 9), (0, np.nan, 1, 1)])
def test_box_that_is_none(box):
    with pytest.raises(InputError, match="Got box_xyxy"):
        from_box(box)


def test_box_of_an_unknown_detector():
    with pytest.raises(InputError, match="Got detector='eyes'"):
        from_box((0, 0, 1, 1), "eyes")


def test_border_is_repeated_outside():
    picture = np.tile(np.arange(40, dtype=np.uint8) * 6, (40, 1))
    face = crop(picture, from_box((-20, -20, 60, 60)), 80)
    np.testing.assert_array_equal(face[20:60, 20:60], picture)
    assert (face[:, :20] == 0).all()
    assert (face[:, 60:] == 234).all()


@pytest.mark.parametrize("times", [3, 7.3, 20, 41])
def test_shrinking_averages(times):
    """A fine chequerboard becomes its mean, not a coarse pattern, and a wide ramp keeps its place."""
    side = int(48 * times)
    board = (np.indices((side, side)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.ptp(crop(board, from_box((0, 0, side, side))).astype(int)) <= 30
    ramp = np.tile(np.linspace(0, 255, side), (side, 1)).astype(np.uint8)
    expected = (np.arange(48) + 0.5) / 48 * 255
    np.testing.assert_allclose(crop(ramp, from_box((0, 0, side, side))).mean(axis=0), expected, atol=2)


def test_shrinking_agrees_with_opencv():
    picture = np.random.default_rng(0).integers(0, 256, (192, 192), dtype=np.uint8)
    expected = cv2.resize(picture, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(crop(picture, from_box((0, 0, 192, 192))).astype(int) - expected).max() <= 1


def test_very_long_picture():
    picture = np.zeros((60, 40_000), np.uint8)
    picture[:, 39_960:] = 200
    assert crop(picture, from_box((39_950, 0, 40_010, 60))).mean() > 150
    assert crop(picture, from_box((0, 0, 40_000, 40_000))).shape == (48, 48)


@pytest.mark.parametrize("degrees", [0, 25, -40])
def test_points_come_to_their_places_in_the_pixels(degrees):
    """Spots drawn where the anchors are stand in the crop where the framing says."""
    spots = turned(np.array([*EYES, NOSE]) - 0.5, degrees, 150, (200, 180))
    rings = np.array([spots[1] - (8, 0), spots[1] + (8, 0), spots[0] + (8, 0), spots[0] - (8, 0), spots[2]])
    picture = np.zeros((360, 400), np.uint8)
    for x, y in spots:
        cv2.circle(picture, (round(x * 16), round(y * 16)), 8 * 16, 255, -1, cv2.LINE_AA, shift=4)
    matrix = from_points(rings)
    face = crop(picture, matrix)
    for x, y in [*EYES, NOSE]:
        weights = face.astype(float)
        rows, columns = np.indices(face.shape)
        near = np.hypot(columns + 0.5 - x * 48, rows + 0.5 - y * 48) < 5
        place = [np.average(axis[near], weights=weights[near]) for axis in (columns, rows)]
        np.testing.assert_allclose(place, (x * 48 - 0.5, y * 48 - 0.5), atol=0.3)
    np.testing.assert_allclose(
        to_crop(spots, matrix).mean(axis=0), np.mean([*EYES, NOSE], axis=0) * 48 - 0.5, atol=0.02
    )


def test_points_go_there_and_back():
    matrix = similarity([(0, 0), (100, 40)], [(0.1, 0.1), (0.9, 0.8)])
    points = np.random.default_rng(0).uniform(0, 100, (68, 2))
    np.testing.assert_allclose(to_picture(to_crop(points, matrix, 48), matrix, 48), points, atol=1e-3)


def test_upright_keeps_middle_and_size():
    matrix = similarity([(100, 100), (160, 160)], [(0.3, 0.5), (0.7, 0.5)])
    straight = framing.upright(matrix)
    assert straight[0, 1] == straight[1, 0] == 0
    x1, y1, x2, y2 = framing.framed_box(straight)
    np.testing.assert_allclose(((x1 + x2) / 2, (y1 + y2) / 2), (130, 130), atol=1e-3)
    np.testing.assert_allclose((x2 - x1, y2 - y1), np.hypot(60, 60) / 0.4, rtol=1e-5)


def test_anchors_of_either_predictor_and_no_other():
    points = np.zeros((68, 2))
    points[[36, 39]], points[[42, 45]], points[33] = (10, 20), (30, 20), (20, 30)
    np.testing.assert_array_equal(anchors(points), [(10, 20), (30, 20), (20, 30)])
    five = [(32, 20), (28, 20), (8, 20), (12, 20), (20, 30)]
    np.testing.assert_array_equal(anchors(five), anchors(points))
    with pytest.raises(InputError, match=r"Got points with shape \(6, 2\)"):
        anchors(np.zeros((6, 2)))


def eyes_of(crops):
    """Middle of the eyes and their distance in each crop, as fractions, found again by the 5-point predictor."""
    points = FaceExtractor(landmarks="5", cropped=True).transform(crops).points
    places = np.array([anchors(row)[:2] for row in points]) + 0.5
    return places.mean(axis=1) / 48, (places[:, 1] - places[:, 0])[:, 0] / 48


EYES_MIDDLE, EYES_APART = np.mean(EYES, axis=0), EYES[1][0] - EYES[0][0]


@with_landmarks
@pytest.mark.parametrize("degrees", [0, 12, -12])
@pytest.mark.parametrize("detector", ["dlib", "haar"])
def test_a_photo_face_comes_to_the_framing(degrees, detector):
    picture = skimage.data.astronaut()
    turn = cv2.getRotationMatrix2D((225, 120), degrees, 1.3)
    picture = cv2.warpAffine(picture, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    faces = FaceExtractor(detector, "5").transform([picture])
    assert faces.found.all()
    middle, apart = eyes_of(faces.crops)
    np.testing.assert_allclose(middle[0], EYES_MIDDLE, atol=0.03)
    np.testing.assert_allclose(apart, EYES_APART, atol=0.05)
    left, right, _ = anchors(faces.points[0])
    assert abs(np.rad2deg(np.arctan2(*(right - left)[::-1]))) < 4


@pytest.mark.skipif("68" not in available(), reason="dlib or its predictor files are not installed")
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photos are not here")
@pytest.mark.filterwarnings("ignore::ferkit.faces.LicenceWarning")
def test_the_mouth_comes_to_its_place_too():
    with (PHOTOS / "labels.csv").open(newline="") as file:
        calm = [row["image"] for row in csv.DictReader(file) if row["emotion"] == "neutral"]
    faces = FaceExtractor(landmarks="68").transform([read_image(PHOTOS / name) for name in calm[:400:20]])
    corners = (faces.points[faces.found][:, [48, 54]] + 0.5) / 48
    np.testing.assert_allclose(np.median(corners, axis=0), MOUTH, atol=0.05)


@with_landmarks
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photos are not here")
@pytest.mark.parametrize(
    ("detector", "landmarks", "off", "range_"),
    [("dlib", "5", 0.01, 0.03), ("haar", "5", 0.01, 0.03), ("haar", "none", 0.02, 0.06), ("dlib", "none", 0.05, 0.1)],
)
def test_photos_come_to_the_framing(detector, landmarks, off, range_):
    """The median face stands where the model's faces stood; dlib's windows are coarse, so landmarks mend most there."""
    pictures = [grey(read_image(path)) for path in sorted(PHOTOS.glob("*_0001.jpg"))[::25]]
    faces = FaceExtractor(detector, landmarks, cropped=False).transform(pictures)
    assert faces.found.mean() > 0.8
    middle, apart = eyes_of(faces.crops[faces.found])
    np.testing.assert_allclose(np.median(middle, axis=0), EYES_MIDDLE, atol=off)
    np.testing.assert_allclose(np.median(apart), EYES_APART, atol=0.02 if landmarks == "5" else 0.045)
    assert (np.subtract(*np.percentile(middle, [75, 25], axis=0)) < range_).all()
