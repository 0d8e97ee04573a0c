"""A feature family of one's own: about twenty lines, then it is a family like any other."""

import numpy as np

from ferkit import HOG, FaceExtractor, FamilyUnion, LinearSVM, Stacking
from ferkit.features import FaceFeatures
from ferkit.sources import sample


class MirrorDifference(FaceFeatures):
    """How much the left half of the face differs from the mirrored right half, by row of the crop."""

    family = "mirror"

    def _extract(self, faces):
        crops = faces.crops.astype(np.float32) / 255
        return np.abs(crops - crops[:, :, ::-1]).mean(axis=2)

    def _names(self):
        return [f"row{row}" for row in range(self.crop_shape_[0])]


people = sample(n=350, seed=3)
faces = FaceExtractor().fit_transform(people.pictures)
features = FamilyUnion([("hog", HOG()), ("mirror", MirrorDifference())]).fit(faces)
fused = Stacking({"hog": LinearSVM(calibrate=False), "mirror": LinearSVM(calibrate=False)})

training = people.splits == "Training"
fused.fit(features.transform(faces[training]), people.labels[training], groups=people.subjects[training])
rest = features.transform(faces[~training])
print(f"accuracy {fused.score(rest, people.labels[~training]):.3f} on drawn people that were not seen")
print(f"contributions have shape {fused.contributions(rest).shape}: faces, families, expressions")
