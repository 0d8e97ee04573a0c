"""Faces out of pictures: detection, landmarks, alignment to one framing, light."""

from ferkit.faces.cache import FaceCache
from ferkit.faces.detect import Detections, FaceDetector
from ferkit.faces.extract import FaceExtractor
from ferkit.faces.landmarks import Landmarks, LicenceWarning

__all__ = ["Detections", "FaceCache", "FaceDetector", "FaceExtractor", "Landmarks", "LicenceWarning"]
