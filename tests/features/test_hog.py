import numpy as np
import pytest
from skimage.feature import hog as reference

from ferkit.errors import InputError
from ferkit.features import HOG, hog
from ferkit.features.hog import NORMS
from ferkit.records import Faces


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (6, 48, 44), dtype=np.uint8)


@pytest.mark.parametrize("sqrt", [False, True])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("orientations", "cell", "block"), [(9, 8, 2), (8, 6, 3), (12, 5, 1), (4, 7, 2)])
def test_agrees_with_scikit_image(faces, noise, orientations, cell, block, norm, sqrt):
    for crops in (faces.crops[:3], noise[:2]):
        expected = [
            reference(crop, orientations, (cell, cell), (block, block), block_norm=norm, transform_sqrt=sqrt)
            for crop in crops
        ]
        got = HOG(orientations, cell, block, norm, signed=False, sqrt=sqrt).fit_transform(crops)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_agrees_with_scikit_image_on_a_photo():
    from skimage.data import camera

    crops = np.array([camera()[r : r + 48, c : c + 48] for r in range(0, 464, 116) for c in range(0, 464, 93)])
    expected = [reference(crop, 8, (6, 6), (2, 2)) for crop in crops]
    np.testing.assert_allclose(HOG(8, cell=6, signed=False).fit_transform(crops), expected, atol=1e-5)


def test_a_quarter_turn_moves_directions_by_a_quarter(face):
    family = HOG(orientations=8, cell=8, signed=False).fit(face[None])
    upright, turned = family.cells(face[None])[0], family.cells(np.rot90(face)[None])[0]
    np.testing.assert_allclose(turned, np.rot90(np.roll(upright, 4, axis=2)), atol=1e-5)


def test_signed_directions_turn_over_the_whole_circle(face):
    family = HOG(orientations=8, cell=8, signed=True)
    upright = family.cells(face[None])[0]
    # Rows grow downwards, so a quarter turn to the left takes directions back by a quarter of the circle.
    np.testing.assert_allclose(family.cells(np.rot90(face)[None])[0], np.rot90(np.roll(upright, -2, axis=2)), atol=1e-5)
    negative = family.cells(255 - face[None])[0]
    np.testing.assert_allclose(negative, np.roll(upright, 4, axis=2), atol=1e-5)


def test_a_mirrored_face_has_mirrored_cells(face):
    # A direction on the limit of two bins has no mirror image: odd and even rows keep gradients off the horizontal.
    rows = np.arange(48)[:, None] % 4 < 2
    slanted = np.where(rows, face | 1, face & ~np.uint8(1))
    slanted[[0, -1]] = 40
    family = HOG(orientations=9, cell=8, signed=False)
    upright, mirrored = family.cells(slanted[None])[0], family.cells(slanted[None, :, ::-1])[0]
    np.testing.assert_allclose(mirrored, upright[:, ::-1, ::-1], atol=1e-5)
    assert not np.allclose(mirrored, upright)


def test_more_light_changes_no_cell_and_contrast_no_block(face):
    family = HOG().fit(face[None])
    np.testing.assert_array_equal(family.cells(face[None]), family.cells(face[None] + np.uint8(60)))
    np.testing.assert_allclose(family.transform(face[None]), family.transform(face[None] * np.uint8(2)), atol=1e-5)


def test_cells_are_those_of_the_features(faces):
    family = HOG(9, cell=8, block=1, norm="L1").fit(faces)
    cells = family.cells(faces)
    assert cells.shape == (12, 6, 6, 9)
    shares = cells / (cells.sum(axis=3, keepdims=True) + 1e-5)
    np.testing.assert_allclose(family.transform(faces), shares.reshape(12, -1), atol=1e-6)


def test_scales_stand_side_by_side(faces):
    both = HOG(9, cell=[8, 6]).fit(faces)
    parts = [HOG(9, cell=side).fit_transform(faces) for side in (8, 6)]
    np.testing.assert_array_equal(both.transform(faces), np.hstack(parts))
    names = both.get_feature_names_out()
    assert names[0] == "hog/cell8/block0_0/row0/col0/bin0"
    assert names[-1] == "hog/cell6/block6_6/row7/col7/bin8"
    np.testing.assert_array_equal(both.cells(faces, 6), HOG(9, cell=6).cells(faces))
    with pytest.raises(InputError, match=r"Got cell=5, expected one of \[8, 6\]"):
        both.cells(faces, 5)


def test_names_point_at_their_cell(faces):
    family = HOG(cell=8, block=2, norm="L2").fit(faces)
    names, row = list(family.get_feature_names_out()), family.transform(faces)[0]
    cells = family.cells(faces)[0].astype(float)
    block = cells[2:4, 1:3]
    expected = cells[3, 2, 5] / np.sqrt((block**2).sum())
    assert row[names.index("hog/block2_1/row3/col2/bin5")] == pytest.approx(expected, abs=1e-5)
    assert len(set(names)) == len(names) == len(row)
    single = HOG(cell=8, block=1, norm="L2").fit(faces)
    alone = cells[3, 2, 5] / np.sqrt((cells[3, 2] ** 2).sum())
    at = list(single.get_feature_names_out()).index("hog/row3/col2/bin5")
    assert single.transform(faces)[0, at] == pytest.approx(alone, abs=1e-5)


def test_chunks_do_not_show(faces, monkeypatch):
    whole = HOG().fit_transform(faces)
    monkeypatch.setattr(hog, "CHUNK_PIXELS", 5 * 48 * 48)
    np.testing.assert_array_equal(HOG().fit_transform(faces), whole)
    np.testing.assert_array_equal(HOG().cells(faces)[7:8], HOG().cells(faces[7]))


def test_no_faces_give_no_rows(faces):
    family = HOG(9, cell=[8, 6]).fit(faces)
    assert family.transform(Faces.empty()).shape == (0, len(family.get_feature_names_out()))
    assert family.cells(Faces.empty()).shape == (0, 6, 6, 9)


def test_a_grey_wall_gives_zeros():
    for norm in NORMS:
        assert not HOG(norm=norm).fit_transform(np.full((2, 48, 48), 128, np.uint8)).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"orientations": 1}, r"Got orientations=1, expected a whole number from 2 to 36\."),
        ({"orientations": 8.0}, r"Got orientations=8\.0, expected a whole number"),
        ({"cell": 1}, r"Got cell=1 with block=2, expected cells of at least 2 pixels"),
        ({"cell": 30}, r"Got cell=30 with block=2, .* fit into crops of 48x48\."),
        ({"cell": "8"}, r"Got cell='8', expected a whole number of pixels or a list of them\."),
        ({"cell": []}, r"Got cell=\[\], expected"),
        ({"cell": True}, r"Got cell=True, expected"),
        ({"cell": [8, 8]}, r"Got cell=\[8, 8\], expected each size once\."),
        ({"block": 0}, r"Got block=0, expected a whole number of cells"),
        ({"norm": "L3"}, r"Got norm='L3', expected one of \['L2-Hys'"),
    ],
)
def test_wrong_settings_say_what_is_expected(faces, settings, message):
    with pytest.raises(InputError, match=message):
        HOG(**settings).fit(faces)
