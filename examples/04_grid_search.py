"""Settings chosen by scikit-learn's own grid search; faces are found once, before the search."""

from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from ferkit import HOG, FaceExtractor, FamilyUnion, LinearSVM
from ferkit.sources import sample

people = sample(n=210, seed=2)
faces = FaceExtractor().fit_transform(people.pictures)
pipeline = Pipeline([("features", FamilyUnion([("hog", HOG())])), ("model", LinearSVM(calibrate=False))])
search = GridSearchCV(
    pipeline,
    {"features__hog__orientations": [6, 9], "model__C": [0.01, 1.0]},
    cv=GroupKFold(3),
)
search.fit(faces, people.labels, groups=people.subjects)
print(f"best {search.best_params_} with accuracy {search.best_score_:.3f}")
