"""What each part of the hand-crafted branch is worth: Fisher vectors with one change, families with one left out.

    python benchmarks/handcrafted.py fer2013.csv.gz --fit 6000 --held 3500

Every row learns from the same faces of the split Training and is scored on others of that split; faces that are nearly
the same picture as one learnt from are not scored. The tables go to standard output as Markdown.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits
from words import Rows, parser_of, row, rows_of

from ferkit import HOG, LBP, RBFSVM, FamilyUnion, FisherVectors, LinearSVM, Stacking, VisualWords
from ferkit.records import Features

KERNEL: dict[str, Any] = {
    "C": 5,
    "gamma": 0.9,
    "n_components": None,
    "loss": "squared",
    "standardize": False,
}
FISHER: dict[str, dict[str, Any]] = {
    "as it is": {},
    "128 axes a cell": {"n_axes": 128},
    "16 Gaussians": {"n_gaussians": 16},
    "2 x 2 cells": {"cells": 2},
    "one size, 3": {"sizes": (3,)},
    "one size, 8": {"sizes": (8,)},
    "sizes 3 and 5": {"sizes": (3, 5)},
    "step 12": {"step": 12},
    "plain SIFT": {"root": False},
    "no power": {"power": 1.0},
    "no mirror image": {"mirror": False},
    "48x48, not enlarged": {"upsample": 1, "step": 3, "sizes": (1, 1.5, 2.5, 4)},
}
FAMILIES: dict[str, Any] = {
    "hog": HOG(cell=[6, 8, 12], signed=True, sqrt=True),
    "lbp": LBP(),
    "words": VisualWords(),
    "fisher": FisherVectors(n_axes=256),
}


def fisher(rows: Rows, n: int) -> Iterator[str]:
    """Table of settings of the Fisher vectors, and of machines on them."""
    crops, y, held = rows
    yield row("Fisher vectors", "kernel, least squares", "linear", "numbers a face")
    yield row(*["---"] * 4)
    for name, changes in FISHER.items():
        family = FisherVectors(**({"n_axes": 256} | changes)).fit(crops[:n])
        X = family.transform(crops)
        scores = [machine.fit(X[:n], y[:n]).score(X[held], y[held]) for machine in (RBFSVM(**KERNEL), LinearSVM(C=0.1))]
        yield row(name, *(f"{100 * score:.1f} %" for score in scores), X.shape[1])


def families(rows: Rows, n: int) -> Iterator[str]:
    """Table of the families alone, all of them, and all but one, fused on a fifth of the faces."""
    crops, y, held = rows
    union = FamilyUnion(list(FAMILIES.items()))
    X = union.fit(crops[:n]).transform(crops)
    fusion = np.arange(n) >= n * 4 // 5
    yield row("families", "accuracy")
    yield row("---", "---")
    subsets = [[name] for name in FAMILIES] + [list(FAMILIES)]
    subsets += [[other for other in FAMILIES if other != name] for name in FAMILIES]
    for names in subsets:
        part = Features({name: X.blocks[name] for name in names}, {name: X.names[name] for name in names})
        bases = {"fisher": RBFSVM(**KERNEL)} if "fisher" in names else {}
        model = Stacking(bases=bases).fit(part[:n], y[:n], fusion=fusion)
        yield row(", ".join(names), f"{100 * model.score(part[held], y[held]):.1f} %")


def main() -> None:
    """Print the tables."""
    parser = parser_of(__doc__)
    parser.add_argument("data", help="FER2013, as a file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        rows = rows_of(options)
        for line in chain(families(rows, options.fit), [""], fisher(rows, options.fit)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
