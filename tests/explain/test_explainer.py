"""Explanations add up to what the model says, and answer what was asked."""

import json

import numpy as np
import pytest
from sklearn.pipeline import Pipeline

from ferkit import store
from ferkit.errors import InputError
from ferkit.explain import Explainer
from ferkit.faces import FaceExtractor
from ferkit.features import HOG, NetworkFeatures
from ferkit.features.base import FaceFeatures
from ferkit.labels import FER2013
from ferkit.model import LinearSVM, Voting
from ferkit.nets import NetworkClassifier
from ferkit.records import Faces

NAMES = ["hog", "lbp", "words", "fisher", "cnn", "hybrid", "shared"]
EXACT = ["hog", "lbp", "words", "cnn"]


def whole(explainer, faces, asked):
    found = explainer.evidence(faces, asked)
    return sum(one.maps.sum(axis=(1, 2)) for one in found.values())


@pytest.mark.parametrize("name", NAMES)
def test_contributions_add_up_to_the_output(explainers, held, name):
    explainer, (faces, _) = explainers[name], held
    families, parts, bias = explainer.contributions(faces)
    assert families == list(explainer.families)
    assert parts.shape == (7, len(families), 7)
    log_odds = explainer.log_odds(faces)
    assert bias + parts.sum(axis=1) == pytest.approx(log_odds, abs=1e-6)
    proba = explainer.pipeline.predict_proba(faces)[:, explainer._columns]
    powers = np.exp(bias + parts.sum(axis=1))
    assert powers / powers.sum(axis=1, keepdims=True) == pytest.approx(proba, abs=1e-6)
    stacked = name in ("cnn", "hybrid", "shared")
    assert np.ptp(bias, axis=0).max() < (1e-6 if stacked else 1e-3)  # the same for every face


@pytest.mark.parametrize("name", NAMES)
def test_pixels_add_up_to_the_log_odds(explainers, held, name):
    explainer, (faces, _) = explainers[name], held
    for asked in (explainer.direction("fear"), explainer.direction("happiness", "sadness")):
        left = explainer.scores(faces, asked) - whole(explainer, faces, asked)
        assert np.ptp(left) < 2e-3, "what is left must be the same for every face"


def test_how_each_family_was_explained(explainers, held):
    found = explainers["hybrid"].evidence(held[0][:1], explainers["hybrid"].direction("fear"))
    assert {name: one.method for name, one in found.items()} == {
        "hog": "exact", "lbp": "exact", "words": "exact", "fisher": "integrated gradients", "cnn": "exact",
    }  # fmt: skip


def test_the_order_of_labels_is_ferkits(explainers, held):
    explainer = explainers["hybrid"]
    assert explainer.labels == list(FER2013)
    assert list(explainer.pipeline.classes_) != explainer.labels  # sorted ones
    found = explainer.explain(held[0][:2])
    classes = list(explainer.pipeline.classes_)
    for one, proba in zip(found, explainer.pipeline.predict_proba(held[0][:2]), strict=True):
        assert one.label == classes[proba.argmax()]
        assert one.against == classes[np.argsort(-proba)[1]]
        assert one.probabilities == pytest.approx(dict(zip(classes, proba, strict=True)), abs=1e-6)


def test_an_explanation(explainers, held):
    one = explainers["hybrid"].explain(held[0][3], source="drawn")[0]
    for label in explainers["hybrid"].labels:
        added = one.bias[label] + sum(part[label] for part in one.contributions.values())
        assert added == pytest.approx(one.log_odds[label], abs=1e-6)
    steps = one.waterfall()
    assert list(steps) == ["bias", *explainers["hybrid"].families]
    odds = np.log(one.probabilities[one.label] / one.probabilities[one.against])
    assert sum(steps.values()) == pytest.approx(odds, abs=1e-6)
    assert one.map.shape == one.contrast_map.shape == one.occlusion.shape == (48, 48)
    assert one.map == pytest.approx(sum(e.maps[0] for e in one.evidence.values()))


def test_an_explanation_as_plain_values(explainers, held):
    one = explainers["hog"].explain(held[0][0])[0]
    said = json.loads(json.dumps(one.as_dict()))
    assert set(said) == {
        "source", "label", "against", "probabilities", "log_odds", "bias", "contributions", "methods", "map",
        "occlusion", "maps",
    }  # fmt: skip
    assert np.array(said["maps"]["hog"]) == pytest.approx(one.map, abs=1e-6)
    assert said["methods"] == {"hog": "exact"}
    assert "map" not in one.as_dict(maps=False)


def test_what_is_asked(explainers, held):
    explainer, (faces, _) = explainers["hog"], held
    one = explainer.explain(faces[0], "fear", "anger")[0]
    assert (one.label, one.against) == ("fear", "anger")
    best = explainer.explain(faces[0])[0].label
    assert explainer.explain(faces[0], against=best)[0].label != best
    other = next(name for name in FER2013 if name != best)
    assert explainer.explain(faces[0], other)[0].against == best
    for wrong in (("happy", None), ("fear", "glee")):
        with pytest.raises(InputError, match=r"Got label='(happy|glee)', expected one of anger"):
            explainer.explain(faces[0], *wrong)
    with pytest.raises(InputError, match="against itself"):
        explainer.explain(faces[0], "fear", "fear")


def test_a_contrast_is_the_difference_of_two_evidences(explainers, held):
    explainer, face = explainers["lbp"], held[0][:1]
    one, other, both = (
        explainer.evidence(face, explainer.direction(*asked))["lbp"].maps
        for asked in (("fear",), ("anger",), ("fear", "anger"))
    )
    assert both == pytest.approx(one - other, abs=1e-6)


def test_a_model_that_cannot_be_taken_apart(explainers, held):
    explainer, (faces, _) = explainers["foreign"], held
    one = explainer.explain(faces[0])[0]
    assert one.contributions == {}
    assert one.evidence["hog"].method == "occlusion"
    assert one.evidence["hog"].columns is None
    assert one.map == pytest.approx(one.occlusion)
    assert one.contrast_map is None
    assert one.bias == one.log_odds
    assert explainer.evidence(faces, explainer.direction("fear"), covering=False) == {}


def test_a_family_of_ones_own_is_explained_by_covering(people, held):
    class Light(FaceFeatures):
        """Mean grey of the upper and the lower half."""

        family = "light"

        def _extract(self, faces):
            return np.stack([faces.crops[:, :24].mean(axis=(1, 2)), faces.crops[:, 24:].mean(axis=(1, 2))], 1)

        def _names(self):
            return ["upper", "lower"]

    pipeline = Pipeline([("faces", FaceExtractor()), ("features", Light()), ("model", LinearSVM())])
    pipeline.fit(people.pictures[:70], people.labels[:70])
    explainer = Explainer(pipeline)
    one = explainer.explain(held[0][0])[0]
    assert one.evidence["light"].method == "occlusion"
    assert one.contributions["light"][one.label] == pytest.approx(one.log_odds[one.label] - one.bias[one.label])


def test_a_single_family_without_a_union(people, held):
    pipeline = Pipeline([("faces", FaceExtractor()), ("features", HOG(cell=12)), ("model", LinearSVM())])
    explainer = Explainer(pipeline.fit(people.pictures[:70], people.labels[:70]))
    one = explainer.explain(held[0][0])[0]
    assert one.evidence["hog"].method == "exact"
    assert one.contributions["hog"][one.label] == pytest.approx(one.map.sum(), abs=1e-4)
    assert explainer.scores(held[0][:1], explainer.direction("fear"), held[0].crops[:1], "hog").shape == (1,)


def test_a_model_that_is_very_sure(people, held):
    """Its probabilities are rounded to 0, what it says is not."""
    pipeline = Pipeline([("faces", FaceExtractor()), ("features", HOG(cell=12)), ("model", LinearSVM())])
    model = pipeline.fit(people.pictures[:70], people.labels[:70])[-1]
    model.coef_, model.intercept_ = model.coef_ * 1000, model.intercept_ * 1000
    assert (pipeline.predict_proba(held[0]) == 0).any()
    explainer = Explainer(pipeline)
    _, parts, bias = explainer.contributions(held[0])
    log_odds = explainer.log_odds(held[0])
    scale = np.abs(log_odds).max()
    assert scale > 1000
    assert np.ptp(bias, axis=0).max() < 1e-4 * scale
    assert bias + parts.sum(axis=1) == pytest.approx(log_odds)


def test_a_vote_of_families(people, blocks, held):
    union, rows = blocks
    fitted = Voting({"fisher": LinearSVM(), "cnn": "passthrough"}).fit(rows, people.labels)
    explainer = Explainer(Pipeline([("faces", FaceExtractor()), ("features", union), ("model", fitted)]))
    _, parts, bias = explainer.contributions(held[0])
    assert bias == pytest.approx(np.zeros((7, 7)), abs=1e-6)
    assert parts.sum(axis=1) == pytest.approx(explainer.log_odds(held[0]), abs=1e-6)


def test_a_network_on_pixels(held):
    network = NetworkClassifier(mirror=True)
    network.classes_, network.temperature_ = np.array(sorted(FER2013)), 1.3
    shipped = NetworkFeatures(output="logits").fit(held[0])
    network.network_hash_ = shipped.network_hash_
    pipeline = Pipeline([("faces", FaceExtractor()), ("features", "passthrough"), ("model", network)])
    explainer = Explainer(pipeline)
    proba = pipeline.predict_proba(held[0])[:, explainer._columns]
    powers = np.exp(explainer.log_odds(held[0]))
    assert powers / powers.sum(axis=1, keepdims=True) == pytest.approx(proba, abs=1e-5)
    one = explainer.explain(held[0][3])[0]
    assert one.evidence["cnn"].method == "exact"
    assert one.map.sum() == pytest.approx(one.contributions["cnn"][one.label], abs=1e-5)


@pytest.mark.parametrize("name", ["default", "fast", "ferplus", "hybrid"])
def test_the_models_that_ship(held, name):
    explainer = Explainer(name)
    one = explainer.explain(held[0][3])[0]
    assert one.label == "happiness"
    assert one.map[24:].sum() > one.map[:24].sum(), "a smile is in the lower half"
    others = ["fisher", "deep"] if name == "hybrid" else []
    assert list(one.contributions) == [*others, "cnn"]
    methods = {family: evidence.method for family, evidence in one.evidence.items()}
    assert methods == dict.fromkeys(others, "integrated gradients") | {"cnn": "exact"}
    added = one.bias[one.label] + sum(part[one.label] for part in one.contributions.values())
    assert added == pytest.approx(one.log_odds[one.label], abs=1e-6)


def test_a_mirrored_face_has_the_mirrored_map(held):
    explainer = Explainer(store.load())  # which averages both views
    asked = explainer.direction("happiness")
    turned = Faces(held[0].crops[:, :, ::-1])
    one, other = (explainer.evidence(faces, asked)["cnn"].maps for faces in (held[0], turned))
    assert one == pytest.approx(other[:, :, ::-1], abs=1e-5)


def test_no_process_is_started_and_the_model_stays_as_it_is(explainers):
    pipeline = explainers["hybrid"].pipeline
    words = pipeline[1].named_families["words"]
    words.n_jobs = 2
    try:
        explainer = Explainer(pipeline)
        assert explainer.families["words"].n_jobs is None
        assert words.n_jobs == 2
    finally:
        words.n_jobs = None


def test_wrong_families(explainers, held):
    with pytest.raises(InputError, match=r"Got family='eyes', expected one of \['hog'\]"):
        explainers["hog"].scores(held[0], explainers["hog"].direction("fear"), held[0].crops, "eyes")
