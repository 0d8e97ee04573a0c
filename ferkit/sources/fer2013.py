"""FER2013 and every CSV of its form: ``emotion,pixels[,Usage]``, columns in any order.

Source: Goodfellow et al., Challenges in representation learning: a report on three machine learning contests, 2013.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError
from ferkit.labels import EXPRESSIONS, FER2013, canonical
from ferkit.sources.csvfile import cells_of, column, header, open_csv
from ferkit.sources.dataset import Dataset, split_names

_CONTEMPT = str(EXPRESSIONS.index("contempt"))
_CONTEMPT_SHARE = 0.01
_PEEK = 100


@dataclass
class PixelRows:
    """Rows of a pixel CSV that could be read, and the others with the reason."""

    faces: list[NDArray[np.uint8]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    usage: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    last_line: int = 1


def has_pixels(columns: list[str]) -> bool:
    """Whether a CSV header is that of a pixel CSV."""
    return "pixels" in columns and column(columns, "emotion", "label", "expression") is not None


def read(path: Path) -> Dataset:
    """FER2013, or CK+ as a CSV of the same form.

    Codes are 0 anger, 1 disgust, 2 fear, 3 happiness, 4 sadness, 5 surprise, 6 neutral; names do too. CK+ adds 7
    contempt: 7 is taken as contempt where all eight codes appear and it is at least 1 % of the rows, and is an unknown
    label otherwise. Pictures are square; rows with another number of pixels than most of the first hundred are skipped.

    Parameters
    ----------
    path : Path
        CSV, or a gz or zip of one.

    Returns
    -------
    Dataset
        With a ``(n, side, side)`` stack; ``names`` are ``file:line``.
    """
    rows = read_rows(path)
    names = _codes_of(rows)
    labels = [names.get(code) for code in rows.codes]
    keep = [i for i, label in enumerate(labels) if label is not None]
    for i, label in enumerate(labels):
        if label is None:
            expected = f"0 to {len(FER2013) - 1} or one of {', '.join(FER2013)}"
            rows.skipped.append((f"{path.name}:{rows.lines[i]}", f"Got label={rows.codes[i]!r}, expected {expected}."))
    rows.skipped.sort(key=lambda item: int(item[0].rpartition(":")[2]))
    return Dataset(
        stack([rows.faces[i] for i in keep]),
        [labels[i] for i in keep],
        split_names([rows.usage[i] for i in keep]),
        names=[f"{path.name}:{rows.lines[i]}" for i in keep],
        skipped=rows.skipped,
        kind="ckplus" if "contempt" in names.values() and "contempt" in labels else "fer2013",
    )


def read_rows(path: Path) -> PixelRows:
    """Rows of a pixel CSV, labels as they stand in the file."""
    columns, delimiter = header(path)
    code, pixels = column(columns, "emotion", "label", "expression"), column(columns, "pixels")
    if code is None or pixels is None:
        raise DataError(f"Got columns={columns} in {str(path)!r}, expected emotion and pixels.")
    usage = column(columns, "usage", "split")
    rows = PixelRows()
    with open_csv(path) as file:
        lines = enumerate(file, start=1)
        next(lines)
        start = [(number, cells_of(line, path, number, delimiter)) for number, line in islice(lines, _PEEK)]
        expected = _pixel_count([cells[pixels] for _, cells in start if len(cells) > pixels], path)
        for number, cells in start:
            _add(rows, path, number, cells, (code, pixels, usage), expected)
        for number, line in lines:
            _add(rows, path, number, cells_of(line, path, number, delimiter), (code, pixels, usage), expected)
    return rows


def stack(faces: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Square pictures from flat rows of pixels."""
    if not faces:
        return np.empty((0, 48, 48), np.uint8)
    side = isqrt(faces[0].size)
    return np.stack(faces).reshape(-1, side, side)


def _pixel_count(texts: list[bytes], path: Path) -> int:
    counts = Counter(len(text.split()) for text in texts)
    if not counts:
        raise DataError(f"Got path={str(path)!r} without rows, expected at least 1.")
    count = counts.most_common(1)[0][0]
    if isqrt(count) ** 2 != count or count == 0:
        raise DataError(f"Got rows of {count} pixels in {str(path)!r}, expected square pictures (2304 for 48x48).")
    return count


def _add(
    rows: PixelRows, path: Path, line: int, cells: list[bytes], where: tuple[int, int, int | None], expected: int
) -> None:
    """Read one row into ``rows``, or note why not."""
    code, pixels, usage = where
    if not any(cell.strip() for cell in cells):
        return
    rows.last_line = line
    if len(cells) <= max(code, pixels):
        rows.skipped.append((f"{path.name}:{line}", f"Got {len(cells)} columns, expected {max(code, pixels) + 1}."))
        return
    face, reason = _pixels(cells[pixels], expected)
    if face is None:
        rows.skipped.append((f"{path.name}:{line}", reason))
        return
    rows.faces.append(face)
    rows.codes.append(cells[code].decode("utf-8", errors="replace").strip().removesuffix(".0"))
    rows.usage.append("" if usage is None or len(cells) <= usage else cells[usage].decode("utf-8", "replace").strip())
    rows.lines.append(line)


def _pixels(text: bytes, expected: int) -> tuple[NDArray[np.uint8] | None, str]:
    if text.translate(None, b"0123456789 "):
        return None, "Got pixels that are not whole numbers, expected 0 to 255 with spaces between."
    values = np.fromstring(text.decode("ascii"), dtype=np.int32, sep=" ")
    if values.size != expected:
        return None, f"Got {values.size} pixels, expected {expected}."
    if values.max() > 255:
        return None, f"Got pixel={values.max()}, expected 0 to 255."
    return values.astype(np.uint8), ""


def _codes_of(rows: PixelRows) -> dict[str, str]:
    """Label of each code in use."""
    counts = Counter(rows.codes)
    codes = {str(i): name for i, name in enumerate(FER2013)}
    if set(codes) <= set(counts) and counts[_CONTEMPT] >= max(1, _CONTEMPT_SHARE * len(rows.codes)):
        codes[_CONTEMPT] = "contempt"
    return codes | {code: canonical(code) for code in counts if canonical(code) in EXPRESSIONS}
