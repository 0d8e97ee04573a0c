"""The expression vocabulary: order, spellings used by data sets, colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from unicodedata import normalize

EXPRESSIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral", "contempt")
"""Built-in labels in the order that every table, plot and file uses (FER2013's order, then contempt)."""

FER2013 = EXPRESSIONS[:7]
"""The seven labels of FER2013; their position is the number used in ``fer2013.csv``."""

NOT_SURE = "not sure"
"""What stands in place of a label that is not certain enough; no category may have this name."""

ALIASES = {
    "angry": "anger",
    "disgusted": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "scared": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "contemptuous": "contempt",
}

COLOURS = {
    "anger": "#d55e00",
    "disgust": "#009e73",
    "fear": "#cc79a7",
    "happiness": "#e69f00",
    "sadness": "#0072b2",
    "surprise": "#56b4e9",
    "neutral": "#767676",
    "contempt": "#8c6bb1",
}
"""One colour a label, from the colour-blind-safe set of Okabe and Ito (2008)."""


def canonical(name: str) -> str:
    """Built-in spelling of a label, or the name itself (stripped, NFC) where it is a category of the user's own.

    Examples
    --------
    >>> canonical("Happy"), canonical("bored")
    ('happiness', 'bored')
    """
    key = normalize("NFC", name.strip())
    low = key.lower()
    if low in EXPRESSIONS:
        return low
    return ALIASES.get(low, key)


def ordered(names: Iterable[str]) -> list[str]:
    """Distinct labels, the built-in ones first in their fixed order, then others alphabetically.

    Examples
    --------
    >>> ordered(["neutral", "bored", "anger"])
    ['anger', 'neutral', 'bored']
    """
    rank = {name: i for i, name in enumerate(EXPRESSIONS)}
    return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))


def mapped(name: str, mapping: Mapping[str, str | None]) -> str | None:
    """Label after a recipe's ``labels`` block: renamed, merged, or ``None`` where the row is dropped."""
    return mapping.get(name, name)


def colour(name: str, index: int = 0) -> str:
    """Colour ``#rrggbb`` of a label; categories of the user's own take colours in turn."""
    palette = list(COLOURS.values())
    return COLOURS.get(name, palette[index % len(palette)])
