import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_info, threadpool_limits

from ferkit.errors import InputError
from ferkit.features import HOG, LBP, FaceFeatures, FamilyUnion, FeatureCache, Geometry, VisualWords, union
from ferkit.records import Features


class Sparse(FaceFeatures):
    """Pixels above a threshold that is learnt from the labels; sparse."""

    family = "bright"

    def _learn(self, faces, y):
        self.limit_ = 128 if y is None else 100 + len(set(y))

    def _extract(self, faces):
        rows = faces.crops.reshape(len(faces), -1).astype(np.float32)
        return sparse.csr_array(np.where(rows > self.limit_, rows, 0))

    def _names(self):
        return [f"pixel{i}" for i in range(self.crop_shape_[0] * self.crop_shape_[1])]


@pytest.fixture
def families():
    return [("hog", HOG(cell=16, block=1)), ("lbp", LBP(radii=[1], grid=(2, 2))), ("geometry", Geometry())]


def test_blocks_are_those_of_the_families(faces, families):
    features = FamilyUnion(families).fit_transform(faces)
    assert isinstance(features, Features)
    assert list(features.blocks) == ["hog", "lbp", "geometry"]
    for name, family in families:
        np.testing.assert_array_equal(features[name], clone(family).fit_transform(faces))
        assert features.names[name] == list(family.fit(faces).get_feature_names_out())


def test_names_follow_the_columns_and_the_name_in_the_union(faces):
    both = FamilyUnion([("fine", HOG(cell=8, block=1)), ("coarse", HOG(cell=16, block=1))]).fit(faces)
    names, features = both.get_feature_names_out(), both.transform(faces)
    assert len(set(names)) == len(names) == features.shape[1]
    assert (names[0], names[-1]) == ("fine/row0/col0/bin0", "coarse/row2/col2/bin7")
    assert [name.startswith("coarse/") for name in names].index(True) == features.families["coarse"].start


def test_families_stay_as_they_were_given(faces, families):
    fitted = FamilyUnion(families).fit(faces)
    assert fitted.families is families
    assert not hasattr(families[0][1], "crop_shape_")
    assert fitted.named_families.hog.crop_shape_ == (48, 48)
    assert fitted.named_families["lbp"].grid == (2, 2)
    assert FamilyUnion(families).named_families.hog is families[0][1]


def test_parameters_reach_into_the_families(faces, families):
    both = FamilyUnion(families)
    assert both.get_params()["hog__cell"] == 16
    assert both.get_params()["lbp"] is families[1][1]
    assert "hog__cell" not in both.get_params(deep=False)
    assert both.set_params(hog__cell=12, lbp=LBP(radii=[2]), n_jobs=2) is both
    assert both.get_params()["hog__cell"] == 12
    assert both.get_params()["lbp__radii"] == [2]
    assert clone(both).get_params()["hog__cell"] == 12
    assert both.fit_transform(faces)["hog"].shape == (12, 4 * 4 * 8)


def test_a_dropped_family_leaves_no_block(faces, families):
    both = FamilyUnion(families).set_params(lbp="drop")
    assert list(both.fit_transform(faces).blocks) == ["hog", "geometry"]
    with pytest.raises(InputError, match="expected at least one family"):
        FamilyUnion([("hog", "drop")]).fit(faces)


def test_grid_search_in_a_pipeline(faces, families):
    pipeline = make_pipeline(FamilyUnion(families[:1]), FunctionTransformer(np.asarray), LinearDiscriminantAnalysis())
    search = GridSearchCV(pipeline, {"familyunion__hog__cell": [16, 24]}, cv=2)
    search.fit(faces, ["happiness", "neutral"] * 6)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_[0].named_families.hog.cell == search.best_params_["familyunion__hog__cell"]


def test_labels_reach_the_families(faces):
    fitted = FamilyUnion([("bright", Sparse())]).fit(faces, ["a", "b", "c"] * 4)
    assert fitted.named_families.bright.limit_ == 103


def test_sparse_blocks_stay_sparse(faces, families):
    features = FamilyUnion([("bright", Sparse()), families[0]]).fit_transform(faces)
    assert sparse.issparse(features["bright"])
    assert isinstance(features["hog"], np.ndarray)


def test_threads_do_not_wait_for_threads_of_matrix_products(faces, monkeypatch):
    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    class Watching(HOG):
        def _extract(self, faces):
            seen.append(threads())
            return super()._extract(faces)

    seen = []
    monkeypatch.setattr(union, "BATCH", 5)
    with threadpool_limits(2, "blas"):
        before = threads()
        for n_jobs in (2, None):
            FamilyUnion([("hog", Watching())], n_jobs=n_jobs).fit_transform(faces)
        assert threads() == before
    assert len(seen) > 2
    assert all(set(during) == {1} for during in seen[:-1])
    assert seen[-1] == before


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_batches_do_not_show(faces, families, monkeypatch, n_jobs):
    families = [*families, ("bright", Sparse())]
    whole = np.asarray(FamilyUnion(families).fit_transform(faces))
    monkeypatch.setattr(union, "BATCH", 5)
    np.testing.assert_array_equal(np.asarray(FamilyUnion(families, n_jobs=n_jobs).fit_transform(faces)), whole)


@pytest.mark.parametrize("kind", [str, FeatureCache, lambda folder: folder])
def test_a_cache_computes_nothing_twice(faces, families, tmp_path, monkeypatch, kind):
    cached = FamilyUnion([*families, ("bright", Sparse())], cache=kind(tmp_path))
    first = cached.fit_transform(faces)
    for family in (HOG, LBP, Sparse):
        monkeypatch.setattr(family, "_extract", lambda *args: pytest.fail("computed again"))
    again = clone(cached).fit(faces).transform(faces[::-1])
    np.testing.assert_array_equal(np.asarray(again), np.asarray(first)[::-1])


def test_it_survives_a_pickle(faces, families):
    fitted = FamilyUnion(families).fit(faces)
    before = fitted.transform(faces)
    data = pickle.dumps(fitted)
    assert b"block0" not in data
    after = pickle.loads(data).transform(faces)  # noqa: S301 - made a line above
    np.testing.assert_array_equal(np.asarray(after), np.asarray(before))
    assert after.names == before.names


def test_no_faces_give_no_rows(faces, families):
    fitted = FamilyUnion(families).fit(faces)
    assert fitted.transform(faces[:0]).shape == (0, len(fitted.get_feature_names_out()))


def test_it_must_be_fitted(faces, families):
    with pytest.raises(NotFittedError):
        FamilyUnion(families).transform(faces)
    with pytest.raises(NotFittedError):
        FamilyUnion(families).get_feature_names_out()


@pytest.mark.parametrize(
    ("families", "message"),
    [
        ([("hog", HOG()), ("hog", LBP())], r"Got family names \['hog', 'hog'\], expected each name once\."),
        ([("a__b", HOG())], r"Got family name 'a__b', expected one without '__'"),
        ([("a/b", HOG())], r"Got family name 'a/b', expected one without"),
        ([("", HOG())], r"Got family name '', expected"),
        ([("cache", HOG())], r"Got family name 'cache', expected .* none of \['cache', 'families', 'n_jobs'\]"),
        ([("hog", FunctionTransformer())], r"Got family 'hog' of type FunctionTransformer, expected a FaceFeatures"),
        ([HOG()], r"Got families=\[HOG\(\)\], expected a list of \(name, family\)\."),
        ("hog", r"Got families='hog', expected a list"),
        ([], r"Got families=\[\], expected at least one family\."),
    ],
)
def test_wrong_families_say_what_is_expected(faces, families, message):
    with pytest.raises(InputError, match=message):
        FamilyUnion(families).fit(faces)


def test_unknown_parameters_say_what_is_known(families):
    with pytest.raises(InputError, match=r"Got parameter 'sift__cell', expected one of \['cache', 'families', 'geom"):
        FamilyUnion(families).set_params(sift__cell=3)
    with pytest.raises(ValueError, match="Invalid parameter 'cells'"):
        FamilyUnion(families).set_params(hog__cells=3)


def test_a_dropped_family_has_no_parameters(families):
    both = FamilyUnion(families).set_params(hog="drop")
    with pytest.raises(InputError, match=r"Got parameter 'hog__cell', expected one of \['cache', 'families', 'geom"):
        both.set_params(hog__cell=3)
    assert both.set_params(hog=HOG(), hog__cell=3).get_params()["hog__cell"] == 3


@pytest.mark.parametrize("how", ["config", "own"])
def test_data_frames_are_for_a_family_alone(faces, families, tmp_path, how):
    pytest.importorskip("pandas")
    words = VisualWords(n_words=10, sizes=[4], pyramid=[2], max_descriptors=500)
    plain = FamilyUnion([*families, ("words", words)]).fit_transform(faces)
    own = [(name, family.set_output(transform="pandas")) for name, family in families] if how == "own" else families
    with config_context(transform_output="pandas" if how == "config" else "default"):
        for cache in (None, tmp_path, tmp_path):
            found = FamilyUnion([*own, ("words", words)], cache=cache).fit_transform(faces)
            np.testing.assert_array_equal(np.asarray(found), np.asarray(plain))
        assert sparse.issparse(words.fit_transform(faces))
        frame = own[0][1].fit_transform(faces)
    assert list(frame.columns) == plain.names["hog"]
    np.testing.assert_array_equal(frame.to_numpy(), plain["hog"])


def test_a_wrong_cache_says_what_is_expected(faces, families):
    with pytest.raises(InputError, match=r"Got cache=3, expected a folder, a FeatureCache or None\."):
        FamilyUnion(families, cache=3).fit(faces)
