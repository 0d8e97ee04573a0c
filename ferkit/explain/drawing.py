"""Explanations drawn onto Matplotlib axes: orange and solid lines speak for, blue and dashed lines against."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.explain.curves import Curves
from ferkit.explain.explainer import OCCLUSION, Evidence, Explanation
from ferkit.features import HOG, LBP, FisherVectors, Geometry, NetworkFeatures, VisualWords
from ferkit.features.geometry import MEASURES, point_evidence, points_of
from ferkit.features.hog_view import strokes
from ferkit.labels import colour, ordered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOR, AGAINST, GREY = "#d55e00", "#0072b2", "#767676"
"""Vermilion and blue of Okabe and Ito (2008), told apart by colour-blind people."""

TITLES = {
    HOG: "Edges (HOG)",
    LBP: "Texture (LBP)",
    Geometry: "Landmarks",
    VisualWords: "Visual words",
    FisherVectors: "Fisher vectors",
    NetworkFeatures: "Network",
}

PLACE = 6
PER_PLACE = f"log-odds per {PLACE}×{PLACE} pixels"
"""Evidence by pixel is shown for squares of this side."""
LOST = "log-odds lost"

_PATCHES, _MEASURES = 5, 6
_TICK = 14
_LINES = 0.5
"""Contour lines stand at this share of the strongest evidence."""
NOTHING = 1e-5
"""Evidence below this is rounding error."""


def family_title(name: str, family: Any = None) -> str:
    """Name of a family for people: its kind, with the recipe's name where that differs, or only that name."""
    kind = TITLES.get(type(family), name)
    return kind if name in (kind, getattr(family, "family", name)) else f"{kind} ({name})"


def cut(text: str, length: int) -> str:
    """A text of at most so many characters.

    Examples
    --------
    >>> cut("an extraordinarily good mood", 16)
    'an extraordinar…'
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"


def tick(name: str) -> str:
    """A name beside a bar, in at most two lines."""
    return fill(cut(name, 2 * _TICK), _TICK)


def limit_of(found: NDArray[Any]) -> float:
    """Evidence at which colours are full: the strongest, but no single pixel alone, and no rounding error."""
    strongest = float(np.quantile(np.abs(found), 0.995)) if found.size else 0.0
    return strongest if strongest > NOTHING else 1.0


def blended(crop: NDArray[np.uint8], found: NDArray[Any], limit: float | None = None) -> NDArray[np.float64]:
    """A face with evidence laid over it.

    Parameters
    ----------
    crop : ndarray of shape (height, width), dtype uint8
    found : ndarray of shape (height, width)
        Evidence.
    limit : float or None, default=None
        Evidence at which the colour is full; None for the strongest.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype float64
        RGB, 0 to 1: orange for, blue against, the lightened face where there is nothing.
    """
    share = np.clip(np.abs(found) / (limit or limit_of(found)), 0, 1)[..., None] * 0.8
    face = (0.35 + 0.65 * crop[..., None] / 255.0) * np.ones(3)
    ink = np.where((found >= 0)[..., None], _rgb(FOR), _rgb(AGAINST))
    return np.asarray(face * (1 - share) + ink * share)


def draw_map(axes: Axes, crop: NDArray[np.uint8], found: NDArray[Any], *, unit: str = PER_PLACE) -> None:
    """Evidence over the face, with lines at half of the strongest and a scale.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    crop : ndarray of shape (height, width), dtype uint8
    found : ndarray of shape (height, width)
        Evidence of each pixel.
    unit : str
        What the numbers of the scale are; by default a pixel's evidence is shown for a square of 6x6.
    """
    found = found * PLACE**2 if unit == PER_PLACE else found
    limit = limit_of(found)
    _show(axes, blended(crop, found, limit))
    smooth: Any = cv2.GaussianBlur(np.asarray(found, dtype=np.float64), (0, 0), 1.5, borderType=cv2.BORDER_REPLICATE)
    smooth = np.asarray(smooth) / limit_of(smooth)
    for level, ink, style in ((-_LINES, AGAINST, "dashed"), (_LINES, FOR, "solid")):
        if smooth.min() < level < smooth.max():
            axes.contour(smooth, [level], colors=[ink], linestyles=[style], linewidths=1.3)
    _scale(axes, limit, unit)


def draw_hog(axes: Axes, hog: HOG, crop: NDArray[np.uint8], evidence: Evidence | None = None) -> None:
    """The classifier's own HOG cells as strokes along the edges, on its evidence where that is given.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    hog : HOG
        Fitted. Of several scales the smallest cells are drawn; evidence is that of all.
    crop : ndarray of shape (height, width), dtype uint8
    evidence : Evidence or None, default=None
        What colours the cells.
    """
    side = smallest_cell(hog)
    if evidence is None:
        draw_hog_cells(axes, hog.cells(crop[None], side)[0], side, hog.signed)
        return
    found = evidence.maps[0] * PLACE**2
    _show(axes, blended(np.full_like(crop, 255), found))
    _strokes(axes, hog.cells(crop[None], side)[0], side, hog.signed)
    _scale(axes, limit_of(found), PER_PLACE)


def draw_hog_cells(axes: Axes, cells: NDArray[Any], side: int, signed: bool, found: Any = None) -> None:
    """Strokes of cell histograms, of a face or a mean of faces.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    cells : ndarray of shape (rows, cols, orientations)
    side : int
        Side of a cell in pixels.
    signed : bool
        Whether directions run over 360 degrees.
    found : ndarray of shape (rows, cols) or None, default=None
        What colours the cells.
    """
    ground = np.full(cells.shape[:2], 255, np.uint8)
    picture = blended(ground, np.zeros(ground.shape) if found is None else found)
    _show(axes, picture.repeat(side, axis=0).repeat(side, axis=1))
    _strokes(axes, cells, side, signed)


def draw_codes(axes: Axes, lbp: LBP, crop: NDArray[np.uint8], evidence: Evidence | None = None) -> None:
    """Local binary patterns of the face; the cells whose histograms spoke most are framed."""
    codes = lbp.codes(crop[None])[0]
    axes.imshow(codes, cmap="gray", interpolation="nearest")
    bare(axes)
    if evidence is None or evidence.columns is None:
        return
    radius = lbp.radii[0]
    cells = lbp.cell_evidence(evidence.columns)[radius][0].sum(axis=2)
    margin = int(np.ceil(radius))
    size = [(extent - 2 * margin) / count for extent, count in zip(crop.shape, cells.shape, strict=True)]
    for i in np.argsort(-np.abs(cells), axis=None)[:_PATCHES]:
        row, col = np.unravel_index(i, cells.shape)
        x, y = margin + col * size[1], margin + row * size[0]
        _frame(axes, (x, y, x + size[1], y + size[0]), float(cells[row, col]))


def draw_patches(axes: Axes, words: VisualWords, face: Any, evidence: Evidence) -> None:
    """The patches whose visual words spoke most, over the evidence of all."""
    crop = face.crops[0]
    found = evidence.maps[0]
    draw_map(axes, crop, found)
    patches = words.patch_evidence(face, evidence.columns)[0]
    boxes = words.patches(crop.shape)
    kept: list[int] = []
    for i in np.argsort(-np.abs(patches)):
        middle = boxes[i].reshape(2, 2).mean(axis=0)
        if len(kept) < _PATCHES and all(np.abs(boxes[k].reshape(2, 2).mean(axis=0) - middle).max() > 6 for k in kept):
            kept.append(int(i))
            inside = boxes[i].reshape(2, 2).clip(0.5, np.subtract(crop.shape[::-1], 0.5)).ravel()
            _frame(axes, inside, float(patches[i]))


def draw_landmarks(axes: Axes, face: Any, evidence: Evidence) -> None:
    """The landmarks by how much they spoke, and the measures that spoke most as lines between them."""
    crop, points = face.crops[0], face.points[0]
    _show(axes, blended(crop, np.zeros(crop.shape), 1.0))
    columns = np.asarray(evidence.columns)[0]
    each = point_evidence(columns)
    axes.scatter(
        points[:, 0] - 0.5,
        points[:, 1] - 0.5,
        s=10 + 60 * np.abs(each) / max(np.abs(each).max(), 1e-9),
        c=[FOR if value >= 0 else AGAINST for value in each],
        linewidths=0,
        zorder=3,
    )
    for i in _strongest_measures(evidence):
        ring = points[points_of(list(MEASURES)[i])] - 0.5
        style = "solid" if columns[i] >= 0 else "dashed"
        axes.plot(ring[:, 0], ring[:, 1], color=FOR if columns[i] >= 0 else AGAINST, linestyle=style, linewidth=1.6)
    axes.set_xlim(-0.5, crop.shape[1] - 0.5)
    axes.set_ylim(crop.shape[0] - 0.5, -0.5)


def draw_measures(axes: Axes, evidence: Evidence) -> None:
    """The landmark measures that spoke most, by name, with what they said in log-odds."""
    columns = np.asarray(evidence.columns)[0]
    chosen = _strongest_measures(evidence)
    reach = max(float(np.abs(columns[chosen]).max()), 1e-9)
    for row, i in enumerate(chosen):
        value = float(columns[i])
        axes.barh(-row, value, color=FOR if value >= 0 else AGAINST, height=0.3)
        name = f"{measure_title(list(MEASURES)[i])}  {value:+.2f}"
        axes.text(-reach, 0.24 - row, name, fontsize=7.5, va="bottom")
        axes.plot([0, 0], [-row - 0.22, -row + 0.22], color="#333333", linewidth=0.8)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-len(chosen) + 0.6, 0.8)
    bare(axes)


def _strongest_measures(evidence: Evidence) -> list[int]:
    said = np.abs(np.asarray(evidence.columns)[0, : len(MEASURES)])
    return [int(i) for i in np.argsort(-said)[:_MEASURES]]


def draw_family(axes: Axes, face: Any, evidence: Evidence) -> None:
    """What one family saw and what it spoke for, in its own terms."""
    family, crop = evidence.family, face.crops[0]
    if isinstance(family, HOG):
        draw_hog(axes, family, crop, evidence)
    elif isinstance(family, VisualWords) and evidence.columns is not None:
        draw_patches(axes, family, face, evidence)
    elif isinstance(family, Geometry) and evidence.columns is not None and np.isfinite(face.points).all():
        draw_landmarks(axes, face, evidence)
    else:
        draw_map(axes, crop, evidence.maps[0], unit=LOST if evidence.method == OCCLUSION else PER_PLACE)


def measure_title(name: str) -> str:
    """Name of a landmark measure for people.

    Examples
    --------
    >>> measure_title("AU12/mouth_corner_pull_left")
    'mouth corner pull left (AU12)'
    """
    unit, _, rest = name.partition("/")
    said = rest.replace("_", " ")
    return f"{said} ({unit})" if unit.startswith("AU") else f"{unit} {said}"


def draw_probabilities(axes: Axes, probabilities: Mapping[str, float]) -> None:
    """One bar a label, the most probable named in bold."""
    names = ordered(probabilities)[::-1]
    values = [probabilities[name] for name in names]
    inks = [colour(name, i) for i, name in enumerate(names[::-1])][::-1]
    axes.barh(range(len(names)), values, color=inks, height=0.7)
    axes.set_yticks(range(len(names)), [tick(name) for name in names])
    for i, value in enumerate(values):
        axes.text(value + 0.02, i, f"{value:.0%}", va="center", fontsize=8)
    axes.set_xlim(0, 1.2)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    best = int(np.argmax(values))
    axes.get_yticklabels()[best].set_fontweight("bold")


def draw_waterfall(axes: Axes, explanation: Explanation) -> None:
    """From what the model starts with, family by family, to its log-odds of one label over another."""
    parts = explanation.waterfall()
    start = parts.pop("bias")
    order = sorted(parts, key=lambda name: -abs(parts[name]))
    families = {name: one.family for name, one in explanation.evidence.items()}
    names = ["start", *(family_title(name, families.get(name)) for name in order), "sum"]
    steps = [start, *(parts[name] for name in order)]
    ends = np.cumsum(steps)
    lefts = [0.0, *ends[:-1].tolist(), 0.0]
    values = [*steps, float(ends[-1])]
    for i, (left, value) in enumerate(zip(lefts, values, strict=True)):
        ink = FOR if value >= 0 else AGAINST
        line = 0.8 if i == len(values) - 1 else 0.0
        axes.barh(-i, value, left=left, color=ink, height=0.62, edgecolor="#333333", linewidth=line)
        if i + 1 < len(values) - 1:
            axes.plot([left + value] * 2, [-i - 0.31, -i - 0.69], color=GREY, linewidth=0.8)
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = 0.32 * max(high - low, 0.1)
    for i, (left, value) in enumerate(zip(lefts, values, strict=True)):
        axes.text(max(left, left + value) + room * 0.08, -i, f"{value:+.2f}", va="center", fontsize=8)
    axes.set_xlim(low - room * 0.1, high + room)
    axes.axvline(0, color="#333333", linewidth=0.8)
    axes.set_yticks([-i for i in range(len(names))], [tick(name) for name in names], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.set_xlabel(
        f"log-odds of {cut(explanation.label, 14)} over {cut(explanation.against, 14)}", fontsize=7.5, loc="right"
    )


def draw_curves(axes: Axes, curves: Curves) -> None:
    """Mean deletion or insertion curve of faces, and that of random orders."""
    ink = FOR if curves.kind == "insertion" else AGAINST
    axes.plot(curves.shares, curves.values.mean(axis=0), color=ink, marker="o", markersize=3, label="strongest first")
    axes.plot(curves.shares, curves.chance.mean(axis=0), color=GREY, linestyle="dashed", label="at random")
    done = "shown" if curves.kind == "insertion" else "covered"
    axes.set_xlabel(f"share of the face that is {done}", fontsize=8)
    axes.set_ylabel("log-odds", fontsize=8)
    axes.tick_params(labelsize=7.5)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.25 * (high - low))  # room for the legend
    axes.legend(frameon=False, fontsize=7.5, loc="upper right")


def _show(axes: Axes, picture: NDArray[Any]) -> None:
    axes.imshow(picture, interpolation="nearest", vmin=0, vmax=1)
    bare(axes)


def bare(axes: Axes) -> None:
    """Take away ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _scale(axes: Axes, limit: float, unit: str) -> None:
    """Colour bar below the picture."""
    from matplotlib.colors import LinearSegmentedColormap

    bar = axes.inset_axes((0.0, -0.075, 1.0, 0.035))
    ramp = LinearSegmentedColormap.from_list("evidence", [AGAINST, "#f7f7f7", FOR])
    bar.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=ramp, extent=(-1, 1, 0, 1))
    bar.set_yticks([])
    bar.set_xticks([-1, 0, 1], [f"−{_short(limit)}", unit, f"+{_short(limit)}"], fontsize=7)
    bar.tick_params(axis="x", length=0, pad=2)
    for label, end in zip(bar.get_xticklabels()[::2], ("left", "right"), strict=True):
        label.set(horizontalalignment=end)
    for spine in bar.spines.values():
        spine.set_visible(False)


def _short(value: float) -> str:
    return f"{value:.2g}" if value >= 0.01 else f"{value:.0e}".replace("e-0", "e−")


def _strokes(axes: Axes, cells: NDArray[Any], side: int, signed: bool) -> None:
    from matplotlib.collections import LineCollection

    lines, strengths = strokes(cells, side, signed)
    inks = [(0, 0, 0, float(strength) ** 1.5) for strength in strengths]
    axes.add_collection(LineCollection(list(lines - 0.5), colors=inks, linewidths=0.7 + 1.1 * strengths))


def _frame(axes: Axes, box: Any, value: float) -> None:
    from matplotlib.patches import Rectangle

    x1, y1, x2, y2 = (float(v) - 0.5 for v in box)
    style: dict[str, Any] = {"linestyle": "solid" if value >= 0 else "dashed", "linewidth": 1.8}
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=FOR if value >= 0 else AGAINST, **style))


def smallest_cell(hog: HOG) -> int:
    """Side of the smallest cells of a HOG family in pixels: the scale that is drawn."""
    return int(np.min(hog.cell))


def _rgb(code: str) -> NDArray[np.float64]:
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
