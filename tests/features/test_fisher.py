import weakref

import numpy as np
import pytest

from ferkit.errors import InputError
from ferkit.features.fisher import FisherVectors
from ferkit.features.sift import MIRROR
from ferkit.records import Faces
from ferkit.sources import sample


@pytest.fixture(scope="module")
def faces():
    return Faces(sample(40, seed=3).pictures)


def small(**settings):
    return FisherVectors(
        **({"n_gaussians": 5, "n_dims": 10, "cells": 2, "n_axes": None, "sizes": (3, 5), "step": 12} | settings)
    )


def reference(fisher, crop):
    """Fisher vector of one face's cells, in the words of the definition and in double precision."""
    means, variances = fisher.means_.astype(float), fisher.variances_.astype(float)
    cells = np.zeros((4, *means.shape))
    places = [(np.asarray(positions) + 0.5) / 96 for positions in fisher._grids((48, 48))]
    spots = [(row, column) for _ in fisher.sizes for row in places[0] for column in places[1]]
    for (row, column), descriptor in zip(spots, fisher.describe(crop[None])[0], strict=True):
        x = (descriptor.astype(float) - fisher.centre_) @ fisher.axes_
        density = np.exp(-((x - means) ** 2 / variances).sum(1) / 2) / np.sqrt(np.prod(variances, axis=1))
        share = fisher.shares_ * density / (fisher.shares_ * density).sum()
        gradient = share[:, None] * (x - means) / np.sqrt(variances) / np.sqrt(fisher.shares_.astype(float))[:, None]
        cells[int(row * 2) * 2 + int(column * 2)] += gradient
    cells = np.sign(cells) * np.sqrt(np.abs(cells))
    return (cells.reshape(4, -1) / np.linalg.norm(cells.reshape(4, -1), axis=1, keepdims=True)).ravel()


def test_agrees_with_the_definition(faces):
    fisher = small(mirror=False).fit(faces)
    found = fisher.transform(faces[:3])
    expected = np.stack([reference(fisher, crop) for crop in faces.crops[:3]])
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_mirror_image_is_not_computed_twice(faces):
    fisher = small().fit(faces)
    flipped = np.ascontiguousarray(faces.crops[:, :, ::-1])
    found = fisher.describe(faces.crops)
    turned = fisher._turned(np.arange(found.shape[1]))
    np.testing.assert_allclose(found[:, turned][..., MIRROR], fisher.describe(flipped), atol=2e-4)
    np.testing.assert_allclose(
        fisher._pooled(found, mirrored=True), fisher._pooled(fisher.describe(flipped)), atol=2e-4
    )


def test_a_face_and_its_mirror_image_have_the_same_numbers(faces):
    flipped = Faces(np.ascontiguousarray(faces.crops[:, :, ::-1]))
    fisher = small().fit(faces)
    np.testing.assert_allclose(fisher.transform(flipped), fisher.transform(faces), atol=2e-3)
    one_sided = small(mirror=False).fit(faces)
    assert np.abs(one_sided.transform(flipped) - one_sided.transform(faces)).max() > 0.05


def test_light_and_contrast_change_little(faces):
    fisher = small().fit(faces)
    dim = Faces((faces.crops // 2 + 40).astype(np.uint8))
    plain = fisher.transform(faces)
    assert np.all(np.linalg.norm(fisher.transform(dim) - plain, axis=1) < 0.1 * np.linalg.norm(plain, axis=1))


def test_axes_keep_the_angles_between_faces(faces):
    whole = small().fit(faces).transform(faces)
    kept = small(n_axes=50).fit(faces).transform(faces)
    assert kept.shape == (40, 4 * 50)
    np.testing.assert_allclose(np.linalg.norm(kept, axis=1), 1, rtol=1e-5)
    centred = whole.reshape(40, 4, -1) - whole.reshape(-1, 50).mean(0)
    centred = centred.reshape(40, -1) / np.linalg.norm(centred.reshape(40, -1), axis=1, keepdims=True)
    np.testing.assert_allclose(kept @ kept.T, centred @ centred.T, atol=1e-4)


def test_fewer_axes_keep_the_strongest(faces):
    many, few = (small(n_axes=n).fit(faces) for n in (20, 5))
    np.testing.assert_allclose(few.cell_axes_, many.cell_axes_[:, :5], atol=1e-5)
    spread = (small().fit(faces).transform(faces).reshape(-1, 50) - many.cell_centre_) @ many.cell_axes_
    assert (np.diff(spread.var(axis=0)) <= 1e-6).all()


def test_axes_are_learnt_without_all_vectors_at_once(faces, monkeypatch):
    monkeypatch.setattr("ferkit.features.fisher.JOB", 4)
    parts, held, job = [], [], FisherVectors._job

    def watched(self, crops, project):
        held.append(sum(part() is not None for part in parts))
        found = job(self, crops, project)
        parts.append(weakref.ref(found))
        return found

    monkeypatch.setattr(FisherVectors, "_job", watched)
    fisher = small(n_axes=6).fit(faces)
    assert len(held) == 10
    assert max(held) <= 2
    vectors = np.concatenate([fisher.vectors(faces.crops[i : i + 4]) for i in range(0, 40, 4)]).reshape(-1, 50)
    np.testing.assert_allclose(fisher.cell_centre_, vectors.mean(axis=0), atol=1e-6)
    strongest = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2][:6]
    np.testing.assert_allclose(np.abs((fisher.cell_axes_.T * strongest).sum(axis=1)), 1, atol=1e-4)


def test_a_face_without_edges_has_no_vector(faces):
    fisher = small().fit(faces)
    flat = Faces(np.full((2, 48, 48), 90, np.uint8))
    np.testing.assert_array_equal(fisher.transform(flat), 0)
    with pytest.raises(InputError, match="one grey level"):
        small().fit(flat)


def test_names_say_where_a_number_comes_from(faces):
    fisher = small().fit(faces)
    names = list(fisher.get_feature_names_out())
    assert names[0] == "fisher/row0/col0/gaussian0/dim0"
    assert names[2 * 50 + 1 * 10 + 3] == "fisher/row1/col0/gaussian1/dim3"
    assert len(names) == fisher.transform(faces[:1]).shape[1] == 200
    assert small(n_axes=3).fit(faces).get_feature_names_out()[4] == "fisher/row0/col1/axis1"


def test_the_upper_rows_see_the_upper_half(faces):
    fisher = small(sizes=(2,)).fit(faces)
    changed = faces.crops[:1].copy()
    changed[:, 36:] = 255 - changed[:, 36:]
    difference = np.abs(fisher.transform(Faces(changed)) - fisher.transform(faces[:1])).reshape(2, 2, 50).sum(2)
    assert difference[0].max() < 1e-5 < 0.1 < difference[1].min()


def test_jobs_and_chunks_change_nothing(faces, monkeypatch):
    fisher = small(n_axes=4).fit(faces)
    expected = fisher.transform(faces)
    monkeypatch.setattr("ferkit.features.fisher.JOB", 7)
    monkeypatch.setattr("ferkit.features.fisher.CHUNK", 3)
    np.testing.assert_array_equal(fisher.transform(faces), expected)
    np.testing.assert_array_equal(fisher.set_params(n_jobs=2).transform(faces), expected)


def test_no_faces_give_no_rows(faces):
    assert small(n_axes=4).fit(faces).transform(Faces.empty()).shape == (0, 16)
    assert small().fit(faces).transform(Faces.empty()).shape == (0, 200)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_gaussians", 0),
        ("n_dims", 2.5),
        ("cells", 0),
        ("n_axes", 0),
        ("sizes", [0]),
        ("step", 0),
        ("power", 1.5),
        ("mirror", "yes"),
        ("seed", -1),
        ("max_faces", 0),
    ],
)
def test_wrong_settings_say_what_was_expected(faces, name, value):
    with pytest.raises(InputError, match=f"Got {name}="):
        small(**{name: value}).fit(faces)
