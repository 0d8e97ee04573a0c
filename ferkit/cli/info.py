"""``ferkit info``: what a model file is."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command()
@click.argument("model", required=False, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="The whole manifest as JSON.")
def info(model: str | None, as_json: bool) -> None:
    """Say what MODEL is, what it was trained on and how it scores; by default the model that ferkit brings.

    \b
    ferkit info
    ferkit info mine.ferkit --json
    """
    from ferkit import store

    manifest = store.inspect(model)
    if as_json:
        click.echo(json.dumps(manifest, indent=2, ensure_ascii=False))
        return
    for name, value in _lines(manifest, str(store.model_path(model))):
        click.echo(f"{name + ':':<12}{value}")
    if "recipe" in manifest:
        click.echo("recipe:")
        click.echo("".join(f"  {line}\n" for line in manifest["recipe"].splitlines()), nl=False)


def _lines(manifest: dict[str, Any], path: str) -> list[tuple[str, str]]:
    made = f"{manifest.get('created')} with ferkit {manifest.get('ferkit')}"
    lines = [("model", f"{manifest.get('name', 'unnamed')} ({path})"), ("made", made)]
    lines.append(("labels", ", ".join(manifest.get("labels", []))))
    if data := manifest.get("data"):
        rows = manifest.get("rows", {})
        lines.append(
            ("trained on", f"{rows.get('train')} rows of {data.get('kind')}, held out: {data.get('held_out')}")
        )
    if metrics := manifest.get("metrics"):
        low, high = metrics["accuracy_ci"]
        accuracy = f"accuracy {metrics['accuracy']:.4f} [{low:.4f}, {high:.4f}], macro F1 {metrics['macro_f1']:.4f}"
        lines.append(("scores", f"{accuracy} on {metrics['n']} rows of {metrics['data']}"))
    for name, where in manifest.get("networks", {}).items():
        lines.append(("network", f"{name[:12]}… {where}"))
    libraries = manifest.get("libraries", {})
    lines.append(("libraries", ", ".join(f"{name} {version}" for name, version in libraries.items() if version)))
    if licence := manifest.get("licence"):
        lines.append(("licence", licence))
    return lines
