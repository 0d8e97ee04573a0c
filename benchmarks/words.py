"""Visual words: agreement with OpenCV's SIFT, speed on one core, and accuracy of the settings.

    python benchmarks/words.py
    python benchmarks/words.py --data fer2013.csv.gz --fit 6000 --held 3500

Without ``--data`` it measures speed on drawn faces. With it, each setting learns from some rows of the split Training
and is scored on others of that split; rows that are nearly the same picture as a row learnt from are not scored.
The table goes to standard output as Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from ferkit.features import VisualWords
from ferkit.features.sift import dense_sift, gradient_maps
from ferkit.sources import clusters, load, sample

Rows = tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]

OPENCV_BLUR = (1.6**2 - 0.5**2) ** 0.5
COSTS = (0.1, 0.3, 1.0)
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "blur 1.0": {"blur": 1.0},
    "blur 1.52, as OpenCV": {"blur": OPENCV_BLUR},
    "sizes 3": {"sizes": (3,)},
    "sizes 5": {"sizes": (5,)},
    "sizes 4 7": {"sizes": (4, 7)},
    "step 8": {"step": 8},
    "plain SIFT": {"root": False},
    "1000 words": {"n_words": 1000},
    "pyramid 1 2 4": {"pyramid": (1, 2, 4)},
    "pyramid 2 4 8": {"pyramid": (2, 4, 8)},
    "1 word a descriptor": {"assignments": 1},
    "5 words a descriptor": {"assignments": 5},
    "counts": {"encoding": "count"},
    "soft, 5 words a descriptor": {"encoding": "soft", "assignments": 5},
}


def row(*cells: Any) -> str:
    """One row of a Markdown table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def rows_of(options: argparse.Namespace) -> Rows:
    """Faces of Training, their labels and the rows that are scored; those before ``options.fit`` are learnt from."""
    data = load(options.data).split("Training")
    order = np.random.default_rng(options.seed).permutation(len(data.labels))[: options.fit + options.held]
    crops, y = np.asarray(data.pictures)[order], data.labels[order]
    group = clusters(crops)
    held = np.flatnonzero(~np.isin(group[options.fit :], group[: options.fit])) + options.fit
    half = 196 * (0.25 / len(held)) ** 0.5
    print(f"{options.fit} faces learnt from, {len(held)} scored; half a 95 % interval is {half:.1f} points.\n")
    return crops, y, held


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Options of a benchmark that learns from some rows of Training and is scored on others."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=int, default=6000, help="faces to learn from (default: 6000)")
    parser.add_argument("--held", type=int, default=3500, help="faces to score (default: 3500)")
    parser.add_argument("--seed", type=int, default=0, help="which rows are drawn (default: 0)")
    return parser


def agreement(crops: Any, size: float) -> tuple[float, float, float]:
    """Correlation with OpenCV's SIFT on one grid, and milliseconds a face of OpenCV's and ours."""
    positions = tuple(range(8, 96, 8))
    keypoints = [cv2.KeyPoint(x, y, size, 0.0) for y in positions for x in positions]
    extractor = cv2.SIFT_create()
    start = perf_counter()
    theirs = np.stack([extractor.compute(cv2.resize(crop, (96, 96)), keypoints)[1] for crop in crops])
    middle = perf_counter()
    ours = np.concatenate(
        [
            dense_sift(gradient_maps(crops[i : i + 8], 2, OPENCV_BLUR), positions, positions, size)
            for i in range(0, len(crops), 8)
        ]
    )
    end = perf_counter()
    theirs /= np.maximum(np.linalg.norm(theirs, axis=2, keepdims=True), 1e-9)
    scale = 1000 / len(crops)
    return np.corrcoef(theirs.ravel(), ours.ravel())[0, 1], (middle - start) * scale, (end - middle) * scale


def speed() -> Iterator[str]:
    """Tables of agreement and speed on drawn faces."""
    crops = sample(280, seed=0).pictures
    yield row("SIFT, 121 keypoints", "correlation with OpenCV", "OpenCV, ms a face", "ferkit, ms a face")
    yield row(*["---"] * 4)
    for size in (3.0, 5.0, 10.0):
        correlation, theirs, ours = agreement(crops, size)
        yield row(f"size {size:g}", f"{correlation:.5f}", f"{theirs:.2f}", f"{ours:.2f}")
    start = perf_counter()
    words = VisualWords().fit(crops)
    learnt = perf_counter()
    words.transform(crops)
    whole = perf_counter()
    for i in range(100):
        words.transform(crops[i : i + 1])
    single = perf_counter()
    yield ""
    yield row("visual words", "")
    yield row(*["---"] * 2)
    yield row(f"fit on {len(crops)} faces, s", f"{learnt - start:.1f}")
    yield row("transform of a batch, faces/s", f"{len(crops) / (whole - learnt):.0f}")
    yield row("transform of one face, ms", f"{(single - whole) * 10:.1f}")


def accuracy(rows: Rows, n_fit: int) -> Iterator[str]:
    """Table of settings: held-out accuracy of a linear SVM inside Training."""
    crops, y, held = rows
    yield row("setting", *(f"accuracy, C={cost}" for cost in COSTS), "columns", "linear model, MB", "ms a face")
    yield row(*["---"] * (len(COSTS) + 4))
    for name, changes in SETTINGS.items():
        words = VisualWords(**changes).fit(crops[:n_fit])
        start = perf_counter()
        X = words.transform(crops)
        each = (perf_counter() - start) / len(crops) * 1000
        scores = [
            LinearSVC(C=cost, tol=1e-2, random_state=0).fit(X[:n_fit], y[:n_fit]).score(X[held], y[held])
            for cost in COSTS
        ]
        size = X.shape[1] * len(set(y)) * 4 / 1e6
        yield row(name, *(f"{100 * score:.1f} %" for score in scores), X.shape[1], f"{size:.1f}", f"{each:.1f}")


def main() -> None:
    """Print the tables."""
    parser = parser_of(__doc__)
    parser.add_argument("--data", help="FER2013, as a file; without it only speed is measured")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        lines = accuracy(rows_of(options), options.fit) if options.data else speed()
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
