"""JAFFE: label and person stand in the file names, ``KA.AN1.39.tiff``.

Source: Lyons, Akamatsu, Kamachi, Gyoba, Coding facial expressions with Gabor wavelets, 1998.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ferkit.sources.dataset import Dataset, from_files
from ferkit.sources.images import is_picture_name

_CODES = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
_NAME = re.compile(r"([A-Z]{2})\.(AN|DI|FE|HA|NE|SA|SU)\d+\.\d+\.*", re.IGNORECASE)


def fits(files: Sequence[Path]) -> bool:
    """Whether most pictures carry JAFFE's codes."""
    pictures = [path for path in files if is_picture_name(path)]
    return bool(pictures) and 2 * sum(bool(_NAME.fullmatch(path.stem)) for path in pictures) > len(pictures)


def read(root: Path, files: Sequence[Path], *, check: bool = True) -> Dataset:
    """Labels from the code (``AN`` anger ...), subjects from the first two letters; there is no official split."""
    pictures = [(path, _NAME.fullmatch(path.stem)) for path in files if is_picture_name(path)]
    known = [(path, match) for path, match in pictures if match]
    other = [str(path.relative_to(root)) for path, match in pictures if not match]
    return from_files(
        [path for path, _ in known],
        [_CODES[match[2].upper()] for _, match in known],
        kind="jaffe",
        names=[str(path.relative_to(root)) for path, _ in known],
        subjects=[match[1].upper() for _, match in known],
        skipped=[(name, "Got a name without JAFFE's code, expected one such as KA.AN1.39.tiff.") for name in other],
        check=check,
    )
