"""Explanations are true: covering what they call strongest lowers the class more than covering as much at random."""

import numpy as np
import pytest

from ferkit.errors import InputError
from ferkit.explain import Explainer, cover, deletion_curve, insertion_curve, occlusion_map
from ferkit.features import Geometry
from ferkit.model import RBFSVM, LinearSVM
from ferkit.records import Faces, Features

FAMILIES = ["hog", "lbp", "words", "fisher", "cnn"]


def asked_of(explainer, labels):
    return np.stack([explainer.direction(label) for label in labels])


def together(found):
    return np.sum([one.maps for one in found.values()], axis=0)


@pytest.mark.parametrize("name", [*FAMILIES, "hybrid"])
@pytest.mark.parametrize("curve", [deletion_curve, insertion_curve])
def test_evidence_is_stronger_than_chance(explainers, held, name, curve):
    explainer, (faces, labels) = explainers[name], held
    asked = asked_of(explainer, labels)
    found = curve(explainer, faces, together(explainer.evidence(faces, asked)), asked, orders=2)
    assert found.gain.mean() > 0.1, found
    assert (found.gain > 0).mean() > (0.7 if curve is deletion_curve else 0.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_of_a_fusion_is_true_by_itself(explainers, held, family):
    explainer, (faces, labels) = explainers["hybrid"], held
    asked = asked_of(explainer, labels)
    maps = explainer.evidence(faces, asked)[family].maps
    found = deletion_curve(explainer, faces, maps, asked, orders=2, family=family)
    assert found.gain.mean() > 0
    assert (found.gain > 0).mean() > 0.5  # a family of little weight says next to nothing of some faces


@pytest.mark.parametrize("name", ["cnn", "foreign"])
def test_the_occlusion_map_is_true(explainers, held, name):
    explainer, (faces, labels) = explainers[name], held
    asked = asked_of(explainer, labels)
    maps = occlusion_map(explainer, faces, asked)
    found = deletion_curve(explainer, faces, maps, asked, orders=2)
    assert found.gain.mean() > 0
    assert (found.gain > 0).mean() > 0.7


def test_a_map_that_is_wrong_is_found_out(explainers, held):
    explainer, (faces, labels) = explainers["hog"], held
    asked = asked_of(explainer, labels)
    maps = together(explainer.evidence(faces, asked))
    assert deletion_curve(explainer, faces, -maps, asked, orders=2).gain.mean() < -0.1
    assert insertion_curve(explainer, faces, -maps, asked, orders=2).gain.mean() < -0.1


def test_curves_start_and_end_where_they_must(explainers, held):
    explainer, (faces, labels) = explainers["hog"], held
    asked = asked_of(explainer, labels)
    maps = np.random.default_rng(0).normal(size=faces.shape)
    gone = cover(faces.crops, np.ones(faces.shape))
    seen, unseen = explainer.scores(faces, asked), explainer.scores(faces, asked, gone)
    for curve, ends in ((deletion_curve, (seen, unseen)), (insertion_curve, (unseen, seen))):
        found = curve(explainer, faces, maps, asked, orders=1)
        assert found.values.shape == found.chance.shape == (7, len(found.shares))
        for rows in (found.values, found.chance):
            assert rows[:, 0] == pytest.approx(ends[0], abs=1e-6)
            assert rows[:, -1] == pytest.approx(ends[1], abs=1e-6)


@pytest.mark.parametrize("model", [LinearSVM(), RBFSVM(n_components=None)], ids=["linear", "rbf"])
def test_landmark_measures_are_stronger_than_chance(model):
    points, labels = poses()
    faces = Faces(np.zeros((len(points), 48, 48), np.uint8), points)
    geometry = Geometry().fit(faces)
    rows = Features({"geometry": geometry.transform(faces)})
    model.fit(rows, labels)
    asked = np.eye(3)[np.searchsorted(model.classes_, labels)] - 1 / 3
    slopes = model.slopes(rows, asked)["geometry"]
    evidence = slopes.evidence(rows["geometry"])

    def without(columns):
        block = rows["geometry"].copy()
        np.put_along_axis(block, columns, slopes.mean[columns].astype(block.dtype), axis=1)
        return (model.decision_function(Features({"geometry": block})) * asked).sum(axis=1)

    rng = np.random.default_rng(0)
    strongest = np.argsort(-evidence, axis=1)[:, :8]
    chance = [without(rng.permuted(np.argsort(evidence, axis=1), axis=1)[:, :8]).mean() for _ in range(5)]
    assert without(strongest).mean() < np.mean(chance) - 0.1


def poses(n=90):
    """Landmarks of faces that smile, frown or gape, with some noise."""
    rng = np.random.default_rng(3)
    labels = np.array(["happiness", "anger", "surprise"])[np.arange(n) % 3]
    base = rng.uniform(8, 40, (68, 2))
    base[36:42], base[42:48] = base[36:42] * 0.05 + (14, 18), base[42:48] * 0.05 + (32, 18)
    moves = {"happiness": (slice(48, 55), -3), "anger": (slice(17, 27), 3), "surprise": (slice(55, 60), 5)}
    points = np.repeat(base[None], n, axis=0) + rng.normal(0, 0.7, (n, 68, 2))
    for row, label in enumerate(labels):
        which, down = moves[label]
        points[row, which, 1] += down
    return points, labels


def test_covering():
    face = np.random.default_rng(0).integers(0, 256, (2, 48, 48), dtype=np.uint8)
    mask = np.zeros(face.shape)
    mask[:, 10:20, 10:20] = 1
    for fill in ("blur", "mean"):
        found = cover(face, mask, fill)
        assert (found[mask == 0] == face[mask == 0]).all()
        assert found[mask == 1].std() < 0.3 * face[mask == 1].std()
    assert cover(face[:0], mask[:0]).shape == (0, 48, 48)
    with pytest.raises(InputError, match="Got fill='black'"):
        cover(face, mask, "black")
    with pytest.raises(InputError, match=r"Got masks of shape \(48, 48\)"):
        cover(face, mask[0])


def test_occlusion_finds_the_one_place_that_matters(held):
    class Corner(Explainer):
        def __init__(self):
            self.labels, self.families = ["dark", "light"], {}

        def log_odds(self, X):
            light = X.crops[:, 30:36, 6:12].astype(float).std(axis=(1, 2))
            return np.stack([-light, light], axis=1)

    explainer = Corner()
    face = Faces(np.random.default_rng(0).integers(0, 256, (1, 48, 48), dtype=np.uint8))
    found = occlusion_map(explainer, face, [explainer.direction("light")], window=6, step=3)[0]
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert 30 <= y < 36
    assert 6 <= x < 12
    assert np.abs(found[:20]).max() < 0.05 * found.max()


def test_wrong_settings(explainers, held):
    explainer, (faces, labels) = explainers["hog"], held
    asked = asked_of(explainer, labels)
    with pytest.raises(InputError, match="Got maps of shape"):
        deletion_curve(explainer, faces, np.zeros((1, 48, 48)), asked)
    with pytest.raises(InputError, match="Got place=0"):
        deletion_curve(explainer, faces, np.zeros(faces.shape), asked, place=0)
    for name in ("window", "step"):
        with pytest.raises(InputError, match=f"Got {name}=99"):
            occlusion_map(explainer, faces, asked, **{name: 99})
