"""``ferkit evaluate``: a model's figures on labelled pictures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ferkit.cli.options import check_jobs, model_option
from ferkit.cli.predict import CROPPED
from ferkit.files import can_write, write_whole


@click.command("evaluate")
@click.argument("data", metavar="DATA", required=False)
@click.option("--data", "data_option", metavar="DATA", help="The same as DATA, for use with --recipe.")
@model_option
@click.option("--split", metavar="NAME", help="Only this part of the set, such as PublicTest.  [default: all rows]")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write the figures to this file.")
@click.option(
    "--predictions",
    type=click.Path(dir_okay=False),
    metavar="FILE.csv",
    help="Write the answer for each picture, for ferkit compare.",
)
@click.option("--report", type=click.Path(file_okay=False), metavar="DIR", help="Write a page with pictures there.")
@click.option(
    "--slices",
    type=click.Path(dir_okay=False, exists=True),
    metavar="FILE.csv",
    help="Figures by group, for each column of a CSV that has names of pictures in its column name.",
)
@click.option("--stress", is_flag=True, help="Also score darkened, blurred, turned, covered ... faces (with --report).")
@click.option("--stress-rows", type=click.IntRange(1), metavar="N", help="Stress so many pictures, drawn by class.")
@click.option(
    "--cropped",
    type=click.Choice(["auto", "yes", "no"]),
    help="Whether the pictures are faces that are cropped already; auto: squares of at most 64 pixels are.  "
    "[default: as the model was trained]",
)
@click.option("--detector", metavar="auto|dlib|haar|FILE", help="Face detector.  [default: as the model was trained]")
@click.option("--against", type=click.Path(dir_okay=False), help="Another model file to compare with, row by row.")
@click.option("--drop-unknown", is_flag=True, help="Leave out rows whose label the model does not know.")
@click.option("--subjects-from-names", is_flag=True, help="Take persons from names such as Ann_Example_0001.jpg.")
@click.option("--recipe", help="Cross-validate this recipe instead of scoring a model.")
@click.option("--folds", type=click.IntRange(2), help="Folds of --recipe.  [default: 5]")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override a setting of --recipe.")
@click.option("--cache", metavar="DIR|none", help="As for ferkit fit, with --recipe.")
@click.option(
    "--jobs", type=int, callback=check_jobs, help="Threads, with --stress or --recipe.  [default: one a core]"
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="For intervals, stress and folds.")
@click.pass_context
def evaluate(ctx: click.Context, data: str | None, data_option: str | None, **given: Any) -> None:
    """Score a model on the labelled pictures in DATA: accuracy with a 95 % interval, figures by class, confusion.

    Every picture counts, those without a found face through their middle; the figure on found faces stands beside it.
    A picture that cannot be read is skipped, and the exit code is then 1.

    \b
    ferkit evaluate fer2013.csv --split PublicTest
    ferkit evaluate my_photos/ --model mine.ferkit --json figures.json
    ferkit evaluate my_photos/ --report report/ --stress
    ferkit evaluate --recipe hog_svm --data my_photos/ --folds 5
    """
    ask = Ask(data=_data(data, data_option), **given)
    _check(ask)
    skipped = _cross_validate(ask) if ask.recipe is not None else _score(ask)
    say_skipped(skipped)
    if skipped:
        ctx.exit(1)


@dataclass(frozen=True)
class Ask:
    """What the command was asked for."""

    data: str
    model: str | None
    split: str | None
    json_file: str | None
    predictions: str | None
    report: str | None
    slices: str | None
    stress: bool
    stress_rows: int | None
    cropped: str | None
    detector: str | None
    against: str | None
    drop_unknown: bool
    subjects_from_names: bool
    recipe: str | None
    folds: int | None
    sets: tuple[str, ...]
    cache: str | None
    jobs: int | None
    seed: int


def _data(argument: str | None, option: str | None) -> str:
    if (argument is None) == (option is None):
        got = "no data set" if argument is None else f"DATA={argument!r} and --data {option!r}"
        raise click.UsageError(f"Got {got}, expected one: ferkit evaluate DATA")
    return str(argument or option)


def _score(ask: Ask) -> list[tuple[str, str]]:
    """Score a model, say and write what was asked for; what was skipped is returned."""
    from ferkit import store
    from ferkit.errors import DataError
    from ferkit.evaluate import confusion_table, evaluate_dataset, table
    from ferkit.evaluate.run import known_rows
    from ferkit.evaluate.slices import read_slices
    from ferkit.evaluate.text import comparison

    opened, other = store.load(ask.model), None if ask.against is None else store.load(ask.against)
    dataset, elsewhere = _load(ask)
    if ask.split is None and dataset.split_names:
        click.echo(f"All parts are scored: {', '.join(dataset.split_names)} (one of them: --split NAME).", err=True)
    truths = []
    for model, name in ((opened, str(opened.path)), (other, ask.against)):
        if model is not None:
            try:
                truths.append(known_rows(model, dataset, ask.drop_unknown))
            except DataError as error:
                raise DataError(f"{name}: {error}") from error
    _check_same_truth(truths, dataset, ask)
    if ask.slices is not None:
        read_slices(ask.slices, dataset.names)  # before the work: a table of other pictures is refused now
    options: dict[str, Any] = {
        "cropped": CROPPED[ask.cropped],
        "detector": ask.detector,
        "drop_unknown": ask.drop_unknown,
    }
    with _progress(len(dataset), "Reading faces") as advance:
        result = evaluate_dataset(opened, dataset, progress=advance, **options)
    figures = {"data": ask.data, "split": ask.split, "model": str(opened.path)} | result.figures(ask.seed)
    figures["persons_in_other_splits"] = elsewhere
    click.echo(f"{table(figures)}\n\n{confusion_table(figures)}")
    if other is not None:
        theirs = evaluate_dataset(other, dataset[result.rows], **options)
        warn(str(ask.against), theirs)
        figures["against"] = {"model": ask.against} | _paired(result, theirs, ask.seed)
        click.echo(f"\n{comparison(figures['against'], str(ask.against))}")
    said = notes(figures)
    for note in said:
        click.echo(note, err=True)
    _keep_figures(ask, figures)
    if ask.predictions is not None:
        result.predictions.save(ask.predictions)
    if ask.report is not None:
        _write_report(ask, opened, dataset, result, figures, said)
    if ask.stress:
        _keep_figures(ask, figures)
    return result.skipped


def _check_same_truth(truths: list[Any], dataset: Any, ask: Ask) -> None:
    """Refuse to compare models whose recipes give one picture different labels: merged ones are easier."""
    from ferkit.errors import DataError

    (labels, _, known), (others, _, also) = truths[0], truths[-1]
    for row in sorted(set(known.tolist()) & set(also.tolist())):
        if labels[row] != others[row]:
            raise DataError(
                f"{ask.against}: Got label {others[row]!r} for {dataset.names[row]}, expected {labels[row]!r} as the "
                "other model's recipe has it: only models with the same labels can be compared."
            )


def _load(ask: Ask) -> tuple[Any, int]:
    """What is to be scored, and how many persons of it have pictures in other splits of the set too."""
    from ferkit import sources

    whole = sources.load(ask.data, subjects_from_names=ask.subjects_from_names)
    dataset = whole if ask.split is None else whole.split(ask.split)
    elsewhere: set[str] = set()
    if whole.subjects is not None:
        scored = set(dataset.splits)
        others = (own for own, split in zip(whole.subjects, whole.splits, strict=True) if split not in scored)
        elsewhere = set(dataset.subjects).intersection(others) - {""}
    for hint, path in (("--json", ask.json_file), ("--predictions", ask.predictions)):
        check_pictures(path, ask.data, dataset, hint)
    return dataset, len(elsewhere)


def _keep_figures(ask: Ask, figures: dict[str, Any]) -> None:
    from ferkit.evaluate.metrics import without_nan

    if ask.json_file is not None:
        write_whole(ask.json_file, json.dumps(without_nan(figures), indent=2, ensure_ascii=False) + "\n")


def _write_report(ask: Ask, model: Any, dataset: Any, result: Any, figures: dict[str, Any], said: list[str]) -> None:
    from ferkit.evaluate.folder import STRESS, make_folder
    from ferkit.evaluate.report import report_of

    folder = Path(str(ask.report))
    make_folder(folder)
    report = report_of(
        model,
        dataset,
        result,
        title=f"{Path(model.path).stem} on {Path(ask.data).name}" + (f", {ask.split}" if ask.split else ""),
        slices=ask.slices,
        against=figures.get("against"),
        notes=said,
        seed=ask.seed,
        cropped=CROPPED[ask.cropped],
        detector=ask.detector,
    )
    for note in report.notes[len(said) :]:
        click.echo(note, err=True)
    if ask.stress:
        with _progress(71, "Stress") as advance:
            report = report.with_stress(
                model, result, rows=ask.stress_rows, jobs=ask.jobs, keep=folder / STRESS, progress=advance
            )
        figures["stress"] = found = report.record()["stress"]
        low, high = found["relative_ci"]
        kept = f"{found['relative']:.4f} [{low:.4f}, {high:.4f}] of the accuracy is kept"
        click.echo(f"\nunder stress: {kept if found['clean'] else 'no answer is right, as before'}")
    click.echo(f"wrote {report.save(folder)}")


def _cross_validate(ask: Ask) -> list[tuple[str, str]]:
    """Cross-validate a recipe, say and write what was asked for; what was skipped is returned."""
    from ferkit import recipe as recipes
    from ferkit.cli.fit import Steps, cache_of
    from ferkit.evaluate import confusion_table, cross_validate, table
    from ferkit.evaluate.text import folds_table

    checked = recipes.load(str(ask.recipe), ask.sets)
    steps = Steps()
    found = cross_validate(
        checked,
        _load(ask)[0],
        ask.folds or 5,
        seed=ask.seed,
        jobs=ask.jobs or -1,
        cache=cache_of(ask.cache),
        progress=steps,
    )
    steps.close()
    figures = {"data": ask.data, "split": ask.split, "recipe": checked.name} | found.figures(ask.seed)
    click.echo(f"{folds_table(figures)}\n\n{table(figures)}\n\n{confusion_table(figures)}")
    if found.left_out:
        click.echo(f"{found.left_out} pictures left out: a network of the features was trained on them.", err=True)
    _keep_figures(ask, figures)
    if ask.predictions is not None:
        found.answers.save(ask.predictions)
    return found.skipped


def notes(figures: dict[str, Any]) -> list[str]:
    """What the user should know about the rows beyond the figures, one sentence each."""
    said = []
    fitted, fusion = figures["seen"]["fitted"], figures["seen"]["fusion"]
    if fitted:
        said.append(f"Warning: {fitted} of these faces were used to train the model: the figures are too good.")
    if fusion:
        said.append(
            f"Warning: {fusion} of these faces fitted the model's fusion: the figures are a little too good; "
            "ferkit fit reports them cross-fitted."
        )
    if figures["persons_in_other_splits"]:
        said.append(
            f"{figures['persons_in_other_splits']} persons of these faces have pictures in other splits of the set: "
            "a model trained on those knows them, and strangers will be harder."
        )
    if figures["cropped"]:
        said.append(f"{figures['cropped']} pictures taken as already cropped (change: --cropped no).")
    if figures["relabelled"]:
        said.append(relabelled(figures["relabelled"]))
    if figures["dropped"]:
        said.append(f"{figures['dropped']} pictures left out, because the model does not know their label.")
    if figures["skipped"]:
        said.append(f"{figures['skipped']} pictures skipped:")
    return said


def say_skipped(skipped: list[tuple[str, str]]) -> None:
    """Name each picture that could not be used, and why."""
    for name, reason in skipped:
        click.echo(f"Skipped: {name}: {' '.join(reason.split())}", err=True)


def warn(model: str, result: Any) -> None:
    """Say what a comparison with a model should be read with."""
    if result.relabelled:
        click.echo(f"{model}: {relabelled(result.relabelled)}", err=True)
    for count, what in zip(result.seen, ("model", "model's fusion"), strict=True):
        if count:
            click.echo(f"Warning: {model}: {count} of these faces fitted the {what}: it looks too good.", err=True)


def relabelled(labels: dict[str, str | None]) -> str:
    """Labels of the data that the model's recipe changed, as one sentence."""
    changes = [f"{old} left out" if new is None else f"{old} as {new}" for old, new in labels.items()]
    return f"Labels as in the model's recipe: {', '.join(changes)}."


def _paired(result: Any, theirs: Any, seed: int) -> dict[str, Any]:
    """Comparison on the rows that both models answered."""
    from ferkit.evaluate import compare

    mine = theirs.rows  # positions among the rows of ``result``
    groups = None if result.groups is None else result.groups[mine]
    paired: dict[str, Any] = compare(result.right[mine], theirs.right, groups, seed)
    return paired


@contextmanager
def _progress(length: int, label: str) -> Iterator[Callable[[int], None] | None]:
    """A bar where somebody watches, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


def _check(ask: Ask) -> None:
    """Before any work: options go together, files can be written and are not those that are read."""
    if (ask.stress or ask.slices) and ask.report is None:
        raise click.UsageError("Got --stress or --slices without --report, expected a folder: --report DIR")
    if ask.stress_rows and not ask.stress:
        raise click.UsageError("Got --stress-rows without --stress, expected both.")
    if ask.recipe is not None:
        wrong = [
            name for name in ("model", "report", "against", "cropped", "detector") if getattr(ask, name) is not None
        ]
        if wrong:
            raise click.UsageError(f"Got --recipe with --{wrong[0]}, expected one of them.")
        if ask.drop_unknown:
            raise click.UsageError("Got --recipe with --drop-unknown, expected --set labels.NAME=drop for each label.")
    elif ask.sets or ask.cache:
        raise click.UsageError(f"Got --{'set' if ask.sets else 'cache'} without --recipe, expected both.")
    if ask.report is not None:
        check_outside(ask.report, ask.data, "--report")
        from ferkit.evaluate.folder import holds_other_files

        if not can_write(Path(ask.report, "index.html")):
            raise click.BadParameter(
                f"Got {ask.report!r}, expected a folder that you may write to.", param_hint="--report"
            )
        if holds_other_files(Path(ask.report)):
            raise click.BadParameter(
                f"Got {ask.report!r}, which holds other files, expected a new folder or an older report's.",
                param_hint="--report",
            )
    if ask.jobs is not None and not ask.stress and ask.recipe is None:
        raise click.UsageError("Got --jobs without --stress or --recipe, expected it with one of them.")
    if ask.folds is not None and ask.recipe is None:
        raise click.UsageError("Got --folds without --recipe, expected both.")
    read = (ask.data, ask.model, ask.against, ask.slices, ask.recipe)
    check_output(ask.json_file, read, "--json")
    check_output(ask.predictions, (*read, ask.json_file), "--predictions")
    if ask.report is not None:
        for hint, path in (("--json", ask.json_file), ("--predictions", ask.predictions)):
            if path is not None and Path(path).resolve().is_relative_to(Path(ask.report).resolve()):
                raise click.BadParameter(f"Got {path!r} inside the report, expected another folder.", param_hint=hint)


def check_output(name: str | None, read: tuple[str | None, ...], hint: str) -> None:
    """Refuse a file that cannot be written, one that is also read, and one that another option writes."""
    if name is None:
        return
    path = Path(name)
    if os.path.isdir(path) or not os.path.isdir(path.absolute().parent):
        raise click.BadParameter(f"Got {name!r}, expected a file in a folder that exists.", param_hint=hint)
    if not can_write(path):
        raise click.BadParameter(f"Got {name!r}, expected a file in a folder that you may write to.", param_hint=hint)
    folders = [Path(folder).resolve() for folder in read if folder and os.path.isdir(folder)]
    if path.exists() and any(path.resolve().is_relative_to(folder) for folder in folders):
        raise click.BadParameter(f"Got {name!r}, a file of the data, expected another.", param_hint=hint)
    check_unread(name, read, hint)


def check_unread(name: str, read: tuple[str | None, ...], hint: str) -> None:
    """Refuse a file that is read too, or that another option writes."""
    path = Path(name)
    own = path.resolve()
    for other in map(Path, filter(None, read)):
        if own == other.resolve() or (path.exists() and os.path.exists(other) and path.samefile(other)):
            raise click.BadParameter(
                f"Got {name!r}, which is also read or written by another option, expected another file.",
                param_hint=hint,
            )


def check_outside(folder: str, data: str, hint: str) -> None:
    """Refuse a folder inside a data set's own, where what is written would be read as data."""
    if Path(data).is_dir() and Path(folder).resolve().is_relative_to(Path(data).resolve()):
        raise click.BadParameter(f"Got {folder!r} inside the data {data!r}, expected another folder.", param_hint=hint)


def check_pictures(output: str | None, data: str, dataset: Any, hint: str) -> None:
    """Refuse a file that is one of a data set's pictures."""
    if output is None or not Path(output).exists():
        return
    root = Path(data) if Path(data).is_dir() else Path(data).parent
    names = (*dataset.names, *(name for name, _ in dataset.skipped))
    check_unread(output, tuple(str(root / name) for name in names), hint)
