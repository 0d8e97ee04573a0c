"""A video file that can be played however the program ended.

OpenCV's writers hold back hundreds of kilobytes and write the table that makes an MP4 readable at the end, so that a
killed process leaves nothing. Here each frame is a fragment of its own (ISO/IEC 14496-12, movie fragments) with its
true time, out of the process before the next one is made. Frames are JPEG pictures, which VLC, mpv, ffmpeg and OpenCV
play.
"""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import FerkitError, InputError

SUFFIX = ".mp4"

_SCALE = 90_000
"""Units of time in a second."""

_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


class Recording:
    """Writes frames to an ``.mp4`` file; a killed process loses at most the last one.

    The file is opened with the first frame, whose size the others are brought to.

    Parameters
    ----------
    path : str or Path
        File to write; replaced if it is there.
    quality : int, default=85
        Of the JPEG pictures, 1 to 100.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Recording(f"{folder}/out.mp4") as recording:
    ...     recording.append(np.zeros((48, 64, 3), np.uint8), time=0.0)
    """

    def __init__(self, path: str | Path, quality: int = 85) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != SUFFIX:
            raise InputError(f"Got record={str(path)!r}, expected a name that ends in {SUFFIX}.")
        self.quality = quality
        self.frames = 0
        self._file: BinaryIO | None = None
        self._size = (0, 0)
        self._ticks = -1
        self._start = 0.0

    def append(self, image: NDArray[np.uint8], time: float) -> None:
        """Write one frame.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3), dtype uint8
            RGB.
        time : float
            Seconds; the first frame is shown at 0.

        Raises
        ------
        FerkitError
            The file cannot be written, for instance because the disk is full.
        """
        if not self.frames:
            self._size, self._start = (image.shape[1], image.shape[0]), time
        if (image.shape[1], image.shape[0]) != self._size:
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        ticks = max(round((time - self._start) * _SCALE), self._ticks + 1)
        lasts = ticks - self._ticks if self._ticks >= 0 else _SCALE // 30
        self.frames, self._ticks = self.frames + 1, ticks
        self._write(_fragment(self.frames, ticks, lasts, data.tobytes()))

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        try:
            if self._file is None:
                self._file = self.path.open("wb")
                self._file.write(_head(*self._size))
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise FerkitError(
                f"Got record={str(self.path)!r}, expected a file that can be written: {error.strerror or error}."
            ) from error


def _box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def _full(name: bytes, flags: int, *parts: bytes, version: int = 0) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags), *parts)


def _head(width: int, height: int) -> bytes:
    """What stands before the first fragment: one video track without frames."""
    brands = _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso5iso6mp41")
    movie = _full(
        b"mvhd", 0, struct.pack(">IIIIIHH8x", 0, 0, _SCALE, 0, 0x10000, 0x100, 0), _MATRIX, bytes(24), b"\0\0\0\2"
    )
    place = struct.pack(">IIIII8xHHHH", 0, 0, 1, 0, 0, 0, 0, 0, 0)
    track = _full(b"tkhd", 3, place, _MATRIX, struct.pack(">II", width << 16, height << 16))
    about = _full(b"mdhd", 0, struct.pack(">IIIIHH", 0, 0, _SCALE, 0, 0x55C4, 0))
    media = _box(b"mdia", about, _handler(), _media(width, height))
    extends = _box(b"mvex", _full(b"trex", 0, struct.pack(">IIIII", 1, 1, 0, 0, 0x02000000)))
    return brands + _box(b"moov", movie, _box(b"trak", track, media), extends)


def _handler() -> bytes:
    return _full(b"hdlr", 0, struct.pack(">I4s12x", 0, b"vide"), b"video\0")


def _media(width: int, height: int) -> bytes:
    place = _box(b"dinf", _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1)))
    empty = [_full(name, 0, struct.pack(">I", 0)) for name in (b"stts", b"stsc", b"stco")]
    sizes = _full(b"stsz", 0, struct.pack(">II", 0, 0))
    kinds = _full(b"stsd", 0, struct.pack(">I", 1), _entry(width, height))
    return _box(b"minf", _full(b"vmhd", 1, bytes(8)), place, _box(b"stbl", kinds, *empty, sizes))


def _entry(width: int, height: int) -> bytes:
    """Sample entry: MPEG-4's way to say that the frames are JPEG pictures (object type 0x6C)."""
    decoder = struct.pack(">BBBBBBII", 0x04, 13, 0x6C, 0x11, 0, 0, 0, 0)
    stream = struct.pack(">BBHB", 0x03, 3 + len(decoder) + 3, 1, 0) + decoder + struct.pack(">BBB", 0x06, 1, 2)
    fixed = struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 0x480000, 0x480000, 0, 1, 24, -1)
    return _box(b"mp4v", fixed, _full(b"esds", 0, stream))


def _fragment(number: int, ticks: int, lasts: int, data: bytes) -> bytes:
    """One frame with its time."""
    start = _full(b"tfdt", 0, struct.pack(">Q", ticks), version=1)
    header = _full(b"tfhd", 0x020000, struct.pack(">I", 1))
    about = _full(b"mfhd", 0, struct.pack(">I", number))

    def moof(offset: int) -> bytes:
        run = _full(b"trun", 0x301, struct.pack(">IiII", 1, offset, lasts, len(data)))
        return _box(b"moof", about, _box(b"traf", header, start, run))

    return moof(len(moof(0)) + 8) + _box(b"mdat", data)
