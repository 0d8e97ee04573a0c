"""``ferkit fit``: a recipe and a data set to a model file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ferkit.cli.options import check_jobs
from ferkit.files import can_write, write_whole

if TYPE_CHECKING:
    from ferkit.recipe import Fitted
    from ferkit.sources import Dataset


@click.command()
@click.argument("recipe")
@click.option("--data", default="sample", show_default=True, help="Data set: a CSV, a folder, or the drawn sample set.")
@click.option("--split", help="Train on this split; by default Training where the set has it, else on all rows.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override a setting: --set model.C=0.5")
@click.option(
    "--jobs",
    type=int,
    default=-1,
    callback=check_jobs,
    help="Threads for the steps that can use several.  [default: one a core]",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Model file; by default <recipe name>.ferkit")
@click.option(
    "--cache", metavar="DIR|none", help="Where found faces and features are kept; by default in ~/.cache/ferkit"
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False), help="Write rows and figures to this file.")
@click.option(
    "--predictions",
    type=click.Path(dir_okay=False),
    metavar="FILE.csv",
    help="Write the answers for the held-out rows, cross-fitted where these fit the fusion, for ferkit compare.",
)
@click.pass_context
def fit(
    ctx: click.Context,
    recipe: str,
    data: str,
    split: str | None,
    sets: tuple[str, ...],
    jobs: int,
    output: str | None,
    cache: str | None,
    json_file: str | None,
    predictions: str | None,
) -> None:
    """Train a model from RECIPE: a YAML file, or a name such as hog_svm or hybrid.

    A picture that cannot be read is skipped, and the exit code is then 1; the model is written all the same.

    \b
    ferkit fit hog_svm
    ferkit fit pipelines/hybrid.yaml --data fer2013.csv -o mine.ferkit
    ferkit fit hog_svm --data my_photos/ --set labels.surprise=drop
    """
    from ferkit import recipe as recipes
    from ferkit import sources
    from ferkit.cli.evaluate import check_pictures
    from ferkit.errors import DataError

    if split is not None:
        sets = (*sets, f"split={json.dumps(split)}")
    checked = recipes.load(recipe, sets)
    output = output or f"{checked.name}.ferkit"
    path = Path(output)
    outputs = {"-o": output, "--json": json_file, "--predictions": predictions}
    _check(outputs, (data, recipe))
    if predictions and checked.held_out == "none":
        raise DataError(f"Got predictions={predictions!r} and no rows held out, expected some to answer.")
    steps = Steps()
    steps(f"reading {data}", 0, 0)
    dataset = sources.load(data)
    for hint, name in outputs.items():
        check_pictures(name, data, dataset, hint)
    fitted = recipes.fit(checked, dataset, jobs=jobs, cache=cache_of(cache), progress=steps)
    metrics = metrics_of(fitted)
    steps(f"writing {path}", 0, 0)
    fitted.save(path, metrics)
    steps.close()
    _report(fitted, dataset, metrics, path)
    if predictions:
        _save_predictions(fitted, predictions)
    if json_file:
        rows = {
            name: fitted.manifest.get(name)
            for name in ("name", "data", "rows", "classes", "search", "notes", "skipped")
        }
        write_whole(json_file, json.dumps(rows | {"metrics": metrics}, indent=2) + "\n")
    if fitted.manifest["rows"]["skipped"]:
        ctx.exit(1)


class Steps:
    """Progress on standard error, one line a step with its time; silent where that is no terminal."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self.start = self.since = time.monotonic()
        self.step = ""

    def __call__(self, step: str, done: int, total: int) -> None:
        if not self.shown:
            return
        if step != self.step:
            self.close()
            self.step, self.since = step, time.monotonic()
        share = f" {done}/{total}" if total else ""
        click.echo(f"\r{step}{share} ...", nl=False, err=True)

    def close(self) -> None:
        """End the line of the step that was running."""
        if self.shown and self.step:
            click.echo(f"\r{self.step}: {time.monotonic() - self.since:.1f} s\033[K", err=True)
        self.step = ""


def _check(outputs: dict[str, str | None], read: tuple[str, ...]) -> None:
    """Before any work: files can be written, differ, and are not those that are read."""
    from ferkit.cli.evaluate import check_output, check_unread

    model = str(outputs["-o"])
    check_unread(model, read, "-o")
    _check_place(Path(model))
    check_output(outputs["--json"], (*read, model), "--json")
    check_output(outputs["--predictions"], (*read, model, outputs["--json"]), "--predictions")


def _check_place(path: Path) -> None:
    """Refuse a place that cannot be written before hours of work, not after."""
    from ferkit.errors import ModelFileError

    if path.is_dir() or not can_write(path):
        raise ModelFileError(f"Got output={str(path)!r}, expected a file in a place that can be written.")


def cache_of(cache: str | None) -> Any:
    """What ``--cache`` says: a folder, or none."""
    from ferkit.files import default_folder

    return None if cache == "none" else cache or default_folder()


def _save_predictions(fitted: Fitted, path: str) -> None:
    from ferkit.errors import DataError
    from ferkit.evaluate import Predictions

    held_out = fitted.validation
    if held_out is None:
        raise DataError(f"Got predictions={path!r} and no rows held out, expected some: see the line on validation.")
    Predictions(held_out.names, held_out.y, held_out.proba, held_out.classes, held_out.found, held_out.groups).save(
        path
    )


def metrics_of(fitted: Fitted) -> dict[str, Any] | None:
    from ferkit.evaluate import evaluate

    held_out = fitted.validation
    if held_out is None:
        return None
    figures = evaluate(held_out.y, held_out.proba, held_out.classes, held_out.found, held_out.groups)
    return {"data": held_out.data} | figures


def _report(fitted: Fitted, dataset: Dataset, metrics: dict[str, Any] | None, path: Path) -> None:
    rows = fitted.manifest["rows"]
    click.echo(f"{dataset.kind}: {rows['train']} rows fit the model" + _more(rows["augmented"], "changed copies"))
    click.echo(
        f"left out: {rows['twins_left_out']} as near-duplicates of held-out rows"
        + _more(rows["seen_by_a_network"], "as seen by a network in its training")
        + _more(rows["skipped"], "as pictures that cannot be read")
    )
    for line in fitted.manifest["skipped"][:5]:
        click.echo(f"  skipped {line}", err=True)
    if rows["not_found"]:
        click.echo(f"no face found in {rows['not_found']} pictures: their middle was used")
    for note in fitted.manifest["notes"]:
        click.echo(f"note: {note}")
    if best := fitted.manifest.get("search"):
        settings = ", ".join(f"{name}={value}" for name, value in best["best"].items())
        click.echo(f"search: {settings} ({best['metric']} {best['score']:.4f})")
    note = fitted.manifest["data"]["note"]
    if metrics is None:
        click.echo("validation: none, no rows were held out" + f": got {note}" * bool(note))
    else:
        low, high = metrics["accuracy_ci"]
        click.echo(
            f"validation on {metrics['data']} ({metrics['n']} rows): accuracy {metrics['accuracy']:.4f} "
            f"[{low:.4f}, {high:.4f}], balanced {metrics['balanced_accuracy']:.4f}, macro F1 {metrics['macro_f1']:.4f}"
        )
        if note:
            click.echo(f"validation lacks labels: got {note}")
    click.echo(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")


def _more(count: int, what: str) -> str:
    return f", {count} {what}" if count else ""
