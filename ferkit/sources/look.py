"""Who is drawn, and how the face is seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ferkit.errors import InputError

Colour = tuple[int, int, int]

SKINS: tuple[Colour, ...] = (
    (245, 213, 190),
    (234, 190, 160),
    (222, 171, 127),
    (200, 144, 102),
    (168, 112, 76),
    (128, 84, 58),
    (98, 64, 46),
)
HAIRS: tuple[Colour, ...] = ((28, 24, 24), (58, 38, 28), (96, 62, 38), (150, 104, 60), (200, 168, 112), (150, 150, 152))
EYES: tuple[Colour, ...] = ((72, 46, 30), (94, 66, 40), (74, 100, 72), (84, 120, 158), (110, 122, 130))
STYLES = ("short", "parted", "long", "fringe", "cropped", "bald")


@dataclass(frozen=True)
class Look:
    """Who is drawn: what stays the same from one expression to the next.

    Parameters
    ----------
    skin, hair, eyes : tuple of 3 int
        RGB, 0 to 255.
    style : {"short", "parted", "long", "fringe", "cropped", "bald"}
        Hair.
    width, jaw, eye_size, eye_gap, brow, nose, mouth, lips : float
        Sizes; 1 is average.
    beard : float
        0 for none to 1.
    age : float
        Depth of the folds, 0 to 1.
    shirt : tuple of 3 int
        RGB of the clothes.
    """

    skin: Colour = SKINS[1]
    hair: Colour = HAIRS[1]
    eyes: Colour = EYES[0]
    style: str = "short"
    width: float = 1.0
    jaw: float = 1.0
    eye_size: float = 1.0
    eye_gap: float = 1.0
    brow: float = 1.0
    nose: float = 1.0
    mouth: float = 1.0
    lips: float = 1.0
    beard: float = 0.0
    age: float = 0.3
    shirt: Colour = (70, 90, 120)

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise InputError(f"Got style={self.style!r}, expected one of {', '.join(STYLES)}.")

    @classmethod
    def random(cls, rng: np.random.Generator) -> Look:
        """A person drawn by chance."""
        skin = int(rng.integers(len(SKINS)))
        hairs = HAIRS if skin < 3 else HAIRS[:3]
        sizes = rng.normal(1, 0.06, 8).clip(0.85, 1.15)
        return cls(
            skin=tuple(int(v) for v in np.clip(np.array(SKINS[skin]) + rng.normal(0, 6), 40, 250).astype(int)),  # type: ignore[arg-type]
            hair=hairs[rng.integers(len(hairs))],
            eyes=EYES[rng.integers(len(EYES) if skin < 3 else 2)],
            style=STYLES[rng.integers(len(STYLES))],
            width=float(0.94 + 0.5 * (sizes[0] - 1)),
            jaw=float(sizes[1]),
            eye_size=float(sizes[2]),
            eye_gap=float(1 + 0.5 * (sizes[3] - 1)),
            brow=float(1 + 3 * (sizes[4] - 1)),
            nose=float(sizes[5]),
            mouth=float(sizes[6]),
            lips=float(1 + 2 * (sizes[7] - 1)),
            beard=float(rng.uniform(0.3, 0.9)) if rng.random() < 0.2 else 0.0,
            age=float(rng.uniform(0, 0.9)),
            shirt=tuple(int(v) for v in rng.integers(30, 220, 3)),  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class View:
    """How the face is seen: what changes from one picture to the next.

    Parameters
    ----------
    yaw, pitch, roll : float
        Turn of the head in degrees: to the right of the picture, down, clockwise. Up to about 35, 25 and 45.
    light, light_height : float
        Direction that the light comes from in degrees: from the left (negative) to the right, and above.
    ambient : float
        Share of light from everywhere, 0 (hard shadows) to 1 (flat).
    brightness : float
        1 is normal.
    face : float
        Width of the face as a share of the picture's width.
    x, y : float
        Where the middle of the face (between eyes and nose) lies, as shares of the picture.
    background : tuple of 3 int
        RGB.
    clutter : float
        Strength of the shapes in the background, 0 to 1.
    noise : float
        Standard deviation of sensor noise in grey levels.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    light: float = -25.0
    light_height: float = 30.0
    ambient: float = 0.5
    brightness: float = 1.0
    face: float = 0.46
    x: float = 0.5
    y: float = 0.46
    background: Colour = (150, 160, 170)
    clutter: float = 0.3
    noise: float = 0.0

    @classmethod
    def random(cls, rng: np.random.Generator) -> View:
        """A picture taken by chance: nearly from the front, in everyday light."""
        return cls(
            yaw=float(rng.normal(0, 10)),
            pitch=float(rng.normal(0, 6)),
            roll=float(rng.normal(0, 5)),
            light=float(rng.uniform(-60, 60)),
            light_height=float(rng.uniform(5, 50)),
            ambient=float(rng.uniform(0.35, 0.7)),
            brightness=float(np.clip(rng.normal(1, 0.12), 0.7, 1.3)),
            face=float(rng.uniform(0.4, 0.52)),
            x=float(rng.normal(0.5, 0.02)),
            y=float(rng.normal(0.46, 0.02)),
            background=tuple(int(v) for v in np.clip(rng.uniform(60, 215) + rng.normal(0, 22, 3), 20, 240)),  # type: ignore[arg-type]
            clutter=float(rng.uniform(0, 0.6)),
            noise=float(rng.uniform(0, 5)),
        )

    @classmethod
    def crop(cls, rng: np.random.Generator) -> View:
        """A face cut out as FER2013's are: eyes near (0.33, 0.38) and (0.67, 0.38)."""
        face, x, y = rng.normal((0.82, 0.5, 0.44), (0.03, 0.012, 0.012)).tolist()
        return replace(cls.random(rng), face=face, x=x, y=y)
