"""``ferkit serve``: the web app and its API."""

from __future__ import annotations

from typing import Any

import click

from ferkit.cli.options import model_option


@click.command("serve")
@click.option("--host", metavar="HOST", help="Address to listen on.  [default: 127.0.0.1, this machine only]")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="0 takes a free one.  [default: 8000]")
@model_option
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="Camera number, video file or address that the server watches itself. May be given more than once.",
)
@click.option("--store", metavar="URL", help="Database for readings, such as sqlite:///readings.db")
@click.option(
    "--retention",
    "retention_days",
    type=click.FloatRange(0, min_open=True),
    metavar="DAYS",
    help="Delete readings that are older.  [default: never]",
)
@click.option("--token", envvar="FERKIT_TOKEN", metavar="TOKEN", help="What clients must show.  [env: FERKIT_TOKEN]")
@click.option("--public", is_flag=True, default=None, help="Recognition for everybody: no readings, no dashboard.")
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Name under which browsers reach the server, as in its address.",
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Address or network of a proxy whose X-Forwarded-For is believed.",
)
@click.option("--config", type=click.Path(dir_okay=False), help="YAML file of settings; options win over it.")
def serve(config: str | None, **options: Any) -> None:
    """Serve the web app: webcam, pictures and videos in a browser, readings over time, an API.

    Only this machine can reach it unless --host says otherwise, and then a token is needed, or --public. Pictures are
    never kept; readings are kept where --store is given.

    \b
    ferkit serve
    ferkit serve --source 0 --store sqlite:///readings.db --retention 30
    FERKIT_TOKEN=... ferkit serve --host 0.0.0.0 --name faces.example.org
    """
    from ferkit.serve import Settings
    from ferkit.serve import serve as run
    from ferkit.serve.settings import from_yaml

    given = {name: value for name, value in options.items() if value not in (None, ())}
    settings = (from_yaml(config) if config else {}) | given
    if "retention_days" in given and not settings.get("store"):
        raise click.UsageError(
            "Got --retention without --store, expected the database to delete from: --store sqlite:///readings.db"
        )
    run(Settings(**settings), click.echo)
