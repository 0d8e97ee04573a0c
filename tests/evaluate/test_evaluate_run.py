"""A model over a data set: streaming, broken pictures, unknown labels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.pipeline import Pipeline

from ferkit import recipe
from ferkit.errors import DataError
from ferkit.evaluate import evaluate_dataset, run
from ferkit.faces import FaceExtractor
from ferkit.features import HOG, FamilyUnion
from ferkit.model import LinearSVM
from ferkit.records import seen_hashes
from ferkit.sources import Dataset, Pictures, load, sample
from ferkit.store import Model


@pytest.fixture(scope="module")
def data():
    return sample(210, seed=5)


@pytest.fixture(scope="module")
def model(data):
    train = data.split("Training")
    steps = [
        ("faces", FaceExtractor(detector="haar", landmarks="none")),
        ("features", FamilyUnion([("hog", HOG(cell=12))])),
        ("model", LinearSVM()),
    ]
    pipeline = Pipeline(steps).fit(train.pictures, train.labels)
    hashes = seen_hashes(train.pictures)
    return Model(pipeline, {}, "none.ferkit", hashes[:100], hashes[100:])


@pytest.fixture
def folder(tmp_path, data):
    """The set as a folder of folders, so that pictures are read one by one."""
    for i in range(0, 210, 3):
        place = tmp_path / "set" / data.labels[i]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.pictures[i]).save(place / f"{i:03}.png")
    return tmp_path / "set"


def test_answers_are_those_of_the_pipeline(model, data):
    result = evaluate_dataset(model, data)
    np.testing.assert_array_equal(result.rows, np.arange(210))
    np.testing.assert_allclose(result.proba, model.predict_proba(data.pictures), atol=1e-6)
    np.testing.assert_array_equal(result.right, model.pipeline.predict(data.pictures) == data.labels)
    figures = result.figures()
    assert figures["accuracy"] == result.right.mean()
    assert (figures["n"], figures["cropped"], figures["skipped"], figures["dropped"]) == (210, 210, 0, 0)


def test_persons_are_drawn_together(model, data):
    figures = evaluate_dataset(model, data).figures()
    alone = evaluate_dataset(model, Dataset(data.pictures, data.labels)).figures()
    assert (figures["ci_over"], alone["ci_over"]) == ("subjects", "rows")
    assert figures["accuracy_ci"] != alone["accuracy_ci"]
    nobody = Dataset(data.pictures, data.labels, subjects=[""] * 210)
    assert len(np.unique(evaluate_dataset(model, nobody).groups)) == 210


def test_faces_that_fitted_the_model_are_counted(model, data):
    n = (data.splits == "Training").sum()
    assert evaluate_dataset(model, data).seen == (100, n - 100)
    assert evaluate_dataset(model, data.split("PublicTest")).figures()["seen"] == {"fitted": 0, "fusion": 0}


@pytest.mark.parametrize("limit", ["BATCH", "BATCH_BYTES"])
def test_small_batches_change_nothing(model, folder, monkeypatch, limit):
    dataset, done = load(folder), []
    whole = evaluate_dataset(model, dataset)
    monkeypatch.setattr(run, limit, 7)
    parts = evaluate_dataset(model, dataset, progress=done.append)
    np.testing.assert_array_equal(parts.rows, whole.rows)
    np.testing.assert_allclose(parts.proba, whole.proba, atol=1e-6)
    assert sum(done) == 70
    assert max(done) == (7 if limit == "BATCH" else 1)


def test_broken_pictures_are_skipped_and_counted(model, folder):
    paths = sorted(folder.glob("*/*.png"))
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    dataset = Dataset(Pictures(paths), [path.parent.name for path in paths], names=names)
    whole = evaluate_dataset(model, dataset)
    broken = paths[10]
    broken.write_bytes(broken.read_bytes()[:60])
    for later in (dataset, load(folder)):  # broken after the set was opened, and before
        result = evaluate_dataset(model, later)
        assert [name for name, _ in result.skipped] == [dataset.names[10]]
    assert len(result.y_true) == 69
    np.testing.assert_allclose(result.proba, np.delete(whole.proba, 10, axis=0), atol=1e-6)
    assert result.figures()["skipped"] == 1


def test_a_refused_picture_takes_no_other_with_it(model, data):
    """``missing="raise"`` refuses pictures without a face; the rest of the batch is still scored."""
    strict = Model(
        Pipeline(
            [("faces", FaceExtractor(detector="haar", landmarks="none", missing="raise")), *model.pipeline.steps[1:]]
        ),
        {},
        "x",
    )
    pictures = [data.pictures[0], np.zeros((120, 90), np.uint8), data.pictures[1]]
    dataset = Dataset(_Listed(pictures), data.labels[[0, 1, 1]], names=["a", "plain", "b"])
    result = evaluate_dataset(strict, dataset)
    assert result.rows.tolist() == [0, 2]
    assert [name for name, _ in result.skipped] == ["plain"]
    loose = evaluate_dataset(model, dataset)
    assert loose.found.tolist() == [True, False, True]
    assert loose.figures()["not_found"] == pytest.approx(1 / 3)


def test_the_rule_for_cropped_pictures_can_be_changed(model, data):
    dataset = data[:12]
    assert evaluate_dataset(model, dataset, cropped="auto").cropped == 12
    searched = evaluate_dataset(model, dataset, cropped=False)
    assert searched.cropped == 0
    assert model.pipeline.named_steps["faces"].cropped == "auto", "the model keeps its own rule"


def test_unknown_labels(model, data):
    odd = Dataset(data.pictures[:20], np.where(np.arange(20) < 5, "pride", data.labels[:20]))
    with pytest.raises(
        DataError, match=r"Got labels pride, expected labels that the model knows: anger, .*--drop-unknown"
    ):
        evaluate_dataset(model, odd)
    result = evaluate_dataset(model, odd, drop_unknown=True)
    assert (result.dropped, result.rows.tolist()) == (5, list(range(5, 20)))
    with pytest.raises(DataError, match="Got no row whose label the model knows"):
        evaluate_dataset(model, odd[:5], drop_unknown=True)


def test_labels_are_those_of_the_models_recipe(data):
    text = "features: {hog: {cell: 12}}\nmodel: linear_svm\nlabels: {happy: positive, fear: drop, pride: drop}\n"
    checked = recipe.loads(text.replace(", pride: drop", ""))
    train = data.split("Training").relabel(checked.labels)
    pipeline = recipe.build(checked).fit(train.pictures, train.labels)
    model = Model(pipeline, {"recipe": text}, "merged.ferkit")
    result = evaluate_dataset(model, data)
    kept = np.flatnonzero(data.labels != "fear")
    np.testing.assert_array_equal(result.rows, kept)
    np.testing.assert_array_equal(result.y_true, np.where(data.labels == "happiness", "positive", data.labels)[kept])
    assert (result.relabelled, result.dropped) == ({"fear": None, "happiness": "positive"}, 0)
    assert result.figures()["relabelled"] == result.relabelled
    assert evaluate_dataset(model, data.relabel(checked.labels)).relabelled == {}
    odd = Dataset(data.pictures[:20], np.where(np.arange(20) < 5, "rage", data.labels[:20]))
    with pytest.raises(DataError, match="Got labels rage, expected labels that the model knows"):
        evaluate_dataset(model, odd)


def test_labels_that_the_data_lacks_are_fine(model, data):
    happy = data[np.flatnonzero(data.labels == "happiness")]
    figures = evaluate_dataset(model, happy).figures()
    assert figures["labels"] == model.labels
    assert figures["balanced_accuracy"] == figures["accuracy"]


def test_nothing_readable(model, folder):
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of which could be read"):
        evaluate_dataset(model, Dataset(Pictures(sorted(folder.glob("*/*.png"))), ["anger"] * 70))


class _Listed(list):
    """Pictures in memory that differ in size."""
