"""Painting the parametric face: a flat picture of the head, lit and folded, turned in space, before a scene."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.sources import anatomy
from ferkit.sources.anatomy import Strength, Units
from ferkit.sources.look import Colour, Look, View

_HALF = 2.15
"""The flat picture of the head reaches this far from its middle, in face units."""

_SHIFT = 4
_GRID = 56
_DEPTH = 0.72
Texture = NDArray[Any]


class _Sheet:
    """Flat picture in face coordinates."""

    def __init__(self, pixels_per_unit: float) -> None:
        self.scale = pixels_per_unit
        self.side = round(2 * _HALF * pixels_per_unit)
        self.rgb: Texture = np.zeros((self.side, self.side, 3), np.uint8)
        self.alpha: Texture = np.zeros((self.side, self.side), np.uint8)

    def fixed(self, points: Any) -> NDArray[np.int32]:
        """Face coordinates to OpenCV's fixed-point pixels."""
        return np.rint(((np.asarray(points) + _HALF) * self.scale - 0.5) * (1 << _SHIFT)).astype(np.int32)

    def fill(self, points: Any, colour: Colour, solid: bool = False) -> None:
        """Filled outline; ``solid`` adds it to the shape of the head."""
        fixed = self.fixed(points)
        cv2.fillPoly(self.rgb, [fixed], colour, cv2.LINE_AA, _SHIFT)
        if solid:
            cv2.fillPoly(self.alpha, [fixed], 255, cv2.LINE_AA, _SHIFT)

    def line(self, points: Any, colour: Colour, width: float) -> None:
        """Curve of a width in face units."""
        pixels = max(1, round(width * self.scale))
        cv2.polylines(self.rgb, [self.fixed(points)], False, colour, pixels, cv2.LINE_AA, _SHIFT)

    def disc(self, centre: tuple[float, float], radius: float, colour: Colour) -> None:
        """Filled circle."""
        x, y = self.fixed(centre)
        reach = round(radius * self.scale * (1 << _SHIFT))
        cv2.circle(self.rgb, (int(x), int(y)), reach, colour, -1, cv2.LINE_AA, _SHIFT)

    def window(self, points: Any) -> tuple[slice, slice]:
        """Rows and columns around some points."""
        pixels = (np.asarray(points) + _HALF) * self.scale
        low = np.maximum(np.floor(pixels.min(0)).astype(int) - 2, 0)
        high = np.ceil(pixels.max(0)).astype(int) + 3
        return slice(low[1], high[1]), slice(low[0], high[0])


def paint(look: Look, view: View, units: Units, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint one face.

    Parameters
    ----------
    look : Look
    view : View
    units : mapping of str to float
        Strength of the action units.
    size : int
        Height and width in pixels.
    rng : numpy.random.Generator
        For background and noise.

    Returns
    -------
    ndarray of shape (size, size, 3), dtype uint8
        RGB.
    """
    finer = max(1, min(3, round(256 / size)))
    canvas = size * finer
    unit = view.face / 2 * canvas
    head, alpha = _head(look, view, Strength(units), unit)
    scene = _scene(look, view, canvas, unit, rng)
    maps = _turned(view, canvas, unit, head.shape[0])
    head = cv2.remap(head, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    alpha = cv2.remap(alpha, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    cover = cv2.merge([alpha] * 3).astype(np.float32) * np.float32(1 / 255)
    picture: Texture = scene + (head.astype(np.float32) - scene) * cover
    if finer > 1:
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    picture *= view.brightness * _exposure(look)
    if view.noise:
        picture += rng.normal(0, view.noise, (size, size, 1)).astype(np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _exposure(look: Look) -> float:
    """A camera exposes dark skin a little longer."""
    return float((150 / (20 + np.mean(look.skin))) ** 0.35)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """Colour between two: all of the first at 0, all of the other at 1."""
    return tuple(round(a + (b - a) * share) for a, b in zip(one, other, strict=True))  # type: ignore[return-value]


def _head(look: Look, view: View, a: Strength, unit: float) -> tuple[Texture, Texture]:
    """Flat head, lit, and its shape."""
    sheet = _Sheet(unit)
    lips = anatomy.mouth(look, a)
    _hair_behind(sheet, look)
    _skin(sheet, look, lips)
    _grow_beard(sheet, look, lips)
    shade = _folds(sheet, look, a, lips)
    _hair_before(sheet, look)
    sheet.rgb = _lit(sheet.rgb, _light(look, view, a, lips), shade)
    for side in (-1, 1):
        _eye(sheet, look, view, a, side)
        sheet.fill(anatomy.brow(look, a, side), _mix(look.hair, look.skin, 0.12))
    _nose(sheet, look, a)
    _mouth(sheet, look, lips)
    return sheet.rgb, sheet.alpha


def _hair_behind(sheet: _Sheet, look: Look) -> None:
    dark = _mix(look.hair, (0, 0, 0), 0.25)
    if look.style == "long":
        half = [(0, -1.78), (0.7, -1.66), (1.12, -1.1), (1.22, -0.2), (1.24, 0.7), (1.2, 1.5), (0.9, 1.85), (0, 1.8)]
        sheet.fill(anatomy.spline(anatomy.mirrored(half)), dark, solid=True)
    elif look.style in ("short", "parted", "fringe"):
        half = [(0, -1.74), (0.62, -1.62), (1.0, -1.15), (1.08, -0.55), (1.02, -0.1), (0.5, 0.0), (0, 0)]
        sheet.fill(anatomy.spline(anatomy.mirrored(half)), dark, solid=True)
    elif look.style == "cropped":
        half = [(0, -1.58), (0.56, -1.5), (0.93, -1.08), (1.03, -0.55), (1.0, -0.2), (0.5, 0), (0, 0)]
        sheet.fill(anatomy.spline(anatomy.mirrored(half)), dark, solid=True)


def _skin(sheet: _Sheet, look: Look, lips: anatomy.Mouth) -> None:
    for side in (-1, 1):
        ear = [(0.96, -0.28), (1.1, -0.34), (1.16, -0.1), (1.08, 0.22), (0.96, 0.3)]
        if look.style != "long":
            sheet.fill(
                anatomy.spline(np.array(ear) * (side * look.width, 1)), _mix(look.skin, (120, 40, 30), 0.2), True
            )
    sheet.fill(anatomy.outline(look, lips.drop), look.skin, solid=True)


def _grow_beard(sheet: _Sheet, look: Look, lips: anatomy.Mouth) -> None:
    if look.beard:
        share = cv2.resize(_beard(lips.drop) * np.float32(0.75 * look.beard), sheet.alpha.shape[::-1])[:, :, None]
        sheet.rgb = (sheet.rgb + (np.array(look.hair, np.float32) - sheet.rgb) * share).astype(np.uint8)


def _folds(sheet: _Sheet, look: Look, a: Strength, lips: anatomy.Mouth) -> Texture:
    """Soft shade, 0 to 255, along the folds of the skin."""
    shade: Texture = np.zeros(sheet.alpha.shape, np.uint8)
    width = max(1, round(0.035 * sheet.scale))
    for curve, strength in anatomy.folds(look, a, lips):
        points = sheet.fixed(anatomy.spline(curve, closed=False))
        cv2.polylines(shade, [points], False, round(255 * strength), width, cv2.LINE_AA, _SHIFT)
    blur = 2 * round(0.025 * sheet.scale) + 1
    return cv2.GaussianBlur(shade, (blur, blur), 0)


def _beard(drop: float) -> NDArray[np.float32]:
    """Where a beard grows: around the mouth and along the jaw."""
    x, y = _grid()
    low = 1 / (
        1 + np.exp(-14 * (y - 0.62 - 0.25 * (1 - np.minimum(1, np.abs(x) / 0.9)) + 0.5 * (np.abs(x) > 0.7) * 0.1))
    )
    moustache = np.exp(-((x / 0.32) ** 4) - ((y - 0.64) / 0.07) ** 2)
    bare = np.exp(-((x / 0.30) ** 4) - ((y - 0.93 - drop / 2) / (0.12 + drop / 2)) ** 4)
    return np.clip(np.maximum(low, moustache) - 0.6 * bare, 0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def _grid() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Face coordinates of the coarse grid on which light and turn are computed."""
    centres = ((np.arange(_GRID) + 0.5) / _GRID * 2 - 1) * _HALF
    x, y = np.meshgrid(centres, centres)
    return x.astype(np.float32), y.astype(np.float32)


def _bump(x: float, y: float, wide: float, high: float) -> NDArray[np.float32]:
    """Soft hill (a Gaussian) on the grid."""
    across, down = _grid()
    columns = np.exp(-(((across[0] - x) / wide) ** 2))
    rows = np.exp(-(((down[:, 0] - y) / high) ** 2))
    return np.outer(rows, columns).astype(np.float32)


@lru_cache(maxsize=1)
def _skull() -> NDArray[np.float32]:
    """Height of what does not move: head, nose, sockets, cheeks."""
    x, y = _grid()
    height = 0.95 * np.sqrt(np.clip(1.12 - (x / 1.06) ** 2 - ((y + 0.02) / 1.56) ** 2, 0.02, None))
    for side in (-1, 1):
        height -= 0.15 * _bump(side * 0.4, -0.17, 0.25, 0.15)
        height += 0.05 * _bump(side * 0.42, -0.16, 0.12, 0.08)
        height += 0.07 * _bump(side * 0.6, 0.22, 0.26, 0.2)
        height += 0.06 * _bump(side * 0.17, 0.44, 0.09, 0.08)
        height -= 0.06 * _bump(side * 0.55, 0.72, 0.2, 0.3)
    height += 0.17 * _bump(0, 0.1, 0.12, 0.42) + 0.16 * _bump(0, 0.4, 0.14, 0.13)
    return height.astype(np.float32)


def _dropped(drop: float) -> NDArray[np.float32]:
    """The skull with its lower part stretched down by an open jaw."""
    down = _grid()[1][:, 0]
    source = np.where(down > 0.5, 0.5 + (down - 0.5) / (1 + drop), down)
    row = np.interp(source, down, np.arange(_GRID))
    above = np.minimum(row.astype(int), _GRID - 2)
    share = (row - above).astype(np.float32)[:, None]
    return _skull()[above] * (1 - share) + _skull()[above + 1] * share


def _light(look: Look, view: View, a: Strength, lips: anatomy.Mouth) -> NDArray[np.float32]:
    """Brightness on the grid: a height map of the face lit from one side (Lambert) and the shade in its hollows."""
    height = _dropped(lips.drop) + 0.03 * _bump(0, 0.72, 0.26, 0.06) + 0.04 * _bump(0, 0.9 + lips.drop / 2, 0.22, 0.07)
    height += 0.09 * _bump(0, 1.25 + lips.drop, 0.25, 0.15) - 0.05 * _bump(0, 1.05 + lips.drop, 0.2, 0.05)
    for side in (-1, 1):
        raised = -0.4 - 0.12 * a(1, side) + 0.1 * a(4, side)
        height += 0.06 * _bump(side * 0.4, raised, 0.3, 0.1)
        height += 0.07 * max(a(6, side), a(12, side)) * _bump(side * 0.52, 0.24, 0.2, 0.14)
    step = 2 * _HALF / _GRID
    down, across = np.gradient(height, step)
    turn, lift = np.deg2rad(view.light + view.yaw), np.deg2rad(view.light_height)
    ray = np.sin(turn) * np.cos(lift), -np.sin(lift), np.cos(turn) * np.cos(lift)
    facing = (-across * ray[0] - down * ray[1] + ray[2]) / np.sqrt(1 + across**2 + down**2)
    light = view.ambient + (1.12 - view.ambient) * np.clip(facing, 0, None) / (0.35 + 0.65 * ray[2])
    hollow = 0.26 * (_bump(-0.36, -0.2, 0.25, 0.13) + _bump(0.36, -0.2, 0.25, 0.13))
    hollow += 0.2 * _bump(0, 0.57, 0.22, 0.07) + 0.12 * _bump(0, 1.04 + lips.drop, 0.2, 0.05)
    return (light * (1 - hollow)).clip(0.08, 1.5).astype(np.float32)


def _lit(rgb: Texture, light: NDArray[np.float32], shade: Texture) -> Texture:
    """Picture times light, less along the folds."""
    full: Texture = cv2.resize(light, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    full *= 1 - shade * np.float32(0.42 / 255)
    return np.asarray(cv2.multiply(rgb, cv2.merge([full] * 3), dtype=cv2.CV_8U))


def _eye(sheet: _Sheet, look: Look, view: View, a: Strength, side: int) -> None:
    eye = anatomy.eye(look, a, side)
    opening = np.vstack([eye.upper, eye.lower[::-1]])
    rows, columns = sheet.window(np.vstack([opening, np.add(eye.iris, eye.radius), np.subtract(eye.iris, eye.radius)]))
    behind = sheet.rgb[rows, columns].copy()
    sheet.fill(opening, (226, 220, 214))
    sheet.disc(eye.iris, eye.radius, _mix(look.eyes, (0, 0, 0), 0.3))
    sheet.disc(eye.iris, 0.8 * eye.radius, look.eyes)
    sheet.disc(eye.iris, 0.45 * eye.radius, (12, 10, 10))
    sheet.disc((eye.iris[0] + 0.03 * np.sign(view.light), eye.iris[1] - 0.03), 0.02, (250, 250, 250))
    mask = np.zeros(sheet.alpha.shape, np.uint8)
    cv2.fillPoly(mask, [sheet.fixed(opening)], 255, cv2.LINE_AA, _SHIFT)
    share = mask[rows, columns, None] / np.float32(255)
    sheet.rgb[rows, columns] = behind + (sheet.rgb[rows, columns] - behind.astype(np.float32)) * share
    sheet.line(eye.fold, _mix(look.skin, (40, 20, 15), 0.55), 0.015)
    sheet.line(eye.upper, (26, 18, 16), 0.036)
    sheet.line(eye.lower, _mix(look.skin, (60, 25, 20), 0.55), 0.016)


def _nose(sheet: _Sheet, look: Look, a: Strength) -> None:
    up = 0.045 * a(9) + 0.015 * a(10)
    dark = _mix(look.skin, (30, 12, 10), 0.7)
    for side in (-1, 1):
        hole = np.array([(0.05, 0.49), (0.1, 0.465), (0.145, 0.49), (0.1, 0.515)]) * (look.nose * side, 1) - (0, up)
        sheet.fill(anatomy.spline(hole, steps=4), dark)
        wing = np.array([(0.17, 0.36), (0.215, 0.43), (0.205, 0.5), (0.16, 0.515)]) * (look.nose * side, 1) - (0, up)
        sheet.line(anatomy.spline(wing, closed=False, steps=4), _mix(look.skin, (50, 20, 15), 0.5), 0.022)


def _mouth(sheet: _Sheet, look: Look, lips: anatomy.Mouth) -> None:
    red = _mix(look.skin, (150, 40, 48), 0.5)
    sheet.fill(np.vstack([lips.upper_out, lips.upper_in[::-1]]), _mix(red, (50, 10, 15), 0.2))
    sheet.fill(np.vstack([lips.lower_in, lips.lower_out[::-1]]), red)
    inside = np.vstack([lips.upper_in, lips.lower_in[::-1]])
    if lips.gap > 0.02:
        sheet.fill(inside, (46, 14, 16))
        _inside(sheet, lips)
    sheet.line(lips.upper_in, (64, 22, 24), 0.022)
    sheet.line(lips.lower_in, (84, 30, 32), 0.014)


def _inside(sheet: _Sheet, lips: anatomy.Mouth) -> None:
    """Tongue and teeth, never beyond the lips."""
    space = lips.lower_in[:, 1] - lips.upper_in[:, 1]
    if lips.gap > 0.16:
        tongue = lips.lower_in - np.column_stack([np.zeros_like(space), 0.45 * space])
        sheet.fill(np.vstack([tongue[6:-6], lips.lower_in[18:5:-1]]), (150, 62, 66))
    ends = 1 + min(5, max(0, round(25 * (lips.gap - 0.12))))
    for edge, reach, sign in ((lips.upper_in, lips.upper_teeth, 1), (lips.lower_in, lips.lower_teeth, -1)):
        if reach > 0.012:
            teeth = edge + np.column_stack([np.zeros_like(space), sign * np.minimum(reach, 0.95 * space)])
            sheet.fill(np.vstack([edge[ends:-ends], teeth[-ends - 1 : ends - 1 : -1]]), (236, 230, 220))


def _hair_before(sheet: _Sheet, look: Look) -> None:
    if look.style == "bald":
        return
    top = {"cropped": -1.6}.get(look.style, -1.76)
    outer = [
        (-1.02, -0.42),
        (-1.04, -0.9),
        (-0.66, 0.1 + top),
        (0, top),
        (0.66, 0.1 + top),
        (1.04, -0.9),
        (1.02, -0.42),
    ]
    line = {
        "short": [(0.9, -0.72), (0.62, -1.06), (0, -1.1), (-0.62, -1.06), (-0.9, -0.72)],
        "parted": [(0.92, -0.6), (0.74, -0.92), (0.2, -1.2), (-0.45, -1.08), (-0.9, -0.66)],
        "long": [(0.93, -0.35), (0.8, -0.85), (0.1, -1.25), (-0.74, -0.88), (-0.93, -0.35)],
        "fringe": [(0.92, -0.6), (0.7, -0.8), (0.2, -0.74), (-0.4, -0.78), (-0.92, -0.6)],
        "cropped": [(0.92, -0.72), (0.68, -1.14), (0, -1.2), (-0.68, -1.14), (-0.92, -0.72)],
    }[look.style]
    sheet.fill(anatomy.spline([*outer, *line], steps=6), look.hair, solid=True)


def _turned(view: View, canvas: int, unit: float, side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each pixel of the picture, where it lies in the flat head: the inverse of turning it in space.

    The head is a paraboloid with a nose; a point at height z moves sideways by z sin(yaw). The inverse is a fixed
    point, found on a coarse grid, where the map is smooth.
    """
    coarse = max(24, canvas // 8)
    centres = (np.arange(coarse) + 0.5) / coarse
    across, down = np.meshgrid((centres - view.x) * canvas / unit, (centres - view.y) * canvas / unit)
    roll = np.deg2rad(view.roll)
    x = across * np.cos(roll) + down * np.sin(roll)
    y = down * np.cos(roll) - across * np.sin(roll)
    yaw, pitch = np.sin(np.deg2rad(np.clip([view.yaw, view.pitch], -40, 40)))
    u, v = x, y
    for _ in range(8):
        z = _DEPTH * np.clip(1 - (u / 1.15) ** 2 - (v / 1.7) ** 2, 0, None)
        z = z + 0.16 * np.exp(-((u / 0.2) ** 2) - ((v - 0.36) / 0.22) ** 2)
        u, v = x - z * yaw, y - z * pitch
    found = []
    for part in (u, v):
        pixels = ((part + _HALF) * side / (2 * _HALF) - 0.5).astype(np.float32)
        found.append(cv2.resize(pixels, (canvas, canvas), interpolation=cv2.INTER_CUBIC))
    return found[0], found[1]


def _scene(look: Look, view: View, canvas: int, unit: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Background, shoulders and neck."""
    small = np.full((12, 12, 3), view.background, np.float32)
    small += rng.normal(0, 40 * view.clutter, (12, 12, 1)).astype(np.float32)
    small += np.linspace(14, -14, 12, dtype=np.float32)[:, None, None]
    scene = cv2.resize(small, (canvas, canvas), interpolation=cv2.INTER_LINEAR)
    cx, cy = view.x * canvas, view.y * canvas

    def place(points: Any) -> NDArray[np.int32]:
        return np.rint((np.asarray(points) * unit + (cx, cy)) * (1 << _SHIFT)).astype(np.int32)

    shoulders = [(-0.5, 1.65), (-1.2, 1.95), (-1.95, 2.25), (-2.3, 3.0), (-2.4, 9), (2.4, 9), (2.3, 3.0), (1.95, 2.25)]
    body = anatomy.spline([*shoulders, (1.2, 1.95), (0.5, 1.65)], steps=6)
    tilt = 0.01 * view.roll
    neck = [(-0.62 + tilt, 0.7), (-0.58, 1.6), (-0.72, 1.95), (0, 2.2), (0.72, 1.95), (0.58, 1.6), (0.62 + tilt, 0.7)]
    tone = 0.55 * (view.ambient + (1 - view.ambient) * 0.7)
    cv2.fillPoly(scene, [place(body)], [v * (0.5 + 0.5 * view.ambient) for v in look.shirt], cv2.LINE_AA, _SHIFT)
    cv2.fillPoly(scene, [place(neck)], [v * (0.25 + tone) for v in look.skin], cv2.LINE_AA, _SHIFT)
    return np.clip(scene, 0, 255)
