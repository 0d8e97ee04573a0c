"""Small models of every kind, fitted once on drawn faces, and drawn faces that they have not seen."""

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline

from ferkit.explain import Explainer
from ferkit.faces import FaceExtractor
from ferkit.features import HOG, LBP, FamilyUnion, FisherVectors, NetworkFeatures, VisualWords
from ferkit.model import RBFSVM, Concatenation, LinearSVM, Stacking
from ferkit.records import Faces
from ferkit.sources import sample

FAMILIES = {
    "hog": HOG(cell=[6, 12], sqrt=True),
    "lbp": LBP(radii=[1, 2], grid=[6, 6]),
    "words": VisualWords(n_words=100, sizes=[4], pyramid=[2, 4], max_descriptors=6000),
    "fisher": FisherVectors(n_gaussians=8, n_dims=16, n_axes=24, sizes=[3, 5], max_descriptors=6000),
    "cnn": NetworkFeatures(output="logits"),
}
SHARED = Concatenation(RBFSVM(n_components=None, standardize=False), standardize=False)
FUSION = {"fisher": RBFSVM(n_components=None, standardize=False), "cnn": "passthrough"}
MODELS = {
    "hog": (["hog"], LinearSVM()),
    "lbp": (["lbp"], LinearSVM()),
    "words": (["words"], LinearSVM()),
    "fisher": (["fisher"], RBFSVM(n_components=None, standardize=False)),
    "cnn": (["cnn"], Stacking({"cnn": "passthrough"}, weights="family")),
    "hybrid": (list(FAMILIES), Stacking(FUSION)),
    "shared": (["hog", "fisher", "cnn"], Stacking({"hog+fisher": SHARED, "cnn": "passthrough"}, weights="equal")),
    "foreign": (["hog"], GaussianNB()),
}


@pytest.fixture(scope="session")
def people():
    return sample(210, seed=1)


@pytest.fixture(scope="session")
def held():
    """Seven faces of one person, one of each expression, and their labels."""
    data = sample(7, seed=77)
    return Faces(data.pictures), data.labels


@pytest.fixture(scope="session")
def blocks(people):
    """Fitted families and their numbers: computed once for all models."""
    union = FamilyUnion(list(FAMILIES.items()))
    return union, union.fit_transform(people.pictures)


@pytest.fixture(scope="session")
def explainers(people, blocks):
    union, rows = blocks
    made = {}
    for name, (families, model) in MODELS.items():
        chosen = FamilyUnion([(family, FAMILIES[family]) for family in families])
        chosen.families_ = [(family, dict(union.families_)[family]) for family in families]
        chosen.crop_shape_ = union.crop_shape_
        own = type(rows)({family: rows[family] for family in families})
        fitted = model.fit(own if hasattr(model, "slopes") else np.asarray(own), people.labels)
        made[name] = Explainer(Pipeline([("faces", FaceExtractor()), ("features", chosen), ("model", fitted)]))
    return made
