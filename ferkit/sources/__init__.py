"""Pictures, videos and data sets: everything that gives ferkit something to look at."""

from ferkit.sources.dataset import Dataset, Pictures
from ferkit.sources.drawn import draw_face, sample, sample_video
from ferkit.sources.duplicates import clusters, near_duplicates
from ferkit.sources.images import read_image, to_grey
from ferkit.sources.loading import load
from ferkit.sources.video import frames
from ferkit.sources.walk import pictures

__all__ = [
    "Dataset",
    "Pictures",
    "clusters",
    "draw_face",
    "frames",
    "load",
    "near_duplicates",
    "pictures",
    "read_image",
    "sample",
    "sample_video",
    "to_grey",
]
