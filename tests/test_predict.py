"""From files to readings: every face, in order, nothing lost by what cannot be read."""

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image
from sklearn.pipeline import Pipeline

from ferkit import predict, sources, store
from ferkit.errors import InputError, PictureError
from ferkit.faces import FaceExtractor
from ferkit.features import HOG, FamilyUnion
from ferkit.model import LinearSVM
from ferkit.predict import Predictor, columns, readings
from ferkit.records import Frame, Reading

ASTRONAUT = skimage.data.astronaut()
NO_FACE = skimage.data.coffee()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    data = sources.sample(90)
    steps = [("faces", FaceExtractor()), ("features", FamilyUnion([("hog", HOG(cell=12))])), ("model", LinearSVM())]
    pipeline = Pipeline(steps).fit(data.pictures, data.labels)
    return store.load(store.save(pipeline, tmp_path_factory.mktemp("model") / "small.ferkit"))


@pytest.fixture
def folder(tmp_path):
    """Good pictures with bad ones among them."""
    good = tmp_path / "in"
    good.mkdir()
    Image.fromarray(ASTRONAUT).save(good / "a.png")
    (good / "b.png").write_text("no picture")
    (good / "c.jpg").touch()
    Image.fromarray(ASTRONAUT).save(good / "d.jpg")
    (good / "e.jpg").write_bytes((good / "d.jpg").read_bytes()[:4000])
    Image.fromarray(NO_FACE).save(good / "f.jpg")
    Image.fromarray(sources.sample(1).pictures[0]).save(good / "g.png")
    return good


@pytest.fixture
def video(tmp_path):
    """Ten frames at 5 a second, the first three without a face."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (512, 512))
    for i in range(10):
        writer.write(np.full((512, 512, 3), 128, np.uint8) if i < 3 else ASTRONAUT[..., ::-1])
    writer.release()
    return path


def test_good_pictures_among_bad_ones(model, folder):
    predictor = Predictor(model)
    rows = list(predictor.readings([folder]))
    assert [type(row) for row in rows] == [Reading, PictureError, PictureError, Reading, PictureError, Reading, Reading]
    assert [row.source for row in rows if isinstance(row, Reading)] == [
        str(folder / n) for n in ("a.png", "d.jpg", "f.jpg", "g.png")
    ]
    assert [row.found for row in rows if isinstance(row, Reading)] == [True, True, False, True]
    counts = predictor.counts
    assert (counts.pictures, counts.frames, counts.faces, counts.cropped, counts.not_found) == (4, 0, 4, 1, 1)
    assert [name in str(error) for name, error in zip(["b.png", "c.jpg", "e.jpg"], counts.skipped, strict=True)] == [
        True
    ] * 3


def test_a_reading_is_what_the_pipeline_says(model):
    [reading] = readings([ASTRONAUT], model)
    expected = model.pipeline.predict_proba([ASTRONAUT])[0]
    assert list(reading.probabilities) == model.labels
    by_name = dict(zip(model.pipeline.classes_, expected, strict=True))
    for name, share in reading.probabilities.items():
        assert share == pytest.approx(by_name[name], abs=1e-6)
    assert reading.label == model.pipeline.predict([ASTRONAUT])[0]
    assert reading.confidence == max(reading.probabilities.values())
    assert sum(reading.probabilities.values()) == pytest.approx(1)
    assert model.labels != list(model.pipeline.classes_), "the order of labels would not be tested"


def test_a_picture_without_a_face_is_read_in_its_middle(model):
    [reading] = readings([NO_FACE], model)
    assert not reading.found
    assert reading.box_xyxy == (100, 0, 500, 400)
    assert reading.confidence == pytest.approx(model.pipeline.predict_proba([NO_FACE]).max(), abs=1e-6)


def test_missing_raise_skips_it(model):
    from sklearn.base import clone

    strict = Pipeline([("faces", clone(model.pipeline[0]).set_params(missing="raise")), *model.pipeline.steps[1:]])
    predictor = Predictor(store.Model(strict, {}, model.path))
    error, reading = predictor.readings([NO_FACE, ASTRONAUT])
    assert isinstance(error, PictureError)
    assert isinstance(reading, Reading)
    assert predictor.counts.skipped == [error]
    assert predictor.counts.pictures == 1
    with pytest.raises(PictureError):
        predictor.read(NO_FACE)


def test_missing_is_asked_for_or_left_to_the_model(model):
    predictor = Predictor(model, missing="skip")
    assert [reading.found for reading in predictor.readings([NO_FACE, ASTRONAUT])] == [True]
    assert (predictor.counts.not_found, predictor.counts.pictures, predictor.counts.faces) == (1, 2, 1)
    assert predictor.read(NO_FACE) == []
    (error,) = Predictor(model, missing="raise").readings([NO_FACE])
    assert "without a face" in str(error)


def test_a_detector_is_asked_for_or_left_to_the_model(model):
    assert Predictor(model).extractor.detector == "auto"
    assert Predictor(model, detector="haar").extractor.detector == "haar"
    assert len(list(readings(ASTRONAUT, model, missing="skip", detector="haar"))) == 1


def test_all_faces_or_the_largest(model):
    face = ASTRONAUT[20:220, 120:330]
    scene = np.full((400, 900, 3), 128, np.uint8)
    scene[200:350, 30:180] = cv2.resize(face, (150, 150), interpolation=cv2.INTER_AREA)
    scene[10:370, 400:760] = cv2.resize(face, (360, 360), interpolation=cv2.INTER_AREA)
    every = list(readings([scene, ASTRONAUT], model))
    assert [(row.face, row.box_xyxy[0] > 400) for row in every[:2]] == [(0, True), (1, False)]
    assert len(every) == 3
    assert every[2].face == 0
    [largest] = readings(scene, model, faces="largest")
    assert (largest.face, largest.box_xyxy) == (0, every[0].box_xyxy)
    assert largest.confidence == pytest.approx(every[0].confidence, abs=1e-6)


def test_video_frames_with_their_times_and_none_without_a_face(model, video):
    predictor = Predictor(model)
    rows = list(predictor.readings(video))
    assert [row.frame for row in rows] == list(range(3, 10))
    np.testing.assert_allclose([row.time for row in rows], np.arange(3, 10) / 5, atol=1e-3)
    assert all(row.found and row.source == str(video) for row in rows)
    counts = predictor.counts
    assert (counts.pictures, counts.frames, counts.frames_without, counts.not_found) == (0, 10, 3, 0)
    assert [row.frame for row in readings(video, model, every=4)] == [4, 8]


def test_frames_are_read_as_they_come(model, monkeypatch):
    """A frame's reading is out before the next frame is taken, and closing frees the source."""
    log = []

    def frames(inputs, every):
        try:
            for i in range(5):
                log.append(i)
                yield Frame(ASTRONAUT, "camera", i, i / 5)
        finally:
            log.append("closed")

    monkeypatch.setattr(predict.sources, "pictures", frames)
    rows = readings(0, model)
    assert next(rows).frame == 0
    assert log == [0]
    assert next(rows).frame == 1
    assert log == [0, 1]
    rows.close()
    assert log == [0, 1, "closed"]


def test_still_pictures_go_in_batches_and_change_nothing(model, monkeypatch):
    pictures = list(sources.sample(40).pictures)
    monkeypatch.setattr(predict, "_WAIT", 1e9)
    sizes = []
    plain = Predictor.probabilities
    monkeypatch.setattr(Predictor, "probabilities", lambda self, f: sizes.append(len(f)) or plain(self, f))
    rows = list(readings(pictures, model))
    assert sizes == [16, 16, 8]
    expected = model.predict_proba(np.stack(pictures))
    np.testing.assert_allclose([list(row.probabilities.values()) for row in rows], expected, atol=1e-6)


def test_slow_pictures_do_not_wait_for_the_batch(model, monkeypatch):
    monkeypatch.setattr(predict, "_WAIT", -1)
    rows = readings(iter([ASTRONAUT, None]), model)
    assert isinstance(next(rows), Reading)
    with pytest.raises(InputError):
        next(rows)


@pytest.mark.parametrize(
    ("cropped", "taken", "found"), [(None, 1, True), ("auto", 1, True), (True, 1, True), (False, 0, False)]
)
def test_cropped_is_asked_for_or_left_to_the_model(model, cropped, taken, found):
    predictor = Predictor(model, cropped=cropped)
    [row] = predictor.readings([np.full((48, 48), 90, np.uint8)])
    assert (predictor.counts.cropped, row.found) == (taken, found)
    assert model.pipeline[0].cropped == "auto", "the model itself must not change"


def test_read_takes_a_frame_or_pixels(model):
    predictor = Predictor(model.path)
    [one], [other] = predictor.read(ASTRONAUT), predictor.read(Frame(ASTRONAUT, "x", 7, 0.5))
    assert one.probabilities == other.probabilities
    assert (other.source, other.frame, other.time) == ("x", 7, 0.5)
    assert predictor.read(Frame(NO_FACE, "x", 8, 0.6)) == []
    opaque = np.dstack([ASTRONAUT, np.full(ASTRONAUT.shape[:2], 255, np.uint8)])
    for pixels in (opaque, ASTRONAUT / 255, ASTRONAUT.astype(np.uint16) * 257):
        assert [reading.probabilities for reading in predictor.read(pixels)] == [one.probabilities]


def test_columns_are_those_of_a_row(model):
    [row] = Predictor(model).read(ASTRONAUT)
    assert columns(model.labels) == list(row.row())
    assert columns(["a"]) == ["source", "frame", "time", "face", "x1", "y1", "x2", "y2", "label", "confidence", "a"]


def test_the_default_model_is_the_shipped_one(monkeypatch, model):
    monkeypatch.setattr(store, "default_path", lambda: model.path)
    assert Predictor().labels == model.labels


def test_wrong_settings(model):
    with pytest.raises(InputError, match="Got faces='some', expected one of"):
        Predictor(model, faces="some")
    with pytest.raises(InputError, match="Got missing='drop', expected one of"):
        Predictor(model, missing="drop")
    with pytest.raises(InputError, match="Got detector='eyes', expected one of"):
        Predictor(model, detector="eyes")
    with pytest.raises(InputError, match="Got cropped='maybe'"):
        list(readings([ASTRONAUT], model, cropped="maybe"))
    bare = store.Model(model.pipeline[1:], {}, model.path)
    with pytest.raises(InputError, match="starts with FamilyUnion, expected a FaceExtractor"):
        Predictor(bare)
    for other, name in ((model.pipeline, "Pipeline"), (5, "int")):
        with pytest.raises(InputError, match=f"Got a model of type {name}, expected a Model"):
            Predictor(other)
