"""``ferkit live``: a camera, stream or video, read while it runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from ferkit.cli.options import model_option
from ferkit.cli.predict import say_kept
from ferkit.cli.startup import import_scikit_learn
from ferkit.files import write_whole


@click.command("live")
@click.option(
    "--source",
    default="0",
    show_default=True,
    metavar="SOURCE",
    help='Camera number, video file, address (http, rtsp ...), folder of pictures, or "sample" for a drawn clip.',
)
@model_option
@click.option(
    "--every",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Let the model read every n-th frame; in between, faces are followed.",
)
@click.option("--detector", metavar="auto|dlib|haar|FILE", help="Face detector.  [default: as the model was trained]")
@click.option("--mirror", is_flag=True, help="Show left and right as in a mirror.")
@click.option("--no-window", is_flag=True, help="Show nothing: for a log, a recording or a summary.")
@click.option("--record", metavar="OUT.mp4", help="Write the annotated video.")
@click.option(
    "--log", metavar="OUT.csv|.jsonl|sqlite:///FILE", help="Write one row a face and frame; frames without a face too."
)
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), metavar="S", help="End after S seconds.")
@click.option("--json", "summary_file", metavar="FILE", help="Write the summary as JSON.")
@click.option("--timeline", metavar="FILE.png", help="Draw who showed what when.")
def live(
    source: str,
    model: str | None,
    every: int,
    detector: str | None,
    mirror: bool,
    no_window: bool,
    record: str | None,
    log: str | None,
    max_seconds: float | None,
    summary_file: str | None,
    timeline: str | None,
) -> None:
    """Read expressions while they happen: a camera, a stream, a video.

    Each face keeps its number; its label is averaged over time, and "not sure" stands where the model is not. A camera
    hands over its newest frame and drops older ones, a file is read frame by frame. Keys in the window: space pause,
    s snapshot, m mirror, h HOG view, q or Esc quit. Ctrl-C ends with the summary, a whole log and a video that plays.

    Example: ferkit live --source clip.mp4 --no-window --log faces.csv
    """
    began = time.monotonic()
    if mirror and no_window and record is None:
        raise click.UsageError("Got --mirror with --no-window, expected a window or --record, which shows it.")
    _check_outputs({"--log": log, "--record": record, "--json": summary_file, "--timeline": timeline}, source, model)
    import_scikit_learn()
    from ferkit.live.session import Outputs, run
    from ferkit.live.watching import Watch
    from ferkit.live.window import Controls, Window

    window = None if no_window else Window()
    settings: dict[str, Any] = {"every": every, "detector": detector, "max_seconds": max_seconds}
    watch = Watch(source, model, tell=_tell, began=began, **settings)
    try:
        if window:
            with window:
                run(watch, Outputs(log, record, window, Controls(mirror=mirror), _tell))
        else:
            run(watch, Outputs(log, record, None, Controls(mirror=mirror), _tell))
    finally:
        _finish(watch.summary, summary_file, timeline)


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _finish(summary: Any, summary_file: str | None, timeline: str | None) -> None:
    """Print the summary and write what was asked for; without a frame, older files stay."""
    if not summary.frames:
        say_kept(summary_file, timeline)
        return
    for line in summary.lines():
        click.echo(line)
    if summary_file:
        write_whole(summary_file, json.dumps(summary.as_dict(), indent=2) + "\n")
    if timeline:
        from ferkit.live.chart import draw_timeline
        from ferkit.sources.sheet import save_picture

        save_picture(draw_timeline(summary), timeline)


_ENDINGS = {
    "--log": (".csv", ".jsonl", ".ndjson", ".db", ".sqlite", ".sqlite3"),
    "--record": (".mp4",),
    "--json": (".json",),
    "--timeline": (".png",),
}


def _check_outputs(outputs: dict[str, str | None], source: str, model: str | None) -> None:
    """Before any work: outputs can be written, differ, and are nothing that would be lost."""
    from ferkit.cli.evaluate import check_output

    read = [source, model]
    for option, name in outputs.items():
        if name is None or (option == "--log" and "://" in name):
            continue
        if Path(name).suffix.lower() not in _ENDINGS[option]:
            expected = " or ".join(_ENDINGS[option])
            raise click.BadParameter(f"Got {name!r}, expected a name that ends in {expected}.", param_hint=option)
        check_output(name, tuple(read), option)
        read.append(name)
