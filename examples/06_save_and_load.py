"""A fitted pipeline saved to a file that is safe to share, and opened again."""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from ferkit import LBP, FaceExtractor, FamilyUnion, LinearSVM, store
from ferkit.sources import sample

people = sample(n=210, seed=4)
pipeline = Pipeline(
    [("faces", FaceExtractor()), ("features", FamilyUnion([("lbp", LBP())])), ("model", LinearSVM())],
).fit(people.pictures, people.labels)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "mine.ferkit"
    store.save(pipeline, path)
    again = store.load(path).pipeline
    print(f"{path.stat().st_size / 1e6:.2f} MB, labels {list(again.classes_)}")
    assert np.allclose(again.predict_proba(people.pictures), pipeline.predict_proba(people.pictures))
