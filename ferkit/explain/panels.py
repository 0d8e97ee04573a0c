"""What an explanation says, panel by panel: the same for a figure and for a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.explain import drawing
from ferkit.explain.explainer import EXACT, INTEGRATED, OCCLUSION, Explanation
from ferkit.features import HOG, LBP, FisherVectors, Geometry, NetworkFeatures, VisualWords
from ferkit.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _SIDE, _TEXT, _SCALE, _HEAD = 2.8, 2.5, 0.58, 0.5, 0.86
"""Inches: of a panel, of its drawing, of the words above it and the scale below, of the heading of the figure."""

_LARGEST = 800
"""Pixels of the longer side of a picture that is drawn."""

_LEAST = 0.005
"""A family that says less than this, in log-odds, is not drawn."""

HOWS = {
    EXACT: "exact",
    INTEGRATED: "integrated gradients",
    OCCLUSION: "what covering costs",
}


@dataclass(frozen=True)
class Panel:
    """One drawing with its words.

    Attributes
    ----------
    title, caption : str
        What it is; how to read it.
    draw : callable
        Takes Matplotlib axes.
    bars : bool, default=False
        Bars with names at their left, not a picture.
    """

    title: str
    caption: str
    draw: Callable[[Any], None]
    bars: bool = False


def headline(explanation: Explanation) -> str:
    """The answer in one line.

    Parameters
    ----------
    explanation : Explanation
    """
    best = max(explanation.probabilities, key=lambda name: explanation.probabilities[name])
    label, against = explanation.label, explanation.against
    shares = explanation.probabilities
    if label == best:
        return f"{label}, {shares[label]:.0%} sure. Next: {against}, {shares[against]:.0%}."
    rival = "" if against == best else f" Compared with {against}, {shares[against]:.0%}."
    return f"Why {label}, {shares[label]:.0%}? The answer is {best}, {shares[best]:.0%}.{rival}"


def key(explanation: Explanation) -> str:
    """What the colours mean.

    Parameters
    ----------
    explanation : Explanation
    """
    return (
        f"Orange and solid lines speak for {drawing.cut(explanation.label, 30)}, blue and dashed lines against. "
        "Log-odds: +0.7 doubles the odds, −0.7 halves them."
    )


def panels(explanation: Explanation, picture: NDArray[np.uint8] | None = None, box_xyxy: Any = None) -> list[Panel]:
    """Panels of an explanation, in the order in which they are read.

    Parameters
    ----------
    explanation : Explanation
    picture : ndarray of shape (height, width) or (height, width, 3), dtype uint8, or None, default=None
        The picture that the face came from.
    box_xyxy : sequence of 4 floats or None, default=None
        Where the face is in it.

    Returns
    -------
    list of Panel
    """
    one, crop = explanation, explanation.face.crops[0]
    sees = f"The face, cut out, {crop.shape[1]}×{crop.shape[0]} grey pixels."
    framed = "The face that is explained is framed."
    if not explanation.face.found[0]:
        framed = "No face was found: the middle is explained."
    found = [Panel("What the model sees", sees, partial(_grey, crop))]
    if picture is not None and picture.shape[:2] != crop.shape:
        found.insert(0, Panel("The picture", framed, partial(_picture, _shrunk(picture), picture.shape[:2], box_xyxy)))
    found.append(Panel("How sure it is", "Probability of each expression.", partial(_probabilities, one), True))
    if len(one.contributions) > 1:
        text = f"What each family of features adds. Right of 0 the answer is {one.label}, left {one.against}."
        found.append(Panel(f"Why {one.label} and not {one.against}", text, partial(_waterfall, one), True))
        if any(evidence.method != OCCLUSION for evidence in one.evidence.values()):
            text = "All families together."
            found.append(Panel(f"What speaks for {one.label}", text, partial(_map, crop, one.map)))
    if one.contrast_map is not None:
        title = f"{one.label[:1].upper()}{one.label[1:]}, not {one.against}"
        text = f"Orange speaks for {one.label}, blue for {one.against}."
        found.append(Panel(title, text, partial(_map, crop, one.contrast_map)))
    if np.abs(one.occlusion).max() > drawing.NOTHING:  # landmarks alone do not see a cover
        text = f"Orange: covered, {one.label} loses. Blue: covered, it gains."
        found.append(Panel("When a part is covered", text, partial(_covered, crop, one.occlusion)))
    for name in one.evidence:
        if len(one.evidence) == 1 or _says(one, name):
            found += _of_family(one, name)
    return found


def figure(explanation: Explanation, picture: NDArray[np.uint8] | None = None, box_xyxy: Any = None) -> Figure:
    """All panels as one Matplotlib figure.

    Parameters
    ----------
    explanation : Explanation
    picture, box_xyxy
        As for ``panels``.

    Returns
    -------
    matplotlib.figure.Figure
        Save it with ``savefig`` or ``ferkit.figures.figure_bytes``.
    """
    drawn = panels(explanation, picture, box_xyxy)
    where = f"{explanation.source}:  " if explanation.source else ""
    return grid(drawn, where + headline(explanation), key(explanation))


def grid(drawn: Sequence[Panel], title: str, note: str = "") -> Figure:
    """Panels beside and below each other, under one title.

    Parameters
    ----------
    drawn : sequence of Panel
    title, note : str
        Heading, and a smaller line below it.

    Returns
    -------
    matplotlib.figure.Figure
    """
    wide = (3,) if len(drawn) <= 6 else (5, 4, 3)
    columns = min(len(drawn), min(wide, key=lambda n: -len(drawn) % n))  # the fewest empty places
    rows = -(-len(drawn) // columns)
    height = _TEXT + _SIDE + _SCALE
    size = columns * _WIDTH + _WIDTH - _SIDE, _HEAD + rows * height
    made, axes = new_figure(*size, rows, columns, squeeze=False)
    made.set_layout_engine("none")  # every panel has its place, which is quicker and keeps them in line
    for i, place in enumerate(axes.flat):
        left, top = _WIDTH - _SIDE + i % columns * _WIDTH, _HEAD + i // columns * height + _TEXT
        if i >= len(drawn):
            place.remove()
            continue
        _place(place, drawn[i], (left, size[1] - top - _SIDE), size)
    made.text(
        0.3 / size[0], 1 - 0.34 / size[1], drawing.cut(title, 105 if columns > 2 else 70), fontsize=13, va="center"
    )
    made.text(0.3 / size[0], 1 - 0.62 / size[1], note, fontsize=8.5, va="center", color="#444444")
    return made


def drawing_of(panel: Panel) -> Figure:
    """One panel alone, without its words.

    Parameters
    ----------
    panel : Panel

    Returns
    -------
    matplotlib.figure.Figure
    """
    size = _WIDTH, _SIDE + _SCALE + 0.1
    made, axes = new_figure(*size)
    made.set_layout_engine("none")
    _place(axes, replace(panel, title="", caption=""), ((_WIDTH - _SIDE) / 2, _SCALE), size)
    return made


def _place(axes: Axes, panel: Panel, corner: tuple[float, float], size: tuple[float, float]) -> None:
    """Draw a panel with its lower left corner there, in inches of a figure of this size."""
    x, y = corner
    inset = 0.86 if panel.bars else 0.0
    axes.set_position((((x + inset) / size[0]), y / size[1], (_SIDE - inset) / size[0], _SIDE / size[1]))
    panel.draw(axes)
    figure = axes.get_figure(root=True)
    top = y + _SIDE
    if figure is not None:
        title = drawing.cut(panel.title, 31)
        figure.text(x / size[0], (top + 0.42) / size[1], title, fontsize=9.5, fontweight="bold", va="center")
        words = fill(panel.caption, 44, max_lines=2, placeholder=" …")
        figure.text(x / size[0], (top + 0.3) / size[1], words, fontsize=7.5, va="top", color="#444444")


def _says(one: Explanation, name: str) -> bool:
    parts = one.contributions.get(name)
    told = np.abs(one.evidence[name].maps).sum()
    return bool(told > _LEAST) and (parts is None or max(map(abs, parts.values())) > _LEAST)


def _of_family(one: Explanation, name: str) -> list[Panel]:
    evidence, face = one.evidence[name], one.face
    family, title = evidence.family, drawing.family_title(name, evidence.family)
    how = HOWS[evidence.method]
    found: list[Panel] = []
    if isinstance(family, HOG):
        text = "Strokes along the edges, from the cells that the classifier used."
        found.append(Panel(f"{title}: the view", text, partial(_hog, family, face.crops[0])))
        text = f"Cells for and against {one.label} ({how})."
        found.append(Panel(f"{title}: the evidence", text, partial(_family, one, name)))
        return found
    if isinstance(family, LBP):
        text = "Code of every pixel. Framed: cells that spoke most, solid for, dashed against."
        found.append(Panel(f"{title}: the codes", text, partial(_codes, one, name)))
        text = f"Cells for and against {one.label} ({how})."
        return [*found, Panel(f"{title}: the evidence", text, partial(_family, one, name))]
    if isinstance(family, Geometry) and evidence.columns is not None:
        text = "Measures that spoke most, in log-odds; AU: facial action unit."
        found.append(Panel(f"{title}: the measures", text, partial(_measures, one, name)))
    texts = {
        VisualWords: "Framed: patches that spoke most, solid for, dashed against",
        FisherVectors: f"Cells of 1/{getattr(family, 'cells', 4)} of the face for and against {one.label}",
        Geometry: "Measures that spoke most, solid for, dashed against",
        NetworkFeatures: f"Class activation map: places for and against {one.label}",
    }
    text = texts.get(type(family), f"For and against {one.label}")
    return [Panel(title, f"{text} ({how}).", partial(_family, one, name)), *found]


def _grey(crop: NDArray[np.uint8], axes: Axes) -> None:
    axes.imshow(crop, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    drawing.bare(axes)


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What is drawn of a picture: Matplotlib takes long for 12 megapixels, and many of them would fill the memory."""
    height, width = picture.shape[:2]
    size = [max(1, round(side * min(1.0, _LARGEST / max(height, width)))) for side in (width, height)]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _picture(small: NDArray[np.uint8], shape: tuple[int, ...], box_xyxy: Any, axes: Axes) -> None:
    height, width = shape
    axes.imshow(small, cmap="gray" if small.ndim == 2 else None, vmin=0, vmax=255, extent=(0, width, height, 0))
    drawing.bare(axes)
    if box_xyxy is not None:
        from matplotlib.patches import Rectangle

        x1, y1, x2, y2 = (float(v) for v in box_xyxy)
        for ink, thick in (("black", 3.5), ("white", 1.8)):
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=ink, linewidth=thick))


def _probabilities(one: Explanation, axes: Axes) -> None:
    drawing.draw_probabilities(axes, one.probabilities)


def _waterfall(one: Explanation, axes: Axes) -> None:
    drawing.draw_waterfall(axes, one)


def _map(crop: NDArray[np.uint8], found: NDArray[np.float64], axes: Axes) -> None:
    drawing.draw_map(axes, crop, found)


def _covered(crop: NDArray[np.uint8], found: NDArray[np.float64], axes: Axes) -> None:
    drawing.draw_map(axes, crop, found, unit=drawing.LOST)


def _hog(hog: HOG, crop: NDArray[np.uint8], axes: Axes) -> None:
    drawing.draw_hog(axes, hog, crop)


def _codes(one: Explanation, name: str, axes: Axes) -> None:
    evidence: Any = one.evidence[name]
    drawing.draw_codes(axes, evidence.family, one.face.crops[0], evidence)


def _measures(one: Explanation, name: str, axes: Axes) -> None:
    drawing.draw_measures(axes, one.evidence[name])


def _family(one: Explanation, name: str, axes: Axes) -> None:
    drawing.draw_family(axes, one.face, one.evidence[name])
