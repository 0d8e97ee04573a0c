"""Time of an evaluation: each change of the stress test, the intervals, the page, and the stress test as a whole.

    python benchmarks/evaluate.py [--data fer2013.csv.gz --split PublicTest] [--model fast] [--rows 512] [--jobs 2]

The last line is the time that a stress test of 3,589 faces would take, from the one that was measured.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

from ferkit import load, load_dataset
from ferkit.evaluate import evaluate_dataset, report_of, stress, stressed
from ferkit.evaluate.kinds import KINDS
from ferkit.evaluate.report import stress_rows

PUBLIC_TEST = 3589


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """Time of a run, and what it gave."""
    start = time.perf_counter()
    found = run()
    return time.perf_counter() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="data set, as ferkit evaluate takes it")
    parser.add_argument("--split", default="PublicTest")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--rows", type=int, default=512, help="faces of the stress test")
    parser.add_argument("--jobs", type=int, default=None, help="threads; by default one a free core")
    options = parser.parse_args()
    model, data = load(options.model), load_dataset(options.data, split=options.split)
    print("| part | s | ms a face |")
    print("|---|---|---|")

    def line(part: str, taken: float, n: int) -> None:
        print(f"| {part} | {taken:.2f} | {1e3 * taken / n:.3f} |", flush=True)

    taken, result = seconds(lambda: evaluate_dataset(model, data))
    line("evaluate", taken, len(result.rows))
    rows = stress_rows(result.y_true, options.rows)
    faces, y = result.faces[rows], result.y_true[rows]
    for kind in KINDS:
        taken, _ = seconds(lambda kind=kind: stressed(faces, kind.name, 3))
        line(kind.name, taken, len(faces))
    taken, report = seconds(lambda: report_of(model, data, result, title="benchmark"))
    line("figures, intervals, stages", taken, len(result.rows))
    with tempfile.TemporaryDirectory() as folder:
        taken, _ = seconds(lambda: report.save(folder))
    line("page and charts", taken, len(result.rows))
    taken, _ = seconds(lambda: stress(model, faces, y, jobs=options.jobs))
    line(f"stress, {len(faces)} faces", taken, len(faces))
    line(f"stress, {PUBLIC_TEST} faces (from that)", taken * PUBLIC_TEST / len(faces), PUBLIC_TEST)


if __name__ == "__main__":
    main()
