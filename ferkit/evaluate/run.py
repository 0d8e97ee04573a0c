"""A model over a labelled data set, a few pictures at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import DataError, PictureError
from ferkit.evaluate.metrics import evaluate
from ferkit.evaluate.predictions import Predictions
from ferkit.faces.light import relit
from ferkit.labels import mapped, ordered
from ferkit.recipe.material import faces_of
from ferkit.recipe.schema import labels_of
from ferkit.records import Faces
from ferkit.sources import Dataset

Array = NDArray[Any]
BATCH = 256
BATCH_BYTES = 64_000_000


@dataclass(frozen=True)
class Evaluation:
    """Answers of a model for the rows of a data set that could be read.

    Parameters
    ----------
    rows : ndarray of shape (n,), dtype int
        Position of each row in the data set.
    names : ndarray of shape (n,), str
        Its name there.
    y_true : ndarray of shape (n,), str
        Labels, as the model's recipe has them.
    proba : ndarray of shape (n, len(labels))
        Probabilities.
    labels : list of str
        Label of each column.
    found : ndarray of shape (n,), dtype bool
        Whether a face was found.
    groups : ndarray of shape (n,) or None
        Person of each row, where the set names persons.
    cropped : int
        Pictures taken as faces that are cropped already.
    seen : tuple of (int, int)
        Faces that the model was fitted on, and that fitted its fusion only.
    dropped : int
        Rows left out because the model does not know their label.
    relabelled : dict of str to str or None
        Labels of the set that the model's recipe renames, merges or, with None, leaves out.
    skipped : list of (str, str)
        Pictures that could not be read, and why.
    faces : Faces
        What was answered, before light normalisation.
    light : str
        The model's light normalisation.
    """

    rows: Array
    names: Array
    y_true: Array
    proba: Array
    labels: list[str]
    found: Array
    groups: Array | None
    cropped: int
    seen: tuple[int, int]
    dropped: int
    relabelled: dict[str, str | None]
    skipped: list[tuple[str, str]]
    faces: Faces = field(repr=False)
    light: str

    @property
    def lit(self) -> Faces:
        """The faces as the features saw them."""
        return relit(self.faces, self.light)

    @property
    def right(self) -> Array:
        """Whether the most probable label is the right one, row by row."""
        return np.asarray(np.array(self.labels, dtype=object)[self.proba.argmax(axis=1)] == self.y_true)

    @property
    def predictions(self) -> Predictions:
        """The answers alone, to be kept and compared."""
        return Predictions(self.names, self.y_true, self.proba, self.labels, self.found, self.groups)

    def figures(self, seed: int = 0) -> dict[str, Any]:
        """Figures of ``evaluate``, with counts of what was skipped, dropped, cropped and seen."""
        figures = evaluate(self.y_true, self.proba, self.labels, self.found, self.groups, seed)
        return figures | {
            "ci_over": "rows" if self.groups is None else "subjects",
            "seen": {"fitted": self.seen[0], "fusion": self.seen[1]},
            "cropped": self.cropped,
            "skipped": len(self.skipped),
            "dropped": self.dropped,
            "relabelled": self.relabelled,
        }


def evaluate_dataset(
    model: Any,
    dataset: Dataset,
    *,
    cropped: Any = None,
    detector: Any = None,
    drop_unknown: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Answers of a model for every picture of a data set; broken pictures are skipped and counted.

    Labels that the model's recipe renamed, merged or dropped are so here too.

    Parameters
    ----------
    model : Model
        What ``store.load`` gives.
    dataset : Dataset
        What ``sources.load`` gives.
    cropped : {"auto", True, False} or None, default=None
        Whether the pictures are faces that are cropped already; None leaves it to the model's ``faces`` step.
    detector : {"auto", "dlib", "haar"}, path or None, default=None
        See ``FaceDetector``; None leaves it to the model's ``faces`` step.
    drop_unknown : bool, default=False
        Leave out rows whose label the model does not know.
    progress : callable or None, default=None
        Called with the number of pictures done since the last call.

    Raises
    ------
    DataError
        The set has labels that the model does not know, or no picture of it can be read.
    """
    from sklearn.base import clone

    labels, mapping, known = known_rows(model, dataset, drop_unknown)
    extractor = extractor_of(model, cropped, detector)
    light = str(extractor.light)
    extractor = clone(extractor).set_params(light="none")  # done below, so that the faces are also kept without it
    rows: list[Array] = []
    proba, shown, seen, counted = [], [], np.zeros(2, int), 0
    skipped = list(dataset.skipped)
    for batch, pictures in _batches(dataset, known, skipped):
        given = np.stack(pictures) if isinstance(dataset.pictures, np.ndarray) else pictures  # a stack goes at once
        kept, faces = faces_of(extractor.transform, batch, given, dataset.names, skipped)
        if kept:
            rows.append(np.array(kept))
            shown.append(faces)
            proba.append(model.predict_proba(relit(faces, light)))
            seen += model.seen(faces)
            taken = dict(zip(batch, pictures, strict=True))
            counted += sum(extractor.takes_as_cropped(taken[row]) for row in kept)
        if progress is not None:
            progress(len(batch))
    if not rows:
        raise DataError(f"Got {len(skipped)} pictures, none of which could be read, expected at least 1.")
    order, faces = np.concatenate(rows), Faces.merge(shown)
    return Evaluation(
        rows=order,
        names=dataset.names[order],
        y_true=np.array([labels[row] for row in order]),
        proba=np.concatenate(proba),
        labels=list(model.labels),
        found=faces.found,
        groups=_persons(dataset, order),
        cropped=counted,
        seen=(int(seen[0]), int(seen[1])),
        dropped=len(labels) - labels.count(None) - len(known),
        relabelled={name: mapping[name] for name in ordered(set(dataset.labels.tolist()) & set(mapping))},
        skipped=skipped,
        faces=faces,
        light=light,
    )


def known_rows(
    model: Any, dataset: Dataset, drop_unknown: bool
) -> tuple[list[str | None], dict[str, str | None], Array]:
    """Labels as the model's recipe has them, what it changes, and the rows whose label the model knows.

    Raises
    ------
    DataError
        There are others, and they are not to be left out; or there is no row.
    """
    mapping, labels = labels_of(model.manifest), model.labels
    found = [mapped(label, mapping) for label in dataset.labels.tolist()]
    unknown = ordered({label for label in found if label is not None} - set(labels))
    if unknown and not drop_unknown:
        raise DataError(
            f"Got labels {', '.join(unknown)}, expected labels that the model knows: {', '.join(labels)}. "
            "Leave these rows out with --drop-unknown."
        )
    known = np.flatnonzero([label in labels for label in found])
    if len(known) == 0:
        raise DataError(f"Got no row whose label the model knows ({', '.join(labels)}), expected at least 1.")
    return found, mapping, known


def extractor_of(model: Any, cropped: Any = None, detector: Any = None) -> Any:
    """A copy of the model's ``faces`` step, with another rule for cropped pictures or another detector."""
    from sklearn.base import clone

    asked = {"cropped": cropped, "detector": detector}
    extractor = clone(model.pipeline.named_steps["faces"])
    return extractor.set_params(**{name: value for name, value in asked.items() if value is not None})


def _batches(dataset: Dataset, rows: Array, skipped: list[tuple[str, str]]) -> Iterator[tuple[list[int], list[Any]]]:
    """Rows and their pictures, at most 256 or some tens of megabytes at once."""
    batch: list[int] = []
    pictures: list[Any] = []
    for row in rows.tolist():
        try:
            picture = dataset.pictures[row]
        except PictureError as error:
            skipped.append((str(dataset.names[row]), str(error)))
            continue
        batch.append(row)
        pictures.append(picture)
        if len(batch) >= BATCH or sum(item.nbytes for item in pictures) >= BATCH_BYTES:
            yield batch, pictures
            batch, pictures = [], []
    if batch:
        yield batch, pictures


def _persons(dataset: Dataset, rows: Array) -> Array | None:
    """Person of each row; a row without one stands for itself."""
    if dataset.subjects is None:
        return None
    subjects = dataset.subjects[rows]
    return np.array([f"person {s}" if s else f"row {row}" for s, row in zip(subjects, rows, strict=True)])
