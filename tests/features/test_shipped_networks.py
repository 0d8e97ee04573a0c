"""The networks inside the package, on drawn faces."""

import numpy as np
import pytest

from ferkit.faces import FaceExtractor
from ferkit.features import NetworkFeatures
from ferkit.sources import sample


@pytest.mark.parametrize("init", ["shipped", "small"])
def test_pale_faces_are_seen_as_any_other(init):
    faces = FaceExtractor().fit_transform(sample(70, seed=5).pictures).crops
    network = NetworkFeatures(init=init, output="logits").fit(faces)
    pale = np.round(faces * 0.15 + 110).astype(np.uint8)
    logits, paler = network.transform(faces), network.transform(pale)
    assert np.corrcoef(logits.ravel(), paler.ravel())[0, 1] > 0.97
    assert (logits.argmax(axis=1) == paler.argmax(axis=1)).mean() > 0.9
