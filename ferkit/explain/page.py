"""Explanations as one HTML file that opens offline: pictures inside, no script, light and dark, wide and phone."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import ferkit
from ferkit.explain.drawing import family_title
from ferkit.explain.explainer import Explanation
from ferkit.explain.panels import Panel, drawing_of, headline, key
from ferkit.figures import figure_bytes

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --soft: #555; --line: #ccc; --ground: #fff; --plate: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --soft: #b5b5b5; --line: #555; --ground: #191919; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 0 auto;
  padding: 1rem; max-width: 76rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .25rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .25rem 0 1rem; } .soft, figcaption p { color: var(--soft); font-size: .875rem; }
figcaption p { margin: 0 0 .5rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.5rem; }
figure { margin: 0; display: flex; flex-direction: column; justify-content: space-between; }
img { width: 100%; height: auto; background: var(--plate); border-radius: .5rem; }
.table { overflow-x: auto; margin-top: 1.5rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .25rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child { text-align: left; } thead th { font-weight: 600; } tr.sum th, tr.sum td { font-weight: 600; }
@media print { .panels { grid-template-columns: repeat(3, 1fr); } figure, h2 { break-inside: avoid; } }
"""

_READING = """
An expression is not a feeling: a model reads how a face looks. What is shown here is why the model says what it says,
not whether it is right. Log-odds of an expression are against the mean of all expressions; what the families of
features add sums to the answer. &ldquo;Exact&rdquo; means that nothing is approximated; integrated gradients follow the
model from the mean training face to this one; &ldquo;when a part is covered&rdquo; blurs a window and asks the model
again.
"""


def page(sections: Iterable[tuple[Explanation, Sequence[Panel]]], title: str = "Why this expression?") -> str:
    """One HTML page of explanations.

    Parameters
    ----------
    sections : iterable of (Explanation, sequence of Panel)
        Faces with their panels, as ``panels`` gives them; each is drawn before the next is asked for.
    title : str

    Returns
    -------
    str
    """
    body = "".join(_section(explanation, drawn) for explanation, drawn in sections)
    return framed(title, f"<p class='soft'>{_READING.strip()}</p>{body}")


def framed(title: str, body: str) -> str:
    """A whole page around its content.

    Parameters
    ----------
    title : str
    body : str
        HTML.
    """
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main>"
        f"<footer class='soft'><p>ferkit {escape(ferkit.__version__)}</p></footer></body></html>\n"
    )


def gallery(drawn: Sequence[Panel]) -> str:
    """Panels as figures with their words.

    Parameters
    ----------
    drawn : sequence of Panel

    Returns
    -------
    str
        HTML.
    """
    return f"<div class='panels'>{''.join(map(_figure, drawn))}</div>"


def table(caption: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]], last: bool = False) -> str:
    """Numbers with a sign, by row and column.

    Parameters
    ----------
    caption : str
    columns : sequence of str
    rows : sequence of (str, sequence of float)
    last : bool, default=False
        Whether the last row is the sum of the others.

    Returns
    -------
    str
        HTML.
    """
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in ("", *columns))
    lines = []
    for i, (name, values) in enumerate(rows):
        kind = " class='sum'" if last and i == len(rows) - 1 else ""
        cells = "".join(f"<td>{value:+.3f}</td>" for value in values)
        lines.append(f"<tr{kind}><th scope='row'>{escape(name)}</th>{cells}</tr>")
    return (
        f"<div class='table' tabindex='0'><table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _section(one: Explanation, drawn: Sequence[Panel]) -> str:
    said = (
        f"<h2>{escape(one.source or 'A face')}</h2><p>{escape(headline(one))}</p><p class='soft'>{escape(key(one))}</p>"
    )
    return f"<section>{said}{gallery(drawn)}{_contributions(one)}</section>"


def _contributions(one: Explanation) -> str:
    if not one.contributions:
        return ""
    names = list(one.probabilities)
    parts: dict[str, Any] = {"start": one.bias}
    parts |= {family_title(name, one.evidence[name].family): part for name, part in one.contributions.items()}
    rows = [(name, [part[label] for label in names]) for name, part in parts.items()]
    rows.append(("log-odds", [one.log_odds[label] for label in names]))
    return table("What each family adds to the log-odds of each expression", names, rows, last=True)


def _figure(panel: Panel) -> str:
    data = b64encode(figure_bytes(drawing_of(panel), dpi=110)).decode()
    words = f"<figcaption><h3>{escape(panel.title)}</h3><p>{escape(panel.caption)}</p></figcaption>"
    alt = escape(f"{panel.title}. {panel.caption}", quote=True)
    return f"<figure>{words}<img alt='{alt}' src='data:image/png;base64,{data}'></figure>"
