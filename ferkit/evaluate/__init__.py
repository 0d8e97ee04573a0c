"""Figures of a model: metrics with intervals, paired comparisons, and text for a terminal."""

from ferkit.evaluate.metrics import evaluate
from ferkit.evaluate.paired import compare, compare_all
from ferkit.evaluate.predictions import Predictions
from ferkit.evaluate.run import Evaluation, evaluate_dataset
from ferkit.evaluate.text import confusion_table, table

__all__ = [
    "Evaluation",
    "Predictions",
    "compare",
    "compare_all",
    "confusion_table",
    "evaluate",
    "evaluate_dataset",
    "table",
]
