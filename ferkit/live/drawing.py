"""What the window and the recording show: the frame with boxes, labels, bars, a timeline a face, and the pace."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.features.hog import HOG
from ferkit.features.hog_view import hog_view
from ferkit.labels import NOT_SURE, colour, ordered
from ferkit.lettering import put_text, text_width
from ferkit.live.records import LiveReading, Moment

DARK, GREY = (24, 24, 24), (150, 150, 150)

SLOT, SLOTS = 0.1, 60
"""A face's timeline shows so many slots of so many seconds."""

_LINES = 480
"""Shorter side in pixels at which one unit is one pixel."""

Ink = tuple[int, int, int]
Box = tuple[float, float, float, float]


@dataclass
class _Past:
    """Labels that a face showed in the last seconds."""

    slot: int
    labels: deque[str] = field(default_factory=lambda: deque(maxlen=SLOTS))

    def go_on(self, label: str, time: float) -> None:
        now = int(time / SLOT)
        self.labels.extend([label] * min(max(now - self.slot, 0 if self.labels else 1), SLOTS))
        self.slot = now


class Overlay:
    """Draws one moment after the other.

    Sizes follow the frame's, so that text can be read at 480 lines and at 2,160.

    Parameters
    ----------
    model : Model or None, default=None
        Where it has a HOG family, the HOG view shows the cells of that family.

    Examples
    --------
    >>> from ferkit.records import Frame
    >>> Overlay().draw(Moment(Frame(np.zeros((48, 64, 3), np.uint8), time=0.0), (), 5.0)).shape
    (48, 64, 3)
    """

    def __init__(self, model: Any = None) -> None:
        self._hog = hog_of(model)
        self._past: dict[int, _Past] = {}
        self._gap = 0.0
        self._clock: float | None = None

    def draw(
        self,
        moment: Moment,
        *,
        clock: float | None = None,
        mirror: bool = False,
        hog: bool = False,
        pace: bool = True,
    ) -> Any:
        """Copy of the frame with everything on it.

        Parameters
        ----------
        moment : Moment
        clock : float or None, default=None
            Seconds of the clock, from which the frames a second are counted; by default the time of the video.
        mirror : bool, default=False
            Show left and right as in a mirror; text stays readable.
        hog : bool, default=False
            Show the faces' oriented gradients below.
        pace : bool, default=True
            Show frames a second, delay and dropped frames.

        Returns
        -------
        ndarray of shape (height, width, 3), dtype uint8
            RGB.
        """
        image = moment.frame.image
        image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
        canvas = np.ascontiguousarray(image[:, ::-1]) if mirror else image.copy()
        unit = max(0.6, min(canvas.shape[:2]) / _LINES)
        self._remember(moment, moment.time if clock is None else clock)
        if hog:
            self._draw_hog(canvas, moment, unit)
        boxes = [_box_of(one, canvas.shape[1] if mirror else 0) for one in moment.readings]
        for i, (one, box) in enumerate(zip(moment.readings, boxes, strict=True)):
            inks = _inks(one)
            _draw_face(canvas, one, inks, box, unit)
            _draw_bars(canvas, one, inks, box, unit, boxes[:i] + boxes[i + 1 :])
            _draw_past(canvas, self._past[one.track].labels, inks, box, unit)
        if not pace:
            return canvas
        dropped = f"  {moment.dropped} dropped" if moment.dropped else ""
        rate = 1 / self._gap if self._gap else 0.0
        _label(canvas, f"{rate:.0f} frames/s  {moment.latency_ms:.0f} ms{dropped}", 4 * unit, 4 * unit, unit)
        return canvas

    def _remember(self, moment: Moment, clock: float) -> None:
        if self._clock is not None and clock > self._clock:
            gap = clock - self._clock
            self._gap += (gap - self._gap) * (0.1 if self._gap else 1.0)
        self._clock = clock
        present = {one.track for one in moment.readings}
        self._past = {track: past for track, past in self._past.items() if track in present}
        for one in moment.readings:
            past = self._past.setdefault(one.track, _Past(int(moment.time / SLOT)))
            past.go_on(one.label, moment.time)

    def _draw_hog(self, canvas: NDArray[np.uint8], moment: Moment, unit: float) -> None:
        side = round(120 * unit)
        for i, one in enumerate(sorted(moment.readings, key=lambda one: one.track)):
            left, top = round(4 * unit) + i * (side + round(4 * unit)), canvas.shape[0] - side - round(4 * unit)
            if top < 0 or left + side > canvas.shape[1]:
                return
            canvas[top : top + side, left : left + side] = hog_view(one.crop, side, self._hog)
            _label(canvas, f"{one.track} HOG", left, top, 0.8 * unit)


def ink_of(label: str, place: int = 0) -> Ink:
    """Colour of a label, RGB, of a category of one's own by its place among the labels; grey where there is none."""
    code = colour(label, place) if label != NOT_SURE else ""
    return (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)) if code else GREY


def _inks(one: LiveReading) -> dict[str, Ink]:
    """Colours of all labels in their order, and of none."""
    return {name: ink_of(name, i) for i, name in enumerate(ordered(one.smooth))} | {NOT_SURE: GREY}


def hog_of(model: Any) -> HOG | None:
    """The model's own HOG family, one scale of it."""
    parts = model.pipeline.get_params(deep=True).values() if model is not None else ()
    return next((part for part in parts if isinstance(part, HOG)), None)


def _box_of(one: LiveReading, mirrored_in: int) -> Box:
    x1, y1, x2, y2 = one.reading.box_xyxy
    return (mirrored_in - x2, y1, mirrored_in - x1, y2) if mirrored_in else (x1, y1, x2, y2)


def _draw_face(canvas: NDArray[np.uint8], one: LiveReading, inks: dict[str, Ink], box: Box, unit: float) -> None:
    x1, y1, x2, y2 = box
    corners = (round(x1), round(y1)), (round(x2), round(y2))
    cv2.rectangle(canvas, *corners, inks.get(one.label, ink_of(one.label)), max(2, round(2 * unit)), cv2.LINE_AA)
    sure = f" {one.confidence:.0%}" if one.label != NOT_SURE else ""
    top = y1 - 20 * unit if y1 >= 20 * unit else y1
    _label(canvas, f"{one.track}  {one.label}{sure}", x1, top, unit)


def _draw_bars(
    canvas: NDArray[np.uint8], one: LiveReading, inks: dict[str, Ink], box: Box, unit: float, others: list[Box]
) -> None:
    names = ordered(one.smooth)
    row, width = 15 * unit, 130 * unit
    height = row * len(names) + 4 * unit
    top = min(max(0.0, box[1]), max(0.0, canvas.shape[0] - height))
    sides = [left for left in (box[2] + 6 * unit, box[0] - width - 6 * unit) if 0 <= left <= canvas.shape[1] - width]
    free = [
        left for left in sides if not any(_meet((left, top, left + width, top + height), other) for other in others)
    ]
    if not sides:
        return  # no room beside the face, and covering it would hide what was read
    left = (free or sides)[0]
    panel = canvas[round(top) : round(top + height), round(left) : round(left + width)]
    panel[:] = panel // 4
    for i, name in enumerate(names):
        y = top + row * i + 2 * unit
        start, end = left + 74 * unit, left + (74 + 52 * one.smooth[name]) * unit
        bar = (round(start), round(y + 3 * unit)), (round(end), round(y + row - 2 * unit))
        cv2.rectangle(canvas, *bar, inks[name], -1)
        put_text(canvas, name, left + 3 * unit, y + row - 4 * unit, 0.8 * unit)


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _draw_past(canvas: NDArray[np.uint8], past: deque[str], inks: dict[str, Ink], box: Box, unit: float) -> None:
    """The last seconds as a strip below the face, now at its right end."""
    x1, _, x2, y2 = box
    height = max(3, round(6 * unit))
    top = min(round(y2 + 2 * unit), canvas.shape[0] - height)
    width = (x2 - x1) / SLOTS
    for i, label in enumerate(reversed(past)):
        right = round(x2 - i * width)
        left = max(0, min(round(x2 - (i + 1) * width), right - 1))
        canvas[top : top + height, left : max(0, right)] = inks.get(label, ink_of(label))


def _label(canvas: NDArray[np.uint8], text: str, left: float, top: float, unit: float) -> None:
    """Light text on a dark plate that stays inside the picture."""
    width = text_width(text, unit)
    left = max(0.0, min(left, canvas.shape[1] - width - 8 * unit))
    top = max(0.0, min(top, canvas.shape[0] - 18 * unit))
    corners = (round(left), round(top)), (round(left + width + 8 * unit), round(top + 18 * unit))
    cv2.rectangle(canvas, *corners, DARK, -1)
    put_text(canvas, text, left + 4 * unit, top + 13 * unit, unit)
