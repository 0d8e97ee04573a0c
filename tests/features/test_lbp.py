import warnings

import numpy as np
import pytest
from skimage.feature import local_binary_pattern

from ferkit.errors import InputError
from ferkit.features import LBP, lbp
from ferkit.records import Faces


def reference(crops, points, radius, method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array([local_binary_pattern(crop, points, radius, method) for crop in crops]).astype(np.uint8)


@pytest.mark.parametrize("method", ["uniform", "nri_uniform"])
@pytest.mark.parametrize(("points", "radius"), [(8, 1), (8, 2), (8, 3), (8, 1.5), (4, 1), (6, 2), (12, 2.5), (16, 3)])
def test_codes_are_those_of_scikit_image(faces, points, radius, method):
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 41), dtype=np.uint8)
    coarse = noise // 64 * 64
    for crops in (faces.crops[:3], noise, coarse):
        got = LBP(radii=[radius], points=points, method=method).codes(crops)
        np.testing.assert_array_equal(got, reference(crops, points, radius, method))


def test_codes_are_those_of_scikit_image_on_a_photo():
    from skimage.data import camera

    crops = np.array([camera()[r : r + 48, c : c + 48] for r in range(0, 464, 116) for c in range(0, 464, 93)])
    family = LBP()
    for radius in (1, 2, 3):
        np.testing.assert_array_equal(family.codes(crops, radius), reference(crops, 8, radius, "nri_uniform"))


def test_more_light_changes_nothing(face):
    family = LBP(grid=(5, 5)).fit(face[None])
    np.testing.assert_array_equal(family.transform(face[None]), family.transform(face[None] + np.uint8(70)))
    np.testing.assert_array_equal(family.transform(face[None]), family.transform(face[None] * np.uint8(2)))


def test_a_quarter_turn_keeps_the_codes_that_forget_direction(face):
    family = LBP(radii=[1, 2], method="uniform")
    for radius in (1, 2):
        upright, turned = (family.codes(crop[None], radius)[0, 3:-3, 3:-3] for crop in (face, np.rot90(face)))
        np.testing.assert_array_equal(turned, np.rot90(upright))


def test_a_mirrored_face_has_mirrored_cells(face):
    family = LBP(radii=[1, 2], method="uniform", grid=(6, 7)).fit(face[None])
    shares = family.transform(np.array([face, face[:, ::-1]])).reshape(2, 2, 6, 7, 10)
    np.testing.assert_array_equal(shares[1], shares[0][:, :, ::-1])
    assert not np.array_equal(shares[1], shares[0])


def test_shares_count_the_pixels_of_a_cell(faces):
    family = LBP(radii=[2], grid=(4, 4), sqrt=False).fit(faces)
    codes = family.codes(faces)[5]
    names = list(family.get_feature_names_out())
    row = family.transform(faces)[5]
    cell = codes[2 + 11 : 2 + 22, 2 + 33 : 2 + 44]
    for code in np.unique(cell):
        assert row[names.index(f"lbp/radius2/row1/col3/code{code}")] == pytest.approx((cell == code).mean())
    np.testing.assert_allclose(row.reshape(16, 59).sum(axis=1), 1, atol=1e-6)
    rooted = LBP(radii=[2], grid=(4, 4)).fit(faces).transform(faces)[5]
    np.testing.assert_allclose(rooted, np.sqrt(row))


def test_names_follow_scales_cells_codes(faces):
    family = LBP(radii=[1, 2.5], grid=(2, 3), method="uniform").fit(faces)
    names = family.get_feature_names_out()
    assert len(names) == family.transform(faces).shape[1] == len(set(names)) == 2 * 6 * 10
    assert (names[0], names[-1]) == ("lbp/radius1/row0/col0/code0", "lbp/radius2.5/row1/col2/code9")


def test_chunks_do_not_show(faces, monkeypatch):
    whole, codes = LBP().fit_transform(faces), LBP().codes(faces)
    monkeypatch.setattr(lbp, "CHUNK_PIXELS", 5 * 48 * 48)
    np.testing.assert_array_equal(LBP().fit_transform(faces), whole)
    np.testing.assert_array_equal(LBP().codes(faces), codes)


def test_no_faces_give_no_rows(faces):
    family = LBP().fit(faces)
    assert family.transform(Faces.empty()).shape == (0, 8673)
    assert family.codes(Faces.empty()).shape == (0, 48, 48)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"points": 3}, r"Got points=3, expected a whole number from 4 to 16\."),
        ({"method": "ror"}, r"Got method='ror', expected one of \['nri_uniform', 'uniform'\]\."),
        ({"grid": 7}, r"Got grid=7, expected two whole numbers"),
        ({"grid": (7, 0)}, r"Got grid=\(7, 0\), expected two whole numbers"),
        ({"grid": (7, 7, 7)}, r"Got grid=\(7, 7, 7\), expected two whole numbers"),
        ({"grid": (43, 7)}, r"Got grid=\(43, 7\) with radii=\(1, 2, 3\), expected cells of at least 1 pixel"),
        ({"radii": 2}, r"Got radii=2, expected a list of numbers"),
        ({"radii": []}, r"Got radii=\[\], expected a list of numbers"),
        ({"radii": [1, float("nan")]}, r"Got radii=\[1, nan\], expected a list of numbers"),
        ({"radii": [0.5]}, r"Got radii=\[0\.5\], expected a list of numbers, at least 1 pixel each\."),
        ({"radii": [2, 2]}, r"Got radii=\[2, 2\], expected each radius once\."),
    ],
)
def test_wrong_settings_say_what_is_expected(faces, settings, message):
    with pytest.raises(InputError, match=message):
        LBP(**settings).fit(faces)


def test_codes_need_a_radius_that_is_there(faces):
    with pytest.raises(InputError, match=r"Got radius=4, expected one of \[1, 2, 3\]"):
        LBP().codes(faces, 4)
