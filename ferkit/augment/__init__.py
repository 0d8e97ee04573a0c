"""Changes to training pictures: arrays in, arrays out, for classical models and networks alike."""

from ferkit.augment.augment import Augment
from ferkit.augment.rows import augmented
from ferkit.augment.sheet import sheet

__all__ = ["Augment", "augmented", "sheet"]
