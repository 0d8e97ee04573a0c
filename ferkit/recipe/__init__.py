"""Recipes: a short YAML file to a fitted pipeline."""

from ferkit.recipe.build import build, describe
from ferkit.recipe.fit import Fitted, Validation, fit
from ferkit.recipe.schema import Part, Recipe, Search, load, loads, shipped

__all__ = ["Fitted", "Part", "Recipe", "Search", "Validation", "build", "describe", "fit", "load", "loads", "shipped"]
