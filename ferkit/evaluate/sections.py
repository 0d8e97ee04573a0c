"""Sections of a report: what each shows and says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ferkit
from ferkit.evaluate import charts
from ferkit.evaluate.analysis import COVERAGES, hardest, surely_wrong
from ferkit.evaluate.folder import make_folder
from ferkit.evaluate.kinds import KINDS, STRENGTHS, stressed
from ferkit.evaluate.page import bar, dot, heat_table, interval, percent, picture, table, tiles
from ferkit.evaluate.paired import MCNEMAR, SIGN_FLIP
from ferkit.evaluate.slices import Slice
from ferkit.figures import figure_bytes
from ferkit.files import write_whole
from ferkit.labels import colour

if TYPE_CHECKING:
    from ferkit.evaluate.report import Report

Array = NDArray[Any]
MOST_SLICES = 30
WARNING = "Warning: "
TESTS = {
    MCNEMAR: "McNemar's exact test",
    SIGN_FLIP: "Exact sign-flip test, in which the models change places for whole persons or clusters of pictures",
}


class Sections:
    """Sections of a report, whose pictures are written on the way.

    Parameters
    ----------
    report : Report
    folder : Path
        Where its pictures go.
    """

    def __init__(self, report: Report, folder: Path) -> None:
        self.report, self.folder = report, folder
        self.figures = report.analysis.figures
        self.labels: list[str] = self.figures["labels"]

    def head(self) -> str:
        """What stands above the first section."""
        lines = "".join(f"<div>{escape(line)}</div>" for line in self.report.about)
        warned = [note.removeprefix(WARNING) for note in self.report.notes if note.startswith(WARNING)]
        told = [note for note in self.report.notes if not note.startswith(WARNING)]
        lines += "".join(f"<div>{escape(note)}</div>" for note in told)
        notes = "".join(f'<p class="note">{escape(note)}</p>' for note in warned)
        return f'<div class="soft">{lines}<div>ferkit {ferkit.__version__}</div></div>{notes}'

    def all(self) -> list[tuple[str, str, str]]:
        """Anchor, heading and HTML of each part that there is."""
        report = self.report
        parts: list[tuple[str, str, Callable[[], str], bool]] = [
            ("summary", "Summary", self.summary, True),
            ("classes", "Figures by class", self.classes, True),
            ("confusion", "Confusion", self.confusion, True),
            ("curves", "ROC and precision-recall", self.curves, True),
            ("calibration", "Is it as sure as it is right?", self.sureness, True),
            ("balance", "Class balance", self.balance, True),
            ("against", "Against another model", self.against, report.against is not None),
            ("slices", "Groups", self.slices, bool(report.slices)),
            ("families", "What each family is worth", self.families, bool(report.families)),
            ("stress", "Under stress", self.stress, report.stress is not None),
            ("wrong", "Most surely wrong", self.wrong, report.faces is not None),
            ("hardest", "Hardest faces of each class", self.hardest, report.faces is not None),
            ("time", "Time", self.time, bool(report.stages)),
        ]
        return [(anchor, heading, write()) for anchor, heading, write, there in parts if there]

    def summary(self) -> str:
        own, ends = self.figures, self.figures["ci"]
        over = "pictures" if self.report.analysis.answers.groups is None else "persons or clusters of pictures"
        items = [
            ("accuracy", percent(own["accuracy"]), interval(ends["accuracy"])),
            ("balanced accuracy", percent(own["balanced_accuracy"]), interval(ends["balanced_accuracy"])),
            ("macro F1", f"{own['macro_f1']:.3f}", interval(ends["macro_f1"], False)),
            ("macro ROC area", _three(own["macro_roc_auc"]), interval(ends["macro_roc_auc"], False)),
            (
                "macro avg. precision",
                _three(own["macro_average_precision"]),
                interval(ends["macro_average_precision"], False),
            ),
            ("log loss", f"{own['log_loss']:.3f}", interval(ends["log_loss"], False)),
            ("calibration error", f"{own['ece']:.3f}", "mean gap, 15 bins"),
            ("no face found", percent(own["not_found"]), f"accuracy on found {percent(own['accuracy_found'])}"),
        ]
        if self.report.stress is not None:
            found = self.report.stress.record()
            items.append(("kept under stress", percent(found["relative"]), interval(found["relative_ci"])))
        return tiles(items) + (
            f"<p>{own['n']} pictures. In brackets: 95 % intervals, bootstrap over {over} (2,000 resamples). "
            "Macro figures are means over the classes that occur.</p>"
        )

    def classes(self) -> str:
        names = [("precision", True), ("recall", True), ("f1", False), ("roc_auc", False), ("average_precision", False)]
        rows = []
        for i, label in enumerate(self.labels):
            own = self.figures["per_class"][label]
            cells = [_with_interval(own[name], own["ci"][name], share) for name, share in names]
            rows.append([dot(colour(label, i), label), str(own["support"]), *cells])
        return table(["class", "pictures", "precision", "recall", "F1", "ROC area", "average precision"], rows)

    def confusion(self) -> str:
        counts = self.figures["confusion"]
        tables = [
            heat_table(self.labels, counts, "Counts. Rows: true label; columns: answer.", "counts"),
            heat_table(self.labels, counts, "Rates: share of each true label.", "rates"),
        ]
        return f'<div class="pair">{"".join(tables)}</div>'

    def curves(self) -> str:
        found = self.report.analysis
        self.chart("roc", lambda dark: charts.roc_chart(found.roc, dark))
        self.chart("precision_recall", lambda dark: charts.precision_recall_chart(found.precision_recall, dark))
        return (
            '<div class="pair">'
            + picture("roc", "ROC curve of each class")
            + picture("precision_recall", "Precision-recall curve of each class")
            + '</div><p class="soft">Each class against all others. The numbers are the areas: 0.5 is chance on the '
            "left; on the right chance is the share of the class.</p>"
        )

    def sureness(self) -> str:
        found = self.report.analysis
        confidence = found.answers.proba.max(axis=1)
        self.chart("calibration", lambda dark: charts.calibration_chart(found.calibration, confidence, dark))
        self.chart("coverage", lambda dark: charts.coverage_chart(found.coverage, dark))
        rows = []
        for share in COVERAGES:
            accuracy, threshold = found.coverage.at(share)
            rows.append([percent(share, 0), percent(accuracy), f"{threshold:.3f}"])
        return (
            '<div class="pair"><div>'
            + picture("calibration", "Accuracy against confidence")
            + '<p class="soft">Ten bins of equally many pictures, with 95 % intervals. On the diagonal the model is as '
            "sure as it is right; below it, over-sure.</p></div><div>"
            + picture("coverage", "Accuracy against coverage")
            + '<p class="soft">Where the least sure answers are left out, accuracy on the others rises.</p>'
            + table(["answered", "accuracy on these", "least confidence"], rows)
            + "</div></div>"
        )

    def balance(self) -> str:
        self.chart("balance", lambda dark: charts.balance_chart(self.figures, dark))
        return picture("balance", "Pictures of each class, true and answered")

    def against(self) -> str:
        own = self.report.against or {}
        sure = "more than chance explains" if own["p_value"] < 0.05 else "no more than chance can explain"
        rows = [
            ["this model", percent(own["accuracy"]), str(own["only_this"])],
            [escape(PurePath(str(own["model"])).name), percent(own["other_accuracy"]), str(own["only_other"])],
        ]
        return table(["model", "accuracy", "right where the other is wrong"], rows) + (
            f"<p>Difference {100 * own['difference']:+.1f} points {interval(own['difference_ci'])} on {own['n']} "
            f"pictures (bootstrap of the pairs). {TESTS[own['test']]}: p = {own['p_value']:.2g}, {sure}.</p>"
        )

    def slices(self) -> str:
        parts = []
        for name, found in self.report.slices.items():
            shown = list(found)
            more = ""
            if len(shown) > MOST_SLICES:
                shown = sorted(shown, key=lambda part: part.accuracy)[:MOST_SLICES]
                more = f", the {MOST_SLICES} least accurate of {len(found)}; all are in figures.json"
            parts.append(f"<h3>{escape(name)}{escape(more)}</h3>" + self.slice_table(name, shown))
        return "".join(parts) + (
            '<p class="soft">Difference: accuracy less that of all others, with its 95 % interval; bold where that '
            "leaves out 0. Of many groups, one in twenty stands out by chance. A confidence above the accuracy is "
            "over-sureness. Groups that differ in their classes differ in accuracy for that alone: look at the "
            "balanced accuracy too.</p>"
        )

    def slice_table(self, name: str, found: Sequence[Slice]) -> str:
        rows = []
        for part in found:
            difference = "–"
            if part.difference is not None and part.difference_ci is not None:
                difference = f"{100 * part.difference:+.1f} <small>{interval(part.difference_ci)}</small>"
                if part.difference_ci[0] > 0 or part.difference_ci[1] < 0:
                    difference = f"<b>{difference}</b>"
            rows.append(
                [
                    escape(part.value),
                    str(part.n) if part.groups is None else f"{part.n} of {part.groups}",
                    f"{percent(part.accuracy)} <small>{interval(part.accuracy_ci)}</small>",
                    bar(part.accuracy, part.accuracy_ci),
                    difference,
                    percent(part.balanced_accuracy),
                    percent(part.confidence),
                    percent(part.not_found),
                ]
            )
        pictures = "pictures" if all(part.groups is None for part in found) else "pictures of persons"
        head = [name, pictures, "accuracy", "0 to 100 %", "difference", "balanced", "confidence", "no face"]
        return table(head, rows)

    def families(self) -> str:
        test = f"{self.report.families[0]['test']} p"
        rows = [
            [
                escape(own["family"]),
                percent(own["alone"]),
                percent(own["without"]),
                f"{100 * own['loss']:+.1f} <small>{interval(own['loss_ci'])}</small>",
                f"{own['p_value']:.2g}",
            ]
            for own in self.report.families
        ]
        return table(["family", "alone", "without it", "points lost without it", test], rows) + (
            '<p class="soft">Alone: the model of the family, or of families that share one. Without it: the fusion is '
            "not fitted again, the family stands at its mean; a model fitted without it can do better than this.</p>"
        )

    def stress(self) -> str:
        found = self.report.stress
        assert found is not None
        self.chart("stress", lambda dark: charts.stress_chart(found, dark))
        self.chart("stress-narrow", lambda dark: charts.stress_chart(found, dark, columns=2))
        numbers = found.record()
        rows = [
            [
                escape(name),
                *(f"{100 * value:.1f}" for value in own["accuracy"]),
                f"{100 * own['mean']:.1f}",
                "–" if own["relative"] is None else f"{100 * own['relative']:.1f}",
            ]
            for name, own in numbers["kinds"].items()
        ]
        head = ["change", *map(str, range(1, STRENGTHS + 1)), "mean", "kept"]
        return (
            f"<p>Mean accuracy over {len(KINDS)} changes and {STRENGTHS} strengths: {percent(numbers['mean'])}, "
            f"which is <b>{percent(numbers['relative'])}</b> {interval(numbers['relative_ci'])} of the accuracy on the "
            f"faces as they are ({percent(numbers['clean'])}). {escape(self.report.stress_note)} The crop is changed, "
            "not the whole picture: whether the face would still be found is not tested. "
            f"Seed {found.seed}.</p>"
            + picture("stress", "Accuracy under each change, by strength", narrow=True)
            + table(
                head,
                rows,
                "Accuracy in % by strength, 1 weak to 5 strong; kept: mean relative to the faces as they are.",
            )
            + self.stress_faces(found.seed)
        )

    def stress_faces(self, seed: int) -> str:
        """One face under every change."""
        if self.report.faces is None or not len(self.report.faces):
            return ""
        right = np.flatnonzero(self.report.analysis.answers.right)
        row = int(right[0]) if len(right) else 0
        face = self.report.faces[row]
        made = [[face.crops[0], *(stressed(face, kind.name, s, seed).crops[0] for s in range(1, 6))] for kind in KINDS]
        cells = []
        for kind, crops in zip(KINDS, made, strict=True):
            sheet = np.concatenate([np.pad(crop, 1, constant_values=128) for crop in crops], axis=1)
            name = f"stress_{kind.name.replace(' ', '_').lower()}.png"
            self.png(name, sheet)
            alt = f"a face under {kind.name}, from none to strength 5"
            cells.append(
                f'<figure><figcaption>{escape(kind.name)}</figcaption><img src="faces/{name}" alt="{alt}"></figure>'
            )
        return f'<h3>What the changes look like</h3><div class="pair">{"".join(cells)}</div>'

    def wrong(self) -> str:
        return (
            "<p>Wrong answers, the surest first. A glance tells wrong labels from hard faces.</p>"
            f'<div class="faces">{self.sheet(surely_wrong(self.report.analysis.answers))}</div>'
        )

    def hardest(self) -> str:
        parts = ["<p>The faces whose own label got the lowest probability.</p>"]
        for label, rows in hardest(self.report.analysis.answers).items():
            name = dot(colour(label, self.labels.index(label)), label)
            parts.append(f'<h3>{name}</h3><div class="faces six">{self.sheet(rows)}</div>')
        return "".join(parts)

    def sheet(self, rows: Array) -> str:
        """Faces of some rows with what is true and what was said."""
        answers, faces = self.report.analysis.answers, self.report.faces
        assert faces is not None
        cells = []
        for row in rows.tolist():
            self.png(f"{row}.png", faces.crops[row])
            said, true, name = str(answers.predicted[row]), str(answers.y_true[row]), str(answers.names[row])
            own = answers.proba[row, answers.labels.index(true)]
            text = (
                f"said {escape(said)} {answers.proba[row].max():.2f}<br>true {escape(true)} {own:.2f}"
                if said != true
                else (f"said {escape(said)} {own:.2f}, true")
            )
            short = escape(PurePath(name).name)
            cells.append(
                f'<figure><img src="faces/{row}.png" alt="{escape(f"true {true}, said {said}")}" loading="lazy">'
                f'<figcaption>{text}<span title="{escape(name)}"><bdi>{short}</bdi></span></figcaption></figure>'
            )
        return "".join(cells)

    def time(self) -> str:
        rows = [[escape(own["stage"]), f"{own['ms']:.2f}"] for own in self.report.stages]
        return table(["stage", "ms a picture"], rows) + (
            '<p class="soft">Measured on this machine while the report was made, on up to 32 pictures at once; the '
            "last line is one picture by itself.</p>"
        )

    def chart(self, name: str, draw: Callable[[bool], Any]) -> None:
        """Write a chart for light and for dark pages."""
        for dark, ending in ((False, ""), (True, "-dark")):
            write_whole(self.folder / f"{name}{ending}.svg", figure_bytes(draw(dark), "svg"))

    def png(self, name: str, crop: Array) -> None:
        import cv2

        folder = self.folder / "faces"
        make_folder(folder)
        write_whole(folder / name, cv2.imencode(".png", crop)[1].tobytes())


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _with_interval(value: float | None, ends: Sequence[float | None], share: bool) -> str:
    text = percent(value) if share else _three(value)
    return f"{text} <small>{interval(ends, share)}</small>"
