"""Small fitted models on drawn faces."""

from __future__ import annotations

import pytest

from ferkit import recipe, store
from ferkit.sources import sample

STACKED = "features: {hog: {cell: 16}, lbp: {}}\nmodel: {stacking: {weights: family}}\n"


@pytest.fixture(scope="session")
def people():
    return sample(210, seed=5)


@pytest.fixture(scope="session")
def stacked(people, tmp_path_factory):
    """Two families, fused; as a file."""
    path = tmp_path_factory.mktemp("models") / "stacked.ferkit"
    return store.load(recipe.fit(recipe.loads(STACKED), people).save(path))
