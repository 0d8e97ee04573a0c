"""``ferkit evaluate``: a model's figures on labelled pictures."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

_CROPPED = {None: None, "auto": "auto", "yes": True, "no": False}


@click.command("evaluate")
@click.argument("data", metavar="DATA")
@click.option("--model", type=click.Path(dir_okay=False), help="Model file, or fast.  [default: the one inside ferkit]")
@click.option("--split", metavar="NAME", help="Only this part of the set, such as PublicTest.  [default: all rows]")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write the figures to this file.")
@click.option(
    "--cropped",
    type=click.Choice(["auto", "yes", "no"]),
    help="Whether the pictures are faces that are cropped already; auto: squares of at most 64 pixels are.  "
    "[default: as the model was trained]",
)
@click.option("--against", type=click.Path(dir_okay=False), help="Another model file to compare with, row by row.")
@click.option("--drop-unknown", is_flag=True, help="Leave out rows whose label the model does not know.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    data: str,
    model: str | None,
    split: str | None,
    json_file: str | None,
    cropped: str | None,
    against: str | None,
    drop_unknown: bool,
) -> None:
    """Score a model on the labelled pictures in DATA: accuracy with a 95 % interval, figures by class, confusion.

    Every picture counts, those without a found face through their middle; the figure on found faces stands beside it.
    A picture that cannot be read is skipped, and the exit code is then 1.

    \b
    ferkit evaluate fer2013.csv --split PublicTest
    ferkit evaluate my_photos/ --model mine.ferkit --json figures.json
    """
    _check_output(json_file, (data, model, against))
    from ferkit import sources, store
    from ferkit.evaluate import compare, confusion_table, evaluate_dataset, table
    from ferkit.evaluate.text import comparison

    opened = store.load(model)
    other = None if against is None else store.load(against)
    dataset = sources.load(data, split)
    if split is None and dataset.split_names:
        click.echo(f"All parts are scored: {', '.join(dataset.split_names)} (one of them: --split NAME).", err=True)
    options: dict[str, Any] = {"cropped": _CROPPED[cropped], "drop_unknown": drop_unknown}
    with _progress(len(dataset)) as advance:
        result = evaluate_dataset(opened, dataset, progress=advance, **options)
    figures = {"data": data, "split": split, "model": str(opened.path)} | result.figures()
    click.echo(f"{table(figures)}\n\n{confusion_table(figures)}")
    if other is not None:
        theirs = evaluate_dataset(other, dataset[result.rows], **options)
        figures["against"] = {"model": against} | _paired(compare, result, theirs)
        click.echo(f"\n{comparison(figures['against'], str(against))}")
    for note in notes(figures):
        click.echo(note, err=True)
    for name, reason in result.skipped:
        click.echo(f"Skipped: {name}: {' '.join(reason.split())}", err=True)
    if json_file is not None:
        _write(Path(json_file), json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    if result.skipped:
        ctx.exit(1)


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
    if figures["cropped"]:
        said.append(f"{figures['cropped']} pictures taken as already cropped (change: --cropped no).")
    if figures["dropped"]:
        said.append(f"{figures['dropped']} pictures left out, because the model does not know their label.")
    if figures["skipped"]:
        said.append(f"{figures['skipped']} pictures skipped:")
    return said


def _paired(compare: Any, result: Any, theirs: Any) -> dict[str, Any]:
    """Comparison on the rows that both models answered."""
    mine = theirs.rows  # positions among the rows of ``result``
    groups = None if result.groups is None else result.groups[mine]
    paired: dict[str, Any] = compare(result.right[mine], theirs.right, groups)
    return paired


@contextmanager
def _progress(length: int) -> Iterator[Callable[[int], None] | None]:
    """A bar where somebody watches, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=length, label="Reading faces", file=sys.stderr) as bar:
        yield bar.update


def _check_output(json_file: str | None, read: tuple[str | None, ...]) -> None:
    """Before any work: the file can be written, and is not one that is read."""
    if json_file is None:
        return
    path = Path(json_file)
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"Got {json_file!r}, expected a file in a folder that exists.", param_hint="--json")
    for name in read:
        if name and path.exists() and Path(name).exists() and path.samefile(name):
            raise click.BadParameter(
                f"Got {json_file!r}, which is also read, expected another file.", param_hint="--json"
            )


def _write(path: Path, text: str) -> None:
    """Write beside the file and put it in its place at once, so that a failure leaves what was there."""
    from ferkit.errors import DataError

    part = None
    try:
        handle, part = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        raise DataError(f"Got {path} that cannot be written ({error}), expected a place with room.") from error
