"""Classifiers over feature families: SVMs, stacking, voting, fusion heads, calibration."""

from ferkit.model.concatenation import Concatenation
from ferkit.model.fusion import FusionHead, LinearFusion
from ferkit.model.kernel import RBFSVM
from ferkit.model.linear import LinearSVM
from ferkit.model.local import LocalSVM
from ferkit.model.stacking import Stacking
from ferkit.model.voting import Voting

__all__ = [
    "RBFSVM",
    "Concatenation",
    "FusionHead",
    "LinearFusion",
    "LinearSVM",
    "LocalSVM",
    "Stacking",
    "Voting",
]
