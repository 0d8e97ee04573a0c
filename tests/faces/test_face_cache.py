from pathlib import Path

import numpy as np
import pytest
from skimage import data

from ferkit.errors import PictureError
from ferkit.faces import FaceCache, FaceExtractor
from ferkit.faces import cache as module
from ferkit.records import seen_hashes

ASTRONAUT = data.astronaut()[:300]
NO_FACE = data.coffee()[:200, :200]
SMALL = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
PICTURES = [ASTRONAUT, NO_FACE, SMALL, ASTRONAUT[..., 0]]


@pytest.fixture
def cache(tmp_path):
    return FaceCache(tmp_path / "kept")


@pytest.fixture
def searched(monkeypatch):
    """Shapes of the pictures that were looked at."""
    seen = []
    row = FaceExtractor._row

    def counted(self, pictures, i):
        seen.append(np.shape(pictures[i]))
        return row(self, pictures, i)

    monkeypatch.setattr(FaceExtractor, "_row", counted)
    return seen


def same(one, other):
    for name in ("crops", "points", "boxes_xyxy", "found", "index"):
        got, expected = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == expected.dtype
    np.testing.assert_array_equal(seen_hashes(one), seen_hashes(other))


@pytest.mark.parametrize("settings", [{}, {"size": 32, "light": "clahe"}, {"detector": "haar", "align": False}])
def test_faces_come_back_as_they_were_found(cache, settings, searched):
    plain = FaceExtractor(**settings).transform(PICTURES)
    searched.clear()
    for pictures in (PICTURES, PICTURES):
        same(cache.transform(FaceExtractor(**settings), pictures), plain)
    assert len(searched) == 4
    assert plain.found.tolist() == [True, False, True, True]


def test_landmarks_come_back_too(cache, searched):
    pytest.importorskip("dlib")
    extractor = FaceExtractor(landmarks="5")
    plain = extractor.transform(PICTURES)
    assert np.isnan(plain.points).any()
    searched.clear()
    for _ in range(2):
        same(cache.transform(extractor, PICTURES), plain)
    assert len(searched) == 4


def test_only_new_pictures_are_searched(cache, searched):
    cache.transform(FaceExtractor(), PICTURES[:2])
    searched.clear()
    got = cache.transform(FaceExtractor(), [SMALL, *PICTURES[::-1]])
    assert sorted(searched) == sorted([SMALL.shape, ASTRONAUT.shape[:2]])
    same(got, FaceExtractor().transform([SMALL, *PICTURES[::-1]]))


def test_settings_and_what_is_installed_tell_faces_apart(cache, searched, monkeypatch):
    cache.transform(FaceExtractor(), PICTURES)
    for other in (FaceExtractor(size=40), FaceExtractor(light="clahe"), FaceExtractor(cropped=True)):
        searched.clear()
        cache.transform(other, PICTURES)
        assert len(searched) == 4
    searched.clear()
    cache.transform(FaceExtractor(n_jobs=2), PICTURES)
    assert searched == []
    monkeypatch.setattr(FaceExtractor, "tools", lambda self: ["another detector"])
    cache.transform(FaceExtractor(), PICTURES)
    assert len(searched) == 4


def test_a_file_counts_by_its_content(cache, searched, tmp_path):
    cascade = tmp_path / "mine.xml"
    source = (module.cv2.data.haarcascades + "haarcascade_frontalface_{}.xml").format
    extractor = FaceExtractor(detector=str(cascade), landmarks="none")
    for name in ("default", "default", "alt"):
        cascade.write_bytes(Path(source(name)).read_bytes())
        cache.transform(extractor, [ASTRONAUT])
    assert len(searched) == 2


def test_levels_and_shapes_tell_pictures_apart(cache):
    wide = np.zeros((60, 90), np.uint8)
    got = cache.transform(FaceExtractor(), [wide, wide.T, wide.astype(np.uint16), wide[..., None]])
    assert len(got) == 4
    assert len({module._hash(picture) for picture in (wide, wide.T, wide.astype(np.uint16), wide[..., None])}) == 4


def test_nothing_is_kept_of_stacks_nor_where_a_face_must_be_found(cache):
    assert len(cache.transform(FaceExtractor(), np.stack([SMALL, SMALL]))) == 2
    assert len(cache.transform(FaceExtractor(), [])) == 0
    with pytest.raises(PictureError, match="Got picture 1 of 200x200 pixels without a face"):
        cache.transform(FaceExtractor(missing="raise"), [ASTRONAUT, NO_FACE])
    assert not cache.folder.exists()


def test_a_damaged_file_is_searched_again(cache, searched):
    expected = cache.transform(FaceExtractor(), PICTURES)
    for path in sorted(cache.folder.rglob("*.npy")):
        path.write_bytes(path.read_bytes()[:60])
        searched.clear()
        same(cache.transform(FaceExtractor(), PICTURES), expected)
        assert len(searched) == 4


def test_a_turned_view_of_memory_is_the_same_picture(cache, searched):
    cache.transform(FaceExtractor(), [ASTRONAUT])
    searched.clear()
    cache.transform(FaceExtractor(), [np.asfortranarray(ASTRONAUT)])
    assert searched == []


def test_a_stack_of_whole_pictures_is_kept(cache, searched):
    stack = np.stack([ASTRONAUT, ASTRONAUT[:, ::-1]])
    plain = FaceExtractor().transform(stack)
    searched.clear()
    for _ in range(2):
        same(cache.transform(FaceExtractor(), stack), plain)
    assert len(searched) == 2
