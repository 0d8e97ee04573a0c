"""Figures of a model: metrics with intervals, a paired comparison, and text for a terminal."""

from ferkit.evaluate.metrics import evaluate
from ferkit.evaluate.paired import compare
from ferkit.evaluate.run import Evaluation, evaluate_dataset
from ferkit.evaluate.text import confusion_table, table

__all__ = ["Evaluation", "compare", "confusion_table", "evaluate", "evaluate_dataset", "table"]
