"""Bag of visual words: dense SIFT descriptors, a learnt codebook, a spatial pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import sparse

from ferkit.errors import InputError
from ferkit.features.dense import CHUNK, JOB, DenseDescriptors
from ferkit.features.settings import is_list, is_whole
from ferkit.records import Faces, as_faces

ENCODINGS = ("presence", "count", "soft")


class VisualWords(DenseDescriptors, auto_wrap_output_keys=None):  # type: ignore[call-arg]  # no frame is sparse
    """Bag of visual words (Ionescu, Popescu and Grozea 2013).

    SIFT descriptors on a dense grid of the enlarged face are replaced by the nearest words of a codebook, which is
    learnt at fit. A face is described by the words that occur in each cell of a spatial pyramid.

    Parameters
    ----------
    n_words : int, default=2000
        Size of the codebook; it is smaller where ``fit`` meets fewer descriptors.
    sizes : sequence of float, default=(3, 5)
        Keypoint sizes in pixels of the enlarged face. A descriptor spans six times its size.
    step : int, default=6
        Distance of the keypoints in pixels of the enlarged face.
    upsample : int, default=2
        Times by which the face is enlarged.
    blur : float, default=0.5
        Deviation of the blur before gradients are taken, in pixels of the enlarged face; OpenCV's SIFT blurs by 1.52.
    pyramid : sequence of int, default=(2, 4, 6)
        Levels of the spatial pyramid: cells a side.
    encoding : {"presence", "count", "soft"}, default="presence"
        Whether a cell says that a word occurs, how often, or with which weight: a descriptor then counts for its words
        by a Gaussian of their distance, in sum 1.
    assignments : int, default=3
        Nearest words that a descriptor counts for: a patch between two words is then not lost to one of them.
    softness : float, default=0.2
        Deviation of that Gaussian, for ``encoding="soft"``. Descriptors have length 1.
    root : bool, default=True
        Whether descriptors are compared by Hellinger distance (RootSIFT).
    power : float, default=0.5
        Exponent of the numbers before each face is scaled to length 1; it does nothing to presence.
    seed : int, default=0
        Seed of the codebook.
    max_descriptors : int, default=200000
        Descriptors that the codebook is learnt from.
    n_jobs : int or None, default=None
        Processes, as in joblib.

    Attributes
    ----------
    codebook_ : ndarray of shape (n_words, 128), dtype float32
        The words.
    crop_shape_ : tuple of (int, int)
        Height and width of the crops seen at fit.

    Notes
    -----
    ``transform`` gives a ``csr_array``. Columns are named ``words/level2/row1/col0/word37``: the level by its cells a
    side, the cell, the word. Patches without any gradient count for no word.

    The defaults were chosen inside FER2013's Training part (``benchmarks/words.py``). Several words a descriptor, a
    denser grid, less blur and more words helped, in this order; the pyramid and the encoding hardly matter.

    References
    ----------
    Ionescu, Popescu and Grozea (2013). Local learning to improve bag of visual words model for facial expression
    recognition. ICML workshop on challenges in representation learning.

    Lazebnik, Schmid and Ponce (2006). Beyond bags of features: spatial pyramid matching. CVPR.

    van Gemert, Veenman, Smeulders and Geusebroek (2010). Visual word ambiguity. PAMI.

    Examples
    --------
    >>> faces = np.random.default_rng(0).integers(0, 256, (5, 48, 48), dtype=np.uint8)
    >>> words = VisualWords(n_words=20, pyramid=(1, 2)).fit(faces)
    >>> words.transform(faces).shape
    (5, 100)
    >>> str(words.get_feature_names_out()[-1])
    'words/level2/row1/col1/word19'
    """

    family = "words"
    state = ("codebook_",)

    def __init__(
        self,
        n_words: int = 2000,
        *,
        sizes: Sequence[float] = (3, 5),
        step: int = 6,
        upsample: int = 2,
        blur: float = 0.5,
        pyramid: Sequence[int] = (2, 4, 6),
        encoding: str = "presence",
        assignments: int = 3,
        softness: float = 0.2,
        root: bool = True,
        power: float = 0.5,
        seed: int = 0,
        max_descriptors: int = 200_000,
        n_jobs: int | None = None,
    ) -> None:
        self.n_words = n_words
        self.sizes = sizes
        self.step = step
        self.upsample = upsample
        self.blur = blur
        self.pyramid = pyramid
        self.encoding = encoding
        self.assignments = assignments
        self.softness = softness
        self.root = root
        self.power = power
        self.seed = seed
        self.max_descriptors = max_descriptors
        self.n_jobs = n_jobs

    def patch_evidence(self, X: Any, evidence: Any) -> NDArray[np.float64]:
        """Evidence of the columns, given back to the patches whose words they are.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            The faces.
        evidence : csr_array of shape (n, n_features)
            Something of each column, such as what it speaks for.

        Returns
        -------
        ndarray of shape (n, n_descriptors), dtype float64
            In the order of ``patches``. Patches that share a word in a cell share what it speaks for.
        """
        crops = as_faces(X).crops
        found = []
        for i in range(len(crops)):
            words, weights = self._assign(crops[i : i + 1])
            columns = self._places()[:, :, None] * len(self.codebook_) + words[0]
            row = np.asarray(evidence[[i]].toarray(), dtype=np.float64).ravel()
            shares = np.broadcast_to(weights[0], columns.shape)
            totals = np.bincount(columns.ravel(), shares.ravel(), minlength=len(row))
            each = shares / np.where(totals > 0, totals, 1)[columns]
            found.append((row[columns] * each).sum(axis=(0, 2)))
        return np.array(found).reshape(len(crops), -1)

    def _evidence_map(self, faces: Faces, evidence: Any, slopes: NDArray[Any]) -> NDArray[np.float64]:
        return self.spread(self.patch_evidence(faces, evidence), faces.shape[1:])

    def _learn(self, faces: Faces, y: Any) -> None:
        self._check_params()
        from sklearn.cluster import MiniBatchKMeans  # slow to import, and only needed to learn

        sample = self._sample(faces.crops)
        means = MiniBatchKMeans(
            n_clusters=min(self.n_words, len(sample)),
            init="random",
            n_init=1,
            batch_size=4096,
            max_iter=10,
            max_no_improvement=None,
            reassignment_ratio=0.0,
            random_state=self.seed,
        )
        self.codebook_ = means.fit(sample).cluster_centers_.astype(np.float32)

    def _extract(self, faces: Faces) -> sparse.csr_array:
        if len(faces) == 0:
            return sparse.csr_array((0, self._width), dtype=np.float32)
        jobs = (faces.crops[start : start + JOB] for start in range(0, len(faces), JOB))
        parts = Parallel(n_jobs=self.n_jobs)(delayed(self._encode)(crops) for crops in jobs)
        return sparse.vstack(parts, format="csr", dtype=np.float32)

    def _encode(self, crops: NDArray[np.uint8]) -> sparse.csr_array:
        """Word vectors of some faces."""
        words, weights = self._assign(crops)
        n = len(crops)
        columns = (self._places()[:, None, :, None] * len(self.codebook_) + words).swapaxes(0, 1).reshape(n, -1)
        values = np.tile(weights.reshape(n, -1), len(self.pyramid))
        starts = np.arange(n + 1, dtype=np.int32) * columns.shape[1]
        out = sparse.csr_array((values.ravel(), columns.ravel(), starts), shape=(n, self._width))
        out.sum_duplicates()
        out.eliminate_zeros()
        out.data = np.ones_like(out.data) if self.encoding == "presence" else out.data ** np.float32(self.power)
        return _scale_rows(out)

    def _assign(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Nearest words of each descriptor and their weights, both (n, n_descriptors, assignments)."""
        half = np.einsum("ij,ij->i", self.codebook_, self.codebook_) / 2
        k = min(self.assignments, len(self.codebook_))
        # One product a face: its shape, and so its rounding, does not depend on the other faces of the batch.
        parts = [
            _nearest(face, self.codebook_, half, k)
            for start in range(0, len(crops), CHUNK)
            for face in self.describe(crops[start : start + CHUNK])
        ]
        words = np.stack([part[0] for part in parts])
        closeness, textured = np.stack([part[1] for part in parts]), np.stack([part[2] for part in parts])
        if self.encoding == "soft":
            weights = np.exp((closeness - closeness[..., :1]) / np.float32(self.softness**2))
            weights /= weights.sum(axis=-1, keepdims=True)
        else:
            weights = np.ones_like(closeness)
        return words, weights * textured[..., None]

    def _places(self) -> NDArray[np.int32]:
        """Cell of each descriptor, counted over all levels, shape (n_levels, n_descriptors)."""
        firsts = np.cumsum([0, *(level * level for level in self.pyramid)])
        levels = [first + self._cells(level) for first, level in zip(firsts, self.pyramid, strict=False)]
        return np.stack(levels).astype(np.int32)

    @property
    def _width(self) -> int:
        return len(self.codebook_) * sum(level * level for level in self.pyramid)

    def _names(self) -> list[str]:
        return [
            f"level{level}/row{row}/col{column}/word{word}"
            for level in self.pyramid
            for row in range(level)
            for column in range(level)
            for word in range(len(self.codebook_))
        ]

    def _check_params(self) -> None:
        self._check_dense(whole=("n_words", "assignments"), numbers=("softness", "power"))
        if not is_list(self.pyramid) or not all(is_whole(level) and level > 0 for level in self.pyramid):
            raise InputError(f"Got pyramid={self.pyramid!r}, expected a list of whole numbers of at least 1.")
        if len(set(self.pyramid)) < len(self.pyramid):
            raise InputError(f"Got pyramid={self.pyramid!r}, expected each level once.")
        if self.encoding not in ENCODINGS:
            raise InputError(f"Got encoding={self.encoding!r}, expected one of {list(ENCODINGS)}.")


def _nearest(
    descriptors: NDArray[np.float32], codebook: NDArray[np.float32], half: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]:
    """The ``k`` nearest words, minus half their squared distance (up to a constant), and where there is texture."""
    scores = descriptors @ codebook.T
    scores -= half
    words = np.empty((len(descriptors), k), np.int32)
    closeness = np.empty((len(descriptors), k), np.float32)
    every = np.arange(len(descriptors))
    for i in range(k):
        words[:, i] = scores.argmax(axis=1)
        closeness[:, i] = scores[every, words[:, i]]
        scores[every, words[:, i]] = -np.inf
    return words, closeness, np.any(descriptors != 0, axis=1)


def _scale_rows(rows: sparse.csr_array) -> sparse.csr_array:
    """Rows at length 1; a row without any word stays empty."""
    lengths = np.sqrt(rows.multiply(rows).sum(axis=1))
    rows.data /= np.repeat(lengths, np.diff(rows.indptr)).astype(np.float32)
    return rows
