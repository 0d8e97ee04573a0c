"""Are explanations true? Cover what they call important, piece by piece, and see whether the class falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.explain.covering import cover
from ferkit.records import Faces

if TYPE_CHECKING:
    from ferkit.explain.explainer import Explainer

SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Curves:
    """Log-odds of faces while more and more of them is covered, or shown.

    Attributes
    ----------
    kind : {"deletion", "insertion"}
    shares : ndarray of shape (n_steps,)
        Share of the places that are covered (or shown).
    values : ndarray of shape (n, n_steps)
        Log-odds of each face, the places with the strongest evidence first.
    chance : ndarray of shape (n, n_steps)
        The same with places in random order, mean over several orders.
    """

    kind: str
    shares: NDArray[np.float64]
    values: NDArray[np.float64]
    chance: NDArray[np.float64]

    @property
    def gain(self) -> NDArray[np.float64]:
        """Area between both curves of each face, positive where the explanation is better than chance; shape (n,)."""
        apart = self.chance - self.values if self.kind == "deletion" else self.values - self.chance
        return np.asarray(np.trapezoid(apart, self.shares, axis=1))


def deletion_curve(explainer: Explainer, faces: Faces, maps: Any, directions: Any, **options: Any) -> Curves:
    """Cover the places with the strongest evidence first (Petsiuk et al. 2018). The class should fall at once.

    Parameters
    ----------
    explainer : Explainer
    faces : Faces
        ``n`` faces.
    maps : array-like of shape (n, height, width)
        Evidence of their pixels, from any kind of explanation.
    directions : array-like of shape (n, n_labels)
        What is asked, as ``Explainer.direction`` gives it.
    place : int, default=6
        Side of a place in pixels.
    fill : {"blur", "mean"}, default="blur"
        See ``cover``.
    family : str or None, default=None
        Let only this family see the cover.
    orders : int, default=5
        Random orders to compare with.
    seed : int, default=0
        For the random orders.

    Returns
    -------
    Curves

    References
    ----------
    Petsiuk, Das, Saenko (2018). RISE: Randomized input sampling for explanation of black-box models. BMVC.
    """
    return _curves(explainer, faces, maps, directions, "deletion", **options)


def insertion_curve(explainer: Explainer, faces: Faces, maps: Any, directions: Any, **options: Any) -> Curves:
    """Start from a face that is covered whole, and show the places with the strongest evidence first.

    Parameters and result are those of ``deletion_curve``. The class should rise at once.
    """
    return _curves(explainer, faces, maps, directions, "insertion", **options)


def _curves(
    explainer: Explainer,
    faces: Faces,
    maps: Any,
    directions: Any,
    kind: str,
    *,
    place: int = 6,
    fill: str = "blur",
    family: str | None = None,
    orders: int = 5,
    seed: int = 0,
) -> Curves:
    found = np.asarray(maps, dtype=np.float64)
    if found.shape != faces.shape:
        raise InputError(f"Got maps of shape {found.shape}, expected {faces.shape}, one for each face.")
    if not isinstance(place, (int, np.integer)) or not 1 <= place <= min(faces.shape[1:]):
        raise InputError(f"Got place={place!r}, expected a whole number from 1 to {min(faces.shape[1:])}.")
    asked = np.asarray(directions, dtype=np.float64)
    rng = np.random.default_rng(seed)
    values, chance = [], []
    for i in range(len(faces)):
        strongest = np.argsort(-_sums(found[i], place), kind="stable")
        tried = [strongest, *(rng.permutation(len(strongest)) for _ in range(orders))]
        masks = np.concatenate([_masks(order, faces.shape[1:], place, kind) for order in tried])
        covered = cover(np.repeat(faces.crops[[i]], len(masks), axis=0), masks, fill)
        scores = explainer.scores(faces[[i]], asked[i], covered, family).reshape(len(tried), -1)
        values.append(scores[0])
        chance.append(scores[1:].mean(axis=0))
    return Curves(kind, np.array(SHARES), np.array(values), np.array(chance))


def _places(shape: tuple[int, ...], side: int) -> NDArray[np.intp]:
    """Number of the place that each pixel belongs to."""
    columns = -(-shape[1] // side)
    return np.arange(shape[0])[:, None] // side * columns + np.arange(shape[1]) // side


def _sums(found: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Mean evidence of each place."""
    places = _places(found.shape, side).ravel()
    return np.asarray(np.bincount(places, found.ravel()) / np.bincount(places))


def _masks(order: NDArray[np.intp], shape: tuple[int, ...], side: int, kind: str) -> NDArray[np.float32]:
    """What is covered at each step when places come in this order."""
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order))
    of_pixel = rank[_places(shape, side)]
    reached = np.stack([of_pixel < round(share * len(order)) for share in SHARES])
    return (reached if kind == "deletion" else ~reached).astype(np.float32)
