"""Slopes: what the numbers of a face add to the logits adds up, for every model that can be taken apart."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from ferkit.errors import InputError
from ferkit.model import RBFSVM, Concatenation, FusionHead, LinearSVM, LocalSVM, Stacking, Voting
from ferkit.model.base import FaceClassifier
from ferkit.model.bases import margins
from ferkit.records import Features

LABELS = np.array(["anger", "fear", "happiness"])
HEAD = FusionHead(epochs=20, learning_rate=0.02, members=2)
MODELS = {
    "linear": LinearSVM(),
    "rbf": RBFSVM(n_components=6),
    "rbf on all columns": RBFSVM(n_components=None, landmarks=60),
    "head": HEAD,
    "concatenation": Concatenation(),
    "concatenation of a kernel": Concatenation(RBFSVM(n_components=None)),
    "stacking": Stacking(),
    "stacking of kernels": Stacking({"hog": RBFSVM(n_components=None)}, weights="family"),
    "stacking passed through": Stacking({"cnn": "passthrough"}),
    "stacking of one base for two": Stacking({"words+hog": Concatenation(), "cnn": "passthrough"}),
    "stacking of one kernel for two": Stacking({"hog+cnn": Concatenation(RBFSVM(n_components=6))}, weights="equal"),
    "voting": Voting({"cnn": "passthrough"}),
    "voting of one base for two": Voting({"hog+cnn": LinearSVM()}),
}


def rows(n=240, k=3, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, k, n)
    truth = np.eye(k)[codes]
    words = rng.random((n, 12)) * (rng.random((n, 12)) < 0.3 + 0.2 * truth @ (rng.random((k, 12)) < 0.3))
    blocks = {
        "hog": truth @ rng.normal(size=(k, 8)) + 2 * rng.normal(size=(n, 8)),
        "cnn": truth + rng.normal(size=(n, k)),
        "words": sparse.csr_array(words),
    }
    return Features(blocks), LABELS[codes]


def logits(model, X):
    return margins(model, X, model.classes_)


def directions(model, codes):
    k = len(model.classes_)
    return np.eye(k)[codes] - 1 / k


def summed(model, X, asked):
    return sum(np.asarray(s.evidence(X[name]).sum(axis=1)).ravel() for name, s in model.slopes(X, asked).items())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("k", [2, 3])
def test_evidence_adds_up(name, k):
    X, y = rows(k=k)
    model = MODELS[name].fit(X, y)
    asked = directions(model, np.random.default_rng(1).integers(0, k, len(X)))
    value = (asked * logits(model, X)).sum(axis=1)
    found = model.slopes(X, asked)
    assert list(found) == list(X.blocks)
    rows_of = {"words": sparse.csr_array}
    mean = Features({name: rows_of.get(name, np.asarray)(s.mean[None]) for name, s in found.items()})
    if not name.startswith("voting"):  # which is a softmax of each base
        start = (asked * logits(model, mean)).sum(axis=1)
    else:
        start = value - summed(model, X, asked)
        for code in range(k):
            alike = asked.argmax(axis=1) == code
            assert np.ptp(start[alike]) < 1e-5  # what is left is the same for every face
    assert summed(model, X, asked) == pytest.approx(value - start, abs=2e-5)
    linear = not any(word in name for word in ("rbf", "head", "kernel"))
    assert all(s.exact for s in found.values()) == linear


@pytest.mark.parametrize("name", ["linear", "stacking", "voting"])
def test_exact_slopes_are_those_of_the_logits(name):
    X, y = rows()
    model = MODELS[name].fit(X, y)
    asked = directions(model, np.zeros(len(X), int))
    moved = Features({**X.blocks, "hog": X["hog"] + 0.25 * np.eye(8)[3]})
    gained = (asked * (logits(model, moved) - logits(model, X))).sum(axis=1)
    assert gained == pytest.approx(0.25 * model.slopes(X, asked)["hog"].values[:, 3], abs=1e-5)


def test_a_head_as_fusion_is_nearly_additive():
    X, y = rows()
    model = Stacking(final=HEAD).fit(X, y)
    asked = directions(model, np.zeros(len(X), int))
    value = (asked * logits(model, X)).sum(axis=1)
    assert np.corrcoef(summed(model, X, asked), value)[0, 1] > 0.98


def test_what_cannot_be_taken_apart_is_missing():
    X, y = rows()
    asked = np.tile([1.0, 0.0, -1.0], (len(X), 1))
    assert LocalSVM().fit(X, y).slopes(X, asked) == {}
    assert Voting(rule="mean").fit(X, y).slopes(X, asked) == {}
    assert Concatenation(LocalSVM()).fit(X, y).slopes(X, asked) == {}
    mixed = Stacking({"hog": LogisticRegression()}).fit(X, y)
    assert list(mixed.slopes(X, asked)) == ["cnn", "words"]
    assert Stacking(final=LogisticRegression()).fit(X, y).slopes(X, asked) == {}


def test_wrong_directions():
    X, y = rows()
    model = LinearSVM().fit(X, y)
    for wrong in (np.ones((len(X), 3)), np.zeros((len(X), 2)), np.zeros(3)):
        with pytest.raises(InputError, match="Got directions of shape"):
            model.slopes(X, wrong)


@pytest.mark.parametrize("rule", ["log", "mean"])
def test_contributions_of_a_vote_add_up(rule):
    X, y = rows()
    model = Voting({"cnn": "passthrough"}, rule=rule).fit(X, y)
    whole = model.contributions(X).sum(axis=1)
    left = whole - model.decision_function(X)
    assert np.ptp(left, axis=1).max() < 1e-9


def test_the_base_has_no_slopes():
    assert FaceClassifier()._slopes(Features({"a": np.zeros((1, 1))}), np.zeros((1, 2))) == {}
