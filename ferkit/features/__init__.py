"""Feature families: ``Faces`` in, numbers named by family out."""

from ferkit.features.base import FaceFeatures
from ferkit.features.cache import FeatureCache
from ferkit.features.fisher import FisherVectors
from ferkit.features.geometry import Geometry
from ferkit.features.hog import HOG
from ferkit.features.lbp import LBP
from ferkit.features.network import NetworkFeatures
from ferkit.features.union import FamilyUnion
from ferkit.features.words import VisualWords

__all__ = [
    "HOG",
    "LBP",
    "FaceFeatures",
    "FamilyUnion",
    "FeatureCache",
    "FisherVectors",
    "Geometry",
    "NetworkFeatures",
    "VisualWords",
]
