"""Fisher vectors: how a face's dense SIFT descriptors differ from those of an average face, cell by cell."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from ferkit.errors import InputError
from ferkit.features.dense import CHUNK, JOB, DenseDescriptors, at_least
from ferkit.features.sift import MIRROR
from ferkit.records import Faces, as_faces

_ITERATIONS = 25
_SMALL = 1e-12
_LEAST = -60.0
"""Logarithm of the least share of a Gaussian: shares below 1e-38 would be ten times slower to multiply."""


class FisherVectors(DenseDescriptors):
    """Fisher vectors of dense SIFT on a grid of cells (Perronnin, Sánchez and Mensink 2010).

    A mixture of Gaussians is learnt from the descriptors of many faces. Each cell of a face is then described by the
    direction in which the means of the mixture would have to move to fit the descriptors of that cell. Unlike a visual
    word, which says only that a patch was there, this says how the patch was.

    Parameters
    ----------
    n_gaussians : int, default=64
        Gaussians of the mixture, with diagonal covariances.
    n_dims : int, default=48
        Principal components of the descriptors that the mixture sees.
    cells : int, default=4
        Cells along one side of the face.
    n_axes : int or None, default=128
        Principal components that are kept of each cell's vector; all cells share the axes. None keeps the vectors
        whole, ``n_gaussians * n_dims`` numbers a cell, which no SVM with a kernel can take for many faces.
    sizes : sequence of float, default=(2, 3, 5, 8)
        Keypoint sizes in pixels of the enlarged face. A descriptor spans six times its size.
    step : int, default=6
        Distance of the keypoints in pixels of the enlarged face.
    upsample : int, default=2
        Times by which the face is enlarged.
    blur : float, default=0.5
        Deviation of the blur before gradients are taken, in pixels of the enlarged face.
    root : bool, default=True
        Whether descriptors are compared by Hellinger distance (RootSIFT).
    power : float, default=0.5
        Exponent of the numbers, signs kept, before each cell is scaled to length 1.
    mirror : bool, default=True
        Take the mean of the vectors of a face and of its mirror image, so that both get the same numbers.
    seed : int, default=0
        Seed of what is learnt.
    max_descriptors : int, default=200000
        Descriptors that the mixture is learnt from.
    max_faces : int, default=4000
        Faces whose cells the axes are learnt from.
    n_jobs : int or None, default=None
        Processes, as in joblib.

    Attributes
    ----------
    centre_ : ndarray of shape (128,), dtype float32
    axes_ : ndarray of shape (128, n_dims), dtype float32
        Mean and principal axes of the descriptors.
    means_, variances_ : ndarray of shape (n_gaussians, n_dims), dtype float32
    shares_ : ndarray of shape (n_gaussians,), dtype float32
        The mixture.
    cell_centre_ : ndarray of shape (n_gaussians * n_dims,), dtype float32
    cell_axes_ : ndarray of shape (n_gaussians * n_dims, n_axes), dtype float32
        Mean and principal axes of the cells' vectors; empty where ``n_axes`` is None.
    crop_shape_ : tuple of (int, int)
        Height and width of the crops seen at fit.

    Notes
    -----
    Only the part for the means is kept; the part for the variances doubles the length and added nothing measurable on
    FER2013. With ``n_axes``, rows have length 1 after projection. Columns are named ``fisher/row1/col0/axis37``, or
    ``fisher/row1/col0/gaussian3/dim5`` where the vectors are whole. Settings were chosen inside FER2013's
    Training part.

    References
    ----------
    Perronnin, Sánchez and Mensink (2010). Improving the Fisher kernel for large-scale image classification. ECCV.

    Simonyan, Parkhi, Vedaldi and Zisserman (2013). Fisher vector faces in the wild. BMVC.

    Examples
    --------
    >>> faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    >>> fisher = FisherVectors(n_gaussians=3, n_dims=8, cells=2, n_axes=6).fit(faces)
    >>> fisher.transform(faces).shape
    (5, 24)
    >>> str(fisher.get_feature_names_out()[-1])
    'fisher/row1/col1/axis5'
    """

    family = "fisher"
    state = ("centre_", "axes_", "means_", "variances_", "shares_", "cell_centre_", "cell_axes_")

    def __init__(
        self,
        n_gaussians: int = 64,
        *,
        n_dims: int = 48,
        cells: int = 4,
        n_axes: int | None = 128,
        sizes: Sequence[float] = (2, 3, 5, 8),
        step: int = 6,
        upsample: int = 2,
        blur: float = 0.5,
        root: bool = True,
        power: float = 0.5,
        mirror: bool = True,
        seed: int = 0,
        max_descriptors: int = 200_000,
        max_faces: int = 4000,
        n_jobs: int | None = None,
    ) -> None:
        self.n_gaussians = n_gaussians
        self.n_dims = n_dims
        self.cells = cells
        self.n_axes = n_axes
        self.sizes = sizes
        self.step = step
        self.upsample = upsample
        self.blur = blur
        self.root = root
        self.power = power
        self.mirror = mirror
        self.seed = seed
        self.max_descriptors = max_descriptors
        self.max_faces = max_faces
        self.n_jobs = n_jobs

    def vectors(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Whole Fisher vectors, before projection.

        Parameters
        ----------
        crops : ndarray of shape (n, height, width), dtype uint8
            Grey faces.

        Returns
        -------
        ndarray of shape (n, cells * cells, n_gaussians * n_dims), dtype float32
            Cells row by row, each of length 1 (less than 1 where the mean with the mirror image is taken).
        """
        found = self.describe(crops)
        whole = self._pooled(found)
        if self.mirror:
            whole += self._pooled(found, mirrored=True)
            whole /= 2
        return whole

    def cell_evidence(self, X: Any, evidence: NDArray[Any], slopes: NDArray[Any]) -> NDArray[np.float64]:
        """Evidence of the columns by the cell of the face that they come from.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            The faces.
        evidence, slopes : ndarray of shape (n, n_features)
            What each number speaks for, and what one more of it would.

        Returns
        -------
        ndarray of shape (n, cells, cells), dtype float64
            Where the mean with the mirror image was taken, each side gets what its own vectors speak for.
        """
        faces, side = as_faces(X), self.cells
        totals = np.asarray(evidence, dtype=np.float64).reshape(len(faces), side, side, -1).sum(axis=3)
        if not self.mirror:
            return totals
        halves = np.stack([self._half(faces.crops[i : i + 1], slopes[i]) for i in range(len(faces))])
        rest = (totals - halves.sum(axis=1)) / 2  # the same for every face: it speaks for neither side
        own, mirrored = halves[:, 0] + rest, halves[:, 1] + rest
        return np.asarray(own + mirrored[:, :, ::-1])

    def _half(self, crops: NDArray[np.uint8], slopes: NDArray[Any]) -> NDArray[np.float64]:
        """What the face's own vectors and those of its mirror image speak for, shape (2, cells, cells)."""
        found = self.describe(crops)
        views = [self._pooled(found)[0] / 2, self._pooled(found, mirrored=True)[0] / 2]
        length = 1.0
        if self.n_axes is not None:
            length = float(np.linalg.norm((views[0] + views[1] - self.cell_centre_) @ self.cell_axes_))
            views = [view @ self.cell_axes_ for view in views]
        along = slopes.reshape(self.cells**2, -1) / max(length, _SMALL)
        return np.stack([(view * along).sum(axis=1).reshape(self.cells, self.cells) for view in views])

    def _evidence_map(self, faces: Faces, evidence: Any, slopes: NDArray[Any]) -> NDArray[np.float64]:
        cells = self.cell_evidence(faces, evidence, slopes)
        row, col = (np.arange(extent) * self.cells // extent for extent in faces.shape[1:])
        pixels = np.outer(np.bincount(row), np.bincount(col))
        return (cells / pixels)[:, row[:, None], col]

    def _learn(self, faces: Faces, y: Any) -> None:
        self._check_params()
        sample = self._sample(faces.crops)
        self.centre_ = sample.mean(axis=0)
        sample -= self.centre_
        self.axes_ = _principal(sample.T @ sample, min(self.n_dims, len(sample)))
        self.means_, self.variances_, self.shares_ = _mixture(sample @ self.axes_, self.n_gaussians, self.seed)
        self.cell_centre_, self.cell_axes_ = np.empty(0, np.float32), np.empty((0, 0), np.float32)
        if self.n_axes is not None:
            rows = np.random.default_rng(self.seed).permutation(len(faces))[: self.max_faces]
            self.cell_centre_, scatter = self._spread_of_cells(faces.crops[np.sort(rows)])
            self.cell_axes_ = _principal(scatter, min(self.n_axes, len(rows) * self.cells**2))

    def _spread_of_cells(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and scatter matrix of all cells' vectors, part by part: all vectors at once would take gigabytes."""
        width, n = self.means_.size, len(crops) * self.cells**2
        total, squares = np.zeros(width), np.zeros((width, width))
        for part in self._jobs(crops, project=False):
            vectors = part.reshape(-1, width)
            total += vectors.sum(axis=0, dtype=np.float64)
            squares += vectors.T @ vectors
        squares -= np.outer(total, total / n)
        return (total / n).astype(np.float32), squares.astype(np.float32)

    def _extract(self, faces: Faces) -> NDArray[np.float32]:
        rows = self._parts(faces.crops, project=self.n_axes is not None).reshape(len(faces), self._width)
        if self.n_axes is not None:
            rows = np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _SMALL), np.float32)
        return rows

    def _parts(self, crops: NDArray[np.uint8], project: bool = False) -> NDArray[np.float32]:
        """Vectors of all cells, projected where asked for."""
        width = self.cell_axes_.shape[1] if project else self.means_.size
        return np.concatenate([np.empty((0, self.cells**2, width), np.float32), *self._jobs(crops, project)])

    def _jobs(self, crops: NDArray[np.uint8], project: bool) -> Iterator[NDArray[np.float32]]:
        """Vectors of some faces at a time, in parallel."""
        jobs = [crops[start : start + JOB] for start in range(0, len(crops), JOB)]
        if len(jobs) < 2:  # nobody else has to be asked
            return (self._job(part, project) for part in jobs)
        found = Parallel(n_jobs=self.n_jobs, return_as="generator")(delayed(self._job)(part, project) for part in jobs)
        return iter(found)

    def _job(self, crops: NDArray[np.uint8], project: bool) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(crops), CHUNK):
            vectors = self.vectors(crops[start : start + CHUNK])
            parts.append((vectors - self.cell_centre_) @ self.cell_axes_ if project else vectors)
        return np.concatenate(parts)

    def _pooled(self, found: NDArray[np.float32], mirrored: bool = False) -> NDArray[np.float32]:
        """Normalised Fisher vectors of each cell from descriptors (n, n_descriptors, 128), or of the mirror image.

        In the mirror image positions, bins and directions change places: nothing else is computed.
        """
        axes, centre = (part[MIRROR] if mirrored else part for part in (self.axes_, self.centre_))
        place = self._turned(self._cells(self.cells)) if mirrored else self._cells(self.cells)
        order, counts = np.argsort(place, kind="stable"), np.bincount(place, minlength=self.cells**2)
        reduced = np.empty((*found.shape[:2], axes.shape[1] + 1), np.float32)
        reduced[..., :-1] = (found @ axes)[:, order] - centre @ axes
        reduced[..., -1] = 1  # so that their sums count them
        shares = self._shares(reduced)
        shares *= np.any(found, axis=2)[:, None, order]
        out = np.empty((len(found), self.cells**2, *self.means_.shape), np.float32)
        for cell, (end, count) in enumerate(zip(np.cumsum(counts), counts, strict=True)):
            moved = shares[:, :, end - count : end] @ reduced[:, end - count : end]
            np.subtract(moved[..., :-1], moved[..., -1:] * self.means_, out=out[:, cell])
        out /= np.sqrt(self.variances_ * self.shares_[:, None])
        sizes = np.abs(out)
        sizes = np.sqrt(sizes) if self.power == 0.5 else sizes ** np.float32(self.power)  # a root is far faster
        out = np.copysign(sizes, out).reshape(len(out), self.cells**2, -1)
        lengths = np.sqrt(np.einsum("ncd,ncd->nc", out, out))[..., None]
        return np.asarray(out / np.maximum(lengths, np.float32(_SMALL)), np.float32)

    def _shares(self, reduced: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much each Gaussian answers for each descriptor, in sum 1; shape (n, n_gaussians, n_descriptors).

        Descriptors come as (n, n_descriptors, n_dims + 1), the last number 1.
        """
        inverse = 1 / self.variances_
        constant = np.log(self.shares_) - 0.5 * (np.log(self.variances_) + self.means_**2 * inverse).sum(axis=1)
        linear = np.column_stack([self.means_ * inverse, constant])
        turned = reduced.swapaxes(1, 2)
        logs = linear @ turned - (0.5 * inverse) @ np.square(turned[:, :-1])
        logs -= logs.max(axis=1, keepdims=True)
        np.exp(np.maximum(logs, _LEAST, out=logs), out=logs)
        logs /= logs.sum(axis=1, keepdims=True)
        return np.asarray(logs, np.float32)

    def _turned(self, places: NDArray[Any]) -> NDArray[Any]:
        """Numbers of descriptors (n_descriptors,) at the places of the mirror image."""
        rows, columns = (len(positions) for positions in self._grids(self.crop_shape_))
        return np.asarray(places.reshape(len(self.sizes), rows, columns)[..., ::-1].ravel())

    @property
    def _width(self) -> int:
        return int(self.cells**2 * (self.means_.size if self.n_axes is None else self.cell_axes_.shape[1]))

    def _names(self) -> list[str]:
        gaussians, dims = self.means_.shape
        if self.n_axes is None:
            inner = [f"gaussian{gaussian}/dim{dim}" for gaussian in range(gaussians) for dim in range(dims)]
        else:
            inner = [f"axis{axis}" for axis in range(self.cell_axes_.shape[1])]
        cells = [f"row{row}/col{column}" for row in range(self.cells) for column in range(self.cells)]
        return [f"{cell}/{name}" for cell in cells for name in inner]

    def _check_params(self) -> None:
        self._check_dense(whole=("n_gaussians", "n_dims", "cells", "max_faces"), numbers=("power",))
        if self.n_axes is not None:
            at_least(self, "n_axes", 1)
        if self.power > 1:
            raise InputError(f"Got power={self.power!r}, expected a number above 0 and at most 1.")


def _principal(scatter: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Principal axes as columns, strongest first; each one's largest entry is positive."""
    axes = np.linalg.eigh(scatter)[1][:, ::-1][:, :count]
    largest = np.abs(axes).argmax(axis=0)
    return np.asarray(axes * np.sign(axes[largest, np.arange(axes.shape[1])]), np.float32)


def _mixture(rows: NDArray[np.float32], count: int, seed: int) -> tuple[NDArray[np.float32], ...]:
    """Means, variances and shares of Gaussians with diagonal covariances."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture  # slow to import, and only needed to learn

    mixture = GaussianMixture(
        min(count, len(rows)), covariance_type="diag", max_iter=_ITERATIONS, reg_covar=1e-5, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # more iterations change the mixture but not its use
        mixture.fit(rows)
    return tuple(part.astype(np.float32) for part in (mixture.means_, mixture.covariances_, mixture.weights_))
