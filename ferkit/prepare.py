"""``ferkit data prepare``: faces found, aligned, sized and lit once, and kept on disk for training."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, InputError, PictureError
from ferkit.faces import FaceExtractor
from ferkit.files import replacing
from ferkit.records import Faces
from ferkit.sources import Dataset
from ferkit.sources.splitting import assign_splits

JOURNAL = "prepare.jsonl"
LABELS = "labels.csv"
BALANCES = ("none", "over", "under")
MISSING = ("center", "skip")
_COLUMNS = ("image", "label", "split", "subject", "found")
_CHUNK, _CHUNK_BYTES = 32, 256_000_000
Row = dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """What ``prepare`` did.

    Parameters
    ----------
    written : int
        Faces written now.
    before : int
        Faces that were there from an earlier run.
    not_found : int
        Pictures without a found face, whose middle stands in or which were left out.
    listed : int
        Rows in ``labels.csv``, after balancing.
    broken : list of (str, str)
        Pictures that could not be read, and why.
    """

    written: int
    before: int
    not_found: int
    listed: int
    broken: list[tuple[str, str]]


def prepare(
    dataset: Dataset,
    out: str | Path,
    *,
    size: int = 48,
    light: str = "none",
    detector: str = "auto",
    cropped: Any = "auto",
    missing: str = "center",
    balance: str = "none",
    split: bool = False,
    seed: int = 0,
    advance: Callable[[int], Any] = lambda n: None,
) -> Prepared:
    """Write the face of each picture to ``OUT/<split>/<label>/*.png`` and list them in ``OUT/labels.csv``.

    A run that was stopped goes on where it stopped. ``labels.csv`` is what ``sources.load`` reads.

    Parameters
    ----------
    dataset : Dataset
    out : str or Path
        New or empty folder, or one that an earlier run with the same settings left.
    size : int, default=48
        Height and width of the faces.
    light : {"none", "equalise", "clahe"}, default="none"
    detector : {"auto", "dlib", "haar"} or path, default="auto"
    cropped : {"auto", True, False}, default="auto"
        See ``FaceExtractor``.
    missing : {"center", "skip"}, default="center"
        Where no face is found: the middle of the picture, with 0 in the column ``found`` of ``labels.csv``, or nothing.
    balance : {"none", "over", "under"}, default="none"
        Of the Training rows (all rows where there are no splits), list those of rarer classes several times, or leave
        out rows of more frequent ones. Every face is written once all the same.
    split : bool, default=False
        Give Training, PublicTest or PrivateTest to rows without a split (see ``splitting.assign_splits``).
    seed : int, default=0
        For ``balance`` and ``split``.
    advance : callable, default=does nothing
        Called with the number of pictures done.

    Raises
    ------
    DataError
        The folder holds something else, or faces made with other settings.
    """
    if balance not in BALANCES:
        raise InputError(f"Got balance={balance!r}, expected one of {', '.join(BALANCES)}.")
    if missing not in MISSING:
        raise InputError(f"Got missing={missing!r}, expected one of {', '.join(MISSING)}.")
    out = Path(out)
    settings = {"size": size, "light": light, "detector": str(detector), "cropped": cropped}
    extractor = FaceExtractor(**settings).fit(dataset.pictures)
    dataset = assign_splits(dataset, seed) if split else dataset
    try:
        done = _open(out, settings | {"missing": missing} | _rows_of(dataset))
        before, broken = _count(done), list(dataset.skipped)
        try:
            _write_faces(dataset, extractor, out, done, broken, advance, missing)
        finally:
            entries = [done[row] for row in sorted(done)]
            listed = _balanced([entry for entry in entries if entry["image"]], balance, seed)
            _write_labels(out / LABELS, listed)
    except OSError as error:
        raise DataError(f"Got out={str(out)!r} ({error}), expected a folder with room to write to.") from error
    not_found = sum(not entry["found"] for entry in entries)
    return Prepared(_count(done) - before, before, not_found, len(listed), broken)


def _count(done: dict[int, Row]) -> int:
    """Faces on disk; rows whose picture was left out have no image."""
    return sum(bool(entry["image"]) for entry in done.values())


def _write_faces(
    dataset: Dataset,
    extractor: FaceExtractor,
    out: Path,
    done: dict[int, Row],
    broken: list[tuple[str, str]],
    advance: Callable[[int], Any],
    missing: str,
) -> None:
    """Write the faces of all rows that are not done, and note each in the journal."""
    with (out / JOURNAL).open("a", encoding="utf-8") as journal:
        for rows in _chunks(dataset, done, advance):
            for row, entry in _faces(dataset, rows, extractor, out, broken, missing):
                done[row] = entry
                journal.write(json.dumps({"row": row, **entry}) + "\n")
            journal.flush()
            advance(len(rows))


def _rows_of(dataset: Dataset) -> Row:
    rows = zip(dataset.names, dataset.labels, dataset.splits, strict=True)
    text = "\n".join("\t".join(row) for row in rows).encode("utf-8", "surrogateescape")
    digest = blake2b(text, digest_size=8).hexdigest()
    return {"pictures": len(dataset), "rows": digest}


def _open(out: Path, settings: Row) -> dict[int, Row]:
    """Make the folder, or check that it holds a part of the same work; rows that are done."""
    journal = out / JOURNAL
    if out.exists() and not out.is_dir():
        raise DataError(f"Got out={str(out)!r}, a file, expected a folder.")
    if journal.exists() and journal.stat().st_size:
        return _resume(journal, settings)
    if out.exists() and any(path != journal for path in out.iterdir()):
        raise DataError(f"Got out={str(out)!r}, which holds other files, expected a new or empty folder.")
    out.mkdir(parents=True, exist_ok=True)
    journal.write_text(json.dumps(settings) + "\n", encoding="utf-8")
    return {}


def _resume(journal: Path, settings: Row) -> dict[int, Row]:
    lines = journal.read_bytes().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"\n")]
    try:
        old, *entries = [json.loads(line) for line in whole]
        if not isinstance(old, dict) or not all(isinstance(entry, dict) and "row" in entry for entry in entries):
            raise ValueError("lines of another kind")
    except ValueError as error:
        raise DataError(f"Got {str(journal)!r} that is damaged ({error}), expected one of prepare's.") from error
    changed = [f"{name}={old.get(name)!r}" for name in settings if old.get(name) != settings[name]]
    if changed:
        raise DataError(
            f"Got out={str(journal.parent)!r} with faces prepared with {', '.join(changed)}, expected the same "
            "settings and data. Choose another folder."
        )
    if len(whole) < len(lines):
        journal.write_bytes(b"".join(whole))  # the last line was cut off when the run before was stopped
    done = {entry.pop("row"): entry for entry in entries}
    # a picture that was left out has image="", which stands for the folder itself
    return {row: entry for row, entry in done.items() if (journal.parent / entry["image"]).exists()}


def _chunks(dataset: Dataset, done: dict[int, Row], advance: Callable[[int], Any]) -> Iterator[list[int]]:
    rows = [row for row in range(len(dataset)) if row not in done]
    advance(len(done))
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


def _faces(
    dataset: Dataset,
    rows: list[int],
    extractor: FaceExtractor,
    out: Path,
    broken: list[tuple[str, str]],
    missing: str,
) -> Iterator[tuple[int, Row]]:
    """Write the faces of some rows."""
    pictures, kept = [], []
    for i, row in enumerate(rows):
        try:
            pictures.append(dataset.pictures[row])
            kept.append(row)
        except PictureError as error:
            broken.append((dataset.names[row], str(error)))
        if sum(picture.nbytes for picture in pictures) > _CHUNK_BYTES:  # 32 photos of a phone would be a gigabyte
            later = rows[i + 1 :]
            break
    else:
        later = []
    if kept:
        yield from _written(dataset, kept, extractor.transform(pictures), out, missing)
    if later:
        pictures.clear()
        yield from _faces(dataset, later, extractor, out, broken, missing)


def _written(dataset: Dataset, rows: list[int], faces: Faces, out: Path, missing: str) -> Iterator[tuple[int, Row]]:
    """Rows whose faces are on disk."""
    for row, crop, found in zip(rows, faces.crops, faces.found, strict=True):
        split, label = dataset.splits[row], dataset.labels[row]
        image = ""
        if found or missing == "center":
            name = f"{row:06d}_{_safe(Path(dataset.names[row]).stem)}.png"
            image = f"{_safe(split or 'all')}/{_safe(label)}/{name}"
            _write_png(out / image, crop)
        subject = "" if dataset.subjects is None else dataset.subjects[row]
        yield row, {"image": image, "label": label, "split": split, "subject": subject, "found": bool(found)}


def _safe(name: str) -> str:
    """A name that is one plain part of a path."""
    return re.sub(r"[^\w.-]+", "_", name).strip(".")[:80] or "_"


def _write_png(path: Path, crop: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".png", crop)
    with replacing(path) as file:
        file.write(data.tobytes())


def _write_labels(path: Path, entries: list[Row]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**entry, "found": int(entry["found"])} for entry in entries)
    with replacing(path) as file:
        file.write(text.getvalue().encode("utf-8", "backslashreplace"))


def _balanced(entries: list[Row], balance: str, seed: int) -> list[Row]:
    """Rows with those of Training repeated or left out so that its classes are of one size."""
    if balance == "none" or not entries:
        return entries
    split = "Training" if any(entry["split"] for entry in entries) else ""
    rng = np.random.default_rng(seed)
    by_class: dict[str, list[int]] = {}
    for i, entry in enumerate(entries):
        if entry["split"] == split:
            by_class.setdefault(entry["label"], []).append(i)
    if not by_class:
        return entries
    goal = (max if balance == "over" else min)(len(rows) for rows in by_class.values())
    rows = [i for i, entry in enumerate(entries) if entry["split"] != split]
    for own in by_class.values():
        times, rest = divmod(goal, len(own))
        rows += own * times + rng.permutation(own)[:rest].tolist()
    return [entries[i] for i in sorted(rows)]
