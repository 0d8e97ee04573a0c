"""Reading one picture, whatever it comes as."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from ferkit.errors import InputError, PictureError
from ferkit.pixels import grey_or_rgb

MAX_PIXELS = 50_000_000
"""Largest picture that is read, in pixels; more is refused from the header, before anything is decoded."""

_AVIF = ("AVIF",) if "avif" in features.modules and features.check("avif") else ()

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "PPM", *_AVIF)
"""Pillow's names of the formats that are read; others, such as EPS, would start programs."""

SUFFIXES = frozenset(
    (
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".jp2",
        ".pbm",
        ".pgm",
        ".png",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    )
)
"""Suffixes, in lower case, that folders are searched for; HEIC is not read, but reported instead of overlooked."""

BYTES = (bytes, bytearray, memoryview)
"""Types that hold the bytes of a picture's file."""

_HEIC = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))

_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def read_image(
    source: Any, name: str | None = None, *, max_pixels: int | None = None, formats: Sequence[str] = FORMATS
) -> NDArray[np.uint8]:
    """Read a picture as 8-bit pixels, upright.

    Parameters
    ----------
    source : str, Path, bytes, open binary file, PIL image or ndarray
        A path, the bytes of a file, or pixels. Arrays are grey (h, w), RGB (h, w, 3) or RGBA (h, w, 4), numbers as
        ``ferkit.pixels.eight_bit`` takes them: uint8, bool, uint16, other integers from 0 to 255, floats.
    name : str or None, default=None
        What error messages call it; by default the path.
    max_pixels : int or None, default=None
        Largest picture that is read, ``MAX_PIXELS`` by default; more is refused from the header.
    formats : sequence of str, default=FORMATS
        Pillow's names of the formats that are read.

    Returns
    -------
    ndarray of shape (h, w) or (h, w, 3), dtype uint8
        Grey or RGB. Transparent parts show white.

    Raises
    ------
    PictureError
        Missing, empty, cut off, not a picture, of more than ``max_pixels`` pixels, or NaN in an array.

    Examples
    --------
    >>> read_image(np.array([[0.0, 0.5, 1.0]])).tolist()
    [[0, 128, 255]]
    """
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    if isinstance(source, np.ndarray):
        return _from_array(source, name or "array", max_pixels)
    if isinstance(source, Image.Image):
        return _decode(source, name or "PIL image", max_pixels, formats)
    if isinstance(source, BYTES):
        data, name = bytes(source), name or "bytes"
    elif hasattr(source, "read"):
        data, name = _read_file(source), name or "file"
    elif isinstance(source, (str, Path)):
        name = name or str(source)
        data = _read_bytes(Path(source), name)
    else:
        raise InputError(
            f"Got source of type {type(source).__name__}, expected a path, bytes, a file, a PIL image or an ndarray."
        )
    if not data:
        raise PictureError(
            f"Got picture={name!r} with 0 bytes, expected a picture. Copy the file again or leave it out."
        )
    return _decode(data, name, max_pixels, formats)


def to_grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey levels of a picture (ITU-R BT.601 weights, as OpenCV).

    Parameters
    ----------
    image : ndarray of shape (h, w) or (h, w, 3), dtype uint8

    Returns
    -------
    ndarray of shape (h, w), dtype uint8

    Examples
    --------
    >>> to_grey(np.full((2, 2, 3), 200, np.uint8)).tolist()
    [[200, 200], [200, 200]]
    """
    if image.ndim == 2 and image.dtype == np.uint8:
        return image
    pixels = read_image(image)
    if pixels.ndim == 2:
        return pixels
    weights = np.array([4899, 9617, 1868], np.uint32)
    return ((pixels.astype(np.uint32) @ weights + 8192) >> 14).astype(np.uint8)


def is_picture_name(path: str | Path) -> bool:
    """Whether the name has one of ``SUFFIXES`` and is not hidden."""
    path = Path(path)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _read_bytes(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise PictureError(f"Got picture={name!r}, a folder, expected a picture file.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PictureError(
            f"Got picture={name!r} ({reason}), expected a readable file. Check the path and its permissions."
        ) from error


def _read_file(file: Any) -> bytes:
    data = file.read()
    if not isinstance(data, bytes):
        raise InputError(f"Got a file that gives {type(data).__name__}, expected bytes. Open it in the mode 'rb'.")
    return data


def _decode(source: bytes | Image.Image, name: str, max_pixels: int, formats: Sequence[str]) -> NDArray[np.uint8]:
    try:
        if isinstance(source, Image.Image):
            return _upright(source, name, max_pixels)
        with Image.open(io.BytesIO(source), formats=list(formats)) as picture:
            return _upright(picture, name, max_pixels)
    except PictureError:
        raise
    except Image.UnidentifiedImageError as error:
        start = source[:12] if isinstance(source, bytes) else b""
        if start[4:] in _HEIC:
            raise PictureError(
                f"Got picture={name!r} in HEIC, expected JPEG, PNG, TIFF, BMP, WebP or GIF. Export it as JPEG (or use "
                "heif-convert), or let the phone take pictures in its most compatible format."
            ) from error
        raise PictureError(
            f"Got picture={name!r} starting with {start!r}, expected a picture (JPEG, PNG, TIFF, BMP, WebP, GIF). "
            "It is another kind of file under this name: convert it or leave it out."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, f"({error})", max_pixels) from error
    except Exception as error:  # decoders of damaged bytes raise nearly anything
        raise PictureError(
            f"Got picture={name!r} that is damaged or cut off ({type(error).__name__}: {error}), "
            "expected a whole picture. Copy or export it again."
        ) from error


def _upright(picture: Image.Image, name: str, max_pixels: int) -> NDArray[np.uint8]:
    _check_size(picture.width, picture.height, name, max_pixels)
    return _pixels(ImageOps.exif_transpose(picture), name)


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise _too_large(name, f"of {width}x{height} pixels", max_pixels)
    if width * height == 0:
        raise PictureError(f"Got picture={name!r} of {width}x{height} pixels, expected at least 1x1.")


def _too_large(name: str, what: str, max_pixels: int) -> PictureError:
    return PictureError(
        f"Got picture={name!r} {what}, expected at most {max_pixels / 1e6:g} million pixels. Make it smaller first."
    )


def _pixels(picture: Image.Image, name: str) -> NDArray[np.uint8]:
    if picture.mode in _DEEP_MODES:
        return _from_deep(np.asarray(picture))
    if picture.mode == "F":
        return _from_array(np.asarray(picture), name, MAX_PIXELS)
    if picture.mode in ("L", "RGB"):
        return np.asarray(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        opaque = Image.new("RGBA", picture.size, "white")
        opaque.alpha_composite(picture)
        picture = opaque
    return np.asarray(picture.convert("L" if picture.mode in ("1", "LA") else "RGB"))


def _from_deep(levels: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey of more than 8 bits; Pillow gives 16-bit pictures of some formats as 32-bit integers."""
    if levels.dtype.itemsize > 2 and (levels.max() > 65535 or levels.min() < 0):
        raise ValueError(f"grey levels from {levels.min()} to {levels.max()}, expected 0 to 65535")
    return np.rint(levels / 257.0).astype(np.uint8)


def _from_array(array: NDArray[Any], name: str, max_pixels: int) -> NDArray[np.uint8]:
    if array.ndim > 1:
        _check_size(array.shape[1], array.shape[0], name, max_pixels)
    return grey_or_rgb(array, f"picture={name!r}")
