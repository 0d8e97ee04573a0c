"""Landmark predictors: found without importing their package, said what they may be used for, right on a face."""

import sys

import cv2
import numpy as np
import pytest
import skimage.data

from ferkit.errors import InputError, MissingExtraError
from ferkit.faces import FaceExtractor, Landmarks, LicenceWarning, landmarks
from ferkit.faces.landmarks import anchors, available, find_predictor, opened, resolve

needs = {
    kind: pytest.mark.skipif(kind not in available(), reason=f"no {kind}-point predictor here") for kind in ["5", "68"]
}
quiet = pytest.mark.filterwarnings("ignore::ferkit.faces.LicenceWarning")


@needs["5"]
def test_files_are_found_without_importing_their_package():
    path = find_predictor("5")
    assert path.is_file()
    assert resolve("auto") == resolve("5") == ("5", path)
    assert landmarks.PACKAGE not in sys.modules


@pytest.mark.parametrize("kind", [pytest.param("5", marks=needs["5"]), pytest.param("68", marks=[needs["68"], quiet])])
def test_points_lie_on_the_face(kind):
    points = FaceExtractor(landmarks=kind).landmarks_of(skimage.data.astronaut(), (171, 62, 280, 171))
    assert points.shape == (int(kind), 2)
    np.testing.assert_allclose(anchors(points), [(206, 102), (247, 102), (228, 133)], atol=6)


@needs["68"]
@quiet
def test_both_predictors_agree():
    image = skimage.data.astronaut()
    five, many = (FaceExtractor(landmarks=kind).landmarks_of(image, (171, 62, 280, 171)) for kind in ("5", "68"))
    np.testing.assert_allclose(anchors(five), anchors(many), atol=4)


@needs["68"]
def test_the_licence_of_the_68_points_is_said():
    with pytest.warns(LicenceWarning, match="non-commercial"):
        Landmarks(find_predictor("68"))


@needs["5"]
def test_a_file_is_read_once():
    assert opened(find_predictor("5")) is opened(find_predictor("5"))


@needs["5"]
def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.dat"
    path.write_bytes(find_predictor("5").read_bytes())
    picture = cv2.resize(skimage.data.astronaut()[50:180, 160:290], (48, 48), interpolation=cv2.INTER_AREA)
    one = FaceExtractor(landmarks=str(path)).transform([picture])
    np.testing.assert_array_equal(one.points, FaceExtractor(landmarks="5").transform([picture]).points)
    assert one.points.shape == (1, 5, 2)


def test_a_file_that_is_no_predictor(tmp_path):
    pytest.importorskip("dlib")
    path = tmp_path / "x.dat"
    path.write_bytes(b"no predictor")
    with pytest.raises(InputError, match="expected a dlib shape predictor file"):
        Landmarks(path)


def test_none():
    assert resolve("none") is None
    assert resolve(None) is None


def test_wrong_settings():
    with pytest.raises(InputError, match="Got landmarks='seven', expected 'auto', 'none', one of"):
        resolve("seven")
    with pytest.raises(InputError, match="Got kind='7', expected one of"):
        find_predictor("7")


@pytest.fixture
def asked_anew():
    """What is installed is asked once in a process; these tests pretend that it is something else."""
    landmarks._available.cache_clear()
    yield
    landmarks._available.cache_clear()


@pytest.mark.usefixtures("asked_anew")
def test_without_the_package(monkeypatch):
    real = landmarks.find_spec
    monkeypatch.setattr(landmarks, "find_spec", lambda name: None if name == landmarks.PACKAGE else real("numpy"))
    assert available() == {}
    assert resolve("auto") is None
    with pytest.raises(MissingExtraError, match="face_recognition_models"):
        resolve("68")


@pytest.mark.usefixtures("asked_anew")
def test_without_dlib(monkeypatch, tmp_path):
    monkeypatch.setattr(landmarks, "find_spec", lambda name: None)
    assert resolve("auto") is None
    (tmp_path / "x.dat").touch()
    for setting in ("5", str(tmp_path / "x.dat")):
        with pytest.raises(MissingExtraError, match=r"pip install 'ferkit\[dlib\]'"):
            resolve(setting)
