"""What a model saw in a face, which family decided, and why this expression and not that one."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit import store
from ferkit.errors import InputError
from ferkit.explain.covering import occlusion_map
from ferkit.explain.pixels import network_pipeline
from ferkit.features import FaceFeatures, FamilyUnion
from ferkit.labels import ordered
from ferkit.model.base import FaceClassifier
from ferkit.records import Faces, Features, as_faces, as_features

Array = NDArray[Any]

EXACT = "exact"
"""The logits are linear in the family's numbers (or in the network's last map): nothing is approximated."""
INTEGRATED = "integrated gradients"
"""Mean slope on the straight way from the mean training face to this one (Sundararajan et al. 2017)."""
OCCLUSION = "occlusion"
"""What is lost when a window is covered for this family alone; for models that cannot be taken apart."""


@dataclass(frozen=True)
class Evidence:
    """What one family's numbers speak for, in log-odds.

    Attributes
    ----------
    family : FaceFeatures
        The fitted family.
    method : {"exact", "integrated gradients", "occlusion"}
        How it was found.
    maps : ndarray of shape (n, height, width), dtype float64
        By pixel of each face. Added up, a face's pixels are its evidence; with ``method="occlusion"`` each pixel says
        what its covering costs, and they do not add up.
    columns : ndarray or csr_array of shape (n, n_columns), or None
        By column of the family; None with ``method="occlusion"``.
    """

    family: FaceFeatures
    method: str
    maps: NDArray[np.float64]
    columns: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Explanation:
    """Everything that is said about one face. Log-odds of a label are against the (geometric) mean of all labels.

    Attributes
    ----------
    face : Faces
        The face, one row.
    label, against : str
        What is explained, and the label that it is compared with.
    probabilities, log_odds, bias : dict of str to float
        By label. ``bias`` is what the model says before it sees anything of the face: ``log_odds`` less all families.
    contributions : dict of str to dict of str to float
        By family and label, in log-odds; with ``bias`` they add up to ``log_odds``. Empty for a model that cannot be
        taken apart by family.
    evidence, contrast : dict of str to Evidence
        By family: what speaks for ``label`` against the mean of all labels, and for ``label`` rather than ``against``.
    occlusion : ndarray of shape (height, width), dtype float64
        Log-odds of ``label`` that are lost when a window around the pixel is covered.
    source : str, default=""
        Where the face came from.
    """

    face: Faces
    label: str
    against: str
    probabilities: dict[str, float]
    log_odds: dict[str, float]
    bias: dict[str, float]
    contributions: dict[str, dict[str, float]]
    evidence: dict[str, Evidence] = field(repr=False)
    contrast: dict[str, Evidence] = field(repr=False)
    occlusion: NDArray[np.float64] = field(repr=False)
    source: str = ""

    @property
    def map(self) -> NDArray[np.float64]:
        """Evidence for ``label`` by pixel, all families together; the occlusion map where no family adds up."""
        return _together(self.evidence, self.occlusion)

    @property
    def contrast_map(self) -> NDArray[np.float64] | None:
        """Evidence for ``label`` rather than ``against`` by pixel, all families together; None where none adds up."""
        return _together(self.contrast, None)

    def waterfall(self) -> dict[str, float]:
        """Log-odds of ``label`` over ``against``: what the model starts from (``bias``), then what each family adds."""
        parts = {"bias": self.bias} | self.contributions
        return {name: values[self.label] - values[self.against] for name, values in parts.items()}

    def as_dict(self, maps: bool = True) -> dict[str, Any]:
        """Plain values, for JSON or a web page.

        Parameters
        ----------
        maps : bool, default=True
            Put in the maps, as lists of rows.

        Returns
        -------
        dict
            ``source``, ``label``, ``against``, ``probabilities``, ``log_odds``, ``bias``, ``contributions`` (by family
            and label), ``methods`` (by family) and, with ``maps``, ``map``, ``occlusion`` and ``maps`` (by family).
        """
        names = ("source", "label", "against", "probabilities", "log_odds", "bias", "contributions")
        said = {name: getattr(self, name) for name in names}
        said["methods"] = {name: one.method for name, one in self.evidence.items()}
        if maps:
            by_family = {name: _rows(one.maps[0]) for name, one in self.evidence.items()}
            said |= {"map": _rows(self.map), "occlusion": _rows(self.occlusion), "maps": by_family}
        return said


def _together(evidence: dict[str, Evidence], otherwise: Any) -> Any:
    maps = [one.maps[0] for one in evidence.values() if one.method != OCCLUSION]
    return np.sum(maps, axis=0) if maps else otherwise


def _rows(found: NDArray[np.float64]) -> list[list[float]]:
    rows: list[list[float]] = np.round(found, 6).tolist()
    return rows


class Explainer:
    """Takes a model apart.

    Works with every model file. What is linear is exact; kernels and neural heads are explained by integrated
    gradients, which add up as well; models that cannot be taken apart (nearest neighbours, classifiers of your own) by
    covering.

    Parameters
    ----------
    model : Model, Pipeline, path or None, default=None
        Model, its pipeline, or the ``.ferkit`` file that holds it; by default the one that ships with ferkit.

    Attributes
    ----------
    labels : list of str
        In ferkit's order: that of every array with one number a label.
    families : dict of str to FaceFeatures
        Fitted families by name; empty for a model that works on pixels.

    Examples
    --------
    >>> from ferkit.sources import draw_face, to_grey
    >>> face = to_grey(draw_face("happiness", size=48, face=0.8))
    >>> why = Explainer().explain(face[None])[0]
    >>> why.map.shape, bool(abs(why.bias[why.label] + sum(p[why.label] for p in why.contributions.values())
    ...     - why.log_odds[why.label]) < 1e-6)
    ((48, 48), True)
    """

    def __init__(self, model: Any = None) -> None:
        given = getattr(model, "pipeline", model)
        self.pipeline = _in_one_process(
            network_pipeline(given if hasattr(given, "steps") else store.load(given).pipeline)
        )
        self._classifier = self.pipeline[-1]
        classes = [str(name) for name in self.pipeline.classes_]
        self.labels: list[str] = ordered(classes)
        self._columns = [classes.index(name) for name in self.labels]
        self.families = _families(self.pipeline[1])

    def direction(self, label: str, against: str | None = None) -> NDArray[np.float64]:
        """What is asked: weights of the labels' log-odds, in sum 0.

        Parameters
        ----------
        label : str
            Why this ...
        against : str or None, default=None
            ... and not that; None for the mean of all labels.

        Returns
        -------
        ndarray of shape (n_labels,), dtype float64
        """
        for name in (label, against):
            if name is not None and name not in self.labels:
                raise InputError(f"Got label={name!r}, expected one of {', '.join(self.labels)}.")
        if label == against:
            raise InputError(f"Got label={label!r} against itself, expected another label.")
        one = np.eye(len(self.labels))[self.labels.index(label)]
        return one - (1 / len(self.labels) if against is None else np.eye(len(one))[self.labels.index(against)])

    def features(self, X: Any) -> Any:
        """Numbers of faces, as the classifier gets them; the faces themselves for one that works on pixels."""
        faces = as_faces(X)
        if not self.families:
            return faces
        return as_features(self.pipeline[1].transform(faces), next(iter(self.families)))

    def log_odds(self, X: Any) -> NDArray[np.float64]:
        """Log-odds of each label against the geometric mean of all; shape (n, n_labels). Softmax gives probabilities.

        Parameters
        ----------
        X : Faces, Features, or array-like of shape (n, height, width)
        """
        rows = X if isinstance(X, Features) else self.features(X)
        logits = self._logits(self._as_fitted(rows))[:, self._columns]
        return np.asarray(logits - logits.mean(axis=1, keepdims=True))

    def _logits(self, rows: Any) -> NDArray[np.float64]:
        """Numbers whose softmax is the probabilities; the logarithm of these for a classifier that is not ferkit's."""
        if isinstance(self._classifier, FaceClassifier):  # probabilities of a very sure model are rounded to 0
            return np.asarray(self._classifier._answer(rows), dtype=np.float64)
        proba = np.asarray(self._classifier.predict_proba(rows), dtype=np.float64)
        return np.asarray(np.log(np.maximum(proba, np.finfo(np.float64).tiny)))

    def scores(
        self, faces: Faces, directions: Any, crops: NDArray[np.uint8] | None = None, family: str | None = None
    ) -> NDArray[np.float64]:
        """Log-odds along a direction, also of changed faces.

        Parameters
        ----------
        faces : Faces
            ``n`` faces, or one of which all crops are changed copies.
        directions : array-like of shape (n, n_labels) or (n_labels,)
        crops : ndarray of shape (n, height, width), dtype uint8, or None, default=None
            Pixels in place of the faces' own; landmarks stay.
        family : str or None, default=None
            Let only this family see the changed pixels.

        Returns
        -------
        ndarray of shape (n,), dtype float64
        """
        rows = self.features(faces) if crops is None else self._changed(faces, crops, family)
        return np.asarray((self.log_odds(rows) * np.asarray(directions)).sum(axis=1))

    def contributions(self, X: Any) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]] | None:
        """What each family adds to the log-odds of each label.

        Parameters
        ----------
        X : Faces, Features, or array-like of shape (n, height, width)

        Returns
        -------
        families : list of str
        parts : ndarray of shape (n, n_families, n_labels), dtype float64
        bias : ndarray of shape (n, n_labels), dtype float64
            ``bias + parts.sum(axis=1)`` is ``log_odds(X)``. Each row is centred, as log-odds are. For stacking and
            single models the bias is the same for every face.

        or None, for a model that cannot be taken apart.
        """
        rows = X if isinstance(X, Features) else self.features(X)
        if not self.families:
            return None
        if hasattr(self._classifier, "contributions"):
            names = list(self._classifier.families_)
            parts = np.asarray(self._classifier.contributions(self._as_fitted(rows)))[:, :, self._columns]
        else:
            asked = [self._evidence(rows, self.direction(label)) for label in self.labels]
            names = list(self.families)
            if any(list(found) != names for found in asked):
                return None
            parts = np.stack([[_total(found[name][1]) for name in names] for found in asked]).transpose(2, 1, 0)
        parts = parts - parts.mean(axis=2, keepdims=True)
        return names, parts, self.log_odds(rows) - parts.sum(axis=1)

    def evidence(self, X: Any, directions: Any, rows: Any = None, *, covering: bool = True) -> dict[str, Evidence]:
        """What speaks for what is asked, by family and pixel.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
        directions : array-like of shape (n, n_labels) or (n_labels,)
            As ``direction`` gives them.
        rows : Features or None, default=None
            ``features(X)``, where it is at hand.
        covering : bool, default=True
            Explain families that cannot be taken apart by covering, which is slow; otherwise they are left out.

        Returns
        -------
        dict of str to Evidence
            By family. Where all methods are exact, all pixels of all families add up to the log-odds along the
            direction, but for a constant that is the same for every face.
        """
        faces = as_faces(X)
        asked = np.broadcast_to(np.asarray(directions, dtype=np.float64), (len(faces), len(self.labels)))
        found = self._evidence(self.features(faces) if rows is None else rows, asked)
        out = {}
        for name, family in self.families.items():
            maps = columns = None
            if name in found:
                slopes, columns = found[name]
                maps = family.evidence_map(faces, columns, slopes.values)
            if maps is None and not covering:
                continue
            if maps is None:
                one = name if len(self.families) > 1 else None
                out[name] = Evidence(family, OCCLUSION, occlusion_map(self, faces, asked, family=one))
            else:
                out[name] = Evidence(family, EXACT if slopes.exact else INTEGRATED, maps, columns)
        return out

    def explain(
        self, X: Any, label: str | None = None, against: str | None = None, source: str = ""
    ) -> list[Explanation]:
        """Explanation of each face.

        Parameters
        ----------
        X : Faces or array-like of shape (n, height, width)
            Grey faces.
        label : str or None, default=None
            What to explain; None for the most probable label of each face.
        against : str or None, default=None
            What to compare it with; None for the most probable other label of each face.
        source : str, default=""
            Where the faces came from.

        Returns
        -------
        list of Explanation
        """
        faces = as_faces(X)
        if label is not None:
            self.direction(label, against)  # says at once what is wrong with them
        return [self._explain(faces[i], label, against, source) for i in range(len(faces))]

    def _explain(self, face: Faces, label: str | None, against: str | None, source: str) -> Explanation:
        rows = self.features(face)
        log_odds = self.log_odds(rows)[0]
        ranked = [self.labels[i] for i in np.argsort(-log_odds, kind="stable")]
        label = label or next(name for name in ranked if name != against)
        against = against or next(name for name in ranked if name != label)
        asked = np.stack([self.direction(label), self.direction(label, against)])
        twice = face[[0, 0]]
        both = self.evidence(twice, asked, rows[[0, 0]])
        parts = self.contributions(rows) if self.families else None
        names, values, bias = parts or ([], np.empty((1, 0, 0)), log_odds[None])
        powers = np.exp(log_odds - log_odds.max())
        return Explanation(
            face=face,
            label=label,
            against=against,
            probabilities=self._named(powers / powers.sum()),
            log_odds=self._named(log_odds),
            bias=self._named(bias[0]),
            contributions={name: self._named(values[0, i]) for i, name in enumerate(names)},
            evidence={name: _one(found, 0) for name, found in both.items()},
            contrast={name: _one(found, 1) for name, found in both.items()},
            occlusion=occlusion_map(self, face, asked[:1])[0],
            source=source,
        )

    def _named(self, values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.labels, map(float, values), strict=True))

    def _evidence(self, rows: Any, directions: Any) -> dict[str, Any]:
        """Slopes and evidence of the columns of each family that can be taken apart."""
        if not self.families or not isinstance(self._classifier, FaceClassifier):
            return {}
        asked = np.broadcast_to(np.asarray(directions, dtype=np.float64), (len(rows), len(self.labels)))
        turned = np.empty_like(asked)
        turned[:, self._columns] = asked
        found = self._classifier.slopes(self._as_fitted(rows), turned)
        if not isinstance(self.pipeline[1], FamilyUnion):
            found = dict(zip(self.families, found.values(), strict=False))
        return {name: (slopes, slopes.evidence(rows[name])) for name, slopes in found.items()}

    def _as_fitted(self, rows: Any) -> Any:
        """Numbers as the classifier met them at fit: a single family outside a union is a plain matrix."""
        plain = isinstance(rows, Features) and not isinstance(self.pipeline[1], FamilyUnion)
        return rows.matrix if plain else rows

    def _changed(self, faces: Faces, crops: NDArray[np.uint8], family: str | None) -> Any:
        """Numbers of changed faces, of which all families or only one have seen the change."""
        of = np.zeros(len(crops), np.intp) if len(faces) == 1 else np.arange(len(crops))
        same = faces[of]
        changed = Faces(crops, same.points, same.boxes_xyxy, same.found, same.index)
        if family is None:
            return self.features(changed)
        if family not in self.families:
            raise InputError(f"Got family={family!r}, expected one of {list(self.families)}.")
        rows = self.features(faces)
        return Features(rows[of].blocks | {family: self.families[family]._numbers(changed)}, rows.names)


def _in_one_process(pipeline: Any) -> Any:
    """The same pipeline, its families computed here: starting processes takes longer than a few dozen faces."""
    step = pipeline[1]
    if not isinstance(step, FamilyUnion):
        return pipeline
    union = copy.copy(step)
    union.n_jobs = None
    union.families_ = [(name, copy.copy(family)) for name, family in step.families_]
    for _, family in union.families_:
        if hasattr(family, "n_jobs"):
            family.n_jobs = None
    alone = copy.copy(pipeline)
    alone.steps = [pipeline.steps[0], (pipeline.steps[1][0], union), *pipeline.steps[2:]]
    return alone


def _families(step: Any) -> dict[str, FaceFeatures]:
    if isinstance(step, FamilyUnion):
        return dict(step.families_)
    return {step.family or "features": step} if isinstance(step, FaceFeatures) else {}


def _total(columns: Any) -> NDArray[np.float64]:
    return np.asarray(columns.sum(axis=1), dtype=np.float64).ravel()


def _one(found: Evidence, i: int) -> Evidence:
    columns = None if found.columns is None else found.columns[[i]]
    return Evidence(found.family, found.method, found.maps[[i]], columns)
