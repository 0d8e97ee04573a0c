"""Stacking: what fits what, what adds up, what is refused."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from stacked import LABELS, Memory, make

from ferkit.errors import InputError
from ferkit.model import RBFSVM, FusionHead, LinearFusion, LinearSVM, Stacking, Voting
from ferkit.model.bases import margins
from ferkit.model.calibration import mean_log_loss, softmax
from ferkit.records import Features


@pytest.fixture(scope="module")
def rows():
    return make()


@parametrize_with_checks([Stacking(final=FusionHead(epochs=30, learning_rate=0.02, members=1))])
def test_scikit_learn_checks_with_a_head(estimator, check):
    check(estimator)


@pytest.mark.parametrize("final", ["linear", "head", LogisticRegression()])
@pytest.mark.parametrize("mask", [True, False])
def test_contributions_add_up_to_the_logits(rows, final, mask):
    X, y = rows
    fusion = np.arange(len(y)) % 3 == 0 if mask else None
    model = Stacking({"lbp": "passthrough"}, final=final).fit(X, y, fusion=fusion)
    parts = model.contributions(X)
    assert parts.shape == (400, 3, 3)
    np.testing.assert_allclose(parts.sum(axis=1) + model.bias_, model.decision_function(X), atol=1e-6)
    np.testing.assert_allclose(softmax(parts.sum(axis=1) + model.bias_), model.predict_proba(X), atol=1e-6)
    spread = parts.std(axis=0).mean(axis=1)
    assert spread[2] < 0.7 * spread[:2].min(), "a family that knows nothing contributes little"


def test_contributions_of_a_linear_fusion_are_its_terms(rows):
    X, y = rows
    model = Stacking().fit(X, y)
    block = model._scaled(model._margins(X))["lbp"]
    np.testing.assert_allclose(model.contributions(X)[:, 1], block @ model.final_.coef_[:, 3:6].T, atol=1e-9)


def test_contributions_for_two_classes(rows):
    X, y = rows
    two = np.flatnonzero(y != "fear")
    model = Stacking().fit(X[two], y[two])
    logits = model.contributions(X[two]).sum(axis=1) + model.bias_
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], model.decision_function(X[two]), atol=1e-6)


def test_masked_rows_fit_the_fusion_only_and_others_the_bases_only(rows):
    X, y = rows
    fusion = np.random.default_rng(0).random(len(y)) < 0.4
    model = Stacking(dict.fromkeys(X.blocks, Memory())).fit(X, y, fusion=fusion)
    for base in model.bases_.values():
        assert len(base.rows_) == (~fusion).sum()
    np.testing.assert_array_equal(model.bases_["hog"].rows_, np.round(X["hog"][~fusion, 0], 9))
    assert (model.n_base_rows_, model.n_fusion_rows_) == ((~fusion).sum(), fusion.sum())
    other = make(seed=7)[0]
    changed = Features({name: np.where(fusion[:, None], other[name], X[name]) for name in X.blocks})
    again = Stacking().fit(changed, y, fusion=fusion).bases_["hog"]
    np.testing.assert_array_equal(again.coef_, Stacking().fit(X, y, fusion=fusion).bases_["hog"].coef_)


@pytest.mark.parametrize("mask", [True, False])
def test_a_base_that_memorises_is_not_believed(rows, mask):
    """Margins of rows that a base was fitted on would make it look perfect."""
    X, y = rows
    fusion = np.arange(len(y)) % 2 == 0 if mask else None
    model = Stacking({"hog": Memory(), "twin": Memory()}).fit(X, y, fusion=fusion)
    weights = model.final_.family_weights_
    assert weights["lbp"] > 5 * max(weights["hog"], weights["twin"])
    fresh, truth = make(seed=1)
    proba = model.predict_proba(fresh)
    accuracy = (LABELS[proba.argmax(axis=1)] == truth).mean()
    assert proba.max(axis=1).mean() == pytest.approx(accuracy, abs=0.08)


def test_out_of_fold_margins_keep_groups_whole():
    X, y = make(100)
    copies = Features({name: np.repeat(block, 3, axis=0) for name, block in X.blocks.items()})
    groups, labels = np.repeat(np.arange(100), 3), np.repeat(y, 3)
    memories = dict.fromkeys(X.blocks, Memory())
    careless = Stacking(memories).fit(copies, labels)
    careful = Stacking(memories).fit(copies, labels, groups=groups)
    assert careless.predict_proba(copies).max(axis=1).mean() > 0.9
    fresh = make(seed=3)[0]
    assert careful.predict_proba(fresh).max(axis=1).mean() < 0.5


def test_fusing_beats_each_family():
    X, y = make(1200, noise=1.2)
    fresh, truth = Features({k: b[600:] for k, b in X.blocks.items()}), y[600:]
    X, y = X[:600], y[:600]
    fused = Stacking().fit(X, y).score(fresh, truth)
    alone = [LinearSVM().fit(X[name], y).score(fresh[name], truth) for name in X.blocks]
    assert fused > max(alone) + 0.01


@pytest.mark.parametrize("final", ["linear", "head"])
def test_cross_fitted_figures_are_honest(final):
    """On labels drawn at random a fusion fits its own rows; cross-fitted it must not look better than chance."""
    rng = np.random.default_rng(0)
    X = Features({f"f{i}": rng.normal(size=(240, 12)) for i in range(4)})
    y = LABELS[rng.integers(0, 3, 240)]
    codes = np.searchsorted(LABELS, y)
    fusion = np.arange(240) >= 60
    final = (
        LinearFusion(pull=0.001)
        if final == "linear"
        else FusionHead(epochs=40, learning_rate=0.02, alpha=0, calibrate=False)
    )
    model = Stacking(dict.fromkeys(X.blocks, "passthrough"), final=final).fit(X, y, fusion=fusion)
    proba = model.cross_fitted(X[fusion], y[fusion])
    assert proba.shape == (180, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    fitted = (model.predict(X[fusion]) == y[fusion]).mean()
    honest = (proba.argmax(axis=1) == codes[fusion]).mean()
    assert fitted > honest + 0.15
    assert honest < 0.45


def test_cross_fitting_leaves_the_model_as_it_was_and_keeps_groups_whole(rows):
    X, y = rows
    fusion = np.arange(len(y)) % 2 == 0
    model = Stacking().fit(X, y, fusion=fusion)
    before = model.predict_proba(X)
    groups = np.arange(200) // 4
    first = model.cross_fitted(X[fusion], y[fusion], groups)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    np.testing.assert_array_equal(model.cross_fitted(X[fusion], y[fusion], groups), first)
    losses = [mean_log_loss(np.log(p), np.searchsorted(LABELS, y[fusion])) for p in (before[fusion], first)]
    assert losses[0] < losses[1] < 1.0
    with pytest.raises(InputError, match="unknown ones"):
        model.cross_fitted(X[fusion], np.full(200, "pride"))


def test_margins_of_the_fusion_rows_are_known_until_the_model_is_copied(rows):
    X, y = rows
    fusion = np.arange(len(y)) % 2 == 0
    model = Stacking().fit(X, y, fusion=fusion)
    np.testing.assert_array_equal(model.cross_fitted(None, y[fusion]), model.cross_fitted(X[fusion], y[fusion]))
    with pytest.raises(InputError, match=r"Got 3 labels, unknown ones \[\], expected 200 known labels"):
        model.cross_fitted(None, y[:3])
    copied = copy.deepcopy(model)
    np.testing.assert_array_equal(copied.predict_proba(X), model.predict_proba(X))
    with pytest.raises(InputError, match="Got X=None for a model from a file or a copy"):
        copied.cross_fitted(None, y[fusion])


def test_logits_pass_through_in_the_order_of_their_names():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 300)
    logits = np.eye(3)[codes] * 2 + rng.normal(size=(300, 3))
    order = [2, 0, 1]
    names = {"cnn": [f"cnn/{LABELS[i]}" for i in order]}
    named = Features({"cnn": logits[:, order]}, names)
    model = Stacking({"cnn": "passthrough"}, weights="family").fit(named, LABELS[codes])
    plain = Stacking({"cnn": "passthrough"}, weights="family").fit(Features({"cnn": logits}), LABELS[codes])
    np.testing.assert_allclose(model.predict_proba(named), plain.predict_proba(Features({"cnn": logits})), atol=1e-9)
    assert model.n_base_rows_ == 0
    # A network that knows more classes than the data gives only the columns of those.
    two = codes < 2
    assert Stacking({"cnn": "passthrough"}).fit(named[two], LABELS[codes[two]]).margin_widths_ == {"cnn": 2}


@pytest.mark.parametrize("weights", ["family", "full"])
def test_without_a_bias_a_network_is_calibrated_by_a_number(weights):
    rng = np.random.default_rng(0)
    codes = rng.choice(3, 400, p=[0.6, 0.3, 0.1])
    X = Features({"cnn": np.eye(3)[codes] * 2 + [0.5, -0.5, 0] + rng.normal(size=(400, 3))})
    model = Stacking({"cnn": "passthrough"}, weights=weights, bias=False).fit(X, LABELS[codes])
    fused = model.decision_function(X)
    if weights == "family":
        factor = model.final_.family_weights_["cnn"] * model.margin_scale_[0]
        np.testing.assert_allclose(fused, X.matrix * factor, atol=1e-9)
        crossed = model.cross_fitted(X, LABELS[codes])
        np.testing.assert_array_equal(crossed.argmax(axis=1), X.matrix.argmax(axis=1))
    np.testing.assert_allclose(model.contributions(X).sum(axis=1) + model.bias_, fused, atol=1e-9)
    np.testing.assert_allclose(model.bias_, fused.mean(axis=0), atol=1e-9)
    nothing = Features({"cnn": np.zeros((1, 3))})
    np.testing.assert_allclose(model.decision_function(nothing), 0, atol=1e-9)


KNOWN = ["anger", "fear", "sadness", "neutral"]
FUSIONS = {"stacking": Stacking({"cnn": "passthrough"}, weights="family"), "voting": Voting({"cnn": "passthrough"})}


def logits_of_a_network(n=400):
    """Logits named after what the network knows, and the right labels."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, n)
    logits = 2 * np.eye(4)[codes] + rng.normal(size=(n, 4))
    return Features({"cnn": logits}, {"cnn": [f"cnn/{name}" for name in KNOWN]}), np.array(KNOWN)[codes]


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize(
    ("labels", "made_of"),
    [
        ({"anger": "zeal"}, {"fear": [1], "neutral": [3], "sadness": [2], "zeal": [0]}),
        ({"anger": "sadness", "sadness": "anger"}, {"anger": [2], "fear": [1], "neutral": [3], "sadness": [0]}),
        ({"fear": "low", "sadness": "low"}, {"anger": [0], "low": [1, 2], "neutral": [3]}),
        ({"fear": None}, {"anger": [0], "neutral": [3], "sadness": [2]}),
    ],
    ids=["renamed", "swapped", "merged", "dropped"],
)
def test_logits_follow_the_labels_of_a_recipe(fusion, labels, made_of):
    X, known = logits_of_a_network()
    kept = np.flatnonzero([labels.get(name, name) is not None for name in known])
    X, y = X[kept], np.array([labels.get(name, name) for name in known[kept]])
    model = clone(FUSIONS[fusion]).set_params(labels=labels).fit(X, y)
    assert model.classes_.tolist() == list(made_of)
    powers = np.exp(X["cnn"])
    expected = np.stack([powers[:, own].sum(axis=1) for own in made_of.values()], axis=1)
    expected /= expected.sum(axis=1, keepdims=True)
    answers = model.predict_proba(X)
    if fusion == "voting":
        np.testing.assert_allclose(answers, expected, atol=1e-9)
    assert (answers.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.9
    assert np.mean(model.predict(X) == y) > 0.8


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("parts", [["anger", "fear"], ["anger", "fear", "sadness"]])
def test_evidence_of_merged_logits_adds_up(fusion, parts):
    X, known = logits_of_a_network()
    labels = dict.fromkeys(parts, "negative")
    y = np.array([labels.get(name, name) for name in known])
    model = clone(FUSIONS[fusion]).set_params(labels=labels).fit(X, y)
    asked = np.tile(np.eye(len(model.classes_))[0] - 1 / len(model.classes_), (len(X), 1))
    value = (asked * margins(model, X, model.classes_)).sum(axis=1)
    slopes = model.slopes(X, asked)["cnn"]
    assert not slopes.exact
    start = value - slopes.evidence(X["cnn"]).sum(axis=1)
    assert np.ptp(start) < 1e-6, "what is left is the same for every face"


def test_logits_that_do_not_cover_the_classes_are_never_taken_in_a_wrong_order():
    X, known = logits_of_a_network()
    own = np.array(["dull", "eager", "lost", "puzzled"])[np.searchsorted(sorted(KNOWN), known)]
    for fusion in FUSIONS.values():
        with pytest.raises(InputError, match=r"Got 4 columns of 'cnn' \(anger, .*one for each class \(dull, "):
            clone(fusion).fit(X, own)
    with pytest.raises(InputError, match="weights='full'"):
        clone(FUSIONS["stacking"]).fit(X, own)
    full = Stacking({"cnn": "passthrough"}).fit(X, own)
    assert full.final_.family_weights_ == {}
    assert full.score(X, own) > 0.8
    unnamed = Features(X.blocks)
    assert Voting({"cnn": "passthrough"}).fit(unnamed, known).orders_ == {"cnn": [[0], [1], [2], [3]]}
    with pytest.raises(InputError, match="Got 4 columns of 'cnn', expected 4"):
        Voting({"cnn": "passthrough"}, labels={"anger": "zeal"}).fit(unnamed, known)


def test_a_fusion_saved_before_there_were_labels():
    X, y = logits_of_a_network()
    model = clone(FUSIONS["stacking"]).fit(X, y)
    expected, slopes = model.predict_proba(X), model.slopes(X, np.tile([1.0, -1, 0, 0], (len(X), 1)))["cnn"]
    del model.labels, model.bias
    model.orders_ = {"cnn": [0, 1, 3, 2]}
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    np.testing.assert_array_equal(model.slopes(X, np.tile([1.0, -1, 0, 0], (len(X), 1)))["cnn"].values, slopes.values)
    assert clone(model).labels is None


def test_bases_are_fitted_uncalibrated_copies(rows):
    X, y = rows
    mine = RBFSVM(n_components=None)
    model = Stacking({"hog": mine, "lbp": GaussianNB()}).fit(X, y)
    assert not hasattr(mine, "classes_")
    assert mine.calibrate
    assert not model.bases_["hog"].calibrate
    assert not model.bases_["twin"].calibrate
    assert isinstance(model.bases_["twin"], LinearSVM)


def test_a_base_that_missed_a_class_still_has_a_column_for_it():
    X = np.random.default_rng(0).normal(size=(60, 4))
    base = LogisticRegression().fit(X[:40], LABELS[[0, 2]].repeat(20))
    found = margins(base, X, LABELS)
    assert found.shape == (60, 3)
    np.testing.assert_array_equal(found[:, 1], found[:, [0, 2]].min(axis=1))
    pairs = SVC(decision_function_shape="ovo").fit(X, np.repeat(list("abcd"), 15))
    with pytest.raises(InputError, match="Got 6 margins of SVC, expected 4"):
        margins(pairs, X, np.array(list("abcd")))


def test_parameters_of_bases_are_set_by_family(rows):
    model = Stacking({"hog": LinearSVM(), "lbp": "passthrough"})
    model.set_params(hog__C=5, lbp=GaussianNB(), folds=3)
    assert model.get_params()["hog__C"] == 5
    assert model.bases["hog"].C == 5
    assert isinstance(model.bases["lbp"], GaussianNB)
    assert clone(model).bases["hog"] is not model.bases["hog"]
    with pytest.raises(InputError, match="Got parameter 'words__C'"):
        model.set_params(words__C=1)


def test_the_mask_goes_through_a_pipeline(rows):
    X, y = rows
    fusion = np.arange(len(y)) % 4 == 0
    pipeline = make_pipeline(Stacking()).fit(X, y, stacking__fusion=fusion, stacking__groups=np.arange(len(y)) // 2)
    assert pipeline[-1].n_fusion_rows_ == 100
    assert pipeline.score(X, y) > 0.6


def test_sparse_families(rows):
    X, y = rows
    mixed = Features({"words": sparse.csr_array(np.maximum(X["hog"], 0)), "lbp": X["lbp"]})
    fusion = np.arange(len(y)) % 3 == 0
    assert Stacking().fit(mixed, y, fusion=fusion).score(mixed, y) > 0.5
    with pytest.raises(InputError, match="expected a classifier for a sparse family"):
        Stacking({"words": "passthrough"}).fit(mixed, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"bases": {"words": LinearSVM()}}, r"Got bases \['words'\] for \['words'\], expected families among"),
        ({"bases": {"hog+words": LinearSVM()}}, r"Got bases \['hog\+words'\] for \['words'\], expected families among"),
        ({"bases": {"hog+lbp": LinearSVM(), "lbp": LinearSVM()}}, "expected each family in one of them"),
        ({"bases": {"hog+hog": LinearSVM()}}, "expected each family in one of them"),
        ({"bases": {"hog+lbp": "passthrough"}}, "expected a classifier for several families"),
        ({"bases": {3: LinearSVM()}}, r"Got bases \[3\] for \['3'\], expected families among"),
        ({"bases": {"hog": 3}}, "expected a classifier or 'passthrough'"),
        ({"bases": [LinearSVM()]}, "expected a dict"),
        ({"final": "forest"}, "Got final='forest', expected 'linear', 'head' or a classifier"),
        ({"weights": "all"}, "Got weights='all', expected one of"),
        ({"folds": 1}, "Got folds=1"),
    ],
)
def test_wrong_parameters(rows, params, message):
    with pytest.raises(InputError, match=message):
        Stacking(**params).fit(*rows)


def test_wrong_masks(rows):
    X, y = rows
    n = len(y)
    with pytest.raises(InputError, match=r"Got fusion of int64 \(400,\), expected bool \(400,\)"):
        Stacking().fit(X, y, fusion=np.arange(n))
    with pytest.raises(InputError, match="expected bool"):
        Stacking().fit(X, y, fusion=np.ones(3, bool))
    with pytest.raises(InputError, match=r"Got no fusion rows of \['anger', 'fear', 'happiness'\]"):
        Stacking().fit(X, y, fusion=np.zeros(n, bool))
    with pytest.raises(InputError, match=r"Got no base rows of \['fear'\]"):
        Stacking().fit(X, y, fusion=(y == "fear") | (np.arange(n) % 2 == 0))
    everything = Stacking(dict.fromkeys(X.blocks, "passthrough")).fit(X, y, fusion=np.ones(n, bool))
    assert everything.n_fusion_rows_ == n


def test_cross_fitting_rows_without_the_last_class(rows):
    X, y = rows
    model = Stacking().fit(X, y, fusion=np.arange(len(y)) % 2 == 0)
    for missing in (LABELS[-1], LABELS[0]):
        kept = np.flatnonzero(y != missing)[:150]
        proba = model.cross_fitted(X[kept], y[kept], folds=2)
        assert proba.shape == (len(kept), 3)
        assert proba[np.arange(len(kept)), np.searchsorted(LABELS, y[kept])].mean() > 0.5


def test_what_is_passed_through_has_no_parameters():
    for kind, known in ((Stacking, "'bases', 'bias', 'cnn', "), (Voting, "'bases', 'cnn', ")):
        model = kind({"cnn": "passthrough"})
        with pytest.raises(InputError, match=rf"Got parameter 'cnn__C', expected one of \[{known}"):
            model.set_params(cnn__C=1)
        assert model.set_params(cnn=LinearSVM(), cnn__C=3).bases["cnn"].C == 3
