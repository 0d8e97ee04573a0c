"""``ferkit compare``: several models on the same rows, every two of them tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ferkit.cli.evaluate import check_output, say_skipped, warn


@click.command("compare")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--data", help="Data set that models are to answer; not needed for predictions.")
@click.option("--split", metavar="NAME", help="Only this part of the set, such as PublicTest.  [default: all rows]")
@click.option("--drop-unknown", is_flag=True, help="Leave out rows whose label a model does not know.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write the tests to this file.")
@click.pass_context
def compare(
    ctx: click.Context,
    files: tuple[str, ...],
    data: str | None,
    split: str | None,
    drop_unknown: bool,
    json_file: str | None,
) -> None:
    """Test which of several models is right more often, on the same pictures.

    FILE is a CSV that ferkit evaluate or ferkit fit wrote with --predictions, or a model. Every two are compared by
    McNemar's exact test, or a sign-flip test where persons or clusters have several pictures, also after Holm's
    correction for so many tests, and by a bootstrap of the difference.

    \b
    ferkit compare hybrid.csv handcrafted.csv network.csv
    ferkit compare default fast --data fer2013.csv --split PublicTest
    """
    check_output(json_file, (*files, data), "--json")
    from ferkit.evaluate import compare_all
    from ferkit.evaluate.text import comparisons
    from ferkit.files import write_whole

    skipped: list[tuple[str, str]] = []
    result = compare_all(_answers(files, data, split, drop_unknown, skipped))
    click.echo(comparisons(result))
    if json_file is not None:
        write_whole(json_file, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    say_skipped(skipped)
    if skipped:
        ctx.exit(1)


def _answers(
    files: tuple[str, ...], data: str | None, split: str | None, drop_unknown: bool, skipped: list[tuple[str, str]]
) -> dict[str, Any]:
    """Predictions by a short name of each file; pictures that cannot be read join ``skipped``."""
    from ferkit.evaluate import Predictions
    from ferkit.sources import load

    names = _short(files)
    kept = {file: Path(file).suffix.lower() == ".csv" for file in files}
    if not all(kept.values()) and data is None:
        model = next(file for file in files if not kept[file])
        raise click.UsageError(f"Got the model {model!r} without --data, expected the data set that it is to answer.")
    asked = {"--data": data, "--split": split, "--drop-unknown": drop_unknown}
    if all(kept.values()) and (given := [option for option, value in asked.items() if value]):
        raise click.UsageError(
            f"Got {given[0]} with predictions only, expected it with a model. Choose rows where ferkit evaluate writes "
            "the predictions."
        )
    dataset = None if all(kept.values()) else load(str(data), split)
    return {
        name: Predictions.load(file) if kept[file] else _answered(file, dataset, drop_unknown, skipped)
        for name, file in zip(names, files, strict=True)
    }


def _answered(model: str, dataset: Any, drop_unknown: bool, skipped: list[tuple[str, str]]) -> Any:
    from ferkit import store
    from ferkit.evaluate import evaluate_dataset

    result = evaluate_dataset(store.load(model), dataset, drop_unknown=drop_unknown)
    warn(model, result)
    skipped += [item for item in result.skipped if item not in skipped]
    return result.predictions


def _short(files: tuple[str, ...]) -> list[str]:
    """Names without folder and ending, where these differ."""
    if len(set(files)) < len(files):
        raise click.UsageError("Got one file twice, expected each once.")
    short = [Path(file).stem for file in files]
    return short if len(set(short)) == len(short) else list(files)
