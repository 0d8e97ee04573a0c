"""Pieces of an HTML page that needs nothing from elsewhere: tables, tiles, pictures, style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

STYLE = Path(__file__).resolve().parents[1] / "assets" / "report.css"

MARK = '<meta name="generator" content="ferkit evaluate">'
"""What tells the page of a report from others of its name."""


def page(title: str, sections: Sequence[tuple[str, str, str]], head: str) -> str:
    """A whole page.

    Parameters
    ----------
    title : str
        Plain text.
    sections : sequence of (str, str, str)
        Anchor, plain heading, and HTML of each.
    head : str
        HTML between title and first section.

    Returns
    -------
    str
        HTML without scripts, fonts or anything from elsewhere.
    """
    links = "".join(f'<a href="#{anchor}">{escape(heading)}</a>' for anchor, heading, _ in sections)
    body = "\n".join(
        f'<section id="{anchor}">\n<h2>{escape(heading)}</h2>\n{content}\n</section>'
        for anchor, heading, content in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{MARK}
<meta http-equiv="Content-Security-Policy" content="script-src 'none'; object-src 'none'">
<title>{escape(title)}</title>
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
{head}
</header>
<nav>{links}</nav>
{body}
</body>
</html>
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Table that scrolls by itself where it is wider than the page; head is plain text, cells are HTML."""
    first = f"<caption>{escape(caption)}</caption>" if caption else ""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table>{first}<thead><tr>{names}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def heat_table(labels: Sequence[str], counts: Any, caption: str, by: str) -> str:
    """Confusion as a table of shaded cells: the number in large, the other reading of it in small.

    Parameters
    ----------
    labels : sequence of str
    counts : array-like of shape (n, n)
        Rows are the true labels.
    caption : str
    by : {"counts", "rates"}
        What is written in large; both are shaded by the share of the row.
    """
    rows = []
    for label, row in zip(labels, counts, strict=True):
        total = sum(row)
        cells = []
        for other, count in zip(labels, row, strict=True):
            share = count / total if total else 0.0
            text = f"{count}" if by == "counts" else f"{share:.0%}"
            full = " class=full" if share > 0.6 else ""
            title = f"true {label}, answered {other}: {count} of {total}"
            cells.append(f'<td{full} style="--share: {share:.1%}" title="{escape(title)}">{text}</td>')
        rows.append(f"<tr><th>{escape(label)}</th>{''.join(cells)}</tr>")
    names = "".join(f"<th>{escape(label)}</th>" for label in labels)
    return (
        f'<table class="heat"><caption>{escape(caption)}</caption><thead><tr><th></th>{names}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def tiles(items: Iterable[tuple[str, str, str]]) -> str:
    """Large numbers: what it is, the number, its interval or note; all plain text."""
    cells = [
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(note)}</span></div>'
        for name, value, note in items
    ]
    return f'<div class="tiles">{"".join(cells)}</div>'


def picture(name: str, alt: str, narrow: bool = False) -> str:
    """A chart that was drawn for light and dark pages, and perhaps for narrow ones."""
    dark = "screen and (prefers-color-scheme: dark)"
    small = "screen and (max-width: 700px)"
    sources = [f'<source media="{dark} and (max-width: 700px)" srcset="{name}-narrow-dark.svg">'] if narrow else []
    sources += [f'<source media="{dark}" srcset="{name}-dark.svg">']
    sources += [f'<source media="{small}" srcset="{name}-narrow.svg">'] if narrow else []
    width = "" if narrow else ' class="chart"'
    return f'<figure{width}><picture>{"".join(sources)}<img src="{name}.svg" alt="{escape(alt)}"></picture></figure>'


def dot(colour: str, text: str) -> str:
    """Plain text after a spot of its colour."""
    return f'<span class="dot" style="background: {colour}"></span>{escape(text)}'


def bar(value: float, ends: Sequence[float], low: float = 0.0, high: float = 1.0) -> str:
    """A point with its interval on a line from ``low`` to ``high``."""
    place = [100 * min(max((x - low) / (high - low), 0), 1) for x in (value, *ends)]
    return (
        f'<span class="range"><i style="left: {place[1]:.1f}%; width: {place[2] - place[1]:.1f}%"></i>'
        f'<b style="left: {place[0]:.1f}%"></b></span>'
    )


def percent(value: float | None, digits: int = 1) -> str:
    """``68.6 %``, or a dash."""
    return "–" if value is None or value != value else f"{100 * value:.{digits}f} %"


def interval(ends: Sequence[float | None] | None, share: bool = True) -> str:
    """``[67.0, 70.1]`` in percent, or as it is."""
    if ends is None or any(end is None or end != end for end in ends):
        return ""
    low, high = (end for end in ends if end is not None)
    return f"[{100 * low:.1f}, {100 * high:.1f}]" if share else f"[{low:.3f}, {high:.3f}]"
