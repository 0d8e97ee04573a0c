"""Speed and held-out accuracy of the classifiers on HOG and LBP of real or drawn faces.

    python benchmarks/models.py                                  # drawn faces
    python benchmarks/models.py --data fer2013.csv.gz --rows 8000

Rows come from the Training part only: near-duplicates stay on one side of every split, half of the rows fit the bases,
a quarter the fusion, and a quarter is held out. The held-out figures are validation figures.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.svm import LinearSVC

from ferkit.evaluate import evaluate
from ferkit.faces import FaceExtractor
from ferkit.features import HOG, LBP, FamilyUnion
from ferkit.model import RBFSVM, Concatenation, FusionHead, LinearSVM, LocalSVM, Stacking, Voting
from ferkit.model.scaling import apply_scaling, fit_scaling
from ferkit.records import Features
from ferkit.sources import load
from ferkit.sources.duplicates import clusters

LOCAL_ROWS = 300


def rows(path: str, n: int, seed: int) -> tuple[Features, np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels, groups of near-duplicates and a part (0 bases, 1 fusion, 2 held out) of n Training rows."""
    dataset = load(path)
    if "Training" in dataset.split_names:
        dataset = dataset.split("Training")
    rng = np.random.default_rng(seed)
    dataset = dataset[np.sort(rng.permutation(len(dataset))[:n])]
    faces = FaceExtractor().fit(dataset.pictures).transform(dataset.pictures)
    groups = clusters(faces.crops)
    part = rng.choice(3, groups.max() + 1, p=[0.5, 0.25, 0.25])[groups]
    X = FamilyUnion([("hog", HOG()), ("lbp", LBP())]).fit_transform(faces)
    return X, dataset.labels, groups, part


def models() -> Iterator[tuple[str, Any, Callable[[Features], Any]]]:
    """Name, classifier, and what it takes of the features."""

    def hog(X: Features) -> Any:
        return X["hog"]

    def both(X: Features) -> Any:
        return X

    yield "hog: LinearSVM", LinearSVM(), hog
    yield "hog: LinearSVM, uncalibrated", LinearSVM(calibrate=False), hog
    yield "hog: LinearSVM, logistic", LinearSVM(C=0.3, loss="logistic"), hog
    yield "hog: RBFSVM", RBFSVM(), hog
    yield "hog: RBFSVM, 1000 landmarks", RBFSVM(landmarks=1000), hog
    yield "hog: FusionHead", FusionHead(64, epochs=20), hog
    yield "hog: LocalSVM", LocalSVM(calibration_rows=200), hog
    yield "both: Voting", Voting(), both
    yield "both: Concatenation", Concatenation(), both
    yield "both: Stacking, full", Stacking(), both
    yield "both: Stacking, family", Stacking(weights="family"), both
    yield "both: Stacking, head", Stacking(final="head"), both


def measure(model: Any, take: Callable[[Features], Any], X: Features, y: Any, groups: Any, part: Any) -> list[str]:
    """Seconds to fit, faces a second, accuracy with its interval, log loss, calibration error on the held-out rows."""
    fit, held_out = np.flatnonzero(part != 2), np.flatnonzero(part == 2)
    held_out = held_out[:LOCAL_ROWS] if isinstance(model, LocalSVM) else held_out
    fusion = {"fusion": part[fit] == 1} if isinstance(model, Stacking) else {}
    start = time.perf_counter()
    model.fit(take(X[fit]), y[fit], groups=groups[fit], **fusion)
    fitted = time.perf_counter()
    proba = model.predict_proba(take(X[held_out]))
    done = time.perf_counter()
    figures = evaluate(y[held_out], proba, model.classes_, groups=groups[held_out])
    low, high = figures["accuracy_ci"]
    speed = len(held_out) / (done - fitted)
    return [
        f"{fitted - start:.1f}",
        f"{speed:.0f}",
        f"{figures['accuracy']:.3f} [{low:.3f}, {high:.3f}]",
        f"{figures['log_loss']:.3f}",
        f"{figures['ece']:.3f}",
    ]


def liblinear(X: Features, y: Any, part: Any, most: int) -> list[str]:
    """The same machine by scikit-learn's LinearSVC, for its time; it may stop early."""
    block, held_out = X["hog"][part != 2], X["hog"][part == 2]
    mean, factor = fit_scaling(block, standardize=True)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # That it may stop at max_iter is said in the table's name.
        machine = LinearSVC(C=0.1, max_iter=most).fit(apply_scaling(block, mean, factor), y[part != 2])
    seconds = time.perf_counter() - start
    accuracy = machine.score(apply_scaling(held_out, mean, factor), y[part == 2])
    return [f"{seconds:.1f}", "", f"{accuracy:.3f}", "", ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="data set, as ferkit fit takes it")
    parser.add_argument("--rows", type=int, default=700, help="rows of its Training part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--liblinear", type=int, default=0, metavar="STEPS", help="also time LinearSVC, at most STEPS")
    options = parser.parse_args()
    X, y, groups, part = rows(options.data, options.rows, options.seed)
    print(f"{X!r}: {np.bincount(part).tolist()} rows for bases, fusion, held out", file=sys.stderr)
    print("| model | fit, s | faces/s | held-out accuracy | log loss | calibration error |")
    print("|---|---|---|---|---|---|")
    for name, model, take in models():
        print(f"| {name} | {' | '.join(measure(model, take, X, y, groups, part))} |", flush=True)
    if options.liblinear:
        figures = liblinear(X, y, part, options.liblinear)
        print(f"| hog: LinearSVC, at most {options.liblinear} steps | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
