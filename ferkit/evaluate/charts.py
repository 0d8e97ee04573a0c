"""Charts of a report, each for a light or a dark page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ferkit.evaluate.curves import Calibration, Coverage, Curve
from ferkit.evaluate.kinds import KINDS
from ferkit.evaluate.stress import Stress
from ferkit.figures import look, new_figure
from ferkit.files import legible
from ferkit.labels import colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)))
"""A line for each label beside its colour, for those who do not tell colours apart."""
BLUE, ORANGE = "#3f8fd0", "#d55e00"
_WIDTH, _HEIGHT = 5.2, 4.2


def roc_chart(curves: Mapping[str, Curve], dark: bool = False) -> Figure:
    """ROC curves by class, with their areas."""
    return _curves(curves, "false positives (share of the others)", "true positives (share of the class)", dark, True)


def precision_recall_chart(curves: Mapping[str, Curve], dark: bool = False) -> Figure:
    """Precision and recall by class, with average precision."""
    return _curves(curves, "recall", "precision", dark, False)


def _curves(curves: Mapping[str, Curve], x: str, y: str, dark: bool, diagonal: bool) -> Figure:
    with look(dark):
        figure, axes = new_figure(_WIDTH, _HEIGHT + 0.7, dark=dark)
        if diagonal:
            axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.8)
        lines, names = [], []
        for i, (label, curve) in enumerate(curves.items()):
            if len(curve.x):
                style = {"color": colour(label, i), "linestyle": LINES[i % len(LINES)], "linewidth": 1.6}
                step = {} if diagonal else {"drawstyle": "steps-pre"}
                lines += axes.plot(curve.x, curve.y, **style, **step)
                names.append(f"{legible(label)} {curve.area:.3f}")
        axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.grid(alpha=0.4, linewidth=0.5)
        options = {"ncols": 3, "fontsize": 9, "frameon": False, "handlelength": 2.4, "columnspacing": 1.2}
        figure.legend(lines, names, loc="outside upper left", **options)  # by name, a label "_calm" would be left out
        return figure


def calibration_chart(found: Calibration, confidence: Any, dark: bool = False) -> Figure:
    """Accuracy against confidence, with intervals, and how many answers are how sure."""
    with look(dark):
        figure, (axes, below) = new_figure(_WIDTH, _HEIGHT + 0.7, 2, 1, dark=dark, sharex=True, height_ratios=[4, 1])
        axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.8)
        error = np.stack([found.accuracy - found.low, found.high - found.accuracy]).clip(0)
        axes.errorbar(found.confidence, found.accuracy, error, fmt="o-", color=BLUE, capsize=3, linewidth=1.4)
        axes.set(ylabel="accuracy", ylim=(-0.01, 1.01), xlim=(-0.01, 1.01))
        axes.grid(alpha=0.4, linewidth=0.5)
        below.hist(confidence, np.linspace(0, 1, 26), color=BLUE, rwidth=0.85)
        below.set(xlabel="confidence (probability of the answer)", ylabel="pictures")
        return figure


def coverage_chart(found: Coverage, dark: bool = False) -> Figure:
    """Accuracy on the surest pictures, for every share of them."""
    with look(dark):
        figure, axes = new_figure(_WIDTH, _HEIGHT, dark=dark)
        axes.plot(found.coverage, found.accuracy, color=BLUE, linewidth=1.6, label="accuracy on those answered")
        axes.plot(found.coverage, found.thresholds, color=ORANGE, linestyle="--", label="least confidence among them")
        axes.set(xlabel="coverage (share of pictures answered)", xlim=(-0.01, 1.01), ylim=(0, 1.02))
        axes.grid(alpha=0.4, linewidth=0.5)
        axes.legend(loc="lower left", fontsize=9)
        return figure


def balance_chart(figures: Mapping[str, Any], dark: bool = False) -> Figure:
    """How often each label is true and how often it is the answer."""
    with look(dark):
        labels, counts = figures["labels"], np.array(figures["confusion"])
        figure, axes = new_figure(_WIDTH, 0.42 * len(labels) + 1, dark=dark)
        place = np.arange(len(labels))
        colours = [colour(label, i) for i, label in enumerate(labels)]
        axes.barh(place - 0.2, counts.sum(axis=1), 0.36, color=colours)
        axes.barh(place + 0.2, counts.sum(axis=0), 0.36, color=colours, alpha=0.45)
        axes.set_yticks(place, [legible(label) for label in labels])
        axes.invert_yaxis()
        axes.set(xlabel="pictures: full bars true, pale bars answered")
        return figure


def stress_chart(found: Stress, dark: bool = False, columns: int = 4) -> Figure:
    """Accuracy by strength of each change, against that on the faces as they are."""
    with look(dark):
        rows = -(-len(KINDS) // columns)
        size = (2.35 * columns + 0.4, 1.95 * rows + 0.3)
        figure, axes = new_figure(*size, rows, columns, dark=dark, sharey=True, squeeze=False)
        clean = float(found.clean.mean())
        low, high = max(0.0, float(found.accuracy.min()) - 0.08), max(clean, float(found.accuracy.max())) + 0.08
        for own, kind, accuracy in zip(axes.flat, KINDS, found.accuracy, strict=False):
            own.axhline(clean, color="#888888", linewidth=0.8, linestyle="--")
            own.plot(range(6), [clean, *accuracy], "o-", color=BLUE, markersize=3.5, linewidth=1.5)
            own.set_title(kind.name, fontsize=10)
            own.set_xticks(range(6), ["clean", *(f"{level:g}" for level in kind.levels)], fontsize=7.5)
            own.set_xlabel(kind.unit, fontsize=7.5)
            own.grid(alpha=0.4, linewidth=0.5)
            own.set_ylim(low, min(1.02, high))
        for own in axes.flat[len(KINDS) :]:
            own.set_axis_off()
        figure.supylabel("accuracy", fontsize=10)
        return figure
