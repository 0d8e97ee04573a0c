"""Stress: seeded, the same whatever the threads, and nothing that was written is lost."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ferkit.errors import DataError, InputError
from ferkit.evaluate import Stress, evaluate_dataset, stress, stressed
from ferkit.evaluate.kinds import KINDS
from ferkit.evaluate.report import stress_rows
from ferkit.faces.light import relit
from ferkit.records import Faces


@pytest.fixture(scope="module")
def result(stacked, people):
    return evaluate_dataset(stacked, people.split("PublicTest")[:12])


@pytest.fixture(scope="module")
def found(stacked, result):
    return stress(stacked, result.faces, result.y_true, jobs=1)


def test_the_kinds_that_are_promised():
    assert [kind.name for kind in KINDS] == [
        "darkness",
        "brightness",
        "contrast",
        "shadow",
        "gamma",
        "noise",
        "blur",
        "motion blur",
        "JPEG",
        "low resolution",
        "tilt",
        "shift",
        "eyes covered",
        "mouth covered",
    ]
    assert all(len(kind.levels) == 5 for kind in KINDS)


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_a_stronger_change_changes_more(kind, people):
    faces = Faces(people.pictures[:20])
    distances = [np.abs(stressed(faces, kind, k).crops.astype(float) - faces.crops).mean() for k in range(1, 6)]
    assert distances[0] > 0
    assert (np.diff(distances) > 0).all()
    np.testing.assert_array_equal(stressed(faces, kind, 3).crops, stressed(faces, kind, 3).crops)


def test_landmarks_move_with_the_face():
    faces = Faces(np.zeros((5, 48, 48), np.uint8), points=np.full((5, 5, 2), 10.0))
    turned = stressed(faces, "tilt", 5).points
    np.testing.assert_allclose(np.hypot(*(turned - 23.5).T), np.hypot(13.5, 13.5), rtol=1e-5)
    assert (turned != 10).all()
    np.testing.assert_array_equal(stressed(faces, "blur", 5).points, faces.points)


def test_the_answers_are_those_of_the_model(stacked, result, found):
    np.testing.assert_array_equal(found.clean, result.right)
    assert found.right.shape == (14, 5, 12)
    noisy = stressed(result.faces, "noise", 4)
    labels = np.array(stacked.labels)[stacked.predict_proba(noisy).argmax(axis=1)]
    np.testing.assert_array_equal(found.right[5, 3], labels == result.y_true)


def test_the_summary_by_hand():
    clean = np.array([1, 1, 1, 0], bool)
    right = np.zeros((14, 5, 4), bool)
    right[:, :, 0], right[:7, :, 1] = True, True
    record = Stress(clean, right).record()
    assert record["clean"] == 0.75
    assert record["mean"] == pytest.approx((1 + 0.5) / 4)
    assert record["relative"] == pytest.approx(0.5)
    assert record["kinds"]["darkness"]["relative"] == pytest.approx(0.5 / 0.75)
    low, high = record["relative_ci"]
    assert low < 0.5 < high
    assert json.loads(json.dumps(record)) == record


def test_threads_change_nothing(stacked, result, found):
    again = stress(stacked, result.faces, result.y_true, jobs=2)
    np.testing.assert_array_equal(again.right, found.right)
    other = stress(stacked, result.faces, result.y_true, jobs=1, seed=1)
    assert not np.array_equal(other.right[5], found.right[5]) or not np.array_equal(other.right, found.right)


def test_it_goes_on_where_it_stopped(stacked, result, found, tmp_path):
    path = tmp_path / "stress.jsonl"

    def stop(n):
        if path.exists() and len(path.read_text().splitlines()) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stress(stacked, result.faces, result.y_true, jobs=1, keep=path, progress=stop)
    lines = path.read_text().splitlines()
    assert len(lines) == 20
    path.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:30])  # killed in the middle of a line
    done: list[int] = []
    again = stress(stacked, result.faces, result.y_true, jobs=1, keep=path, progress=done.append)
    assert (done[0], sum(done)) == (19, 71)
    np.testing.assert_array_equal(again.right, found.right)
    whole = stress(_Fails(stacked), result.faces, result.y_true, jobs=1, keep=path)
    np.testing.assert_array_equal(whole.right, found.right)


def test_results_of_something_else_are_not_taken(stacked, result, tmp_path):
    path = tmp_path / "stress.jsonl"
    stress(stacked, result.faces[:2], result.y_true[:2], jobs=1, keep=path)
    done: list[int] = []
    with pytest.raises(RuntimeError, match="asked"):
        stress(_Fails(stacked), result.faces[:2], result.y_true[:2], jobs=1, keep=path, seed=3, progress=done.append)
    assert done == [0]


class _Fails:
    """The same model, that must not be asked again."""

    def __init__(self, model):
        self.path, self.manifest, self.labels = model.path, model.manifest, model.labels

    def predict_proba(self, X):
        raise RuntimeError("asked")


def test_light_is_normalised_after_the_change(people, stacked):
    """A model that evens the light is stressed by what comes before that."""
    faces = Faces(people.pictures[:6])
    seen = []
    watched = replace(stacked, pipeline=_Watched(stacked.pipeline, seen))
    stress(watched, faces, people.labels[:6], light="equalise", jobs=1)
    np.testing.assert_array_equal(seen[0].crops, relit(faces, "equalise").crops)
    darkest = relit(stressed(faces, "darkness", 5), "equalise").crops
    np.testing.assert_array_equal(seen[5].crops, darkest)


class _Watched:
    def __init__(self, pipeline, seen):
        self.pipeline, self.seen, self.classes_ = pipeline, seen, pipeline.classes_

    def predict_proba(self, X):
        self.seen.append(X)
        return self.pipeline.predict_proba(X)


def test_rows_are_drawn_by_class():
    y = np.array(["anger"] * 60 + ["fear"] * 30 + ["happiness"] * 10)
    rows = stress_rows(y, 20, seed=1)
    assert [int((y[rows] == label).sum()) for label in ("anger", "fear", "happiness")] == [12, 6, 2]
    assert len(set(rows.tolist())) == 20
    assert stress_rows(y, 20, seed=1).tolist() == rows.tolist() != stress_rows(y, 20, seed=2).tolist()
    assert stress_rows(y, None).tolist() == stress_rows(y, 1000).tolist() == list(range(100))


def test_wrong_questions(stacked, result, tmp_path):
    with pytest.raises(InputError, match="kind='rain'"):
        stressed(result.faces, "rain", 1)
    with pytest.raises(InputError, match="strength=6"):
        stressed(result.faces, "blur", 6)
    with pytest.raises(InputError, match="Got 12 faces and 1 labels"):
        stress(stacked, result.faces, result.y_true[:1])
    with pytest.raises(DataError, match="cannot be written"):
        stress(stacked, result.faces, result.y_true, keep=tmp_path / "no" / "x.jsonl")
