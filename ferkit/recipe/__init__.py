"""Recipes: a short YAML file to a fitted pipeline."""

from ferkit.recipe.build import build, describe
from ferkit.recipe.schema import Part, Recipe, Search, load, loads, shipped

__all__ = ["Part", "Recipe", "Search", "build", "describe", "load", "loads", "shipped"]
