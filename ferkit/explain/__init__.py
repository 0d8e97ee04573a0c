"""Explanations: what the model saw, which family decided, and why this expression and not that one."""

from ferkit.explain.covering import cover, occlusion_map
from ferkit.explain.curves import Curves, deletion_curve, insertion_curve
from ferkit.explain.explainer import Evidence, Explainer, Explanation
from ferkit.explain.hog_view import hog_view, strokes

__all__ = [
    "Curves",
    "Evidence",
    "Explainer",
    "Explanation",
    "cover",
    "deletion_curve",
    "hog_view",
    "insertion_curve",
    "occlusion_map",
    "strokes",
]
