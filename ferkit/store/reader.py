"""Reads the pipeline part of a model file, which skops wrote, without importing skops.

Importing skops imports all of scikit-learn, a third of the time in which ``ferkit predict`` has to be done. What a part
may hold is checked before (``trusted``): data of a few kinds and objects of listed classes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

PROTOCOL = 2
"""Version of skops' layout that is understood here; files of another one are read by skops itself."""


class Reader:
    """Objects from skops' table of contents.

    Parameters
    ----------
    archive : ZipFile
        The pipeline part, with the arrays that the table names.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.made: dict[int, Any] = {}
        self.makers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "BytesNode": self.content_of_file,
            "DTypeNode": lambda node: self.make(node["content"]).dtype,
            "DictNode": self.mapping,
            "JsonNode": lambda node: json.loads(node["content"]),
            "ListNode": self.items,
            "NdArrayNode": self.array,
            "ObjectNode": self.instance,
            "RandomStateNode": self.random_state,
            "SetNode": self.items,
            "SliceNode": lambda node: slice(*(node["content"][end] for end in ("start", "stop", "step"))),
            "SparseMatrixNode": self.sparse,
            "TupleNode": self.items,
            "TypeNode": type_of,
        }

    def make(self, node: dict[str, Any]) -> Any:
        """The object that a node describes; nodes with one id are one object."""
        number = node.get("__id__")
        if number is None:
            return self.makers[node["__loader__"]](node)
        if number not in self.made:
            self.made[number] = self.makers[node["__loader__"]](node)
        return self.made[number]

    def content_of_file(self, node: dict[str, Any]) -> bytes:
        return self.archive.read(node["file"])

    def mapping(self, node: dict[str, Any]) -> Any:
        made = type_of(node)()
        kinds = self.make(node["key_types"])
        for kind, (key, value) in zip(kinds, node["content"].items(), strict=True):
            made[kind(key)] = self.make(value)
        return made

    def items(self, node: dict[str, Any]) -> Any:
        kind, found = type_of(node), [self.make(item) for item in node["content"]]
        return kind(*found) if hasattr(kind, "_fields") else kind(found)

    def array(self, node: dict[str, Any]) -> Any:
        if node["type"] == "json":
            return _objects([self.make(item) for item in node["content"]], self.make(node["shape"]))
        array = np.load(io.BytesIO(self.content_of_file(node)), allow_pickle=False)
        kind = type_of(node)
        return array if kind is np.ndarray else kind(array)

    def sparse(self, node: dict[str, Any]) -> Any:
        from scipy.sparse import load_npz

        return load_npz(io.BytesIO(self.content_of_file(node)))

    def random_state(self, node: dict[str, Any]) -> Any:
        made = type_of(node)()
        made.set_state(self.make(node["content"]))
        return made

    def instance(self, node: dict[str, Any]) -> Any:
        kind = type_of(node)
        made = kind.__new__(kind)
        state = self.make(node["content"]) if node.get("content") is not None else None
        if state is not None and hasattr(made, "__setstate__"):
            made.__setstate__(state)
        elif state is not None:
            made.__dict__.update(state)
        return made


def type_of(node: dict[str, Any]) -> Any:
    """Class of a node."""
    return getattr(import_module(node["__module__"]), node["__class__"])


def _objects(rows: list[Any], shape: tuple[int, ...]) -> Any:
    """Array of objects. It is made from the rows, never from the shape: that may claim any size."""
    if len(shape) > 1:
        array = np.array(rows, dtype=object)
    else:
        array = np.empty(len(rows), dtype=object)
        for i, row in enumerate(rows):
            array[i] = row
    if array.shape != shape:
        raise ValueError(f"an array of shape {array.shape} that claims {shape}")
    return array
