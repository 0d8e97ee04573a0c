"""Write docs/commands.md from the commands' own --help, or print it with --print."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ferkit.cli import main

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"


def walk(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Name and help of a command and of all below it."""
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from walk(child, click.Context(child, info_name=name, parent=context))


def page() -> str:
    """The whole page, as Markdown."""
    settings = {"terminal_width": 100, "max_content_width": 100} | main.context_settings
    context = click.Context(main, info_name="ferkit", **settings)
    parts = ["# Commands\n\nWritten by `python tools/write_command_pages.py` from `--help`.\n"]
    parts += [f"## {path}\n\n```text\n{text.rstrip()}\n```\n" for path, text in walk(main, context)]
    return "\n".join(parts)


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        sys.stdout.buffer.write(page().encode())
    else:
        PAGE.write_text(page(), encoding="utf-8")
