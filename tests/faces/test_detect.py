"""Detectors: real faces are found where they are, patterns are not, whatever the size of the picture."""

import os
import subprocess
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import skimage.data

from ferkit.errors import InputError, MissingExtraError
from ferkit.faces import FaceDetector, detect
from ferkit.faces.detect import _distinct, haar_path, overlap
from ferkit.faces.grey import grey

FACE = (175, 65, 275, 168)
"""About where the face of ``skimage.data.astronaut`` is."""

with_dlib = pytest.mark.skipif(find_spec("dlib") is None, reason="dlib is not installed")
DETECTORS = [pytest.param("dlib", marks=with_dlib), "haar", "auto"]


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("side", [90, 300, 512, 1400])
def test_one_face_is_found_at_any_size(detector, side):
    picture = cv2.resize(skimage.data.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
    found = FaceDetector(detector).detect(picture)
    assert len(found) == 1
    assert overlap(found.boxes_xyxy[0] * 512 / side, FACE) > 0.5
    assert found.scores[0] > (4 if found.detector == "haar" else -0.3)


@pytest.mark.parametrize("detector", DETECTORS)
def test_grey_and_colour_agree(detector):
    picture = skimage.data.astronaut()
    one, other = FaceDetector(detector).detect(picture), FaceDetector(detector).detect(grey(picture))
    np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)


@pytest.mark.parametrize("detector", DETECTORS)
def test_several_faces_come_largest_first(detector):
    face = skimage.data.astronaut()[20:220, 120:330]
    scene = np.full((400, 900, 3), 128, np.uint8)
    for side, x in ((150, 30), (380, 480), (220, 220)):
        scene[10 : 10 + side, x : x + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    found = FaceDetector(detector).detect(scene)
    sides = found.boxes_xyxy[:, 2] - found.boxes_xyxy[:, 0]
    assert len(found) == 3
    assert (np.diff(sides) < 0).all()
    assert (found.boxes_xyxy[:, 0] // 10 > (45, 20, 3)).all()


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", ["chelsea", "coffee", "brick", "grass", "text"])
def test_what_is_no_face_is_not_found(detector, name):
    assert len(FaceDetector(detector).detect(getattr(skimage.data, name)())) == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2000), (48, 48, 3)])
@pytest.mark.parametrize("detector", DETECTORS)
def test_odd_shapes_hold_no_face(detector, shape):
    found = FaceDetector(detector).detect(np.full(shape, 90, np.uint8))
    assert found.boxes_xyxy.shape == (0, 4)
    assert found.scores.shape == (0,)


def test_a_face_that_fills_the_picture_is_found():
    tight = skimage.data.astronaut()[60:172, 172:280]
    assert len(FaceDetector().detect(tight)) == 1


def test_without_dlib_auto_is_haar(monkeypatch):
    monkeypatch.setattr(detect, "has_dlib", lambda: False)
    assert FaceDetector().detect(skimage.data.astronaut()).detector == "haar"
    with pytest.raises(MissingExtraError, match=r"pip install 'ferkit\[dlib\]'"):
        FaceDetector("dlib").check()


@with_dlib
def test_auto_asks_haar_where_dlib_finds_nothing(monkeypatch):
    monkeypatch.setattr(detect, "_dlib_boxes", lambda picture: (np.empty((0, 4)), []))
    large = skimage.data.astronaut()[:300, 80:380]
    assert FaceDetector().detect(large).detector == "haar"
    assert len(FaceDetector("dlib").detect(large)) == 0


def test_a_cascade_of_ones_own():
    other = haar_path().with_name("haarcascade_frontalface_alt2.xml")
    found = FaceDetector(str(other)).detect(skimage.data.astronaut())
    assert overlap(found.boxes_xyxy[0], FACE) > 0.5


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"detector": "eyes"}, "Got detector='eyes', expected one of"),
        ({"detector": 3}, "Got detector='3'"),
        ({"smallest": 0}, "Got smallest=0, expected a number from 0.02 to 1"),
        ({"smallest": True}, "Got smallest=True"),
        ({"smallest": "big"}, "Got smallest='big'"),
    ],
)
def test_wrong_parameters(params, message):
    with pytest.raises(InputError, match=message):
        FaceDetector(**params).check()


@pytest.mark.parametrize("text", ["<nothing/>", "root:x:0:0", ""])
def test_a_cascade_that_is_none(tmp_path, text):
    path = tmp_path / "x.xml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x.xml', expected one of \[.*\] or a Haar cascade file"):
        FaceDetector(str(path)).detect(np.zeros((50, 50), np.uint8))
    with pytest.raises(InputError, match="Got detector="):
        FaceDetector(path).check()


def test_a_cascade_whose_name_is_no_utf8_is_refused_because_opencv_would_crash(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.xml")
    path.write_bytes(haar_path().read_bytes())
    with pytest.raises(InputError, match="or a Haar cascade file"):
        FaceDetector(str(path)).detect(np.zeros((60, 60), np.uint8))


def test_an_opencv_without_cascades(monkeypatch, tmp_path):
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    assert haar_path() is None
    with pytest.raises(InputError, match="pip install 'opencv-contrib-python<5'"):
        FaceDetector("haar").check()


@pytest.mark.parametrize("image", [np.zeros((3, 3, 2)), np.zeros(5), np.zeros((0, 4)), [["a"]], [[1], [1, 2]]])
def test_wrong_pictures(image):
    with pytest.raises(InputError, match="Got picture"):
        FaceDetector().detect(image)


def test_suppression_keeps_the_surest():
    boxes = np.array([(0, 0, 10, 10), (1, 1, 11, 11), (20, 20, 50, 50)], np.float32)
    kept, scores = _distinct(boxes, np.array([1, 3, 2], np.float32))
    np.testing.assert_array_equal(kept, boxes[[2, 1]])
    np.testing.assert_array_equal(scores, [2, 3])


def test_overlap():
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0
    assert overlap((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert overlap((0, 0, 4, 4), (0, 0, 2, 4)) == 0.5


def test_dlib_is_imported_only_when_it_is_used():
    program = (
        "import sys, ferkit.faces as f; f.FaceExtractor(landmarks='none').fit([[[0]]]); print('dlib' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"


@with_dlib
def test_dlib_s_detector_is_kept_unpacked(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    picture = grey(skimage.data.astronaut())
    expected = dlib_finds(detect.frontal_detector(), picture)
    [kept] = (tmp_path / "ferkit").iterdir()
    whole = kept.read_bytes()
    with monkeypatch.context() as patch:
        patch.delattr("dlib.get_frontal_face_detector")
        assert dlib_finds(detect.frontal_detector(), picture) == expected
    for broken in (b"", whole[:-1], whole[:5000], bytes(3000)):
        kept.write_bytes(broken)
        assert dlib_finds(detect.frontal_detector(), picture) == expected
        assert kept.read_bytes() == whole
    assert list((tmp_path / "ferkit").iterdir()) == [kept]


@with_dlib
def test_dlib_s_detector_works_where_nothing_can_be_kept(monkeypatch, tmp_path):
    picture = grey(skimage.data.astronaut())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(dlib_finds(detect.frontal_detector(), picture)[0]) == 1

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(detect, "default_folder", homeless)
    assert len(dlib_finds(detect.frontal_detector(), picture)[0]) == 1


def dlib_finds(detector, picture):
    boxes, scores, _ = detector.run(picture, 0, 0.0)
    return [str(box) for box in boxes], list(scores)
