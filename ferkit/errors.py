"""Everything that ferkit raises on purpose. The form is always "Got name=value, expected X." """

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import Any


class FerkitError(Exception):
    """Base of every error that ferkit raises on purpose; the command line prints it without a traceback."""


class InputError(FerkitError, ValueError):
    """An argument, array or picture is not what was expected."""


class PictureError(InputError):
    """One picture cannot be read. Batches skip it, count it and go on."""


class DataError(FerkitError):
    """A data set as a whole cannot be used."""


class RecipeError(FerkitError):
    """A recipe (YAML) holds something that is unknown or wrong."""


class ModelFileError(FerkitError):
    """A ``.ferkit`` file cannot be written or opened."""


class MissingExtraError(FerkitError, ImportError):
    """An optional part is not installed; the message names the ``pip install`` line."""


def check_flags(estimator: Any) -> None:
    """Refuse anything but True and False for the parameters of an estimator that are declared as ``bool``."""
    kind: type = type(estimator)
    for name in _flags(kind):
        value = getattr(estimator, name)
        if type(value).__name__ not in ("bool", "bool_"):  # numpy's have either name
            raise InputError(f"Got {name}={value!r}, expected True or False.")


def check_fitted(estimator: Any, name: str) -> None:
    """scikit-learn's ``check_is_fitted`` for an attribute that ``fit`` sets; one that is there costs no time."""
    if name not in vars(estimator):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(estimator, name)


@cache
def _flags(kind: type) -> tuple[str, ...]:
    parameters = signature(kind.__init__).parameters  # type: ignore[misc]
    return tuple(name for name, item in parameters.items() if item.annotation in (bool, "bool"))


def missing(package: str, extra: str) -> MissingExtraError:
    """Error for an optional package that is not installed.

    Parameters
    ----------
    package : str
        What could not be imported.
    extra : str
        ferkit's extra that brings it.
    """
    return MissingExtraError(
        f"Got no installed package {package!r}, expected it for this step. Run: pip install 'ferkit[{extra}]'"
    )
