"""Seeded changes to grey faces: place, light, noise, loss of detail, hidden parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from ferkit.augment import pixels
from ferkit.augment.place import Places, draw_places, warp
from ferkit.errors import InputError, check_flags
from ferkit.records import as_faces

SHARES = ("blur", "small", "jpeg", "erase")
"""Parameters that are a share of the faces."""

STRENGTHS = ("rotation", "scale", "shift", "gamma", "contrast", "light", "shadow", "noise")
"""Parameters that are the largest size of a change."""

LIMITS = {
    "rotation": 180.0,
    "scale": 0.9,
    "shift": 1.0,
    "gamma": 10.0,
    "contrast": 1.0,
    "light": 1.0,
    "shadow": 1.0,
    "noise": 1.0,
}


class Augment(BaseEstimator):
    """Random changes to training faces, the same each time for the same seed.

    Each strength is the largest change, drawn evenly up to it; 0 leaves that change out.

    Parameters
    ----------
    rotation : float, default=15.0
        Degrees, either way.
    scale : float, default=0.12
        Size changes by up to this share, either way.
    shift : float, default=0.07
        Share of the width and of the height, any way.
    flip : bool, default=True
        Mirror half of the faces.
    gamma : float, default=0.5
        Largest natural logarithm of the exponent, either way.
    contrast : float, default=0.3
        Grey levels are scaled by 1 plus or minus up to this.
    light : float, default=0.1
        Added to all grey levels, as a share of 255, either way.
    shadow : float, default=0.4
        Half of the faces are lit from one side: brighter at that border and darker at the other by up to this share.
    noise : float, default=0.05
        Deviation of Gaussian noise, as a share of 255, on 40 % of the faces.
    blur : float, default=0.12
        Share of the faces smoothed over 3x3 pixels (in a crop of 48; more in a larger one).
    small : float, default=0.12
        Share of the faces reduced to half their size and enlarged again.
    jpeg : float, default=0.05
        Share of the faces stored as JPEG of quality 20 to 70 and read back.
    erase : float, default=0.5
        Share of the faces that lose a rectangle, filled with the face's mean; each side is an eighth to two fifths of
        the face's.
    seed : int, default=0
        Seed of `__call__` and `augmented`; `apply` takes its own generator.

    References
    ----------
    Simard et al., Best practices for convolutional neural networks (2003); Zhong et al., Random erasing (2020).

    Examples
    --------
    >>> crops = np.zeros((4, 48, 48), np.uint8)
    >>> Augment(rotation=20, erase=0)(crops).shape
    (4, 48, 48)
    """

    def __init__(
        self,
        rotation: float = 15.0,
        scale: float = 0.12,
        shift: float = 0.07,
        flip: bool = True,
        gamma: float = 0.5,
        contrast: float = 0.3,
        light: float = 0.1,
        shadow: float = 0.4,
        noise: float = 0.05,
        blur: float = 0.12,
        small: float = 0.12,
        jpeg: float = 0.05,
        erase: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.rotation = rotation
        self.scale = scale
        self.shift = shift
        self.flip = flip
        self.gamma = gamma
        self.contrast = contrast
        self.light = light
        self.shadow = shadow
        self.noise = noise
        self.blur = blur
        self.small = small
        self.jpeg = jpeg
        self.erase = erase
        self.seed = seed

    def __call__(self, X: Any) -> NDArray[np.uint8]:
        """Changed crops of ``X``, Faces or a grey stack, from this estimator's own seed."""
        return self.apply(as_faces(X).crops, np.random.default_rng(self.seed))

    def apply(self, crops: Any, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Changed copies of grey faces.

        Parameters
        ----------
        crops : array-like of shape (n, height, width), dtype uint8
            Grey faces, 0 to 255. They are not changed themselves.
        rng : numpy.random.Generator
            Where the chances come from; it moves on.

        Returns
        -------
        ndarray of shape (n, height, width), dtype uint8
        """
        return self.apply_placed(crops, rng)[0]

    def apply_placed(self, crops: Any, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Places]:
        """As `apply`, and where the pixels went, for the landmarks."""
        self._check()
        stack = as_faces(crops).crops
        places = draw_places(rng, stack.shape, self.rotation, self.scale, self.shift, self.flip)
        moved = warp(stack, places)
        soft = pixels.blurred(moved, pixels.chosen(rng, len(stack), self.blur))
        soft = pixels.shrunk(soft, pixels.chosen(rng, len(stack), self.small))
        lit = pixels.lit(soft, rng, self.gamma, self.shadow, self.contrast, self.light)
        noisy = pixels.as_bytes(pixels.noisy(lit, rng, self.noise))
        stored = pixels.compressed(noisy, pixels.chosen(rng, len(stack), self.jpeg), rng)
        return pixels.erased(stored, pixels.chosen(rng, len(stack), self.erase), rng), places

    def _check(self) -> None:
        check_flags(self)
        for name in SHARES + STRENGTHS:
            value, limit = getattr(self, name), 1.0 if name in SHARES else LIMITS[name]
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not number or not 0 <= value <= limit:
                raise InputError(f"Got {name}={value!r}, expected a number from 0 to {limit:g}.")
