"""A pipeline built in Python, cross-validated so that no person stands on both sides of a split."""

from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline

from ferkit import HOG, LBP, Concatenation, FaceExtractor, FamilyUnion, LinearSVM
from ferkit.sources import sample

people = sample(n=280, seed=1)
pipeline = Pipeline(
    [
        ("faces", FaceExtractor()),
        ("features", FamilyUnion([("hog", HOG()), ("lbp", LBP())])),
        ("model", Concatenation(LinearSVM(calibrate=False))),
    ]
)
faces = pipeline.named_steps["faces"].fit_transform(people.pictures)
scores = cross_val_score(pipeline, faces, people.labels, groups=people.subjects, cv=GroupKFold(4))
print(f"accuracy by fold: {scores.round(3)}, mean {scores.mean():.3f}")
