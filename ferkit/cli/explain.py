"""``ferkit explain``: why a model says what it says, as a page, pictures and JSON."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ferkit.cli.evaluate import check_output, check_pictures, say_skipped
from ferkit.cli.options import model_option
from ferkit.cli.predict import CROPPED, notes, say_kept
from ferkit.cli.startup import import_scikit_learn
from ferkit.files import legible, write_whole

if TYPE_CHECKING:
    from ferkit.explain import Explainer, Explanation, Panel
    from ferkit.predict import Predictor

ENDINGS = (".html", ".png", ".svg", ".pdf")
DEFAULT = "explained.html"


@click.command("explain")
@click.argument("pictures", nargs=-1, metavar="[PICTURE]...")
@model_option
@click.option(
    "-o",
    "--output",
    default=DEFAULT,
    show_default=True,
    metavar="FILE",
    help="Page (.html) with everything, or picture (.png, .svg, .pdf); several faces give numbered pictures.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write numbers and maps to this file.")
@click.option("--label", metavar="NAME", help="Why this expression?  [default: the most probable]")
@click.option("--against", metavar="NAME", help="Why not this one?  [default: the most probable other]")
@click.option(
    "--faces", type=click.Choice(["largest", "all"]), default="largest", show_default=True, help="Which faces."
)
@click.option(
    "--cropped",
    type=click.Choice(["auto", "yes", "no"]),
    help="Whether the pictures are faces that are cropped already; auto: squares of at most 64 pixels are.  "
    "[default: as the model was trained]",
)
@click.option(
    "--data", metavar="DATA", help="In place of pictures, a labelled set: mean evidence and worth of families."
)
@click.option("--split", metavar="NAME", help="With --data: only this part of the set.  [default: all rows]")
@click.pass_context
def explain(
    ctx: click.Context,
    pictures: tuple[str, ...],
    model: str | None,
    output: str,
    json_file: str | None,
    label: str | None,
    against: str | None,
    faces: str,
    cropped: str | None,
    data: str | None,
    split: str | None,
) -> None:
    """Show why: what the model saw in a face, what spoke for and against, which family of features decided.

    A picture that cannot be read is skipped, and the exit code is then 1.

    \b
    ferkit explain photo.jpg
    ferkit explain photo.jpg --label sadness --against neutral -o why.png
    ferkit explain --data my_photos/ --model hybrid.ferkit -o overview.html
    """
    if bool(pictures) == (data is not None):
        raise click.UsageError("Got pictures and --data, or neither, expected one of them: ferkit explain photo.jpg")
    useless = {"--label": label, "--against": against, "--faces all": faces == "all"} if data else {"--split": split}
    if given := [option for option, value in useless.items() if value]:
        raise click.UsageError(
            f"Got {given[0]} {'with' if data else 'without'} --data, expected it the other way round."
        )
    stills, left_out = _stills(pictures)
    read = (*stills, data, model)
    _check_output("-o", output, read)
    _check_output("--json", json_file, (*read, output))
    import_scikit_learn()
    from ferkit.explain import Explainer
    from ferkit.predict import Predictor

    predictor = Predictor(model, faces, CROPPED[cropped])
    explainer = Explainer(predictor.model)
    if data is not None:
        skipped = _overview(explainer, predictor, data, split, output, json_file)
    else:
        if label is not None or against is not None:
            explainer.direction(label or _other(explainer, against), against)
        skipped = _pictures(explainer, predictor, stills, (label, against), output, json_file)
    if skipped or left_out:
        ctx.exit(1)


def _stills(inputs: Sequence[str]) -> tuple[list[str], int]:
    """Inputs with folders and globs as their files, and how many things in these are left out, as videos are."""
    from ferkit.errors import PictureError
    from ferkit.sources.walk import is_video, paths_of

    stills: list[str] = []
    left_out = 0
    for item in inputs:
        try:
            paths = [] if item in ("", "-", "sample") else list(paths_of(item))
        except PictureError:  # said when it is its turn
            paths = []
        for path in paths:
            if isinstance(path, PictureError):
                click.echo(f"Skipped: {path}", err=True)
                left_out += 1
            elif is_video(path):
                if len(paths) == 1:
                    raise click.UsageError(f"Got the video {item!r}, expected pictures.")
                click.echo(f"Skipped: Got the video {str(path)!r}, expected pictures.", err=True)
                left_out += 1
            else:
                stills.append(str(path))
        if not paths:
            stills.append(item)
    return stills, left_out


def _pictures(
    explainer: Explainer,
    predictor: Any,
    inputs: Sequence[str],
    asked: tuple[str | None, str | None],
    output: str,
    json_file: str | None,
) -> int:
    """Explain faces one by one, each drawn before the next; how many pictures were skipped."""
    from ferkit.explain import page
    from ferkit.explain.panels import grid, headline, key

    said: list[str] = []
    faces: Iterator[Any] = _explained(explainer, predictor, inputs, asked, None if json_file is None else said)
    first = list(islice(faces, 1))
    faces = chain(first, faces)
    if not first:
        say_kept(output, json_file)
    elif output.lower().endswith(".html"):
        _write({output: page(faces)})
    else:
        figures = (grid(drawn, f"{why.source}: {headline(why)}", key(why)) for why, drawn in faces)
        _write_numbered(output, map(_bytes_as(output), figures))
    if first and json_file is not None:
        _write({json_file: f"[{', '.join(said)}]\n"})
    for note in notes(predictor.counts, predictor.missing):
        click.echo(note, err=True)
    return len(predictor.counts.skipped)


def _explained(
    explainer: Explainer,
    predictor: Any,
    inputs: Sequence[str],
    asked: tuple[str | None, str | None],
    said: list[str] | None,
) -> Iterator[tuple[Explanation, list[Panel]]]:
    """Each face with its panels; its numbers go into ``said`` as JSON, which is smaller than their lists."""
    from ferkit.errors import PictureError
    from ferkit.explain import panels
    from ferkit.explain.panels import headline

    for item in predictor.faces_in(inputs):
        if isinstance(item, PictureError):
            click.echo(f"Skipped: {' '.join(str(item).split())}", err=True)
            continue
        frame, found = item
        for i, why in enumerate(explainer.explain(found, *asked, source=_name(frame.source))):
            click.echo(f"{why.source}: {headline(why)}")
            if said is not None:
                said.append(json.dumps(why.as_dict(), ensure_ascii=False))
            yield why, panels(why, frame.image, found.boxes_xyxy[i])


def _overview(
    explainer: Explainer, predictor: Predictor, data: str, split: str | None, output: str, json_file: str | None
) -> int:
    """Explain a whole data set; how many pictures were skipped."""
    from ferkit import sources
    from ferkit.explain.overview import overview, overview_panels
    from ferkit.explain.page import framed, gallery
    from ferkit.explain.panels import grid
    from ferkit.recipe.schema import labels_of

    dataset = sources.load(data, split)
    for option, name in (("-o", output), ("--json", json_file)):
        check_pictures(name, data, dataset, option)
    changed = {name: new for name, new in labels_of(predictor.model.manifest).items() if name in dataset.labels}
    one = overview(explainer, dataset.relabel(changed), extractor=predictor.extractor)
    for name, found in one.importance.items():
        click.echo(f"{name}: {found.accuracy.mean():.1%} of accuracy, {found.log_loss.mean():+.3f} log loss without it")
    drawn, title = overview_panels(one), f"What the model sees in {sum(one.counts.values())} faces"
    note = "Orange and solid lines speak for an expression, blue and dashed lines against."
    files: dict[str, str | bytes] = {}
    if output.lower().endswith(".html"):
        files[output] = framed(title, f"<p class='soft'>{note}</p>{gallery(drawn)}")
    else:
        files[output] = _bytes_as(output)(grid(drawn, title, note))
    if json_file is not None:
        files[json_file] = _json(one.as_dict())
    _write(files)
    if one.not_found:
        click.echo(f"No face found in {one.not_found} pictures: their middle was read instead.", err=True)
    if one.dropped:
        click.echo(f"{one.dropped} pictures left out, because the model does not know their label.", err=True)
    say_skipped(one.skipped)
    return len(one.skipped)


def _other(explainer: Explainer, against: str | None) -> str:
    return next(name for name in explainer.labels if name != against)


def _name(source: str) -> str:
    """What a picture is called; bytes that are no text, as in names from old systems, are written as their escape."""
    return "standard input" if source == "-" else legible(Path(source).name)


def _write_numbered(output: str, drawn: Iterator[bytes]) -> None:
    """Write pictures as they come: one under the name as it is, several with numbers."""
    path, first = Path(output), list(islice(drawn, 2))
    if len(first) == 1:
        _write({output: first[0]})
        return
    for i, content in enumerate(chain(first, drawn), 1):
        _write({str(path.with_stem(f"{path.stem}_{i}")): content})


def _bytes_as(output: str) -> Any:
    from functools import partial

    from ferkit.figures import figure_bytes

    return partial(figure_bytes, kind=Path(output).suffix[1:].lower())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _write(files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        write_whole(name, content)
        click.echo(f"wrote {name}")


def _check_output(option: str, name: str | None, read: tuple[str | None, ...]) -> None:
    """Before any work: the file can be written, has a known form, and is not one that is read."""
    if name is None:
        return
    path = Path(name)
    if option == "-o" and path.suffix.lower() not in ENDINGS:
        raise click.BadParameter(f"Got {name!r}, expected a name that ends in {', '.join(ENDINGS)}.", param_hint=option)
    numbered = path.parent.glob(f"{glob.escape(path.stem)}_*{glob.escape(path.suffix)}") if option == "-o" else ()
    for written in (name, *map(str, numbered)):
        check_output(written, read, option)
