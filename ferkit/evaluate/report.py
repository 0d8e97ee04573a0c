"""The report: one HTML page that opens offline, and its pictures beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ferkit.errors import DataError
from ferkit.evaluate.analysis import Analysis, analyse
from ferkit.evaluate.families import ablation, can_ablate
from ferkit.evaluate.folder import holds_other_files, make_folder, remove_faces
from ferkit.evaluate.metrics import without_nan
from ferkit.evaluate.page import page
from ferkit.evaluate.run import Evaluation, extractor_of
from ferkit.evaluate.slices import MOST_VALUES, Slice, by_value, read_slices, too_many
from ferkit.evaluate.stages import time_stages
from ferkit.evaluate.stress import Stress, stress
from ferkit.files import write_whole
from ferkit.records import Faces
from ferkit.sources import Dataset

LEAST_OF_A_PERSON = 5
"""Persons with fewer pictures are not listed."""


@dataclass(frozen=True)
class Report:
    """What a report shows; parts that are None or empty are left out.

    Attributes
    ----------
    title : str
        Heading.
    about : list of str
        Lines below it: model, data.
    analysis : Analysis
        Figures and curves.
    faces : Faces or None
        The face of each row, to show mistakes.
    notes : list of str
        Warnings.
    slices : dict of str to list of Slice
        Figures by value, by column.
    families : list of dict
        What ``ablation`` gives.
    stages : list of dict
        What ``time_stages`` gives.
    stress : Stress or None
    stress_note : str
        Which faces were stressed.
    against : dict or None
        What ``compare`` gives, with the other model's name as ``model``.
    seed : int
        That intervals were drawn with.
    """

    title: str
    about: list[str]
    analysis: Analysis
    faces: Faces | None = None
    notes: list[str] = field(default_factory=list)
    slices: Mapping[str, Sequence[Slice]] = field(default_factory=dict)
    families: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    stress: Stress | None = None
    stress_note: str = ""
    against: dict[str, Any] | None = None
    seed: int = 0

    def record(self) -> dict[str, Any]:
        """All numbers, for JSON."""
        return {
            "title": self.title,
            "about": self.about,
            "notes": self.notes,
            "figures": self.analysis.record(),
            "slices": {name: [part.record() for part in parts] for name, parts in self.slices.items()},
            "families": self.families,
            "stages": self.stages,
            "stress": None if self.stress is None else self.stress.record(),
            "against": self.against,
        }

    def with_stress(
        self,
        model: Any,
        result: Evaluation,
        *,
        rows: int | None = None,
        jobs: int | None = None,
        keep: str | Path | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Report:
        """The report with a stress test of all faces, or of ``rows`` of them; see ``stress``."""
        chosen = stress_rows(result.y_true, rows, self.seed)
        groups = None if result.groups is None else result.groups[chosen]
        found = stress(
            model,
            result.faces[chosen],
            result.y_true[chosen],
            groups=groups,
            light=result.light,
            seed=self.seed,
            jobs=jobs,
            keep=keep,
            progress=progress,
        )
        whole = len(chosen) == len(result.y_true)
        note = "" if whole else f"Only {len(chosen)} of {len(result.y_true)} faces were stressed, drawn by class."
        return replace(self, stress=found, stress_note=note)

    def save(self, folder: str | Path) -> Path:
        """Write ``index.html``, its pictures, ``figures.json`` and ``predictions.csv``.

        Parameters
        ----------
        folder : str or Path
            Made where it is not there; files of an older report are replaced.

        Returns
        -------
        Path
            The page.

        Raises
        ------
        DataError
            The folder holds other files than those of a report, or cannot be written to.
        """
        from ferkit.evaluate.sections import Sections

        folder = Path(folder)
        make_folder(folder)
        if holds_other_files(folder):
            raise DataError(
                f"Got report={str(folder)!r}, which holds other files, expected a new folder or an older report's."
            )
        remove_faces(folder)
        numbers = json.dumps(without_nan(self.record()), indent=2, ensure_ascii=False)
        write_whole(folder / "figures.json", numbers + "\n")
        write_whole(folder / "index.html", page(self.title, [], ""))  # should this stop, the folder is known as ours
        writer = Sections(self, folder)
        text = page(self.title, writer.all(), writer.head())
        self.analysis.answers.save(folder / "predictions.csv")
        return write_whole(folder / "index.html", text)


def report_of(
    model: Any,
    dataset: Dataset,
    result: Evaluation,
    *,
    title: str,
    slices: str | Path | Mapping[str, Any] | None = None,
    against: dict[str, Any] | None = None,
    notes: Sequence[str] = (),
    seed: int = 0,
    cropped: Any = None,
    detector: Any = None,
) -> Report:
    """Everything but stress that a report of a model shows.

    Parameters
    ----------
    model : Model
    dataset : Dataset
        What was scored.
    result : Evaluation
        What ``evaluate_dataset`` gave for it.
    title : str
        Heading.
    slices : path, mapping of str to values, or None, default=None
        Groups: a CSV that ``read_slices`` takes, or values of each row of ``result`` by name. Persons are a group of
        their own where the set names them. Columns of more than 50 values that are no numbers are left out with a note.
    against : dict or None, default=None
        What ``compare`` gave, with the other model's name as ``model``.
    notes : sequence of str, default=()
        Warnings to show.
    seed : int, default=0
        For intervals.
    cropped, detector
        As in ``evaluate_dataset``.
    """
    answers = result.predictions
    groups = read_slices(slices, answers.names) if isinstance(slices, str | Path) else dict(slices or {})
    left_out = {name: count for name, values in groups.items() if (count := too_many(values))}
    found = {name: by_value(answers, values, seed=seed) for name, values in groups.items() if name not in left_out}
    persons = _persons(dataset, result)
    if persons is not None:
        alone = replace(answers, groups=None)
        found["person"] = by_value(alone, persons, least=LEAST_OF_A_PERSON, seed=seed)
    about = [
        f"Model: {Path(model.path).name}" + (f", {model.manifest['name']}" if model.manifest.get("name") else ""),
        f"Data: {dataset.kind or 'own'}, {len(answers)} pictures, {len(result.skipped)} skipped",
    ]
    families = ablation(model, result.lit, result.y_true, result.groups, seed) if can_ablate(model) else []
    return Report(
        title=title,
        about=about,
        analysis=analyse(answers, seed),
        faces=result.faces,
        notes=[
            *notes,
            *(
                f"Column {name!r} of the groups is left out: {count} different values, expected at most {MOST_VALUES}, "
                "or numbers."
                for name, count in left_out.items()
            ),
        ],
        slices={name: parts for name, parts in found.items() if parts},
        families=families,
        stages=time_stages(model, dataset[result.rows], extractor_of(model, cropped, detector)),
        against=against,
        seed=seed,
    )


def stress_rows(y_true: Any, most: int | None, seed: int = 0) -> Any:
    """Rows for a stress test: all, or so many, drawn so that each class keeps its share.

    Examples
    --------
    >>> y = np.array(["anger"] * 60 + ["fear"] * 30)
    >>> [int((y[stress_rows(y, 9)] == label).sum()) for label in ("anger", "fear")]
    [6, 3]
    """
    y_true = np.asarray(y_true, dtype=object)
    if most is None or most >= len(y_true):
        return np.arange(len(y_true))
    # a shuffled order, sorted by class: every k-th row of it then is a random draw with even shares
    order = np.random.default_rng(seed).permutation(len(y_true))
    order = order[np.argsort(y_true[order].astype(str), kind="stable")]
    return np.sort(order[((np.arange(most) + 0.5) * len(order) / most).astype(int)])


def _persons(dataset: Dataset, result: Evaluation) -> Any:
    """Person of each row, '' where unknown; None where the set names fewer than two."""
    if dataset.subjects is None or len(set(dataset.subjects) - {""}) < 2:
        return None
    return dataset.subjects[result.rows]
