"""Bases that read several families: what they hear, what adds up to their answer, and by family."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from stacked import LABELS, Memory, make

from ferkit.errors import InputError
from ferkit.model import RBFSVM, Concatenation, LinearSVM, Stacking, Voting
from ferkit.model.bases import margins
from ferkit.records import Features


@pytest.fixture(scope="module")
def rows():
    return make()


JOINT = {
    "linear": LinearSVM(calibrate=False),
    "kernel": RBFSVM(n_components=None, loss="squared"),
    "concatenation": Concatenation(RBFSVM(n_components=None, loss="squared", standardize=False)),
    "not ours": GaussianNB(),
}


@pytest.mark.parametrize("kind", [Stacking, Voting])
@pytest.mark.parametrize("base", JOINT)
def test_one_base_for_several_families(rows, kind, base):
    """It hears them side by side, as the same model does by itself."""
    X, y = rows
    model = kind({"hog+twin": JOINT[base]}).fit(X, y)
    assert list(model.bases_) == ["hog+twin", "lbp"]
    assert list(model.families_) == ["hog", "lbp", "twin"]
    both = Features({name: X[name] for name in ("hog", "twin")})
    read = both.matrix if base == "not ours" else both
    alone = clone(JOINT[base])
    if kind is Stacking and "calibrate" in (names := {name.rpartition("__")[2]: name for name in alone.get_params()}):
        alone.set_params(**{names["calibrate"]: False})
    expected = margins(alone.fit(read, y), read, LABELS)
    found = margins(model.bases_["hog+twin"], read, LABELS)
    np.testing.assert_array_equal(found, expected)
    parts = model.contributions(X)
    assert parts.shape == (400, 3, 3)
    left = margins(model, X, LABELS) - parts.sum(axis=1)
    assert np.ptp(left - left.mean(axis=1, keepdims=True), axis=0).max() < 1e-6, "the same for every face"
    spread = parts.std(axis=0).mean(axis=1)
    assert spread[2] < 0.7 * spread[0], "a family that knows nothing contributes little"


def test_families_that_share_a_linear_base_add_their_own_terms(rows):
    X, y = rows
    model = Stacking({"hog+twin": LinearSVM()}, weights="family").fit(X, y)
    base, parts = model.bases_["hog+twin"], model.contributions(X)
    np.testing.assert_allclose(model.means_["hog"], X["hog"].mean(axis=0))
    moved = base.coef_[:, :8] @ (X["hog"] - model.means_["hog"]).T
    scale = model.final_.family_weights_["hog+twin"] * model.margin_scale_[0]
    offset = parts[:, 0] - scale * moved.T
    assert np.abs(offset).max() < 1e-9
    np.testing.assert_allclose(parts.sum(axis=1) + model.bias_, model.decision_function(X), atol=1e-9)


def test_a_shared_base_learns_from_its_rows_only(rows):
    X, y = rows
    fusion = np.arange(len(y)) % 3 == 0
    model = Stacking({"hog+twin": Memory()}).fit(X, y, fusion=fusion)
    np.testing.assert_array_equal(model.bases_["hog+twin"].rows_, np.round(X["hog"][~fusion, 0], 9))
    np.testing.assert_allclose(model.means_["twin"], X["twin"][~fusion].mean(axis=0))
    assert model.cross_fitted(None, y[fusion]).shape == (fusion.sum(), 3)
    careful = Stacking({"hog+twin": Memory()}).fit(X, y)
    weights = careful.final_.family_weights_
    assert weights["lbp"] > 5 * weights["hog+twin"]


def test_a_shared_base_of_dense_and_sparse_families(rows):
    X, y = rows
    mixed = Features({"words": sparse.csr_array(np.maximum(X["hog"], 0)), "lbp": X["lbp"], "twin": X["twin"]})
    for kind in (Stacking, Voting):
        model = kind({"words+lbp": LinearSVM()}).fit(mixed, y)
        assert not model.means_["words"].any()
        parts = model.contributions(mixed[:50])
        left = model.decision_function(mixed[:50]) - parts.sum(axis=1)
        assert np.ptp(left, axis=0).max() < 1e-6


def test_a_family_whose_name_has_a_plus(rows):
    X, y = rows
    named = Features({"hog+lbp": X["hog"], "lbp": X["lbp"]})
    model = Stacking({"hog+lbp": LinearSVM()}).fit(named, y)
    assert list(model.bases_) == ["hog+lbp", "lbp"]
    assert model.contributions(named).shape == (400, 2, 3)


def test_parameters_of_a_shared_base():
    model = Stacking({"hog+lbp": Concatenation(RBFSVM())})
    model.set_params(**{"hog+lbp__estimator__C": 7})
    assert model.get_params()["hog+lbp"].estimator.C == 7
    with pytest.raises(InputError, match="Got parameter 'hog__C'"):
        model.set_params(hog__C=1)


def test_a_vote_weighs_bases_by_their_names(rows):
    X, y = rows
    model = Voting({"hog+twin": LinearSVM()}, weights={"hog+twin": 3}).fit(X, y)
    np.testing.assert_allclose(model.weights_, [0.75, 0.25])
    with pytest.raises(InputError, match=r"expected numbers of 0 or more for bases of \['hog\+twin', 'lbp'\]"):
        Voting({"hog+twin": LinearSVM()}, weights={"hog": 3}).fit(X, y)


@pytest.mark.parametrize("base", [LinearSVM(), RBFSVM(n_components=None, loss="squared"), Concatenation()])
@pytest.mark.parametrize("kind", [Stacking, Voting])
def test_a_family_that_never_varies_contributes_nothing(kind, base):
    """What the shared base says of a face of which nothing is known belongs to the start, not to its families."""
    X, y = make()
    kept = np.flatnonzero((y == "anger") | (np.arange(len(y)) % 3 == 0))  # classes of unequal size
    still = Features({"hog": X["hog"][kept], "still": np.full((len(kept), 2), 3.0)})
    model = kind({"hog+still": base}).fit(still, y[kept])
    parts = model.contributions(still)
    assert np.abs(parts[:, 1]).max() < 1e-9
    assert np.abs(parts[:, 0]).max() > 0.1
    if kind is Stacking:
        np.testing.assert_allclose(parts.sum(axis=1) + model.bias_, model.decision_function(still), atol=1e-9)


@pytest.mark.parametrize("final", ["linear", "head"])
@pytest.mark.parametrize("k", [2, 3])
def test_contributions_with_a_shared_base_add_up(rows, final, k):
    X, y = rows
    kept = np.flatnonzero(np.isin(y, LABELS[:k]))
    X, y = X[kept], y[kept]
    fusion = np.arange(len(y)) % 3 == 0
    model = Stacking({"twin+hog": Concatenation()}, final=final).fit(X, y, fusion=fusion, groups=np.arange(len(y)) // 2)
    logits = margins(model, X, model.classes_)
    centred = model.contributions(X).sum(axis=1) + model.bias_
    np.testing.assert_allclose(
        centred - centred.mean(axis=1, keepdims=True), logits - logits.mean(1)[:, None], atol=1e-6
    )


def test_logits_inside_a_shared_base_go_to_the_class_of_their_name(rows):
    X, y = rows
    turned = Features(
        {"hog": X["hog"], "cnn": X["lbp"][:, ::-1]},
        {"hog": [f"hog/{i}" for i in range(8)], "cnn": [f"cnn/{name}" for name in LABELS[::-1]]},
    )
    for kind in (Stacking, Voting):
        model = kind({"hog+cnn": Voting({"cnn": "passthrough"})}).fit(turned, y)
        assert model.bases_["hog+cnn"].orders_["cnn"] == [[2], [1], [0]]


def test_what_a_concatenation_gives_its_matrix_to_is_not_calibrated(rows):
    X, y = rows
    for base in (Concatenation(), Concatenation(LinearSVM(standardize=False)), Concatenation(Concatenation())):
        inner = Stacking({"hog+twin": base}).fit(X, y).bases_["hog+twin"].estimator_
        assert not getattr(inner, "estimator_", inner).calibrate
    kept = Stacking({"hog+twin": Voting({"hog": LinearSVM()})}).fit(X, y).bases_["hog+twin"].bases_
    assert kept["hog"].calibrate


def test_a_search_over_a_shared_base_and_a_copy_of_it(rows):
    X, y = rows
    model = Stacking({"hog+twin": Concatenation(LinearSVM(standardize=False))})
    search = GridSearchCV(model, {"hog+twin__estimator__C": [1e-6, 1.0]}, cv=2).fit(X, y)
    assert search.best_params_ == {"hog+twin__estimator__C": 1.0}
    again = copy.deepcopy(search.best_estimator_)
    np.testing.assert_array_equal(again.contributions(X), search.best_estimator_.contributions(X))


def test_rows_side_by_side_are_rows(rows):
    X, y = rows
    order = np.r_[np.arange(0, 400, 2), np.arange(1, 400, 2)]
    mixed = Stacking({"hog+twin": LinearSVM()}).fit(X, y, fusion=np.arange(400) % 2 == 1)
    sorted_ = Stacking({"hog+twin": LinearSVM()}).fit(X[order], y[order], fusion=np.arange(400) >= 200)
    np.testing.assert_array_equal(mixed.predict_proba(X), sorted_.predict_proba(X))
