import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

from ferkit import blocks as module
from ferkit.errors import InputError
from ferkit.features import HOG, FaceFeatures, FeatureCache, Geometry
from ferkit.records import Faces


class Counted(FaceFeatures):
    """Row sums times what was learnt; counts the faces that it computes."""

    family = "counted"
    state = ("scale_",)

    def __init__(self, factor=1, sparse=False, n_jobs=None):
        self.factor = factor
        self.sparse = sparse
        self.n_jobs = n_jobs

    def _learn(self, faces, y):
        self.fits_ = getattr(self, "fits_", 0) + 1
        self.scale_ = np.array([faces.crops.mean() * self.factor])

    def _extract(self, faces):
        self.seen_ = getattr(self, "seen_", 0) + len(faces)
        rows = (faces.crops.sum(axis=1) * self.scale_).astype(np.float32)
        rows[rows < np.median(rows)] = 0
        return sparse.csr_array(rows) if self.sparse else rows

    def _names(self):
        return [str(i) for i in range(self.crop_shape_[1])]


class PerFace(Counted):
    """The same without the median, so that rows do not depend on each other."""

    def _extract(self, faces):
        self.seen_ = getattr(self, "seen_", 0) + len(faces)
        rows = (faces.crops.astype(np.int64)[:, ::3].sum(axis=1) % 7 * self.scale_).astype(np.float32)
        return sparse.csr_array(rows) if self.sparse else rows


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path / "kept")


@pytest.fixture
def crops():
    return np.random.default_rng(0).integers(0, 256, (60, 20, 16), dtype=np.uint8)


def dense(rows):
    return rows.toarray() if sparse.issparse(rows) else rows


@pytest.mark.parametrize("kind", [False, True])
def test_any_selection_finds_its_rows(cache, crops, kind):
    plain, kept = PerFace(sparse=kind).fit(crops), PerFace(sparse=kind).fit(crops)
    rng = np.random.default_rng(1)
    for n in (20, 35, 60, 60):
        rows = rng.permutation(60)[:n]
        got = cache.transform(kept, crops[rows])
        assert sparse.issparse(got) == kind
        assert got.dtype == np.float32
        np.testing.assert_array_equal(dense(got), dense(plain.transform(crops[rows])))
    assert kept.seen_ == 60


@pytest.mark.parametrize("kind", [False, True])
def test_equal_faces_are_computed_once(cache, crops, kind):
    family = PerFace(sparse=kind).fit(crops)
    got = dense(cache.transform(family, crops[[3, 5, 3, 3]]))
    assert family.seen_ == 2
    np.testing.assert_array_equal(got, dense(family.transform(crops[[3, 5, 3, 3]])))


def test_settings_state_shape_and_version_tell_rows_apart(cache, crops):
    family = PerFace().fit(crops)
    cache.transform(family, crops)
    for other in (PerFace(factor=2).fit(crops), PerFace().fit(crops[:30]), PerFace().fit(crops[:, :10])):
        shaped = crops[:, : other.crop_shape_[0]]
        np.testing.assert_array_equal(cache.transform(other, shaped), other.transform(shaped))
        assert other.seen_ == 2 * len(crops)

    class Newer(PerFace):
        version = 2

    Newer.__qualname__, newer = PerFace.__qualname__, Newer().fit(crops)
    cache.transform(newer, crops)
    assert newer.seen_ == 60


def test_the_number_of_jobs_does_not(cache, crops):
    cache.transform(PerFace().fit(crops), crops)
    family = PerFace(n_jobs=2).fit(crops)
    cache.transform(family, crops)
    assert not hasattr(family, "seen_")


def test_landmarks_are_part_of_a_face(cache, faces):
    moved = Faces(faces.crops, points=faces.points + 1)
    family = PerFace().fit(faces)
    cache.transform(family, faces)
    cache.transform(family, moved)
    assert family.seen_ == 24


@pytest.mark.parametrize("y", [None, ["happiness"] * 59 + ["fear"]])
def test_what_was_learnt_is_found_again(cache, crops, y):
    first = cache.fit(PerFace(), crops, y)
    again = cache.fit(PerFace(), crops, y)
    assert first.fits_ == 1
    assert not hasattr(again, "fits_")
    np.testing.assert_array_equal(again.scale_, first.scale_)
    np.testing.assert_array_equal(again.transform(crops), first.transform(crops))
    for other, rows, target in ((PerFace(2), crops, y), (PerFace(), crops[::-1], y), (PerFace(), crops, [1] * 60)):
        assert cache.fit(other, rows, target).fits_ == 1


def test_state_that_is_no_array_is_learnt_each_time(cache, crops):
    class Named(PerFace):
        def _learn(self, faces, y):
            super()._learn(faces, y)
            self.scale_ = float(self.scale_[0])

    assert [cache.fit(Named(), crops).fits_ for _ in range(2)] == [1, 1]
    assert cache.size() == 0


def test_families_that_are_quick_are_not_kept(cache, faces):
    geometry = cache.fit(Geometry(), faces)
    np.testing.assert_array_equal(cache.transform(geometry, faces), Geometry().fit_transform(faces))
    assert cache.size() == 0


def damage_cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_empty(path):
    path.write_bytes(b"")


def damage_pickle(path):
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)


def damage_shape(path):
    np.save(path, np.zeros(3, np.float32))


@pytest.mark.parametrize("kind", [False, True])
@pytest.mark.parametrize("damage", [damage_cut, damage_empty, damage_pickle, damage_shape, Path.unlink])
def test_a_damaged_file_is_computed_again_without_a_word(cache, crops, damage, kind):
    cache.fit(PerFace(sparse=kind), crops)
    cache.transform(PerFace(sparse=kind).fit(crops), crops)
    expected = dense(PerFace(sparse=kind).fit_transform(crops))
    files = sorted(path for path in Path(cache.folder).rglob("*.npy") if "learnt" not in str(path))
    assert len(files) == (5 if kind else 2)
    for path in files:
        damage(path)
        family = PerFace(sparse=kind).fit(crops)
        np.testing.assert_array_equal(dense(cache.transform(family, crops)), expected)
        assert family.seen_ == 60
        family = PerFace(sparse=kind).fit(crops)
        cache.transform(family, crops)
        assert not hasattr(family, "seen_")


@pytest.mark.parametrize("damage", [damage_cut, damage_empty, damage_pickle, Path.unlink])
def test_a_damaged_state_is_learnt_again(cache, crops, damage):
    scale = cache.fit(PerFace(), crops).scale_
    damage(next(Path(cache.folder).rglob("scale_.npy")))
    again = cache.fit(PerFace(), crops)
    assert again.fits_ == 1
    np.testing.assert_array_equal(again.scale_, scale)


def test_indices_outside_the_matrix_are_refused(cache, crops):
    family = PerFace(sparse=True).fit(crops)
    expected = cache.transform(family, crops).toarray()
    path = next(Path(cache.folder).rglob("*.indices.npy"))
    indices = np.load(path)
    np.save(path, np.where(indices == 3, 10**6, indices))
    np.testing.assert_array_equal(cache.transform(family, crops).toarray(), expected)


def test_half_a_file_never_takes_the_place_of_one(cache, crops, monkeypatch):
    def dies(*args, **kwargs):
        args[0].write(b"half")
        raise KeyboardInterrupt

    family = PerFace().fit(crops)
    monkeypatch.setattr(module.np, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        cache.transform(family, crops)
    monkeypatch.undo()
    assert cache.size() == 0
    np.testing.assert_array_equal(cache.transform(family, crops), family.transform(crops))


def test_a_full_disk_costs_the_cache_and_not_the_work(cache, crops, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "save", full)
    family = PerFace().fit(crops)
    with pytest.warns(RuntimeWarning, match="cache could not be written: .*No space left"):
        rows = cache.transform(family, crops)
    np.testing.assert_array_equal(rows, family.transform(crops))
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert cache.fit(PerFace(), crops).fits_ == 1


def _fill(task):
    folder, seed = task
    crops = np.random.default_rng(0).integers(0, 256, (40, 48, 48), dtype=np.uint8)
    rows = np.random.default_rng(seed).permutation(40)[:25]
    family = HOG(cell=16).fit(crops)
    return bool((FeatureCache(folder).transform(family, crops[rows]) == family.transform(crops[rows])).all())


def test_several_may_write_into_one_folder(cache):
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(_fill, [(cache.folder, seed % 3) for seed in range(12)]))
    assert _fill((cache.folder, 9))
    assert not list(Path(cache.folder).rglob(".*"))


def test_what_cannot_be_computed_is_not_looked_up(cache, crops):
    with pytest.raises(NotFittedError):
        cache.transform(PerFace(), crops)
    with pytest.raises(InputError, match=r"Got crops of \(10, 16\), expected \(20, 16\)"):
        cache.transform(PerFace().fit(crops), crops[:, :10])
    assert cache.transform(PerFace().fit(crops), crops[:0]).shape == (0, 16)


def test_clear_removes_what_is_kept_and_nothing_else(cache, crops):
    cache.clear()
    assert cache.size() == 0
    cache.transform(cache.fit(PerFace(), crops), crops)
    assert cache.size() > 60 * 16 * 4
    mine = Path(cache.folder) / "my-notes" / "kept.npy"
    mine.parent.mkdir()
    mine.write_bytes(b"1234")
    cache.clear()
    assert cache.size() == 4
    assert [path.name for path in Path(cache.folder).iterdir()] == ["my-notes"]


def test_many_faces_are_found_without_being_computed(cache):
    crops = np.random.default_rng(0).integers(0, 256, (3000, 8, 8), dtype=np.uint8)
    family = HOG(cell=4, block=1).fit(crops)
    rows = cache.transform(family, crops)

    def never(faces):
        raise AssertionError(f"{len(faces)} faces computed")

    order = np.random.default_rng(1).permutation(3000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(cache.transform(family, crops[order], never), rows[order])
