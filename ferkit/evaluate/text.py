"""Figures as text for a terminal."""

from __future__ import annotations

from typing import Any


def table(figures: dict[str, Any]) -> str:
    """Figures of ``evaluate`` in lines, then one row a class."""
    low, high = figures["accuracy_ci"]
    on_found = figures["accuracy_found"]
    lines = [
        f"{'pictures':<20}{figures['n']}",
        f"{'accuracy':<20}{figures['accuracy']:.4f}  [{low:.4f}, {high:.4f}]",
        f"{'  on found faces':<20}{'none found' if on_found is None else format(on_found, '.4f')}",
        f"{'  not found':<20}{figures['not_found']:.4f}",
        f"{'balanced accuracy':<20}{figures['balanced_accuracy']:.4f}",
        f"{'macro F1':<20}{figures['macro_f1']:.4f}",
        f"{'log loss':<20}{figures['log_loss']:.4f}",
        f"{'calibration error':<20}{figures['ece']:.4f}",
    ]
    rows = [
        [label, *(f"{own[name]:.4f}" for name in ("precision", "recall", "f1")), str(own["support"])]
        for label, own in figures["per_class"].items()
    ]
    return "\n".join([*lines, "", *_aligned([["", "precision", "recall", "F1", "pictures"], *rows])])


def confusion_table(figures: dict[str, Any]) -> str:
    """Confusion counts: one row a true label, one column a predicted one."""
    labels = figures["labels"]
    rows = [[label, *map(str, row)] for label, row in zip(labels, figures["confusion"], strict=True)]
    return "\n".join(_aligned([["true \\ predicted", *labels], *rows]))


def folds_table(figures: dict[str, Any]) -> str:
    """One row a fold, then their mean and spread."""
    head = ["fold", "pictures", "accuracy", "95 %", "balanced", "macro F1", "log loss"]
    rows = [
        [str(k), str(own["n"]), f"{own['accuracy']:.4f}", _interval(own["accuracy_ci"]), *_shown(own)]
        for k, own in enumerate(figures["folds"], 1)
    ]
    for which in ("mean", "std"):
        own = {name: values[which] for name, values in figures["over_folds"].items()}
        rows.append([which, "", f"{own['accuracy']:.4f}", "", *_shown(own)])
    return "\n".join([*_aligned([head, *rows]), "", f"together, intervals over {figures['ci_over']}:"])


def _shown(own: dict[str, Any]) -> list[str]:
    return [f"{own[name]:.4f}" for name in ("balanced_accuracy", "macro_f1", "log_loss")]


def comparison(result: dict[str, Any], other: str) -> str:
    """What ``compare`` found, in two lines."""
    low, high = result["difference_ci"]
    return (
        f"against {other}: accuracy {result['accuracy']:.4f} and {result['other_accuracy']:.4f}, "
        f"difference {result['difference']:+.4f} [{low:+.4f}, {high:+.4f}]\n"
        f"only this one right {result['only_this']}, only the other {result['only_other']}, "
        f"{result['test']} p = {result['p_value']:.3g}"
    )


def comparisons(result: dict[str, Any]) -> str:
    """What ``compare_all`` found: the models, then every two of them."""
    models = [[name, f"{own['accuracy']:.4f}", _interval(own["accuracy_ci"])] for name, own in result["models"].items()]
    pairs = [
        [
            f"{pair['first']} - {pair['second']}",
            f"{pair['difference']:+.4f}",
            _interval(pair["difference_ci"], "+"),
            str(pair["only_this"]),
            str(pair["only_other"]),
            f"{pair['p_value']:.2g}",
            f"{pair['p_holm']:.2g}",
        ]
        for pair in result["pairs"]
    ]
    head = ["pair", "difference", "95 %", "only first", "only second", f"{result['pairs'][0]['test']} p", "p (Holm)"]
    left_out = f", {result['left_out']} that not all of them have left out" if result["left_out"] else ""
    lines = [f"{result['n']} pictures in common{left_out}; intervals over {result['ci_over']}", ""]
    return "\n".join([*lines, *_aligned([["model", "accuracy", "95 %"], *models]), "", *_aligned([head, *pairs])])


def _interval(ends: Any, sign: str = "") -> str:
    low, high = ends
    return f"[{low:{sign}.4f}, {high:{sign}.4f}]"


def _aligned(rows: list[list[str]]) -> list[str]:
    """First column to the left, others to the right, each as wide as its widest entry."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
