"""Matplotlib figures with one look, made without a display and without pyplot's global state."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "auto",
    "svg.hashsalt": "ferkit",
    "text.parse_math": False,  # labels are people's own words, and may hold dollars
}
"""Settings that every figure of ferkit is drawn and saved with."""

_INK, _PAPER = "#d8dce2", "#16191d"
DARK: dict[Any, Any] = {
    "figure.facecolor": _PAPER,
    "axes.facecolor": _PAPER,
    "legend.facecolor": _PAPER,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": "#3a4048",
}
"""What differs on a dark page."""


@contextmanager
def look(dark: bool = False) -> Iterator[None]:
    """Everything that Matplotlib makes inside has ferkit's look.

    Parameters
    ----------
    dark : bool
        Light ink on a dark page.
    """
    from matplotlib import rc_context

    from ferkit.lettering import fonts

    with rc_context(STYLE | {"font.family": list(fonts())} | (DARK if dark else {})):
        yield


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, *, dark: bool = False, **options: Any
) -> tuple[Figure, Any]:
    """Figure and its axes.

    Parameters
    ----------
    width, height : float
        Inches.
    rows, columns : int
        Axes below and beside each other.
    dark : bool, default=False
        For a dark page; what is added later needs ``look(dark)`` about it.
    **options
        Passed to :meth:`matplotlib.figure.Figure.subplots`.

    Returns
    -------
    figure : matplotlib.figure.Figure
        With constrained layout, so that nothing overlaps.
    axes : matplotlib.axes.Axes or ndarray of them
        As from ``subplots``.

    Examples
    --------
    >>> from ferkit.figures import new_figure
    >>> figure, axes = new_figure(4, 3)
    >>> axes.set_title("smile").get_text()
    'smile'
    """
    from matplotlib.figure import Figure

    with look(dark):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, **options)


def figure_bytes(figure: Figure, kind: str = "png", dpi: int = 150) -> bytes:
    """A figure as a file's content, the same for the same figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    kind : {"png", "svg", "pdf"}
    dpi : int
        Pixels an inch, of PNG.

    Returns
    -------
    bytes
    """
    buffer = io.BytesIO()
    when = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with look():
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=when)
    return buffer.getvalue()
