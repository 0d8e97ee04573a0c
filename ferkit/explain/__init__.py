"""Explanations: what the model saw, which family decided, and why this expression and not that one."""

from ferkit.explain.covering import cover, occlusion_map
from ferkit.explain.curves import Curves, deletion_curve, insertion_curve
from ferkit.explain.explainer import Evidence, Explainer, Explanation
from ferkit.explain.overview import Importance, Overview, family_importance, mean_evidence, mean_hog, overview
from ferkit.explain.page import page
from ferkit.explain.panels import Panel, figure, panels
from ferkit.features.hog_view import edges, hog_view, strokes

__all__ = [
    "Curves",
    "Evidence",
    "Explainer",
    "Explanation",
    "Importance",
    "Overview",
    "Panel",
    "cover",
    "deletion_curve",
    "edges",
    "family_importance",
    "figure",
    "hog_view",
    "insertion_curve",
    "mean_evidence",
    "mean_hog",
    "occlusion_map",
    "overview",
    "page",
    "panels",
    "strokes",
]
