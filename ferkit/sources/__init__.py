"""Pictures, videos and data sets: everything that gives ferkit something to look at.

Drawn faces are imported when first used: a camera needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferkit.sources.dataset import Dataset, Pictures
from ferkit.sources.duplicates import clusters, near_duplicates
from ferkit.sources.images import read_image, to_grey
from ferkit.sources.loading import load
from ferkit.sources.video import frames
from ferkit.sources.walk import pictures

if TYPE_CHECKING:
    from ferkit.sources.drawn import draw_face, sample, sample_video

_DRAWN = ("draw_face", "sample", "sample_video")

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


def __getattr__(name: str) -> Any:
    if name not in _DRAWN:
        raise AttributeError(f"module 'ferkit.sources' has no attribute {name!r}")
    from ferkit.sources import drawn

    return getattr(drawn, name)
