"""Time and truth of explanations.

    python benchmarks/explain.py [MODEL.ferkit ...]

For each model: milliseconds of one explanation and of its parts (median over drawn faces), of the figure, and the gain
of its evidence and of its occlusion map over chance (area between deletion curves, and insertion curves, in log-odds).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from ferkit.explain import Explainer, deletion_curve, figure, insertion_curve, occlusion_map
from ferkit.figures import figure_bytes
from ferkit.records import Faces
from ferkit.sources import sample


def milliseconds(run: Callable[[Any], Any], faces: list[Any]) -> str:
    """Median time of a call, the first one left out."""
    times = []
    for face in faces:
        start = time.perf_counter()
        run(face)
        times.append(time.perf_counter() - start)
    return f"{1000 * median(times[1:]):.0f}"


def row(model: str, n: int) -> str:
    """One model's figures."""
    explainer, drawn = Explainer(model), sample(n, seed=5)
    known = np.isin(drawn.labels, explainer.labels)
    faces, labels = Faces(drawn.pictures[known]), drawn.labels[known]
    asked = np.stack([explainer.direction(str(label)) for label in labels])
    made = [explainer.explain(face)[0] for face in faces]
    times = [
        milliseconds(explainer.explain, list(faces)),
        milliseconds(lambda i: explainer.evidence(faces[[i]], asked[i]), list(range(len(faces)))),
        milliseconds(lambda i: occlusion_map(explainer, faces[[i]], asked[[i]]), list(range(len(faces)))),
        milliseconds(lambda one: figure_bytes(figure(one)), made),
    ]
    whole = np.sum([one.maps for one in explainer.evidence(faces, asked).values()], axis=0)
    gains = [
        f"{curve(explainer, faces, maps, asked, orders=3).gain.mean():+.2f}"
        for maps in (whole, occlusion_map(explainer, faces, asked))
        for curve in (deletion_curve, insertion_curve)
    ]
    return " | ".join([model, *times, *gains])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["default", "fast"])
    parser.add_argument("--faces", type=int, default=14)
    args = parser.parse_args()
    heads = ["model", "explain ms", "evidence ms", "occlusion ms", "figure ms"]
    heads += ["evidence: deletion", "insertion", "occlusion: deletion", "insertion"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name in args.models:
        print(f"| {row(name, args.faces)} |", flush=True)
