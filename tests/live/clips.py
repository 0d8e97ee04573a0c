"""Clips of drawn faces on a moving background, and a fake camera."""

from itertools import count

import cv2
import numpy as np

from ferkit.records import Frame
from ferkit.sources.anatomy import ACTION_UNITS
from ferkit.sources.look import Look, View
from ferkit.sources.painter import paint

FPS = 25


def face(seed, expression="neutral", size=230):
    """A drawn person on a plain ground, and the oval that cuts the head out."""
    look = Look.random(np.random.default_rng(seed))
    view = View(face=0.62, light=0.0, ambient=0.7)
    picture = paint(look, view, dict(ACTION_UNITS[expression]), size, np.random.default_rng(seed))
    mask = np.zeros((size, size), np.float32)
    cv2.ellipse(mask, (size // 2, round(0.47 * size)), (round(0.36 * size), round(0.46 * size)), 0, 0, 360, 1, -1)
    return picture, cv2.GaussianBlur(mask, (0, 0), 2)[..., None]


def background(shape=(360, 640), seed=0):
    """Soft clutter, wider than the frame, to be moved along."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(60, 200, (shape[0] // 20, shape[1] // 10, 3)).astype(np.float32)
    return cv2.resize(noise, (shape[1] * 2, shape[0]), interpolation=cv2.INTER_CUBIC).clip(0, 255)


def paste(canvas, picture, mask, centre):
    """Put a face onto a canvas, where it fits."""
    size = picture.shape[0]
    left, top = round(centre[0] - size / 2), round(centre[1] - size / 2)
    x1, y1, x2, y2 = max(0, left), max(0, top), min(canvas.shape[1], left + size), min(canvas.shape[0], top + size)
    if x2 > x1 and y2 > y1:
        part = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
        canvas[y1:y2, x1:x2] += mask[part] * (picture[part] - canvas[y1:y2, x1:x2])
    return canvas


def clip(n, faces_at, shape=(360, 640), fps=FPS):
    """Frames of pasted faces: ``faces_at(i)`` gives (picture, mask, centre) from back to front."""
    behind = background(shape)
    for i in range(n):
        canvas = behind[:, 2 * i % shape[1] :][:, : shape[1]].copy()
        for picture, mask, centre in faces_at(i):
            paste(canvas, picture, mask, centre)
        yield Frame(np.rint(canvas).clip(0, 255).astype(np.uint8), "drawn", i, i / fps)


def endless(fps=200.0, size=(48, 64)):
    """A camera without faces."""
    from time import sleep

    for i in count():
        yield Frame(np.full((*size, 3), i % 200, np.uint8), "fake", i, None)
        sleep(1 / fps)
