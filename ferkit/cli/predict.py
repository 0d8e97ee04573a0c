"""``ferkit predict``: pictures and videos to rows."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click

from ferkit.cli.options import model_option
from ferkit.cli.startup import import_scikit_learn

CROPPED = {None: None, "auto": "auto", "yes": True, "no": False}


@click.command("predict")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@model_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "jsonl"]),
    help="Form of the rows.  [default: by the ending of -o; else table on a terminal, csv in a pipe]",
)
@click.option("-o", "--output", metavar="FILE", help="Write the rows to this file, or add them to sqlite:///FILE.")
@click.option("--faces", type=click.Choice(["all", "largest"]), default="all", show_default=True, help="Which faces.")
@click.option(
    "--cropped",
    type=click.Choice(["auto", "yes", "no"]),
    help="Whether the pictures are faces that are cropped already; auto: squares of at most 64 pixels are.  "
    "[default: as the model was trained]",
)
@click.option(
    "--missing",
    type=click.Choice(["center", "skip"]),
    help="Pictures without a found face: read their middle, or give no row.  [default: as the model was trained]",
)
@click.option("--detector", metavar="auto|dlib|haar|FILE", help="Face detector.  [default: as the model was trained]")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True, help="Read every n-th frame of videos.")
@click.pass_context
def predict(
    ctx: click.Context,
    inputs: tuple[str, ...],
    model: str | None,
    form: str | None,
    output: str | None,
    faces: str,
    cropped: str | None,
    missing: str | None,
    detector: str | None,
    every: int,
) -> None:
    """Read the expressions of all faces in pictures, folders, globs and videos.

    INPUT may also be "-", a picture on standard input, or "sample", seven drawn faces.

    One row a face: source, frame, time, face, box, label, confidence and one probability a label. Rows come as they are
    ready. A picture that cannot be read is skipped, and the exit code is then 1.

    Example: ferkit predict photos/ -o out.csv
    """
    _check_output(output, inputs, model, form)
    import_scikit_learn()
    from ferkit import sinks
    from ferkit.errors import PictureError
    from ferkit.predict import Predictor, columns

    predictor = Predictor(model, faces, CROPPED[cropped], missing, detector)
    name = form or _default_form(output)
    options = {"width": shutil.get_terminal_size().columns} if name == "table" and _on_terminal(output) else {}
    with sinks.make(name, output, columns(predictor.labels), **options) as sink:
        for reading in predictor.readings(inputs, every):
            if isinstance(reading, PictureError):
                click.echo(f"Skipped: {' '.join(str(reading).split())}", err=True)
            else:
                sink.append(reading.row())
        for note in notes(predictor.counts, predictor.missing):
            click.echo(note, err=True)
        if predictor.counts.skipped and not predictor.counts.read and output and Path(output).is_file():
            say_kept(output)
            ctx.exit(1)
    if predictor.counts.skipped:
        ctx.exit(1)


def notes(counts: Any, missing: str = "center") -> list[str]:
    """What the user should know about the pictures beyond the rows, one sentence each."""
    said = []
    if counts.cropped:
        said.append(
            f"{_pictures(counts.cropped)} taken as already cropped: the whole is the face (change: --cropped no)."
        )
    if counts.not_found:
        done = "no row for these" if missing == "skip" else "the middle of the picture was read instead"
        said.append(f"{_pictures(counts.not_found)} without a found face: {done}.")
    if counts.frames_without:
        said.append(f"{counts.frames_without} of {counts.frames} video frames without a found face: no row for these.")
    if counts.skipped:
        said.append(f"{_pictures(len(counts.skipped))} skipped, reasons above.")
    return said


def say_kept(*outputs: str | None) -> None:
    """Name the older files that stay, because there is nothing to take their place."""
    for output in outputs:
        if output is not None and Path(output).is_file():
            click.echo(f"Nothing could be read: {output} stays as it was.", err=True)


def _pictures(n: int) -> str:
    return f"{n} picture{'' if n == 1 else 's'}"


def _default_form(output: str | None) -> str:
    from ferkit.sinks import format_of

    if output is not None and output != "-":
        return format_of(output) or "csv"
    return "table" if sys.stdout.isatty() else "csv"


def _on_terminal(output: str | None) -> bool:
    return output in (None, "-") and sys.stdout.isatty()


def _check_output(output: str | None, inputs: tuple[str, ...], model: str | None, form: str | None) -> None:
    """Before any work: the output can be written and is not something that would be lost by it."""
    from ferkit.sinks import format_of, is_url

    if is_url(output) and form is not None:
        raise click.BadParameter(
            f"Got {form!r} and the database {output!r}, expected one of them.", param_hint="--format"
        )
    if output is None or output == "-" or is_url(output):
        return
    from ferkit.cli.evaluate import check_unread
    from ferkit.sources.images import is_picture_name
    from ferkit.sources.video import is_video_name

    path = Path(output)
    if form is not None and format_of(path) == "sql":
        raise click.BadParameter(
            f"Got {form!r} and the database {output!r}, expected one of them.", param_hint="--format"
        )
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise click.BadParameter(f"Got {output!r}, expected a file in a folder that exists.", param_hint="-o")
    if is_picture_name(path) or is_video_name(path) or path.suffix == ".ferkit":
        raise click.BadParameter(
            f"Got {output!r}, expected a name for rows, such as {path.with_suffix('.csv').name!r}.", param_hint="-o"
        )
    if form is None and path.suffix and format_of(path) is None:
        raise click.BadParameter(
            f"Got {output!r}, expected a name that ends in .csv, .jsonl, .txt or .db, or --format.", param_hint="-o"
        )
    check_unread(output, (*inputs, model), "-o")
