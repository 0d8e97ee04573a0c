"""White text on pictures, also in letters that OpenCV's fonts lack.

Latin, Greek, Cyrillic, Hebrew and Arabic ones come from the font that Matplotlib brings, Chinese, Japanese and Korean
ones from a font of this machine, where there is one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import ImageFont

WHITE = (255, 255, 255)
OWN = "DejaVu Sans"
EASTERN = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans CJK KR",
    "Noto Sans SC",
    "Noto Sans JP",
    "Noto Sans KR",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "IPAGothic",
    "NanumGothic",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Arial Unicode MS",
)
"""Fonts of Linux, Windows and macOS with Chinese, Japanese or Korean letters."""


@lru_cache(maxsize=1)
def fonts() -> tuple[str, ...]:
    """Names of the fonts that text is drawn with; a letter comes from the first that has it."""
    from matplotlib.font_manager import get_font_names

    known = set(get_font_names())
    return (OWN, *(name for name in EASTERN if name in known))


def text_width(text: str, unit: float) -> int:
    """Pixels that ``put_text`` takes in width."""
    if not text.isascii():
        return int(_letters(text, unit).shape[1])
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * unit, max(1, round(unit)))[0][0])


def put_text(canvas: NDArray[np.uint8], text: str, x: float, y: float, unit: float) -> None:
    """Write on a picture.

    Parameters
    ----------
    canvas : ndarray of shape (height, width, 3), dtype uint8
        Is changed; what lies outside is left out.
    text : str
    x, y : float
        Where the baseline begins.
    unit : float
        Size: letters are about 10 units high.

    Examples
    --------
    >>> canvas = np.zeros((30, 90, 3), np.uint8)
    >>> put_text(canvas, "m\\u00fcde", 4, 20, 1.0)
    >>> bool(canvas.any())
    True
    """
    if text.isascii():
        place, thickness = (round(x), round(y)), max(1, round(unit))
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45 * unit, WHITE, thickness, cv2.LINE_AA)
        return
    letters = _letters(text, unit)
    _cover(canvas, letters, round(x), round(y) - round(0.8 * letters.shape[0]))


def font_of(text: str, size: int) -> ImageFont.FreeTypeFont:
    """Pillow's font that has the letters of a text, of a size in pixels."""
    from PIL import ImageFont

    return ImageFont.truetype(_font_file(text), size)


@lru_cache(maxsize=256)
def _letters(text: str, unit: float) -> NDArray[np.float32]:
    """How much of each pixel a text covers, 0 to 1."""
    from PIL import Image, ImageDraw

    line = " ".join(text.split())
    font = font_of(line, max(6, round(13 * unit)))
    picture = Image.new("L", (max(1, round(font.getlength(line))), sum(font.getmetrics())))
    ImageDraw.Draw(picture).text((0, 0), line, 255, font)
    return np.asarray(picture, np.float32) / np.float32(255)


def _font_file(text: str) -> str:
    """The first font that has all letters of a text; ferkit's own where none has."""
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    files = [str(findfont(name)) for name in fonts()]
    letters = {ord(letter) for letter in text}
    return next((file for file in files if letters <= FT2Font(file).get_charmap().keys()), files[0])


def _cover(canvas: NDArray[np.uint8], shares: NDArray[np.float32], left: int, top: int) -> None:
    """Paint white through a mask."""
    x, y = max(0, -left), max(0, -top)
    under = canvas[top + y : max(0, top + shares.shape[0]), left + x : max(0, left + shares.shape[1])]
    share = shares[y : y + under.shape[0], x : x + under.shape[1], None]
    under[:] = np.rint(under + share * (255 - under.astype(np.float32)))
