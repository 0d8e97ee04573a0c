"""The zip around a model file: known members of plausible sizes, written so that a failure changes nothing."""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import ModelFileError
from ferkit.files import replacing

FORMAT = 1
"""Version of the file's layout; a newer one is refused."""

MANIFEST, PIPELINE, FITTED, FUSION = "manifest.json", "pipeline.skops", "seen_fitted.npy", "seen_fusion.npy"
NETWORK = re.compile(r"nets/([0-9a-f]{64})(\.onnx|\.npz)")
LARGEST = {MANIFEST: 2**23, PIPELINE: 2**32, FITTED: 2**28, FUSION: 2**28}
LARGEST_NETWORK = 2**30
MEMBERS = 64
LARGE, RATIO = 2**24, 250
"""A member of more bytes than the first may be this many times larger than its compressed form."""
SAMPLES, SAMPLE = 16, 2**14
WORTH = 0.9
"""Pieces of a member, and their length, that say whether it is packed: when they shrink to less than this share."""
ASSETS = Path(__file__).resolve().parents[1] / "assets"
SHIPPED = ("default", "fast", "ferplus", "hybrid")
"""Models inside the package."""


def default_path() -> Path:
    """Where the model that ships inside the package lies."""
    return ASSETS / "default.ferkit"


def model_path(model: str | os.PathLike[str] | None) -> Path:
    """File of a model: the names in ``SHIPPED`` (None is ``default``) are inside the package, all else is a path.

    A file of such a name comes first, a folder does not.
    """
    if model is None:
        return default_path()
    name = os.fspath(model)
    return ASSETS / f"{name}.ferkit" if name in SHIPPED and not Path(name).is_file() else Path(name)


def write(path: Path, members: Mapping[str, bytes]) -> None:
    """Write beside the target, look at it as ``load`` will, flush to the disk, then rename."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, sync=True) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members.items():
                archive.writestr(member, data, zipfile.ZIP_DEFLATED if _shrinks(data) else zipfile.ZIP_STORED)
            check_members(archive, path)
    except OSError as error:
        raise ModelFileError(
            f"Got path={str(path)!r} ({error.strerror}), expected a place with enough room to write."
        ) from error


def _shrinks(data: bytes) -> bool:
    """Whether packing is worth its time; the numbers of large models hardly shrink."""
    step = max(1, len(data) // SAMPLES)
    sample = b"".join(data[i : i + SAMPLE] for i in range(0, len(data), step))
    share = len(zlib.compress(sample, 1)) / max(len(sample), 1)
    if len(data) > LARGE and share < WORTH / 4:  # it may shrink to what check_ratio refuses
        return len(zlib.compress(data)) * RATIO > 2 * len(data)
    return share < WORTH


def opened(path: Path) -> zipfile.ZipFile:
    """The zip, open for reading."""
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        shipped = " This copy of ferkit has no model of its own: fit one." if path.parent == ASSETS else ""
        raise ModelFileError(f"Got no file {str(path)!r}, expected a .ferkit model.{shipped}") from None
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelFileError(f"Got {path} ({error}), expected a .ferkit model; is it cut off?") from error


def check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Only the members that a model file has, each once and of a plausible size."""
    items = archive.infolist()
    names = [item.filename for item in items]
    if len(names) > MEMBERS or len(set(names)) < len(names):
        raise ModelFileError(f"Got {path} with {len(names)} members, expected each once and at most {MEMBERS}.")
    for item in items:
        largest = LARGEST_NETWORK if NETWORK.fullmatch(item.filename) else LARGEST.get(item.filename)
        if largest is None:
            raise ModelFileError(f"Got {path} with member {item.filename!r}, which no .ferkit model has.")
        if item.file_size > largest:
            raise ModelFileError(
                f"Got {path} with {item.filename} of {item.file_size} bytes, expected at most {largest}."
            )
        try:
            check_ratio(item)
        except ValueError as error:
            raise ModelFileError(f"Got {path} with {error}.") from error


def check_ratio(item: zipfile.ZipInfo) -> None:
    """Refuse a member that would fill the memory from a few bytes."""
    if item.file_size > LARGE and item.file_size > RATIO * item.compress_size:
        raise ValueError(f"{item.filename} of {item.file_size} bytes packed in {item.compress_size}: too dense")


def check_sparse(data: bytes) -> None:
    """Refuse a ``.npz`` file with an array that ``check_ratio`` refuses."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for item in archive.infolist():
            check_ratio(item)


def less_dense(data: bytes) -> bytes:
    """A ``.npz`` file as it is, or unpacked where ``check_sparse`` would refuse it."""
    try:
        check_sparse(data)
    except ValueError:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _stored({name: archive.read(name) for name in archive.namelist()})
    return data


def _stored(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def sparse_less_dense(part: bytes) -> bytes:
    """A pipeline part whose sparse matrices, such as rows of ones, are packed no more than ``check_ratio`` allows."""
    with zipfile.ZipFile(io.BytesIO(part)) as archive:
        names = archive.namelist()
        packed = {name: archive.read(name) for name in names if name.endswith(".npz")}
        plain = {name: less_dense(data) for name, data in packed.items()}
        if plain == packed:
            return part
        return _stored({name: plain[name] if name in plain else archive.read(name) for name in names})


def member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """Content of one member."""
    try:
        return archive.read(name)
    except KeyError:
        raise ModelFileError(f"Got {path} without {name}, expected a .ferkit model.") from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise ModelFileError(f"Got {path} with a damaged {name} ({error}).") from error


def read_manifest(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """The manifest, if this version of ferkit knows its format."""
    try:
        manifest = json.loads(member(archive, MANIFEST, path))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"Got {path} with a manifest that is not JSON ({error}).") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise ModelFileError(f"Got {path} with a manifest without a format number, expected format={FORMAT}.")
    if manifest["format"] > FORMAT:
        raise ModelFileError(
            f"Got {path} with format={manifest['format']}, written by ferkit {manifest.get('ferkit')}, expected at "
            f"most {FORMAT}. Run: pip install --upgrade ferkit"
        )
    return manifest


def array_bytes(hashes: Any) -> bytes:
    """Sorted hashes as a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, np.unique(np.asarray([] if hashes is None else hashes, dtype=np.uint64)), allow_pickle=False)
    return buffer.getvalue()


def read_array(data: bytes, path: Path) -> NDArray[np.uint64]:
    """Hashes from a ``.npy`` file."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
        if array.dtype != np.uint64 or array.ndim != 1:
            raise ValueError(f"dtype {array.dtype}, {array.ndim} axes")
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise ModelFileError(f"Got {path} with a damaged list of seen faces ({error}).") from error
    return np.asarray(array, dtype=np.uint64)
