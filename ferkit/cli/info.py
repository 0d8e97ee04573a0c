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
    for title, name, line in (("trained on", "data", _data), ("scores", "metrics", _scores)):
        if found := manifest.get(name):
            try:
                lines.append((title, line(found, manifest)))
            except (KeyError, TypeError, ValueError, AttributeError):  # of one's own, as store.save lets one give them
                lines.append((title, json.dumps(found, ensure_ascii=False)))
    for name, where in manifest.get("networks", {}).items():
        lines.append(("network", f"{name[:12]}… {where}"))
    libraries = manifest.get("libraries", {})
    lines.append(("libraries", ", ".join(f"{name} {version}" for name, version in libraries.items() if version)))
    if licence := manifest.get("licence"):
        lines.append(("licence", licence))
    return lines


def _data(data: Any, manifest: dict[str, Any]) -> str:
    return f"{manifest['rows']['train']} rows of {data['kind']}, held out: {data['held_out']}"


def _scores(metrics: Any, manifest: dict[str, Any]) -> str:
    low, high = metrics["accuracy_ci"]
    accuracy = f"accuracy {metrics['accuracy']:.4f} [{low:.4f}, {high:.4f}], macro F1 {metrics['macro_f1']:.4f}"
    return f"{accuracy} on {metrics['n']} rows of {metrics['data']}"
