"""Throughput of the feature families on one core, beside scikit-image where it computes the same numbers; on all cores.

    python benchmarks/features.py
    python benchmarks/features.py --faces 2000 --repeat 5 --no-write

The faces are drawn, 48x48. Each family is fitted on some of them, then transforms all in one batch; the best of some
repeats counts. scikit-image takes one face at a time and is given a tenth of them. The tables go to standard output and
to ``benchmarks/results/features.md``.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from skimage.feature import hog, local_binary_pattern
from threadpoolctl import threadpool_limits

from ferkit.features import (
    HOG,
    LBP,
    FamilyUnion,
    FeatureCache,
    FisherVectors,
    Geometry,
    NetworkFeatures,
    VisualWords,
)
from ferkit.features.onnx import shipped
from ferkit.records import Faces
from ferkit.sources import sample

RESULT = Path(__file__).parent / "results" / "features.md"
TO_LEARN = 500
ALL_CORES = "| family | one thread | as `ferkit fit` does it |\n|---|---:|---:|"
HEADER = "| family | numbers a face | faces/s | scikit-image, faces/s | times faster |\n|---|---:|---:|---:|---:|"


def hog_reference(cell: int) -> Callable[[Any], Any]:
    """What ``unsigned(cell)`` does, by scikit-image."""
    return lambda crop: hog(crop, 9, (cell, cell), (2, 2))


def unsigned(cell: int) -> HOG:
    """HOG at parameters that scikit-image has too."""
    return HOG(9, cell=cell, signed=False)


def lbp_reference(crop: Any) -> list[Any]:
    """The codes that ``LBP()`` counts, by scikit-image; the counting is not included."""
    return [local_binary_pattern(crop, 8, radius, "nri_uniform") for radius in (1, 2, 3)]


def families() -> list[tuple[str, Any, Callable[[Any], Any] | None]]:
    """Name, family and the function of scikit-image that gives the same numbers for one face."""
    found: list[tuple[str, Any, Callable[[Any], Any] | None]] = [
        ("HOG, cells of 8, unsigned", unsigned(8), hog_reference(8)),
        ("HOG, cells of 6, unsigned", unsigned(6), hog_reference(6)),
        ("HOG", HOG(), None),
        ("HOG, cells of 12, 8 and 6", HOG(cell=(12, 8, 6)), None),
        ("HOG, square root", HOG(sqrt=True), None),
        ("LBP, radii 1, 2 and 3", LBP(), lbp_reference),
        ("LBP, radius 1", LBP(radii=(1,)), lambda crop: local_binary_pattern(crop, 8, 1, "nri_uniform")),
        ("Geometry", Geometry(), None),
        ("VisualWords", VisualWords(), None),
        ("FisherVectors, 256 axes a cell", FisherVectors(n_axes=256), None),
    ]
    if shipped("shipped").is_file():
        found.append(("NetworkFeatures, mirrored", NetworkFeatures(), None))
    return found


def speed(work: Callable[[], Any], n: int, repeat: int) -> float:
    """Faces a second, best of some repeats."""
    times = []
    for _ in range(repeat):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return n / min(times)


def row(name: str, width: int, ours: float, theirs: float | None) -> str:
    """One row of the table."""
    other, ratio = ("", "") if theirs is None else (f"{theirs:,.0f}", f"{ours / theirs:.1f}")
    return f"| {name} | {width:,} | {ours:,.0f} | {other} | {ratio} |"


def measure(faces: Faces, repeat: int) -> list[str]:
    """Rows of the table."""
    rows = []
    some = faces.crops[: max(1, len(faces) // 10)]
    for name, family, reference in families():
        family.fit(faces[:TO_LEARN])
        ours = speed(lambda family=family: family.transform(faces), len(faces), repeat)
        theirs = None
        if reference is not None:
            theirs = speed(lambda one=reference: [one(crop) for crop in some], len(some), repeat)
        rows.append(row(name, len(family.get_feature_names_out()), ours, theirs))
    return [*rows, cached(faces, repeat)]


def cached(faces: Faces, repeat: int) -> str:
    """Row of HOG and LBP looked up in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        union = FamilyUnion([("hog", HOG()), ("lbp", LBP())], cache=FeatureCache(folder)).fit(faces)
        width = union.transform(faces).shape[1]
        return row("HOG and LBP from the cache", width, speed(lambda: union.transform(faces), len(faces), repeat), None)


def on_all_cores(faces: Faces, repeat: int) -> list[str]:
    """Rows of families in one thread and, through a union, in all."""
    rows = []
    for name, family, _ in families():
        union = FamilyUnion([("family", family)], n_jobs=-1).fit(faces[:TO_LEARN])
        (_, fitted), *_ = union.families_
        with threadpool_limits(1):
            alone = speed(lambda fitted=fitted: fitted.transform(faces), len(faces), repeat)
        together = speed(lambda union=union: union.transform(faces), len(faces), repeat)
        rows.append(f"| {name} | {alone:,.0f} | {together:,.0f} |")
    return rows


def drawn(n: int) -> Faces:
    """Drawn faces, each with random points for landmarks."""
    crops = np.asarray(sample(n, seed=0).pictures[:])
    return Faces(crops, points=np.random.default_rng(0).uniform(0, 48, (n, 68, 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=4000, help="faces in the batch")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="only print the table")
    options = parser.parse_args()
    faces = drawn(options.faces)
    with threadpool_limits(1):
        rows = measure(faces, options.repeat)
    cores = on_all_cores(faces, options.repeat)
    about = (
        f"{options.faces:,} drawn faces of 48x48, one thread, best of {options.repeat}. Python "
        f"{platform.python_version()}, NumPy {metadata.version('numpy')}, scikit-image "
        f"{metadata.version('scikit-image')}, {platform.machine()}, {os.cpu_count()} cores."
    )
    table = "\n".join(
        [
            "# Feature families: faces a second",
            "",
            about,
            "",
            HEADER,
            *rows,
            "",
            "Faces a second:",
            "",
            ALL_CORES,
            *cores,
            "",
        ]
    )
    print(table)
    if not options.no_write:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
