"""Faces and labels of a data set, found once: what everything that learns starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, InputError, PictureError
from ferkit.faces import FaceCache
from ferkit.faces.light import relit
from ferkit.recipe.build import build
from ferkit.recipe.schema import Recipe
from ferkit.records import Faces
from ferkit.sources import Dataset

CHUNK, CHUNK_BYTES = 64, 256_000_000
"""Pictures held in memory at a time, and bytes of them."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many of how many are done (0 of 0 where that is not known)."""


@dataclass(frozen=True, eq=False)
class Material:
    """Faces and labels of the rows in use.

    Attributes
    ----------
    faces : Faces
        As the ``faces`` step gives them.
    labels, names : ndarray of shape (n,), str
    subjects : ndarray of shape (n,), str, or None
    held_out : ndarray of shape (n,), dtype bool
        Rows of a held-out split; all false where a share is to be held out.
    skipped : list of (str, str)
        Pictures that could not be read, and why.
    kind : str
        Reader of the data set.
    votes : ndarray of shape (n, n_columns), or None, default=None
        Shares of the taggers' votes, where the set has them.
    vote_names : tuple of str, default=()
        Label of each column of ``votes``.
    unlit : Faces or None, default=None
        The faces before light normalisation, where the recipe has one and augments: pictures change before it.
    """

    faces: Faces
    labels: NDArray[Any]
    subjects: NDArray[Any] | None
    held_out: NDArray[np.bool_]
    names: NDArray[Any]
    skipped: list[tuple[str, str]]
    kind: str
    votes: NDArray[Any] | None = None
    vote_names: tuple[str, ...] = ()
    unlit: Faces | None = None

    def __getitem__(self, rows: Any) -> Material:
        subjects = None if self.subjects is None else self.subjects[rows]
        return replace(
            self,
            faces=self.faces[rows],
            labels=self.labels[rows],
            subjects=subjects,
            held_out=self.held_out[rows],
            names=self.names[rows],
            votes=None if self.votes is None else self.votes[rows],
            unlit=None if self.unlit is None else self.unlit[rows],
        )


def silent(step: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def extract(
    recipe: Recipe,
    data: Dataset,
    held_out: NDArray[np.bool_] | None = None,
    *,
    jobs: int | None = None,
    cache: Any = None,
    progress: Progress | None = None,
) -> Material:
    """Faces of all pictures that can be read, found as the recipe says.

    Parameters
    ----------
    recipe : Recipe
    data : Dataset
        With the recipe's labels.
    held_out : ndarray of shape (n,), dtype bool, or None, default=None
        Rows of a held-out split.
    jobs, cache, progress
        As for ``fit``.
    """
    held_out = np.zeros(len(data), bool) if held_out is None else held_out
    extractor = build(recipe)[0].set_params(n_jobs=jobs)
    light = extractor.light if recipe.augment and recipe.augment["copies"] else "none"
    if light != "none":
        extractor.set_params(light="none")  # done below, so that the faces are also kept without it
    find = extractor.transform
    if cache is not None:
        find = partial(FaceCache(getattr(cache, "folder", cache)).transform, extractor)
    material = _extract(extractor, find, data, held_out, progress or silent)
    if light == "none":
        return material
    return replace(material, faces=relit(material.faces, light), unlit=material.faces)


def _extract(
    extractor: Any, find: Callable[[Any], Faces], data: Dataset, held_out: NDArray[np.bool_], tell: Progress
) -> Material:
    """Faces of all pictures that can be read."""
    parts: list[Faces] = []
    kept: list[int] = []
    skipped = list(data.skipped)
    start = 0
    while start < len(data):
        tell("faces", start, len(data))
        rows, pictures, bad, start = _read(data, start)
        skipped += bad
        if rows:
            if not parts:
                extractor.fit(pictures)
            rows, faces = faces_of(find, rows, pictures, data.names, skipped)
            parts.append(faces)
            kept.extend(rows)
    if not kept:
        raise DataError(f"Got {len(data)} pictures of which none can be read, expected at least 2.")
    tell("faces", len(data), len(data))
    faces = Faces.merge([part for part in parts if len(part)])
    faces = Faces(faces.crops, faces.points, faces.boxes_xyxy, faces.found, kept, faces.hashes)
    subjects = None if data.subjects is None else data.subjects[kept]
    labels, votes = data.labels[kept].astype(str), None if data.votes is None else data.votes[kept]
    return Material(
        faces, labels, subjects, held_out[kept], data.names[kept], skipped, data.kind, votes, data.vote_names
    )


def faces_of(
    find: Callable[[Any], Faces], rows: list[int], pictures: Any, names: NDArray[Any], skipped: list[tuple[str, str]]
) -> tuple[list[int], Faces]:
    """Faces of some rows; where one picture is refused, the others still give theirs, and it joins ``skipped``."""
    try:
        return rows, find(pictures)
    except InputError:
        if len(rows) == 1:
            try:
                return rows, find([pictures[0]])  # of a list, an error names the picture
            except PictureError as error:
                skipped.append((str(names[rows[0]]), str(error)))
                return [], Faces.empty()
    half = len(rows) // 2
    parts = [faces_of(find, rows[part], pictures[part], names, skipped) for part in (slice(half), slice(half, None))]
    return [row for kept, _ in parts for row in kept], Faces.merge([faces for _, faces in parts if len(faces)])


def _read(data: Dataset, start: int) -> tuple[list[int], Any, list[tuple[str, str]], int]:
    """Some rows whose pictures can be read, those pictures, the others with the reason, and the row after them."""
    end = min(start + CHUNK, len(data))
    if isinstance(data.pictures, np.ndarray):
        return list(range(start, end)), data.pictures[start:end], [], end
    good, pictures, bad, held = [], [], [], 0
    for row in range(start, end):
        try:
            pictures.append(data.pictures[row])
            good.append(row)
            held += pictures[-1].nbytes
        except PictureError as error:
            bad.append((str(data.names[row]), str(error)))
        if held > CHUNK_BYTES:
            return good, pictures, bad, row + 1
    return good, pictures, bad, end
