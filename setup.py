"""Puts the recipes of ``pipelines/`` into the wheel, for ``ferkit fit hybrid``; all else is in setup.cfg."""

from pathlib import Path
from shutil import copy

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "ferkit", "assets", "recipes")
            target.mkdir(parents=True, exist_ok=True)
            for recipe in Path(__file__).resolve().parent.glob("pipelines/*.yaml"):
                copy(recipe, target)


setup(cmdclass={"build_py": BuildWithRecipes})
