"""A whole data set: mean HOG and evidence by class, the worth of each family."""

import json

import numpy as np
import pytest

from ferkit.errors import DataError, InputError
from ferkit.explain import family_importance, mean_evidence, mean_hog, overview
from ferkit.explain.overview import overview_panels
from ferkit.explain.panels import grid
from ferkit.figures import figure_bytes
from ferkit.sources import Dataset, sample


@pytest.fixture(scope="module")
def data():
    return sample(42, seed=8)


def test_mean_hog_is_the_mean_of_the_cells(explainers, data):
    hog = explainers["hog"].families["hog"]
    found = mean_hog(hog, data.pictures, data.labels)
    rows = data.labels == "fear"
    assert found["fear"] == pytest.approx(hog.cells(data.pictures[rows], 6).mean(axis=0), abs=1e-5)
    assert set(found) == set(data.labels)


def test_mean_evidence_is_the_mean_of_the_maps(explainers, data):
    explainer = explainers["hybrid"]
    found = mean_evidence(explainer, data.pictures, data.labels)
    faces = data.pictures[data.labels == "surprise"]
    families = explainer.evidence(faces, explainer.direction("surprise")).values()
    assert found["surprise"] == pytest.approx(sum(one.maps.mean(axis=0) for one in families), abs=1e-4)
    assert mean_evidence(explainers["foreign"], data.pictures, data.labels) == {}


def test_importance_finds_the_family_that_decides(explainers, data):
    found = family_importance(explainers["hybrid"], data.pictures, data.labels, repeats=3)
    assert list(found) == list(explainers["hybrid"].families)
    weights = np.abs(explainers["hybrid"].contributions(data.pictures)[1]).mean(axis=(0, 2))
    order = dict(zip(found, weights, strict=True))
    strongest, weakest = max(order, key=order.get), min(order, key=order.get)
    assert found[strongest].log_loss.mean() > found[weakest].log_loss.mean()
    assert found[strongest].log_loss.shape == (3,)
    again = family_importance(explainers["hybrid"], data.pictures, data.labels, repeats=3)
    assert again[strongest].accuracy.tolist() == found[strongest].accuracy.tolist()
    alone = family_importance(explainers["hog"], data.pictures, data.labels, repeats=2)
    assert alone["hog"].accuracy.mean() > 0.2


def test_an_overview(explainers, data):
    odd = data.labels.copy()
    odd[0] = "boredom"
    broken = Dataset(data.pictures, odd, skipped=[("a.png", "cut off")])
    one = overview(explainers["hybrid"], broken, repeats=1)
    assert sum(one.counts.values()) == 41
    assert one.labels == explainers["hybrid"].labels
    assert one.skipped == [("a.png", "cut off")]
    json.dumps(one.as_dict())
    drawn = overview_panels(one)
    assert len(drawn) == 1 + 2 * 7
    assert figure_bytes(grid(drawn, "All"), dpi=40)[:4] == b"\x89PNG"


def test_wrong_input(explainers, data):
    with pytest.raises(InputError, match="Got repeats=0"):
        family_importance(explainers["hog"], data.pictures, data.labels, repeats=0)
    with pytest.raises(InputError, match=r"Got labels of shape \(3,\), expected \(42,\)"):
        mean_evidence(explainers["hog"], data.pictures, data.labels[:3])
    with pytest.raises(DataError, match="none with a known label"):
        overview(explainers["hog"], Dataset(data.pictures, ["boredom"] * 42))
