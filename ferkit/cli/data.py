"""``ferkit data``: look at, collect, prepare and augment pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from ferkit.cli.predict import CROPPED
from ferkit.files import write_whole


class _Group(click.Group):
    """Adds ``augment`` from its own file, imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, "augment"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "augment":
            command: click.Command = import_module("ferkit.cli.data_augment").augment
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Group)
def data() -> None:
    """Inspect, collect, prepare and augment pictures."""


@contextmanager
def _progress(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """Bar on standard error; nothing at all where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield bar.update


def _load(path: str, subjects_from_names: bool) -> Any:
    from ferkit.sources import load

    return load(path, subjects_from_names=subjects_from_names)


_names_option = click.option(
    "--subjects-from-names", is_flag=True, help="Take persons from names such as Ann_Example_0001.jpg."
)


@data.command(short_help="Count what a data set holds.")
@click.argument("path")
@click.option("--sheet", type=click.Path(dir_okay=False), metavar="PICTURE", help="Write a contact sheet picture.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), metavar="FILE", help="Write the report as JSON.")
@click.option("--near/--no-near", default=True, show_default=True, help="Look for near duplicates.")
@_names_option
@click.pass_context
def inspect(
    ctx: click.Context, path: str, sheet: str | None, json_file: str | None, near: bool, subjects_from_names: bool
) -> None:
    """Say what the data set at PATH holds; exit code 1 where some of it cannot be read.

    Counts by class and split, sizes, persons, exact and near duplicates within and across splits. PATH is a file or
    folder of any form that ferkit knows, or "sample" for the set that it draws itself.

    Example: ferkit data inspect sample --sheet sheet.png
    """
    from ferkit.cli.evaluate import check_output, check_pictures
    from ferkit.sources.report import inspect as look
    from ferkit.sources.sheet import contact_sheet, picture_format, save_picture

    check_output(sheet, (path,), "--sheet")
    check_output(json_file, (path, sheet), "--json")
    if sheet:
        picture_format(sheet)
    dataset = _load(path, subjects_from_names)
    check_pictures(sheet, path, dataset, "--sheet")
    check_pictures(json_file, path, dataset, "--json")
    with _progress(len(dataset), "Looking") as advance:
        report = look(dataset, near=near, advance=advance)
    click.echo("\n".join(report.lines()))
    if json_file:
        write_whole(json_file, json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n")
    if sheet:
        save_picture(contact_sheet(dataset), sheet)
    if report.skipped:
        click.echo(f"Skipped {len(report.skipped)} that cannot be used.", err=True)
        ctx.exit(1)


@data.command(short_help="Gather faces from a camera or video.")
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--label", required=True, metavar="NAME", help="Expression or category of your own.")
@click.option("--source", default="0", show_default=True, metavar="0|FILE", help="Camera number, video or address.")
@click.option("--max", "most", type=click.IntRange(1), default=200, show_default=True, help="Pictures to save at most.")
@click.option("--every", type=click.IntRange(1), default=5, show_default=True, help="Look at every n-th frame.")
def collect(out: str, label: str, source: str, most: int, every: int) -> None:
    """Save faces from a camera or a video to OUT/NAME/, found and cut out with a margin.

    Numbers go on after the pictures that are there; nothing is overwritten. Stop with Ctrl-C.

    Example: ferkit data collect --label happiness my-faces
    """
    from ferkit.collect import collect as gather
    from ferkit.sources.duplicates import NEEDED

    with _progress(most, "Collecting") as advance:
        done = gather(source, label, out, most=most, every=every, advance=advance)
    click.echo(
        f"{done.saved} pictures saved to {done.folder}; {done.without_face} of {done.frames} frames had no face."
    )
    if done.saved and done.distinct < NEEDED:
        click.echo(
            f"All pictures there count as {done.distinct}, because near-duplicates count once; ferkit fit needs "
            f"{NEEDED} of a label to hold some out. Collect again, in another place, light, or of another person.",
            err=True,
        )


@data.command(short_help="Write the faces of a set to disk, once.")
@click.argument("path")
@click.argument("out", type=click.Path(file_okay=False))
@click.option("--size", type=click.IntRange(16, 512), default=48, show_default=True, help="Height and width of a face.")
@click.option("--light", type=click.Choice(["none", "equalise", "clahe"]), default="none", show_default=True)
@click.option("--detector", default="auto", show_default=True, metavar="auto|dlib|haar|FILE", help="Face detector.")
@click.option(
    "--cropped",
    type=click.Choice(["auto", "yes", "no"]),
    default="auto",
    show_default=True,
    help="Whether the pictures are faces that are cropped already; auto: squares of at most 64 pixels are.",
)
@click.option(
    "--missing",
    type=click.Choice(["center", "skip"]),
    default="center",
    show_default=True,
    help="Pictures without a found face: write their middle, or leave them out.",
)
@click.option(
    "--balance",
    type=click.Choice(["none", "over", "under"]),
    default="none",
    show_default=True,
    help="List Training rows of rare classes again (over), or leave out some of frequent ones (under).",
)
@click.option("--split", is_flag=True, help="Give a split to rows that have none; persons are never parted.")
@_names_option
@click.pass_context
def prepare(
    ctx: click.Context, path: str, out: str, subjects_from_names: bool, cropped: str, missing: str, **settings: Any
) -> None:
    """Write the faces of the data set at PATH to OUT, found, aligned, sized and lit, once for all training.

    OUT gets <split>/<label>/*.png and labels.csv, which ferkit reads as a data set. A run that was stopped goes on
    where it stopped. Exit code 1 where some pictures cannot be read.

    Example: ferkit data prepare sample faces --size 48 --light clahe
    """
    from ferkit.cli.evaluate import check_outside
    from ferkit.faces.extract import CROPPED_UP_TO
    from ferkit.prepare import prepare as write_faces

    check_outside(out, path, "OUT")
    dataset = _load(path, subjects_from_names)
    with _progress(len(dataset), "Preparing") as advance:
        done = write_faces(dataset, out, cropped=CROPPED[cropped], missing=missing, advance=advance, **settings)
    left = "of them are the middle of a picture" if missing == "center" else "left out: pictures"
    click.echo(
        f"{done.written} faces written to {out}, {done.before} were there; {done.not_found} {left} without a face that "
        f"was found; labels.csv lists {done.listed}."
    )
    if settings["size"] > CROPPED_UP_TO:
        click.echo(
            f"Squares of more than {CROPPED_UP_TO} pixels are not taken as cropped faces by themselves: "
            "ferkit fit --set faces.cropped=true, ferkit evaluate --cropped yes.",
            err=True,
        )
    if dataset.votes is not None:
        click.echo(f"The set's votes are not kept: {out} has one label a face.")
    if done.broken:
        click.echo(f"Skipped {len(done.broken)} that cannot be used; first: {': '.join(done.broken[0])}", err=True)
        ctx.exit(1)
