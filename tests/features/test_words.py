import csv
import gzip
import pickle
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.svm import LinearSVC

from ferkit.errors import InputError
from ferkit.features.sift import dense_sift, gradient_maps, grid, root_sift
from ferkit.features.words import VisualWords
from ferkit.records import Faces

FER2013 = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "fer2013" / "fer2013.csv.gz"
OPENCV_BLUR = (1.6**2 - 0.5**2) ** 0.5


def blobs(n, height=48, width=48, seed=0):
    """Smooth random faces, with edges of every direction."""
    noise = np.random.default_rng(seed).normal(size=(n, height, width))
    smooth = np.stack([cv2.GaussianBlur(face, (0, 0), 1.5) for face in noise])
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (255 * smooth).astype(np.uint8)


@pytest.fixture(scope="module")
def crops():
    return blobs(12)


def small(**settings):
    return VisualWords(**({"n_words": 30, "pyramid": (1, 2)} | settings))


def sift(crops, positions, size, blur=OPENCV_BLUR):
    return dense_sift(gradient_maps(crops, 2, blur), positions, positions, size)


# dense SIFT


@pytest.mark.parametrize("size", [3.0, 5.0, 10.0])
def test_sift_agrees_with_opencv(crops, size):
    positions = tuple(range(8, 96, 8))
    keypoints = [cv2.KeyPoint(x, y, size, 0.0) for y in positions for x in positions]
    extractor = cv2.SIFT_create()
    expected = np.stack(
        [
            extractor.compute(cv2.resize(crop, (96, 96), interpolation=cv2.INTER_LINEAR), keypoints)[1]
            for crop in crops[:4]
        ]
    )
    expected /= np.linalg.norm(expected, axis=2, keepdims=True)
    found = sift(crops[:4], positions, size)
    assert found.shape == expected.shape == (4, 121, 128)
    assert np.einsum("ijk,ijk->ij", found, expected).min() > 0.99
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


def test_mirrored_face_has_mirrored_descriptors(crops):
    positions = grid(96, 8)
    shape = (len(crops), 12, 12, 4, 4, 8)
    plain = sift(crops, positions, 3).reshape(shape)
    mirrored = sift(np.ascontiguousarray(crops[:, :, ::-1]), positions, 3).reshape(shape)
    directions = [(4 - o) % 8 for o in range(8)]
    np.testing.assert_allclose(mirrored[:, :, ::-1, :, ::-1][..., directions], plain, atol=1e-4)


def test_quarter_turn_moves_the_directions_by_two(crops):
    positions = grid(96, 8)
    turned = sift(np.ascontiguousarray(np.rot90(crops, axes=(1, 2))), positions, 5).reshape(-1, 12, 12, 4, 4, 8)
    plain = sift(crops, positions, 5).reshape(-1, 12, 12, 4, 4, 8)
    back = np.rot90(np.rot90(turned, -1, axes=(1, 2)), -1, axes=(3, 4))
    np.testing.assert_allclose(np.roll(back, -2, axis=5), plain, atol=1e-4)


def test_light_and_contrast_change_nothing(crops):
    dim = crops // 3
    positions = grid(96, 8)
    np.testing.assert_allclose(sift(2 * dim + 40, positions, 3), sift(dim, positions, 3), atol=1e-4)


def test_descriptors_have_length_one_or_zero(crops):
    half = crops.copy()
    half[:, :, :30] = 100
    found = sift(half, grid(96, 8), 3).reshape(12, 12, 12, 128)
    length = np.linalg.norm(found, axis=3)
    np.testing.assert_array_equal(length[:, :, :4], 0)
    np.testing.assert_allclose(length[:, :, 8:], 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(root_sift(found), axis=3), length > 0, rtol=1e-5)


def test_root_sift_is_the_hellinger_kernel(crops):
    found = sift(crops[:2], grid(96, 8), 3).astype(float)
    shares = found / found.sum(-1, keepdims=True)
    np.testing.assert_allclose(
        np.einsum("ik,ik->i", *root_sift(found)), np.sqrt(shares[0] * shares[1]).sum(1), rtol=1e-4
    )


@pytest.mark.parametrize(("length", "step"), [(96, 8), (96, 7), (5, 8)])
def test_grid_is_centred(length, step):
    positions = np.asarray(grid(length, step))
    np.testing.assert_allclose(positions + positions[::-1], length - 1)
    assert positions[0] >= 0
    assert (np.diff(positions) == step).all()


# visual words


def reference(words, crop):
    """Word vector of one face, in the words of the definition."""
    found = words.describe(crop[None])[0]
    distance = ((found[:, None].astype(float) - words.codebook_[None]) ** 2).sum(2)
    positions = (np.asarray(grid(96, words.step)) + 0.5) / 96
    places = [(y, x) for _ in words.sizes for y in positions for x in positions]
    names = {name: i for i, name in enumerate(words.get_feature_names_out())}
    row = np.zeros(len(names))
    for gaps, (y, x) in zip(distance, places, strict=True):
        nearest = np.argsort(gaps)[: words.assignments]
        weights = np.ones(len(nearest))
        if words.encoding == "soft":
            weights = np.exp(-(gaps[nearest] - gaps[nearest[0]]) / (2 * words.softness**2))
            weights /= weights.sum()
        for level in words.pyramid:
            for word, weight in zip(nearest, weights, strict=True):
                row[names[f"words/level{level}/row{int(y * level)}/col{int(x * level)}/word{word}"]] += weight
    row = (row > 0).astype(float) if words.encoding == "presence" else row**words.power
    return row / np.linalg.norm(row)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoding": "presence"},
        {"encoding": "presence", "assignments": 3, "pyramid": (3,)},
        {"encoding": "count", "power": 1.0, "assignments": 1},
        {"encoding": "count", "assignments": 2, "root": False},
        {"encoding": "soft", "assignments": 4, "softness": 0.3, "sizes": [4], "step": 11},
    ],
)
def test_vectors_follow_the_definition(crops, settings):
    words = small(**settings).fit(crops)
    out = words.transform(crops[:3])
    np.testing.assert_allclose(out.toarray(), [reference(words, crop) for crop in crops[:3]], rtol=1e-4, atol=1e-6)


def test_output_is_sparse_and_of_length_one(crops):
    before = crops.copy()
    words = VisualWords(n_words=50).fit(crops)
    out = words.transform(Faces(crops))
    assert isinstance(out, sparse.csr_array)
    assert out.dtype == np.float32
    assert out.indices.dtype == out.indptr.dtype == np.int32
    assert out.has_canonical_format
    assert out.shape == (12, 50 * sum(level**2 for level in words.pyramid))
    assert len(words.get_feature_names_out()) == len(set(words.get_feature_names_out())) == out.shape[1]
    np.testing.assert_allclose(sparse.linalg.norm(out, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(crops, before)


def test_words_stand_where_the_edges_are(crops):
    words = small(pyramid=(2,)).fit(crops)
    corner = np.full((1, 48, 48), 90, np.uint8)
    corner[:, 36:, :12] = crops[0, 36:, :12]
    used = words.get_feature_names_out()[words.transform(corner).indices]
    assert len(used) > 3
    assert {name.rsplit("/", 1)[0] for name in used} == {"words/level2/row1/col0"}


def test_flat_face_has_no_words(crops):
    faces = crops.copy()
    faces[4] = 128
    for encoding in ("presence", "count", "soft"):
        out = small(encoding=encoding).fit(crops).transform(faces)
        assert np.isfinite(out.data).all()
        np.testing.assert_array_equal(np.diff(out.indptr) == 0, np.arange(12) == 4)


def test_rows_do_not_depend_on_their_company(crops):
    words = small(encoding="soft", assignments=3).fit(crops)
    whole = words.transform(crops).toarray()
    order = np.random.default_rng(0).permutation(12)
    np.testing.assert_array_equal(words.transform(crops[order]).toarray(), whole[order])
    np.testing.assert_array_equal(words.transform(crops[5:6]).toarray(), whole[5:6])
    assert words.transform(crops[:0]).shape == (0, whole.shape[1])


def test_processes_give_the_same(crops, monkeypatch):
    words = small().fit(crops)
    monkeypatch.setattr("ferkit.features.words.JOB", 5)
    parallel = clone(words).set_params(n_jobs=2).fit(crops)
    np.testing.assert_array_equal(parallel.transform(crops).toarray(), words.transform(crops).toarray())


def test_codebook_depends_on_the_seed_alone(crops):
    first, again, other = (small(seed=seed).fit(crops).codebook_ for seed in (3, 3, 4))
    assert first.shape == (30, 128)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_pickle_and_clone(crops):
    words = small().fit(crops)
    copy = pickle.loads(pickle.dumps(words))  # noqa: S301
    np.testing.assert_array_equal(copy.transform(crops).toarray(), words.transform(crops).toarray())
    assert clone(words).get_params() == words.get_params()


def test_codebook_from_few_descriptors(crops):
    assert VisualWords(n_words=500, pyramid=(1,), max_descriptors=60).fit(crops).codebook_.shape == (60, 128)


def test_sample_leaves_flat_patches_out(crops):
    faces = crops.copy()
    faces[:, :, :24] = 0
    words = small()
    sample = words._sample(faces)
    n_descriptors = words.describe(faces[:1]).shape[1]
    assert n_descriptors * 12 * 0.4 < len(sample) < n_descriptors * 12 * 0.8
    np.testing.assert_allclose(np.linalg.norm(sample, axis=1), 1, rtol=1e-5)


def test_faces_need_not_be_square():
    faces = blobs(4, 40, 56)
    words = small().fit(faces)
    assert words.transform(faces).shape == (4, 150)
    with pytest.raises(InputError, match=r"\(40, 56\)"):
        words.transform(blobs(4))


def test_faces_without_edges_cannot_make_a_codebook():
    with pytest.raises(InputError, match="one grey level"):
        small().fit(np.full((3, 48, 48), 7, np.uint8))


@pytest.mark.parametrize(
    "settings",
    [
        {"n_words": 0},
        {"step": 2.5},
        {"upsample": -1},
        {"assignments": 0},
        {"max_descriptors": None},
        {"blur": 0},
        {"softness": -1.0},
        {"power": float("nan")},
        {"sizes": ()},
        {"sizes": [3, 0]},
        {"pyramid": [1, 0]},
        {"pyramid": (2, 2)},
        {"encoding": "binary"},
        {"seed": -1},
    ],
)
def test_wrong_parameters(crops, settings):
    [(name, _)] = settings.items()
    with pytest.raises(InputError, match=f"Got {name}=.*expected"):
        small(**settings).fit(crops)


@pytest.mark.skipif(not FER2013.is_file(), reason="FER2013 is not at hand")
def test_words_tell_real_expressions_apart():
    with gzip.open(FER2013, "rt") as file:
        rows = list(islice(csv.DictReader(file), 1000))
    y = np.array([int(row["emotion"]) for row in rows])
    faces = np.stack([np.array(row["pixels"].split(), np.uint8).reshape(48, 48) for row in rows])
    words = VisualWords(n_words=200, max_descriptors=10_000).fit(faces[:700])
    model = LinearSVC(C=0.3, random_state=0).fit(words.transform(faces[:700]), y[:700])
    majority = np.bincount(y[700:]).max() / 300
    assert model.score(words.transform(faces[700:]), y[700:]) > majority + 0.08
