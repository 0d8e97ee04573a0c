"""Classifiers over feature families: SVMs, stacking, voting, fusion heads, calibration."""

from ferkit.model.kernel import RBFSVM
from ferkit.model.linear import LinearSVM

__all__ = ["RBFSVM", "LinearSVM"]
