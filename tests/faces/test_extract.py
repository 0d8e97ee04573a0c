"""The extractor step: rows never vanish, crops are what they should be, wrong input is said."""

import pickle

import cv2
import numpy as np
import pytest
import skimage.data
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

from ferkit.errors import InputError, PictureError
from ferkit.faces import Detections, FaceDetector, FaceExtractor
from ferkit.faces.grey import grey
from ferkit.faces.landmarks import available
from ferkit.faces.light import LIGHTS, normalise
from ferkit.records import Faces
from ferkit.sources import Pictures, read_image

ASTRONAUT = skimage.data.astronaut()
NO_FACE = skimage.data.coffee()
SMALL = np.random.default_rng(0).integers(0, 256, (6, 48, 48), dtype=np.uint8)

with_landmarks = pytest.mark.skipif("68" not in available(), reason="dlib or its predictor files are not installed")
quiet = pytest.mark.filterwarnings("ignore::ferkit.faces.LicenceWarning")


def test_rows_never_vanish():
    pictures = [
        ASTRONAUT,
        NO_FACE,
        SMALL[0],
        np.zeros((1, 1), np.uint8),
        grey(ASTRONAUT),
        np.zeros((7, 400, 3), np.uint8),
    ]
    faces = FaceExtractor().fit_transform(pictures)
    assert faces.found.tolist() == [True, False, True, False, True, False]
    assert faces.index.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(faces.crops[0], faces.crops[4])
    np.testing.assert_array_equal(faces.crops[2], SMALL[0])


def test_the_centre_stands_in():
    faces = FaceExtractor().transform([NO_FACE])
    height, width = NO_FACE.shape[:2]
    left = (width - height) / 2
    np.testing.assert_allclose(faces.boxes_xyxy[0], (left, 0, left + height, height))
    middle = grey(NO_FACE)[:, int(left) : int(left) + height]
    expected = cv2.resize(middle, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(faces.crops[0].astype(int) - expected).mean() < 2
    again = FaceExtractor().center(NO_FACE)
    assert not again.found[0]
    np.testing.assert_array_equal(again.crops, faces.crops)


def test_or_it_stops():
    with pytest.raises(PictureError, match="Got picture 1 of 600x400 pixels without a face"):
        FaceExtractor(missing="raise").transform([ASTRONAUT, NO_FACE])


@pytest.mark.parametrize("stack", [SMALL, SMALL[..., None], np.repeat(SMALL[..., None], 3, axis=3), list(SMALL)])
def test_cropped_faces_pass_as_they_are(stack):
    faces = FaceExtractor().transform(stack)
    np.testing.assert_array_equal(faces.crops, SMALL)
    np.testing.assert_array_equal(faces.boxes_xyxy, np.tile([0, 0, 48, 48], (6, 1)))
    assert faces.found.all()
    assert faces.points.shape == (6, 0, 2)


@pytest.mark.parametrize("size", [32, 96])
def test_stack_and_rows_are_sized_alike(size):
    extractor = FaceExtractor(size=size)
    stack, rows = extractor.transform(SMALL), extractor.transform(list(SMALL))
    np.testing.assert_array_equal(stack.crops, rows.crops)
    np.testing.assert_array_equal(stack.boxes_xyxy, rows.boxes_xyxy)
    assert stack.size == size


def test_a_large_stack_is_not_searched(monkeypatch):
    monkeypatch.setattr("ferkit.faces.extract.FaceDetector.detect", lambda *_: pytest.fail("searched"))
    monkeypatch.setattr(FaceExtractor, "_row", lambda *_: pytest.fail("row by row"))
    assert len(FaceExtractor().transform(np.zeros((28_000, 48, 48), np.uint8))) == 28_000


@pytest.mark.parametrize(("cropped", "shape", "taken"), [
    ("auto", (64, 64), True), ("auto", (65, 65), False), ("auto", (48, 47), False), ("auto", (1, 1), False),
    (True, (300, 200), True), (False, (48, 48), False), ("auto", (48, 48, 3), True),
])  # fmt: skip
def test_which_pictures_are_taken_as_cropped(cropped, shape, taken):
    picture = np.zeros(shape, np.uint8)
    extractor = FaceExtractor(cropped=cropped)
    assert extractor.takes_as_cropped(picture) is taken
    assert extractor.transform([picture]).found[0] == taken
    assert len(extractor.find(picture)) == taken


def test_a_cropped_face_that_is_not_square_keeps_its_shape():
    picture = np.zeros((120, 80), np.uint8)
    cv2.circle(picture, (40, 60), 30, 255, -1)
    rows, columns = np.nonzero(FaceExtractor(cropped=True).transform([picture]).crops[0] > 127)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1
    assert np.ptp(rows) + 1 == pytest.approx(60 / 120 * 48, abs=1)


def test_faces_pass_through_untouched():
    faces = Faces(SMALL)
    assert FaceExtractor(light="clahe", size=96).fit(faces).transform(faces) is faces


def test_pictures_on_disk_are_read_one_by_one(tmp_path):
    for i, picture in enumerate([ASTRONAUT[..., ::-1], SMALL[0]]):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture)
    faces = FaceExtractor().fit_transform(Pictures([tmp_path / "0.png", tmp_path / "1.png"]))
    np.testing.assert_array_equal(faces.crops, FaceExtractor().transform([ASTRONAUT, SMALL[0]]).crops)


def test_threads_change_nothing():
    pictures = [ASTRONAUT, NO_FACE, ASTRONAUT[:, ::-1], SMALL[0], ASTRONAUT[:300, 80:380]]
    one, two = (FaceExtractor(n_jobs=n).transform(pictures) for n in (1, 3))
    np.testing.assert_array_equal(one.crops, two.crops)
    np.testing.assert_array_equal(one.boxes_xyxy, two.boxes_xyxy)


def scene():
    face = ASTRONAUT[20:220, 120:330]
    picture = np.full((400, 900, 3), 128, np.uint8)
    picture[200:350, 30:180] = cv2.resize(face, (150, 150), interpolation=cv2.INTER_AREA)
    picture[10:370, 400:760] = cv2.resize(face, (360, 360), interpolation=cv2.INTER_AREA)
    return picture


def test_find_gives_all_faces_largest_first():
    faces = FaceExtractor().find(scene())
    assert len(faces) == 2
    assert faces.found.all()
    assert faces.index.tolist() == [0, 0]
    sides = faces.boxes_xyxy[:, 2] - faces.boxes_xyxy[:, 0]
    assert sides[0] > 1.5 * sides[1]
    assert (faces.boxes_xyxy >= 0).all()
    assert (faces.boxes_xyxy <= np.tile([900, 400], 2)).all()
    # one face drawn twice: both crops show the same
    assert np.corrcoef(faces.crops.reshape(2, -1))[0, 1] > 0.9


def test_find_is_empty_without_a_face():
    faces = FaceExtractor(size=40).find(NO_FACE)
    assert faces.shape == (0, 40, 40)


@pytest.mark.parametrize(("which", "left"), [("largest", 0), ("central", 400)])
def test_which_face_is_taken(which, left):
    face = ASTRONAUT[20:220, 120:330]
    picture = np.full((400, 1000, 3), 128, np.uint8)
    picture[10:370, :360] = cv2.resize(face, (360, 360), interpolation=cv2.INTER_AREA)
    picture[200:380, 410:590] = cv2.resize(face, (180, 180), interpolation=cv2.INTER_AREA)
    assert left < FaceExtractor(which=which).transform([picture]).boxes_xyxy[0, 0] < left + 150


def test_the_surest_face_is_taken(monkeypatch):
    boxes = np.array([(0, 0, 90, 90), (200, 0, 260, 60)], np.float32)
    found = Detections(boxes, np.array([0.5, 2.0], np.float32), "dlib")
    monkeypatch.setattr(FaceDetector, "detect", lambda *_: found)
    picture = [np.zeros((200, 300), np.uint8)]
    assert FaceExtractor(which="surest", landmarks="none").transform(picture).boxes_xyxy[0, 0] > 150
    assert FaceExtractor(landmarks="none").transform(picture).boxes_xyxy[0, 0] < 50


@with_landmarks
@quiet
@pytest.mark.parametrize("kind", ["5", "68"])
def test_points_are_in_pixels_of_the_crop(kind):
    faces = FaceExtractor(landmarks=kind).transform([ASTRONAUT, SMALL[0], NO_FACE])
    assert faces.points.shape == (3, int(kind), 2)
    assert np.isfinite(faces.points[:2]).all()
    assert np.isnan(faces.points[2]).all()
    found = FaceExtractor(landmarks=kind).find(ASTRONAUT)
    np.testing.assert_array_equal(found.points[0], faces.points[0])
    crop, points = found.crops[0].astype(int), found.points[0]
    eyes = points[:4] if kind == "5" else points[36:48]
    assert ((eyes > (8, 12)) & (eyes < (40, 26))).all()
    # eyes are darker than the cheeks below them
    assert crop[16:22, 12:36].mean() < crop[26:31, 12:36].mean()


@with_landmarks
@quiet
def test_points_of_a_cropped_face_agree_with_those_of_its_photo():
    photo = FaceExtractor(landmarks="68", size=64).find(ASTRONAUT)
    crop = FaceExtractor(landmarks="68", size=64).transform(photo.crops)
    distance = np.linalg.norm(crop.points[0] - photo.points[0], axis=1)
    assert np.median(distance) < 1.5
    assert distance.max() < 6


@with_landmarks
def test_auto_aligns_and_keeps_no_points():
    auto, five = FaceExtractor().find(ASTRONAUT), FaceExtractor(landmarks="5").find(ASTRONAUT)
    assert auto.points.shape == (1, 0, 2)
    np.testing.assert_array_equal(auto.crops, five.crops)


@with_landmarks
def test_align_false_goes_by_the_box():
    bare, loose = (
        FaceExtractor(landmarks="none").find(ASTRONAUT),
        FaceExtractor(landmarks="5", align=False).find(ASTRONAUT),
    )
    np.testing.assert_array_equal(bare.crops, loose.crops)
    assert loose.points.shape == (1, 5, 2)
    assert (FaceExtractor(landmarks="5").find(ASTRONAUT).crops != loose.crops).any()


@pytest.mark.parametrize("light", sorted(LIGHTS))
def test_light_is_set_on_found_cropped_and_missing_alike(light):
    pictures = [ASTRONAUT, SMALL[0], NO_FACE]
    plain, lit = FaceExtractor().transform(pictures), FaceExtractor(light=light).transform(pictures)
    np.testing.assert_array_equal(lit.crops, normalise(plain.crops, light))
    np.testing.assert_array_equal(FaceExtractor(light=light).transform(SMALL).crops, normalise(SMALL, light))


@pytest.mark.parametrize("light", ["equalise", "clahe"])
def test_light_evens_a_dark_face(light):
    face = FaceExtractor().find(ASTRONAUT).crops
    dark = (face * 0.25).astype(np.uint8)
    before = dark.copy()
    lit = normalise(dark, light)
    assert lit.std() > 1.3 * dark.std()
    np.testing.assert_array_equal(dark, before)
    order = np.argsort(face.ravel(), kind="stable")
    if light == "equalise":
        assert (np.diff(lit.ravel()[order].astype(int)) >= 0).all()


def test_unknown_light():
    with pytest.raises(InputError, match="Got light='bright'"):
        normalise(SMALL, "bright")


@pytest.mark.parametrize(("X", "message"), [
    (np.full((1, 48, 48), np.nan), "Got pictures with NaN"),
    ([SMALL[0], np.full((48, 48), np.nan)], "Got picture 1 with NaN"),
    (np.zeros((48, 48), np.uint8), r"Got pictures with shape \(48, 48\)"),
    (ASTRONAUT, "which is one RGB picture"),
    (np.dstack([ASTRONAUT, ASTRONAUT[:, :, 0]]), "which is one RGB picture"),
    (np.zeros((2, 48, 48, 2), np.uint8), "Got pictures with shape"),
    ("photo.jpg", "Got pictures of type str"),
    (iter([1]), "Got pictures of type list_iterator"),
    ([np.zeros((48, 48, 4, 1))], r"Got picture 0 with shape \(48, 48, 4, 1\)"),
    (np.full((1, 48, 48), 300), "Got pictures with values from 300 to 300, expected 0 to 1 or 0 to 255"),
    (np.full((1, 48, 48), "a"), "dtype"),
])  # fmt: skip
def test_wrong_input(X, message):
    with pytest.raises(InputError, match=message):
        FaceExtractor().transform(X)


def test_numbers_that_are_not_bytes():
    as_float, as_bool = SMALL.astype(float), SMALL > 127
    np.testing.assert_array_equal(FaceExtractor().transform(as_float).crops, SMALL)
    np.testing.assert_array_equal(FaceExtractor().transform(as_bool).crops, as_bool * 255)


def test_pictures_in_other_numbers_give_the_same_faces_as_read_image_does():
    opaque = np.dstack([ASTRONAUT, np.full(ASTRONAUT.shape[:2], 255, np.uint8)])
    forms = [ASTRONAUT, ASTRONAUT / 255, ASTRONAUT.astype(np.uint16) * 257, opaque]
    faces = FaceExtractor().transform(forms)
    assert faces.found.all()
    for picture, crop in zip(forms, faces.crops, strict=True):
        np.testing.assert_array_equal(crop, faces.crops[0])
        np.testing.assert_array_equal(read_image(picture), ASTRONAUT)
    stack = np.stack([opaque[:48, :48]] * 2)
    np.testing.assert_array_equal(
        FaceExtractor().transform(stack).crops, FaceExtractor().transform(stack[..., :3]).crops
    )
    np.testing.assert_array_equal(FaceExtractor().transform(SMALL / 255).crops, SMALL)


@pytest.mark.parametrize("params", [
    {"size": 0}, {"size": 4.5}, {"size": True}, {"light": "x"}, {"missing": "drop"}, {"cropped": "yes"}, {"cropped": 1},
    {"align": 1}, {"align": None}, {"which": "x"}, {"detector": "x"}, {"landmarks": "x"}, {"smallest": 5},
])  # fmt: skip
def test_wrong_parameters_are_said_at_fit_and_before(params):
    name = next(iter(params))
    for call in (lambda e: e.fit(SMALL), lambda e: e.transform(SMALL), lambda e: e.find(SMALL[0])):
        with pytest.raises(InputError, match=f"Got {name}="):
            call(FaceExtractor(**params))


def test_a_cascade_that_is_none_is_said_although_faces_are_cropped():
    with pytest.raises(InputError, match="Haar cascade file"):
        FaceExtractor(detector=__file__).fit(SMALL)


def test_empty():
    with pytest.raises(InputError, match="Got 0 pictures"):
        FaceExtractor().fit([])
    assert len(FaceExtractor().transform([])) == 0
    assert FaceExtractor(size=32).transform(np.empty((0, 48, 48), np.uint8)).shape == (0, 32, 32)


def test_clone_and_pickle_after_use():
    extractor = FaceExtractor(light="equalise")
    before = extractor.fit_transform([ASTRONAUT])
    for other in (clone(extractor), pickle.loads(pickle.dumps(extractor))):  # noqa: S301
        np.testing.assert_array_equal(other.transform([ASTRONAUT]).crops, before.crops)


def test_in_cross_validation():
    flat = FunctionTransformer(lambda faces: faces.crops.reshape(len(faces), -1))
    pictures = [np.full((48, 48), 200 * (i % 2) + i, np.uint8) for i in range(12)]
    scores = cross_val_score(make_pipeline(FaceExtractor(), flat, DecisionTreeClassifier()), pictures, [0, 1] * 6, cv=3)
    assert scores.min() == 1


@pytest.mark.parametrize("settings", [{}, {"size": 64}, {"light": "clahe"}])
@pytest.mark.parametrize("none", [[], np.empty((0, 48, 48), np.uint8)])
def test_no_pictures_give_no_faces(settings, none):
    assert len(FaceExtractor(**settings).transform(none)) == 0
