"""The drawn sample set: faces that ferkit draws itself, so that everything runs with no data at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, InputError
from ferkit.labels import FER2013, canonical
from ferkit.records import Frame
from ferkit.sources.anatomy import ACTION_UNITS, UNITS, VARIANTS
from ferkit.sources.dataset import Dataset
from ferkit.sources.images import to_grey
from ferkit.sources.look import Look, View
from ferkit.sources.painter import paint

_LOOK = {field.name for field in fields(Look)}
_VIEW = {field.name for field in fields(View)}
_CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v", ".webm": "VP80"}


def draw_face(
    expression: str = "neutral",
    *,
    size: int = 160,
    intensity: float = 1.0,
    seed: int | np.random.Generator | None = None,
    look: Look | None = None,
    view: View | None = None,
    units: dict[str, float] | None = None,
    **changes: Any,
) -> NDArray[np.uint8]:
    """Draw a face, with brows, eyes, nose, mouth, folds, hair, light, neck and shoulders.

    Parameters
    ----------
    expression : str, default="neutral"
        One of the eight built-in labels; drawn through the facial action units in ``anatomy.ACTION_UNITS``.
    size : int, default=160
        Height and width in pixels, 16 to 1024.
    intensity : float, default=1.0
        0 (neutral) to 1 (full).
    seed : int, Generator or None, default=None
        Draws the person, the view and a variant of the expression by chance. None draws the average person from the
        front in plain light.
    look : Look or None, default=None
        The person, instead of one by chance.
    view : View or None, default=None
        Head turn, light, place and background, instead of ones by chance.
    units : dict of str to float or None, default=None
        Action units (``{"12": 1.0, "R14": 0.5}``) instead of an expression.
    **changes
        Any field of ``Look`` or ``View``: ``yaw=20``, ``light=60``, ``skin=(98, 64, 46)``, ``face=0.8`` ...

    Returns
    -------
    ndarray of shape (size, size, 3), dtype uint8
        RGB.

    Examples
    --------
    >>> draw_face("happiness", seed=3, size=96, yaw=15).shape
    (96, 96, 3)
    """
    _check(size, intensity, changes)
    rng = np.random.default_rng(seed if seed is not None else 0)
    drawn_look, drawn_view, scene = Look.random(rng), View.random(rng), int(rng.integers(1 << 32))
    drawn_units = _units(expression, rng)
    if seed is None:
        drawn_look, drawn_view, drawn_units = Look(), View(), dict(ACTION_UNITS[canonical(expression)])
    look = replace(look or drawn_look, **{name: changes[name] for name in changes if name in _LOOK})
    view = replace(view or drawn_view, **{name: changes[name] for name in changes if name in _VIEW})
    strengths = _known_units(units) if units is not None else drawn_units
    return paint(
        look, view, {unit: intensity * value for unit, value in strengths.items()}, size, np.random.default_rng(scene)
    )


def sample(n: int = 700, seed: int = 0, *, size: int = 48) -> Dataset:
    """Drawn data set: seven expressions, cut out as FER2013's faces are.

    Each person shows each of the seven expressions once. Persons do not cross splits: 70 % are Training, 15 %
    PublicTest, 15 % PrivateTest.

    Parameters
    ----------
    n : int, default=700
        Pictures.
    seed : int, default=0
        Another seed gives other persons.
    size : int, default=48
        Height and width in pixels.

    Returns
    -------
    Dataset
        Grey stack with ``splits`` and ``subjects``.

    Examples
    --------
    >>> data = sample(70)
    >>> data.pictures.shape, data.split("PublicTest").labels[:2].tolist()
    ((70, 48, 48), ['anger', 'disgust'])
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise InputError(f"Got n={n!r}, expected a whole number of at least 1.")
    persons = -(-n // len(FER2013))
    looks = [Look.random(np.random.default_rng((seed, person))) for person in range(persons)]
    pictures = np.empty((n, size, size), np.uint8)
    for row in range(n):
        person, expression = divmod(row, len(FER2013))
        rng = np.random.default_rng((seed, person, expression))
        view, intensity = View.crop(rng), float(rng.uniform(0.7, 1.0))
        face = draw_face(FER2013[expression], size=size, intensity=intensity, seed=rng, look=looks[person], view=view)
        pictures[row] = to_grey(face)
    of_row = np.arange(n) // len(FER2013)
    parts = np.array(["Training", "PublicTest", "PrivateTest"], dtype=object)
    ends = np.rint(np.array([0.70, 0.85]) * persons)
    return Dataset(
        pictures,
        [FER2013[row % len(FER2013)] for row in range(n)],
        parts[np.searchsorted(ends, of_row, side="right")],
        subjects=[f"drawn{person:04d}" for person in of_row],
        names=[f"drawn{person:04d}_{FER2013[row % len(FER2013)]}" for row, person in enumerate(of_row)],
        kind="sample",
    )


def sample_frames() -> Iterator[Frame]:
    """One drawn person who shows FER2013's seven expressions, each a picture named after it."""
    return (Frame(draw_face(name, size=320, seed=3), f"sample-{name}") for name in FER2013)


def sample_video(
    path: str | Path,
    expressions: Sequence[str] = ("neutral", "happiness", "neutral", "surprise", "neutral", "sadness"),
    *,
    frames_each: int = 20,
    fps: float = 20.0,
    size: int = 320,
    seed: int = 0,
) -> list[str]:
    """Write a drawn clip of one person whose expression changes at known frames.

    Parameters
    ----------
    path : str or Path
        ``.mp4`` or ``.mkv`` (MPEG-4 part 2), ``.avi`` (Motion JPEG) or ``.webm`` (VP8).
    expressions : sequence of str
        Shown one after the other.
    frames_each : int, default=20
        Frames of each; over the first quarter of them the face moves from the expression before.
    fps : float, default=20
        Frames a second.
    size : int, default=320
        Height and width in pixels.
    seed : int, default=0
        Draws the person and the light.

    Returns
    -------
    list of str
        Label of each frame.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sample_video(f"{folder}/clip.avi", ["neutral", "anger"], frames_each=2, size=96)
    ['neutral', 'neutral', 'anger', 'anger']
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _CODECS:
        raise InputError(f"Got path={str(path)!r}, expected one that ends in {', '.join(_CODECS)}.")
    if not expressions or frames_each < 1:
        raise InputError(f"Got {len(expressions)} expressions of {frames_each} frames, expected at least 1 of each.")
    rng = np.random.default_rng(seed)
    look, view = Look.random(rng), replace(View.random(rng), yaw=0.0, pitch=0.0, roll=0.0)
    shown = [dict(ACTION_UNITS[_known(name)]) for name in expressions]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*_CODECS[suffix]), fps, (size, size))
    try:
        if not writer.isOpened():
            raise DataError(f"Got path={str(path)!r}, which OpenCV cannot write, expected a writable folder.")
        for frame in range(len(shown) * frames_each):
            part, step = divmod(frame, frames_each)
            share = min(1.0, (step + 1) / max(1, frames_each // 4))
            units = _between(shown[max(0, part - 1)], shown[part], share)
            sway = replace(view, yaw=6 * np.sin(frame / 15), roll=2 * np.sin(frame / 22))
            picture = paint(look, sway, units, size, np.random.default_rng(seed))
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    finally:
        writer.release()
    return [canonical(expressions[frame // frames_each]) for frame in range(len(shown) * frames_each)]


def _between(one: dict[str, float], other: dict[str, float], share: float) -> dict[str, float]:
    return {unit: (1 - share) * one.get(unit, 0.0) + share * other.get(unit, 0.0) for unit in {**one, **other}}


def _known(expression: str) -> str:
    name = canonical(expression)
    if name not in ACTION_UNITS:
        raise InputError(f"Got expression={expression!r}, expected one of {', '.join(ACTION_UNITS)}.")
    return name


def _units(expression: str, rng: np.random.Generator) -> dict[str, float]:
    """Action units of an expression as one person shows it once: a variant, each unit a little weaker or stronger."""
    name = _known(expression)
    ways = (ACTION_UNITS[name], *({**ACTION_UNITS[name], **other} for other in VARIANTS.get(name, ())))
    chosen = ways[rng.integers(len(ways))]
    varied = {unit: float(np.clip(value * rng.uniform(0.8, 1.15), 0, 1)) for unit, value in chosen.items()}
    if rng.random() < 0.5:
        varied = {("L" + unit[1:] if unit.startswith("R") else unit): value for unit, value in varied.items()}
    return varied


def _known_units(units: dict[str, float]) -> dict[str, float]:
    for unit, value in units.items():
        if unit.lstrip("LR") not in UNITS or not 0 <= value <= 1:
            raise InputError(f"Got units={{{unit!r}: {value!r}}}, expected 0 to 1 for one of {', '.join(UNITS)}.")
    return units


def _check(size: int, intensity: float, changes: dict[str, Any]) -> None:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not 16 <= size <= 1024:
        raise InputError(f"Got size={size!r}, expected a whole number from 16 to 1024.")
    if not 0 <= intensity <= 1:
        raise InputError(f"Got intensity={intensity!r}, expected 0 to 1.")
    unknown = sorted(set(changes) - _LOOK - _VIEW)
    if unknown:
        raise InputError(
            f"Got {unknown[0]}={changes[unknown[0]]!r}, expected one of {', '.join(sorted(_LOOK | _VIEW))}."
        )
