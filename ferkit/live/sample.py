"""A clip of drawn people, so that everything can be tried with no camera and no data at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ferkit.records import Frame
from ferkit.sources.anatomy import ACTION_UNITS
from ferkit.sources.look import Look, View
from ferkit.sources.painter import paint

SHOWN = (
    ("neutral", "happiness", "neutral", "surprise", "neutral"),
    ("neutral", "neutral", "surprise", "happiness", "happiness"),
)
"""What the two people show, one after the other."""

FPS = 20.0
_EACH = 30
_SIZE = 480
_SEEDS = (3, 12)


def drawn_clip(frames_each: int = _EACH) -> Iterator[Frame]:
    """Two drawn people beside each other, 640x480, whose expressions change.

    Parameters
    ----------
    frames_each : int, default=30
        Frames of each expression; over the first fifth of them the face moves from the expression before.

    Yields
    ------
    Frame
        RGB, 20 a second.
    """
    people = [_person(seed) for seed in _SEEDS]
    for index in range(frames_each * len(SHOWN[0])):
        part, step = divmod(index, frames_each)
        share = min(1.0, (step + 1) / max(1, frames_each // 5))
        halves = []
        for (look, view), shown, seed in zip(people, SHOWN, _SEEDS, strict=True):
            units = _between(shown[max(0, part - 1)], shown[part], share)
            sway = replace(view, yaw=7 * np.sin(index / 15 + seed), roll=6 * np.sin(index / 22 + seed))
            picture = paint(look, sway, units, _SIZE, np.random.default_rng(seed))
            halves.append(picture[:, _SIZE // 2 - 160 : _SIZE // 2 + 160])
        yield Frame(np.hstack(halves), "sample", index, index / FPS)


def _person(seed: int) -> tuple[Look, View]:
    rng = np.random.default_rng(seed)
    look = Look.random(rng)
    return look, replace(View.random(rng), yaw=0.0, pitch=0.0, roll=0.0, face=0.26, x=0.37, y=0.46, noise=0.0)


def _between(one: str, other: str, share: float) -> dict[str, float]:
    start, end = ACTION_UNITS[one], ACTION_UNITS[other]
    return {unit: (1 - share) * start.get(unit, 0.0) + share * end.get(unit, 0.0) for unit in {**start, **end}}
