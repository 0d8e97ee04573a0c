"""YAML text to nested blocks that remember where each key stands."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ferkit.errors import RecipeError

LARGEST = 100_000
"""Characters that a recipe may have."""


class Block(dict[str, Any]):
    """A mapping of a recipe; ``where`` says in which line, or by which ``--set``, each key came."""

    def __init__(self, items: dict[str, Any] | None = None, where: dict[str, str] | None = None) -> None:
        super().__init__(items or {})
        self.where = dict(where or {})


class _Loader(yaml.SafeLoader):
    """Plain YAML 1.2 values only: no aliases, no tags, ``no`` is a word and ``1e-3`` is a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def block(self, node: Any) -> Block:
        """A mapping; keys are words, each given once."""
        block = Block()
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"got key {key!r}, expected a word (quote it)", problem_mark=key_node.start_mark
                )
            if key in block:
                problem = f"key {key!r} is given twice, first in {block.where[key]}"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            block[key] = self.construct_object(value_node, deep=True)
            block.where[key] = f"line {key_node.start_mark.line + 1}"
        return block


class _Dumper(yaml.SafeDumper):
    """Quotes words that either YAML 1.1 or ``_Loader`` would read as something else, such as ``no`` and ``1e5``."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (
        r"[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)",
        list("-+.0123456789"),
    ),
}
for _kind, (_pattern, _first) in _PLAIN.items():
    for _side in (_Loader, _Dumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.block)
_Dumper.add_representer(Block, yaml.SafeDumper.represent_dict)


def parse(text: str, name: str) -> Any:
    """Value of a YAML text.

    Raises
    ------
    RecipeError
        Not YAML, or YAML of a kind that recipes do not use; names the file and the line.
    """
    if len(text) > LARGEST:
        raise RecipeError(f"{name}: Got {len(text)} characters, expected a recipe of at most {LARGEST}.")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{name}{place}: {error.problem or error.context}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{name}: Got text that is not YAML ({' '.join(str(error).split())}).") from error


def dump(value: Any) -> str:
    """YAML text that ``parse`` reads as the same value, keys in their order."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=100))


def read(path: Path) -> str:
    """Text of a recipe file."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise RecipeError(f"Got recipe {str(path)!r} ({reason}), expected a YAML file.") from error


def override(block: Block, setting: str) -> None:
    """Put ``a.b.c=value`` into a block, in place.

    A name on the way, such as ``linear_svm`` in ``model: linear_svm``, opens into a block of its own.
    """
    path, equals, text = setting.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"Got --set {setting!r}, expected key=value, such as --set model.linear_svm.C=0.1")
    where = f"--set {setting}"
    value = parse(text, where)
    here = block
    for key in keys[:-1]:
        here = _open(here, key, where)
    here[keys[-1]] = value
    here.where[keys[-1]] = where


def _open(block: Block, key: str, where: str) -> Block:
    value = block.get(key)
    if not isinstance(value, Block):
        value = Block({value: None}, {value: block.where[key]}) if isinstance(value, str) else Block()
        block[key] = value
        block.where[key] = where
    return value


def nearest(word: str, words: Any) -> str:
    """Hint with the nearest right spelling, or nothing."""
    by_lower = {str(known).lower(): known for known in words}
    near = get_close_matches(word.lower(), by_lower, 1, 0.5)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""
