"""Options that several commands take."""

from __future__ import annotations

import click


def check_jobs(ctx: click.Context, option: click.Parameter, jobs: int | None) -> int | None:
    """Refuse a number of threads that is none."""
    if jobs is not None and jobs < 1 and jobs != -1:
        raise click.BadParameter(f"Got {jobs}, expected 1 or more, or -1 for one a core.")
    return jobs


model_option = click.option(
    "--model", type=click.Path(dir_okay=False), help="Model file, fast, hybrid or ferplus.  [default: ferkit's own]"
)
