"""A picture of a whole session: who showed what when."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ferkit.lettering import font_of
from ferkit.live.drawing import Ink, ink_of
from ferkit.live.summary import OTHERS, Summary

_LEFT, _RIGHT, _TOP, _ROW, _LOW = 90, 20, 34, 26, 30
_WIDTH = 900


def draw_timeline(summary: Summary) -> NDArray[np.uint8]:
    """One row a person, time to the right, one colour a label.

    Parameters
    ----------
    summary : Summary

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    timeline = summary.timeline
    tracks = sorted(timeline.seconds, key=lambda track: (track == OTHERS, track))
    end = max(timeline.end, timeline.span)
    picture = Image.new("RGB", (_WIDTH, _TOP + _ROW * max(1, len(tracks)) + _LOW), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    scale = (_WIDTH - _LEFT - _RIGHT) / end
    inks = [ink_of(label, i) for i, label in enumerate(timeline.labels)]
    shown: set[int] = set()
    for i, track in enumerate(tracks):
        top = _TOP + i * _ROW
        pen.text((8, top + 3), "others" if track == OTHERS else f"person {track}", fill="black", font=font)
        for place, label in enumerate(timeline.shown(track)):
            if label >= 0:
                shown.add(int(label))
                left = _LEFT + place * timeline.span * scale
                right = max(left, _LEFT + (place + 1) * timeline.span * scale - 1)
                pen.rectangle((left, top + 2, right, top + _ROW - 5), fill=inks[label])
    if not tracks:
        pen.text((_LEFT, _TOP + 3), "nobody was seen", fill="black", font=font)
    _legend(pen, {timeline.labels[i]: inks[i] for i in sorted(shown)})
    _axis(pen, font, end, scale, picture.height)
    return np.asarray(picture)


def _legend(pen: ImageDraw.ImageDraw, inks: dict[str, Ink]) -> None:
    left = float(_LEFT)
    for label, ink in inks.items():
        font = ImageFont.load_default(13) if label.isascii() else font_of(label, 13)
        pen.rectangle((left, 10, left + 12, 22), fill=ink)
        pen.text((left + 17, 8), label, fill="black", font=font)
        left += 34 + pen.textlength(label, font=font)


def _axis(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    end: float,
    scale: float,
    height: int,
) -> None:
    steps = [step * unit for unit in (1, 60, 3600) for step in (1, 2, 5, 10, 20, 30)]
    step = next((step for step in steps if end / step <= 10), steps[-1])
    for second in np.arange(0, end + 1e-9, step):
        x = _LEFT + second * scale
        pen.line((x, height - _LOW, x, height - _LOW + 5), fill="black")
        pen.text((x, height - _LOW + 7), _clock(float(second)), fill="black", font=font, anchor="ma")


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
