"""The ``ferkit`` command. Each command lives in a file of its own name, imported when it is called."""

from __future__ import annotations

import os
import re
import sys
import warnings
from importlib import import_module
from itertools import pairwise
from typing import Any

import click

from ferkit import __version__
from ferkit.errors import FerkitError

COMMANDS = {
    "fit": "Train a model from a recipe.",
    "predict": "Read expressions from pictures, folders or videos.",
    "live": "Read expressions while they happen: a camera, a stream, a video.",
    "serve": "Serve the web app and its API.",
    "explain": "Show why: what the model saw, and what spoke for and against.",
    "evaluate": "Score a model on a labelled data set.",
    "compare": "Test several models on the same pictures.",
    "data": "Inspect, collect, prepare and augment pictures.",
    "info": "Say what a model is, was trained on and scores.",
    "doctor": "Check which parts are installed and work.",
}
"""Commands in the order of use, with their help; kept here so that ``ferkit --help`` imports none of them."""


class Commands(click.Group):
    """Group that imports a command when it is called and turns ferkit's errors into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"ferkit.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"Got command {name!r}, expected one of {', '.join(COMMANDS)}.{hint}", ctx)
        _refuse_empty(args)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; exit codes: 0 done, 1 an error of ours or pictures skipped, 2 wrong usage, 130 interrupted."""
        if getattr(sys.stdout, "errors", "") == "strict" and hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold bytes that are no text
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _one_line
                code = super().main(*args, **{**kwargs, "standalone_mode": False})
            sys.stdout.flush()
        except click.exceptions.Exit as stop:
            code = stop.exit_code
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except FerkitError as error:
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            code = 1
        except (KeyboardInterrupt, click.Abort):
            click.echo("Interrupted.", err=True)
            code = 130
        except BrokenPipeError:
            # the reader (head, less) has gone: say nothing, and keep Python from saying it at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 141
        sys.exit(code if isinstance(code, int) else 0)


def _refuse_empty(args: list[str]) -> None:
    """An unset shell variable leaves an empty argument, which as a path would be the current folder."""
    for before, arg in pairwise(args):
        if not arg or re.fullmatch(r"--[\w-]+=", arg):
            got = repr(arg) if arg else f"'' after {before!r}"
            raise click.UsageError(f"Got {got}, expected a value. Is a variable of your shell not set?")


def _one_line(message: Warning | str, *args: Any, **kwargs: Any) -> None:
    """A warning without the line of code that it came from."""
    click.echo(f"Warning: {' '.join(str(message).split())}", err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ferkit", message="%(prog)s %(version)s")
def main() -> None:
    """Facial expression recognition: pictures in, expressions out.

    \b
    ferkit predict photo.jpg
    ferkit explain photo.jpg
    ferkit live
    ferkit fit pipelines/hybrid.yaml --data fer2013.csv -o mine.ferkit
    ferkit evaluate my_photos/ --model mine.ferkit
    """
