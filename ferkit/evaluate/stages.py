"""Where the time goes: reading, finding faces, each family, the classifier."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferkit.sources import Dataset

MOST = 32
MOST_BYTES = 256_000_000
"""Pictures that are timed, and bytes of them held in memory."""
SINGLE = 16
REPEATS = 3


def time_stages(model: Any, dataset: Dataset, extractor: Any = None) -> list[dict[str, Any]]:
    """Time of each stage on this machine, now.

    Parameters
    ----------
    model : Model
    dataset : Dataset
        At most 32 of its pictures, evenly spread, are used; they must be readable.
    extractor : FaceExtractor or None, default=None
        Another ``faces`` step than the model's own.

    Returns
    -------
    list of dict
        ``stage`` and ``ms`` a picture, the median of three runs over all of them at once; the last two are ``together``
        and ``one picture alone``, from pixels to probabilities.
    """
    extractor = extractor or model.pipeline.named_steps["faces"]
    union, classifier = model.pipeline.named_steps["features"], model.pipeline[-1]
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(MOST, len(dataset))).astype(int))
    pictures, rows = _read(dataset, rows)
    faces = extractor.transform(pictures)
    model.predict_proba(faces[:1])  # the first call also opens networks
    families = [] if union == "passthrough" else union.families_
    X: Any = faces if union == "passthrough" else union.transform(faces)
    stages: list[tuple[str, Callable[[], Any]]] = [
        ("reading", lambda: [dataset.pictures[row].shape for row in rows.tolist()]),
        ("faces", partial(extractor.transform, pictures)),
        *((f"features: {name}", partial(family.transform, faces)) for name, family in families),
        ("classifier", partial(classifier.predict_proba, X)),
    ]
    timed = [{"stage": name, "ms": _median_ms([run] * REPEATS) / len(pictures)} for name, run in stages]
    alone = [partial(_whole_way, model, extractor, picture) for picture in pictures[:SINGLE]]
    return [
        *timed,
        {"stage": "together", "ms": sum(stage["ms"] for stage in timed)},
        {"stage": "one picture alone", "ms": _median_ms(alone)},
    ]


def _read(dataset: Dataset, rows: NDArray[np.intp]) -> tuple[list[Any], NDArray[np.intp]]:
    """Pictures of the first rows, as many as memory should hold, and these rows."""
    pictures: list[Any] = []
    for row in rows.tolist():
        pictures.append(dataset.pictures[row])
        if sum(picture.nbytes for picture in pictures) > MOST_BYTES:
            break
    return pictures, rows[: len(pictures)]


def _whole_way(model: Any, extractor: Any, picture: Any) -> Any:
    return model.predict_proba(extractor.transform([picture]))


def _median_ms(runs: Sequence[Callable[[], Any]]) -> float:
    """Milliseconds of a run, the median over all."""
    times = []
    for run in runs:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3
