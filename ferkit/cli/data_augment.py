"""``ferkit data augment``: a picture of what augmentation does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ferkit.augment import Augment
    from ferkit.records import Faces


@click.command()
@click.argument("path")
@click.option("--show", required=True, type=click.Path(dir_okay=False), metavar="PICTURE", help="Picture to write.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a setting: --set rotation=30")
@click.option("--faces", "n", type=click.IntRange(1, 50), default=4, show_default=True, help="Faces to show.")
@click.option("--columns", type=click.IntRange(1, 30), default=8, show_default=True, help="Copies beside each face.")
@click.option("--zoom", type=click.IntRange(1, 8), default=2, show_default=True, help="Screen pixels for each pixel.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed draws other changes.")
@click.option("--kinds/--no-kinds", default=True, show_default=True, help="Show each kind of change alone first.")
def augment(
    path: str, show: str, sets: tuple[str, ...], n: int, columns: int, zoom: int, seed: int, kinds: bool
) -> None:
    """Show what augmentation does to faces of PATH: a picture, a data set, or "sample".

    Settings are those of ferkit.Augment: rotation, scale, shift, flip, gamma, contrast, light, shadow, noise, blur,
    small, jpeg, erase.

    \b
    ferkit data augment sample --show augmented.png
    ferkit data augment photo.jpg --show augmented.png --set rotation=30 --set flip=false
    """
    from ferkit.augment import sheet
    from ferkit.cli.evaluate import check_output
    from ferkit.sources.sheet import picture_format, save_picture

    check_output(show, (path,), "--show")
    picture_format(show)
    changes = _settings(sets, seed)
    faces = _faces(path, n, show)
    save_picture(sheet(faces, changes, columns=columns, zoom=zoom, kinds=kinds), show)
    click.echo(f"Wrote {show}: {len(faces)} face{'s' * (len(faces) != 1)}, {columns} changed copies of each.")


def _settings(sets: tuple[str, ...], seed: int) -> Augment:
    from difflib import get_close_matches

    from ferkit.augment import Augment

    changes = Augment(seed=seed)
    known = [name for name in changes.get_params() if name != "seed"]
    for text in sets:
        name, _, value = text.partition("=")
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"Got --set {text!r}, expected one of {', '.join(known)}.{hint}")
        changes.set_params(**{name: _value(text, value, flag=name == "flip")})
    return changes


def _value(text: str, value: str, *, flag: bool) -> float | bool:
    if flag:
        if value.lower() not in ("true", "false"):
            raise click.UsageError(f"Got --set {text!r}, expected true or false.")
        return value.lower() == "true"
    try:
        return float(value)
    except ValueError as error:
        raise click.UsageError(f"Got --set {text!r}, expected a number.") from error


def _faces(path: str, n: int, show: str) -> Faces:
    """Faces of one picture, or of the first ``n`` classes of a data set, and so on in turn."""
    from ferkit.cli.evaluate import check_pictures
    from ferkit.faces import FaceExtractor
    from ferkit.sources import load, read_image
    from ferkit.sources.images import is_picture_name

    extractor = FaceExtractor()
    if is_picture_name(Path(path)):
        image = read_image(path)
        found = extractor.find(image)
        return found[:n] if len(found) else extractor.center(image)
    dataset = load(path, check=False)
    check_pictures(show, path, dataset, "--show")
    return extractor.fit_transform([dataset.pictures[int(row)] for row in _in_turn(dataset.labels, n)])


def _in_turn(labels: Any, n: int) -> list[int]:
    """First row of each class, then the second of each ..."""
    import numpy as np

    order = np.zeros(len(labels), int)
    for label in set(labels):
        rows = np.flatnonzero(labels == label)
        order[rows] = np.arange(len(rows))
    return [int(row) for row in np.argsort(order, kind="stable")[:n]]
