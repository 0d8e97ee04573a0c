"""Categories of one's own: any folder of folders; here built-in labels are merged into three moods."""

from ferkit import recipe
from ferkit.sources import sample

mood = recipe.load(
    "pipelines/hog_svm.yaml",
    sets=[
        "labels.happiness=positive",
        "labels.surprise=positive",
        "labels.anger=negative",
        "labels.disgust=negative",
        "labels.fear=negative",
        "labels.sadness=negative",
    ],
)
fitted = recipe.fit(mood, sample(n=420, seed=5))
print(f"labels {list(fitted.pipeline.classes_)}")
