"""Figures of a model: metrics with intervals, curves, groups, stress, paired tests, cross-validation, the report."""

from ferkit.evaluate.analysis import Analysis, analyse, hardest, surely_wrong
from ferkit.evaluate.crossval import CrossValidation, cross_validate
from ferkit.evaluate.curves import calibration, coverage, precision_recall, roc
from ferkit.evaluate.families import ablation
from ferkit.evaluate.kinds import stressed
from ferkit.evaluate.metrics import evaluate
from ferkit.evaluate.paired import compare, compare_all
from ferkit.evaluate.predictions import Predictions
from ferkit.evaluate.report import Report, report_of
from ferkit.evaluate.run import Evaluation, evaluate_dataset
from ferkit.evaluate.slices import Slice, by_value, read_slices
from ferkit.evaluate.stages import time_stages
from ferkit.evaluate.stress import Stress, stress
from ferkit.evaluate.text import confusion_table, table

__all__ = [
    "Analysis",
    "CrossValidation",
    "Evaluation",
    "Predictions",
    "Report",
    "Slice",
    "Stress",
    "ablation",
    "analyse",
    "by_value",
    "calibration",
    "compare",
    "compare_all",
    "confusion_table",
    "coverage",
    "cross_validate",
    "evaluate",
    "evaluate_dataset",
    "hardest",
    "precision_recall",
    "read_slices",
    "report_of",
    "roc",
    "stress",
    "stressed",
    "surely_wrong",
    "table",
    "time_stages",
]
