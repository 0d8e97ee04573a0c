"""CK+ (extended Cohn-Kanade) as its authors give it: picture sequences and files of emotion codes.

Source: Lucey, Cohn, Kanade, Saragih, Ambadar, Matthews, The extended Cohn-Kanade dataset (CK+), 2010. Its 48x48 forms
are read by ``fer2013`` (CSV) and ``folders``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ferkit.errors import DataError
from ferkit.sources.dataset import Dataset, from_files
from ferkit.sources.images import is_picture_name

CODES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
"""Label of each code in an emotion file."""

NAME = re.compile(r"(S\d{3})_(\d{3})_(\d{8})(_emotion)?")
"""Subject, sequence and frame in CK+'s file names."""


def emotion_files(files: Sequence[Path]) -> list[Path]:
    """Those files that hold a CK+ emotion code, by the form of their names."""
    return [path for path in files if path.suffix == ".txt" and (m := NAME.fullmatch(path.stem)) and m[4]]


def refuse_unlabelled(root: Path, files: Sequence[Path]) -> None:
    """Raise where there are CK+'s sequences (``S005/001/S005_001_00000011.png``), whose folders name no expression."""
    names = ((path, NAME.fullmatch(path.stem)) for path in files if is_picture_name(path))
    if any(match and match[2] == path.parent.name for path, match in names):
        raise DataError(
            f"Got path={str(root)!r} with picture sequences of CK+ and no emotion codes, expected Emotion/ too. "
            "Name the folder that holds both cohn-kanade-images/ and Emotion/."
        )


def read(root: Path, files: Sequence[Path], *, neutral_first: bool = False, check: bool = True) -> Dataset:
    """Peak frames of the labelled sequences.

    Parameters
    ----------
    root : Path
        Folder that holds ``cohn-kanade-images/`` and ``Emotion/``.
    files : sequence of Path
        All files under it.
    neutral_first : bool, default=False
        Also take the first frame of each labelled sequence, as neutral.
    check : bool, default=True
        Read every picture once.

    Returns
    -------
    Dataset
        The last (peak) frame of each sequence with its emotion file's label, and subjects ``S005`` ...; CK+ has no
        official split.
    """
    frames = _sequences(files)
    if not frames:
        raise DataError(
            f"Got CK+ emotion files under {str(root)!r} without pictures, expected cohn-kanade-images/ too."
        )
    paths, labels, skipped = [], [], []
    for path in emotion_files(files):
        name = str(path.relative_to(root))
        sequence = frames.get(path.stem[:8])
        label = _label(path)
        if sequence is None or label is None:
            skipped.append((name, "Got no pictures of this sequence." if label else "Got a code other than 0 to 7."))
            continue
        paths.append(sequence[-1])
        labels.append(label)
        if neutral_first and len(sequence) > 1:
            paths.append(sequence[0])
            labels.append("neutral")
    return from_files(
        paths,
        labels,
        kind="ckplus",
        names=[str(path.relative_to(root)) for path in paths],
        subjects=[path.stem[:4] for path in paths],
        skipped=skipped,
        check=check,
    )


def _sequences(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Pictures of each sequence (``S005_001``), in order."""
    found: dict[str, list[Path]] = {}
    for path in files:
        if is_picture_name(path) and NAME.fullmatch(path.stem):
            found.setdefault(path.stem[:8], []).append(path)
    return {key: sorted(paths, key=lambda path: path.stem) for key, paths in found.items()}


def _label(path: Path) -> str | None:
    try:
        code = float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return CODES[int(code)] if code in range(len(CODES)) else None
