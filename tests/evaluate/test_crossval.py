"""Cross-validation: what belongs together stays together, and nothing leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ferkit import recipe
from ferkit.errors import DataError, InputError
from ferkit.evaluate import cross_validate, crossval, evaluate
from ferkit.records import seen_hashes
from ferkit.sources import Dataset, Pictures

SMALL = "features: {hog: {cell: 16}}\nmodel: {linear_svm: {calibrate: false}}\n"
STACKED = "features: {hog: {cell: 16}, fine: {kind: hog}}\nmodel: {stacking: {weights: family}}\n"


@pytest.fixture(scope="module")
def twins(people):
    """Drawn faces, and mirror images of the first twenty under other names of persons."""
    some = people[:180]
    subjects = [*some.subjects, *(f"twin {i}" for i in range(20))]
    pictures = np.concatenate([some.pictures, some.pictures[:20, :, ::-1]])
    return Dataset(pictures, [*some.labels, *some.labels[:20]], subjects=subjects)


@pytest.fixture
def fits(monkeypatch):
    """Rows that each fold's model was fitted on, as they are."""
    seen = []
    own = crossval.fit_material

    def watched(checked, material, name, **more):
        fitted = own(checked, material, name, **more)
        seen.append((material, fitted))
        return fitted

    monkeypatch.setattr(crossval, "fit_material", watched)
    return seen


@pytest.mark.parametrize("text", [SMALL, STACKED])
def test_no_row_person_or_twin_is_answered_by_a_model_that_saw_it(twins, fits, text):
    found = cross_validate(recipe.loads(text), twins, folds=3)
    assert len(found.answers) == len(twins)
    assert len(fits) == 3
    hashes = seen_hashes(twins.pictures)
    mirrored = seen_hashes(np.ascontiguousarray(twins.pictures[:, :, ::-1]))
    for k, (_, fitted) in enumerate(fits):
        rows = found.fold == k
        known = np.concatenate([fitted.fitted, fitted.fusion])
        assert not np.isin(hashes[rows], known).any()
        assert not np.isin(mirrored[rows], known).any()
        others = set(twins.subjects[~rows])
        assert not others & set(twins.subjects[rows])
        proba = fitted.pipeline.predict_proba(twins.pictures[rows])
        columns = [list(fitted.pipeline.classes_).index(label) for label in found.answers.labels]
        np.testing.assert_allclose(found.answers.proba[rows], proba[:, columns], atol=1e-6)


def test_a_fusion_has_rows_of_its_own_in_every_fold(twins, fits):
    cross_validate(recipe.loads(STACKED), twins, folds=3)
    for material, fitted in fits:
        model = fitted.pipeline[-1]
        assert model.n_fusion_rows_ > 0
        assert model.n_fusion_rows_ + model.n_base_rows_ == len(material.labels)
        assert not set(fitted.fusion.tolist()) & set(fitted.fitted.tolist())


def test_figures_of_each_fold_and_together(twins):
    found = cross_validate(recipe.loads(SMALL), twins, folds=3, seed=1)
    figures = found.figures()
    assert figures["n"] == sum(own["n"] for own in figures["folds"]) == len(twins)
    assert figures["ci_over"] == "groups"
    by_fold = [found.answers.right[found.fold == k].mean() for k in range(3)]
    assert [own["accuracy"] for own in figures["folds"]] == pytest.approx(by_fold)
    spread = figures["over_folds"]["accuracy"]
    assert spread == {"mean": pytest.approx(np.mean(by_fold)), "std": pytest.approx(np.std(by_fold, ddof=1))}
    whole = evaluate(found.answers.y_true, found.answers.proba, found.answers.labels, groups=found.answers.groups)
    assert figures["accuracy_ci"] == whole["accuracy_ci"]
    again = cross_validate(recipe.loads(SMALL), twins, folds=3, seed=1)
    np.testing.assert_array_equal(again.answers.proba, found.answers.proba)
    assert not np.array_equal(cross_validate(recipe.loads(SMALL), twins, folds=3, seed=2).fold, found.fold)


def test_faces_that_a_network_was_trained_on_are_refused_or_left_out(twins, monkeypatch):
    hashes = seen_hashes(twins.pictures)
    monkeypatch.setattr(crossval, "seen_by_networks", lambda pipeline: hashes[:10])
    found = cross_validate(recipe.loads(SMALL), twins, folds=3)
    assert (found.left_out, len(found.answers)) == (10, len(twins) - 10)
    assert not np.isin(hashes[:10], hashes[[int(name) for name in found.answers.names]]).any()
    monkeypatch.setattr(crossval, "seen_by_networks", lambda pipeline: hashes[:150])
    with pytest.raises(DataError, match="Got 150 of 200 pictures that a network of the features was trained on"):
        cross_validate(recipe.loads(SMALL), twins, folds=3)


def test_splits_of_the_set_and_of_the_recipe_are_not_looked_at(people):
    some = people[:105]
    checked = recipe.loads(SMALL + "split: Training\nvalidation: PublicTest\n")
    found = cross_validate(checked, some, folds=3)
    assert len(found.answers) == 105
    assert set(found.answers.names) == set(some.names)


def test_labels_of_the_recipe_hold(twins):
    found = cross_validate(recipe.loads(SMALL + "labels: {fear: surprise, disgust: drop}\n"), twins, folds=3)
    assert found.answers.labels == ["anger", "happiness", "sadness", "surprise", "neutral"]
    assert len(found.answers) == (twins.labels != "disgust").sum()


def test_broken_pictures_are_counted(twins, tmp_path):
    from PIL import Image

    paths = []
    for i in range(60):
        paths.append(tmp_path / f"{i:02}.png")
        Image.fromarray(twins.pictures[i]).save(paths[-1])
    paths[7].write_bytes(b"no picture")
    data = replace(twins[:60], pictures=Pictures(paths))
    found = cross_validate(recipe.loads(SMALL), data, folds=2)
    assert [name for name, _ in found.skipped] == [data.names[7]]
    assert (len(found.answers), found.figures()["skipped"]) == (59, 1)


def test_one_fold_is_none(twins):
    with pytest.raises(InputError, match="folds=1"):
        cross_validate(recipe.loads(SMALL), twins, folds=1)
