"""Contact sheet: a picture of some pictures of each class."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ferkit.errors import DataError, InputError
from ferkit.files import replacing
from ferkit.labels import colour
from ferkit.sources.dataset import Dataset

_GAP = 4
_MARGIN = 130


def contact_sheet(dataset: Dataset, *, per_class: int = 12, tile: int = 72, seed: int = 0) -> NDArray[np.uint8]:
    """One row a class, with its name and number of pictures, and pictures taken from it by chance.

    Parameters
    ----------
    dataset : Dataset
    per_class : int, default=12
        Pictures in a row at most.
    tile : int, default=72
        Height and width of each in pixels.
    seed : int, default=0
        Another seed takes other pictures.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype uint8
        RGB.
    """
    for name, value in (("per_class", per_class), ("tile", tile)):
        if value < 1:
            raise InputError(f"Got {name}={value!r}, expected at least 1.")
    rng = np.random.default_rng(seed)
    step = tile + _GAP
    sheet = np.full((len(dataset.classes) * step + _GAP, _MARGIN + per_class * step + _GAP, 3), 255, np.uint8)
    for i, name in enumerate(dataset.classes):
        rows = np.flatnonzero(dataset.labels == name)
        chosen = np.sort(rng.choice(rows, min(per_class, len(rows)), replace=False))
        top = _GAP + i * step
        for j, row in enumerate(chosen):
            left = _MARGIN + j * step
            sheet[top : top + tile, left : left + tile] = _tile(dataset.pictures[int(row)], tile)
    return _named(sheet, dataset, step)


def save_picture(picture: NDArray[np.uint8], path: str | Path) -> None:
    """Write a picture whole, in the format that its suffix names; a failure leaves what was there.

    Raises
    ------
    InputError
        The suffix is not that of a picture.
    DataError
        It cannot be written.
    """
    kind = picture_format(path)
    try:
        with replacing(path) as file:
            Image.fromarray(picture).save(file, kind)
    except OSError as error:
        raise DataError(f"Got path={str(path)!r} ({error}), expected a place that can be written to.") from error


def picture_format(path: str | Path) -> str:
    """Format of a picture to write, such as ``PNG``, by its suffix.

    Raises
    ------
    InputError
        The suffix is not that of a picture that can be written.
    """
    kind = Image.registered_extensions().get(Path(path).suffix.lower(), "")
    if kind not in Image.SAVE:
        raise InputError(f"Got path={str(path)!r}, expected a picture's name such as sheet.png.")
    return kind


def _tile(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Whole picture in a square, on light grey."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    fitted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    tile = np.full((side, side, 3), 225, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = fitted if fitted.ndim == 3 else fitted[:, :, None]
    return tile


def _named(sheet: NDArray[np.uint8], dataset: Dataset, step: int) -> NDArray[np.uint8]:
    picture = Image.fromarray(sheet)
    pen = ImageDraw.Draw(picture)
    large, small = ImageFont.load_default(16), ImageFont.load_default(12)
    for i, name in enumerate(dataset.classes):
        top = _GAP + i * step
        pen.rectangle((0, top, 5, top + step - _GAP - 1), fill=colour(name, i))
        pen.text((12, top + step / 2 - 22), name[:14], fill="black", font=large)
        pen.text((12, top + step / 2 - 2), str(int((dataset.labels == name).sum())), fill="#606060", font=small)
    return np.asarray(picture)
