"""Fitting: which rows go where, what is left out, what is reported."""

import dataclasses
import sys

import numpy as np
import pytest
from PIL import Image

from ferkit import recipe, store
from ferkit.augment import Augment, augmented
from ferkit.errors import DataError, InputError, RecipeError
from ferkit.faces import FaceDetector, FaceExtractor
from ferkit.faces.light import normalise
from ferkit.features import FamilyUnion, FeatureCache, NetworkFeatures
from ferkit.model import LinearSVM
from ferkit.records import Faces, seen_hashes
from ferkit.sources import Dataset, Pictures, sample

SMALL = "features: {hog: {cell: 16}}\nmodel: {linear_svm: {calibrate: false}}\n"
STACKED = "features: {hog: {cell: 16}, fine: {kind: hog}}\nmodel: {stacking: {weights: family}}\n"


@pytest.fixture(scope="module")
def people():
    return sample(n=210, seed=3)


def noise(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 48, 48), dtype=np.uint8)


def test_a_model_that_does_not_fuse(people):
    fitted = recipe.fit(recipe.loads(SMALL), people)
    held_out = people.split("PublicTest")
    assert fitted.validation.data == "PublicTest"
    assert sorted(fitted.validation.y) == sorted(held_out.labels)
    assert fitted.validation.classes[0] == "anger"
    np.testing.assert_allclose(fitted.validation.proba.sum(axis=1), 1)
    right = np.array(fitted.validation.classes)[fitted.validation.proba.argmax(axis=1)] == fitted.validation.y
    assert right.mean() > 0.3
    training = seen_hashes(people.split("Training").pictures)
    assert np.isin(fitted.fitted, training).all()
    assert len(fitted.fitted) == fitted.manifest["rows"]["train"]
    assert len(fitted.fusion) == 0
    assert not np.isin(seen_hashes(people.split("PrivateTest").pictures), fitted.fitted).any()


def test_a_model_that_fuses_keeps_its_fusion_rows_from_the_bases(people):
    fitted = recipe.fit(recipe.loads(STACKED), people)
    assert fitted.validation.data == "PublicTest, cross-fitted"
    model = fitted.pipeline.named_steps["model"]
    assert model.n_fusion_rows_ == len(people.split("PublicTest"))
    assert model.n_base_rows_ == fitted.manifest["rows"]["train"]
    assert set(fitted.fusion) == set(seen_hashes(people.split("PublicTest").pictures))
    assert not set(fitted.fusion) & set(fitted.fitted)
    X = fitted.pipeline[:-1].transform(people.split("PublicTest").pictures)
    own = model.predict_proba(X)
    assert not np.allclose(own[:, model.classes_.searchsorted(fitted.validation.classes)], fitted.validation.proba)


def test_a_network_that_only_the_fusion_reads_sees_only_its_rows(people, monkeypatch):
    sets = ["features.cnn={init: shipped, output: logits}", "model.stacking.bases={cnn: passthrough}"]
    chosen = recipe.loads(STACKED, sets=sets)
    fitted = recipe.fit(chosen, people)
    seen, extract = [], NetworkFeatures._extract
    monkeypatch.setattr(NetworkFeatures, "_extract", lambda self, X: seen.append(len(X)) or extract(self, X))
    again = recipe.fit(chosen, people)
    assert set(seen) == {len(people.split("PublicTest"))}
    fit = sys.modules["ferkit.recipe.fit"]  # ferkit.recipe.fit itself is the function
    monkeypatch.setattr(fit, "_for_fusion", lambda union, faces, *rest: union.transform(faces))
    whole = recipe.fit(chosen, people)
    assert max(seen) > len(people.split("PublicTest"))
    for other in (again, whole):
        np.testing.assert_array_equal(other.validation.proba, fitted.validation.proba)


def test_no_fusion_rows_means_out_of_fold(people):
    fitted = recipe.fit(recipe.loads(STACKED, sets=["fusion_rows=none"]), people)
    assert fitted.validation is None
    model = fitted.pipeline.named_steps["model"]
    assert model.n_fusion_rows_ == model.n_base_rows_ == len(people.split("Training"))


def test_what_was_fitted_is_what_is_saved(people, tmp_path):
    fitted = recipe.fit(recipe.loads(STACKED), people)
    model = store.load(fitted.save(tmp_path / "m.ferkit", {"accuracy": 0.5}))
    assert model.manifest["metrics"] == {"accuracy": 0.5}
    assert model.manifest["recipe"] == fitted.manifest["recipe"]
    assert recipe.loads(model.manifest["recipe"]).model.kind == "stacking"
    assert model.seen(Faces(people.split("PublicTest").pictures)) == (0, len(people.split("PublicTest")))
    np.testing.assert_array_equal(model.pipeline.predict(people.pictures), fitted.pipeline.predict(people.pictures))


def test_the_same_seed_gives_the_same_model(people):
    first, second = (recipe.fit(recipe.loads(SMALL + "augment: {copies: 1}\nseed: 2"), people) for _ in range(2))
    np.testing.assert_array_equal(first.validation.proba, second.validation.proba)
    assert first.manifest == second.manifest
    other = recipe.fit(recipe.loads(SMALL + "augment: {copies: 1}\nseed: 3"), people)
    assert not np.array_equal(first.validation.proba, other.validation.proba)


def test_only_training_rows_are_augmented(people):
    fitted = recipe.fit(recipe.loads(SMALL + "augment: {copies: 2}"), people)
    plain = recipe.fit(recipe.loads(SMALL), people)
    assert fitted.manifest["rows"]["augmented"] == 2 * plain.manifest["rows"]["train"]
    np.testing.assert_array_equal(fitted.validation.y, plain.validation.y)
    np.testing.assert_array_equal(fitted.fitted, plain.fitted)
    assert not np.array_equal(fitted.validation.proba, plain.validation.proba)


@pytest.mark.parametrize("cached", [False, True])
def test_faces_are_changed_before_their_light_is_normalised(people, monkeypatch, tmp_path, cached):
    fitted_on, fit = [], FamilyUnion.fit
    monkeypatch.setattr(FamilyUnion, "fit", lambda self, X, y=None: fitted_on.append(X) or fit(self, X, y))
    text = SMALL + "faces: {light: clahe}\nseed: 2\n"
    cache = tmp_path if cached else None
    fitted = recipe.fit(recipe.loads(text + "augment: {copies: 1}"), people, cache=cache)
    training = people.split("Training")
    expected = augmented(training.pictures, training.labels, augment=Augment(seed=2))[0].crops
    np.testing.assert_array_equal(fitted_on[0].crops, normalise(expected, "clahe"))
    plain = recipe.fit(recipe.loads(text), people, cache=cache)
    np.testing.assert_array_equal(fitted_on[1].crops, fitted_on[0].crops[: len(training)])
    np.testing.assert_array_equal(fitted.fitted, plain.fitted)


def test_votes_reach_a_model_that_takes_them(people, monkeypatch):
    seen, fit = [], LinearSVM.fit

    def told(self, X, y, *, groups=None, votes=None):
        seen.append((np.asarray(y), votes))
        return fit(self, X, y, groups=groups)

    monkeypatch.setattr(LinearSVM, "fit", told)
    names = tuple(sorted(set(people.labels)))
    votes = 0.9 * (people.labels[:, None] == np.array(names)) + 0.1 / len(names)
    with_votes = dataclasses.replace(people, votes=votes, vote_names=names)
    recipe.fit(recipe.loads(SMALL + "augment: {copies: 2}\nlabels: {fear: drop, happiness: glad}\n"), with_votes)
    y, votes = seen[0]
    classes = np.unique(y)
    assert "glad" in classes
    assert votes.shape == (len(y), len(classes)) == (len(y), 6)
    np.testing.assert_array_equal(classes[votes.argmax(axis=1)], y)
    recipe.fit(recipe.loads(SMALL), people)
    assert seen[-1][1] is None


def test_labels_are_merged_renamed_and_dropped(people):
    text = SMALL + "labels: {happy: positive, surprise: positive, disgust: drop, fear: drop, contempt: drop}"
    fitted = recipe.fit(recipe.loads(text), people)
    assert fitted.validation.classes == ["anger", "sadness", "neutral", "positive"]
    assert set(fitted.validation.y) == set(fitted.validation.classes)


def test_a_label_that_the_set_does_not_have(people):
    with pytest.raises(RecipeError, match=r"Got label 'hapiness'.*Did you mean 'happiness'"):
        recipe.fit(recipe.loads(SMALL + "labels: {hapiness: positive}"), people)


def test_one_class(people):
    with pytest.raises(DataError, match=r"Got 1 class \('anger'\) to train on"):
        recipe.fit(recipe.loads(SMALL), people[people.labels == "anger"])


def test_a_held_out_label_that_training_lacks(people):
    rows = (people.splits != "Training") | (people.labels != "fear")
    with pytest.raises(DataError, match=r"held-out rows of 'fear'.*--set labels.fear=drop"):
        recipe.fit(recipe.loads(SMALL), people[rows])


def test_a_share_keeps_people_and_duplicates_together(people):
    plain = dataclasses.replace(people, splits=None)
    fitted = recipe.fit(recipe.loads(SMALL), plain)
    assert fitted.validation.data == "20% of the training rows"
    rows = fitted.manifest["rows"]
    assert rows["train"] + rows["held_out"] == len(people)
    assert 0.12 < rows["held_out"] / len(people) < 0.28
    hashes = seen_hashes(people.pictures)
    training = set(people.subjects[np.isin(hashes, fitted.fitted)])
    assert not training & set(people.subjects[~np.isin(hashes, fitted.fitted)])


@pytest.mark.parametrize("step", ["{size: 64}", "{light: clahe}", "{size: 32, light: equalise}"])
def test_a_face_is_known_whatever_its_size_and_light(people, step):
    plain = recipe.fit(recipe.loads(SMALL), people)
    framed = recipe.fit(recipe.loads(SMALL + f"faces: {step}"), people)
    np.testing.assert_array_equal(framed.fitted, plain.fitted)
    assert framed.manifest["data"]["fingerprint"] == plain.manifest["data"]["fingerprint"]
    lone = framed.pipeline[0].transform([people.pictures[3]])
    np.testing.assert_array_equal(seen_hashes(lone), seen_hashes(people.pictures[3:4]))


@pytest.mark.parametrize("model", ["weights: family", "weights: full", "final: head"])
def test_two_persons_are_enough_to_fit_a_fusion_on(model):
    ten = dataclasses.replace(sample(n=70, seed=3), splits=None)
    fitted = recipe.fit(recipe.loads(STACKED.replace("weights: family", model)), ten)
    assert (len(set(ten.subjects)), len(set(fitted.validation.groups))) == (10, 2)
    np.testing.assert_allclose(fitted.validation.proba.sum(axis=1), 1)


def test_broken_pictures_are_skipped_and_counted(people, tmp_path):
    paths = []
    for i in range(40):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(people.pictures[i]).save(paths[-1])
    paths[5].write_bytes(b"")
    data = Dataset(Pictures(paths), people.labels[:40], names=[path.name for path in paths])
    fitted = recipe.fit(recipe.loads(SMALL + "validation: none"), data)
    assert fitted.manifest["rows"]["skipped"] == 1
    assert fitted.manifest["rows"]["train"] == 39
    assert fitted.manifest["skipped"][0].startswith("5.png: ")
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="none can be read"):
        recipe.fit(recipe.loads(SMALL), data)


def test_the_fingerprint_is_that_of_the_rows_in_any_order(people):
    order = np.random.default_rng(0).permutation(len(people))
    first = recipe.fit(recipe.loads(SMALL), people).manifest["data"]
    assert recipe.fit(recipe.loads(SMALL), people[order]).manifest["data"] == first
    labels = people.labels.copy()
    labels[0], labels[1] = labels[1], labels[0]
    changed = dataclasses.replace(people, labels=labels)
    assert recipe.fit(recipe.loads(SMALL), changed).manifest["data"]["fingerprint"] != first["fingerprint"]


def test_a_second_fit_searches_no_picture(people, tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.png" for i in range(70)]
    for path, picture in zip(paths, people.pictures[:70], strict=True):
        Image.fromarray(np.pad(picture, 30, mode="edge")).save(path)
    data = dataclasses.replace(people[np.arange(70)], pictures=Pictures(paths))
    first = recipe.fit(recipe.loads(SMALL), data, cache=tmp_path, jobs=2)
    monkeypatch.setattr(FaceDetector, "detect", lambda *_: pytest.fail("searched"))
    again = recipe.fit(recipe.loads(SMALL), data, cache=FeatureCache(tmp_path))
    np.testing.assert_array_equal(again.validation.proba, first.validation.proba)
    np.testing.assert_array_equal(again.validation.found, first.validation.found)


def test_a_second_fit_finds_its_features(people, tmp_path, monkeypatch):
    from ferkit.features import HOG

    first = recipe.fit(recipe.loads(SMALL), people, cache=tmp_path)
    monkeypatch.setattr(HOG, "_extract", lambda self, faces: pytest.fail("computed again"))
    again = recipe.fit(recipe.loads(SMALL, sets=["model.C=0.5"]), people, cache=FeatureCache(tmp_path))
    assert again.pipeline.named_steps["model"].C == 0.5
    np.testing.assert_array_equal(first.fitted, again.fitted)


def test_progress_and_jobs(people):
    steps = []
    fitted = recipe.fit(recipe.loads(SMALL), people, jobs=2, progress=lambda *step: steps.append(step))
    assert {value for name, value in fitted.pipeline.get_params().items() if name.endswith("n_jobs")} == {None}
    assert steps[0][:2] == ("faces", 0)
    assert ("faces", steps[0][2], steps[0][2]) in steps
    assert any(step.startswith("model") for step, _, _ in steps)


def test_a_setting_that_an_estimator_refuses(people):
    with pytest.raises(InputError, match="Got C=-1"):
        recipe.fit(recipe.loads(SMALL, sets=["model.C=-1"]), people)


@pytest.mark.parametrize("kind", ["grid", "random"])
def test_a_search_over_the_model(people, kind):
    text = SMALL + f"search: {{kind: {kind}, iterations: 3, params: {{model.C: [1.0e-3, 0.1]}}}}"
    fitted = recipe.fit(recipe.loads(text), people)
    assert fitted.manifest["search"]["best"] == {"model.C": 0.1}
    assert fitted.manifest["search"]["metric"] == "accuracy"
    assert fitted.pipeline.named_steps["model"].C == 0.1


def test_a_search_over_features(people):
    text = SMALL + "search: {folds: 2, score: neg_log_loss, params: {features.hog.cell: [8, 24], model.C: [0.1]}}"
    fitted = recipe.fit(recipe.loads(text), people)
    assert fitted.manifest["search"]["best"]["features.hog.cell"] in (8, 24)
    assert fitted.manifest["search"]["score"] < 0
    families = dict(fitted.pipeline.named_steps["features"].families_)
    assert families["hog"].cell == fitted.manifest["search"]["best"]["features.hog.cell"]


def test_a_search_by_log_loss_takes_a_label_of_one_recording():
    pictures, labels = noise(45), np.repeat(["anger", "fear", "Bored"], 15)
    pictures[30:] = pictures[30]
    text = SMALL + "search: {score: neg_log_loss, params: {model.C: [0.01, 0.1]}}"
    fitted = recipe.fit(recipe.loads(text), Dataset(pictures, labels))
    assert -2 < fitted.manifest["search"]["score"] < 0  # of labels that the folds can learn
    pictures[:15], pictures[15:30] = pictures[0], pictures[15]
    with pytest.raises(DataError, match="Got no label of two groups"):
        recipe.fit(recipe.loads(text), Dataset(pictures, labels))


FUSED_SEARCH = "features: {hog: {cell: 16}}\nmodel: {stacking: {weights: family}}\nsearch: {folds: 2, params: "


def seen_by(monkeypatch, pictures):
    """A network of the recipe was trained on these."""
    fit = sys.modules["ferkit.recipe.fit"]  # ferkit.recipe.fit itself is the function
    monkeypatch.setattr(fit, "seen_by_networks", lambda _: seen_hashes(pictures))


def test_a_search_of_a_model_that_fuses_stays_in_the_training_rows(people):
    chosen = recipe.loads(FUSED_SEARCH + "{features.hog.cell: [16, 24]}}")
    fitted = recipe.fit(chosen, people)
    assert fitted.manifest["search"]["rows"] == "folds of the training rows"
    assert fitted.validation.data == "PublicTest, cross-fitted"
    other = people.labels.copy()
    rows = people.splits == "PublicTest"
    other[rows] = np.roll(other[rows], 1)
    again = recipe.fit(chosen, dataclasses.replace(people, labels=other))
    assert again.manifest["search"] == fitted.manifest["search"], "held-out labels chose no setting"


@pytest.mark.parametrize("kind", ["grid", "random"])
def test_settings_that_the_fusion_rows_chose_are_said(people, monkeypatch, kind):
    fitted_on, fit = [], FamilyUnion.fit
    monkeypatch.setattr(FamilyUnion, "fit", lambda self, X, y=None: fitted_on.append(len(X)) or fit(self, X, y))
    seen_by(monkeypatch, people.split("Training").pictures)
    fitted = recipe.fit(recipe.loads(FUSED_SEARCH + f"{{features.hog.cell: [16, 24]}}, kind: {kind}}}"), people)
    assert set(fitted_on) == {fitted.manifest["rows"]["train"]}, "fusion rows fit no features"
    assert fitted.manifest["search"]["rows"] == "PublicTest"
    held_out = fitted.validation
    assert held_out.data == "PublicTest, cross-fitted; these rows also chose the settings"
    accuracy = (np.array(held_out.classes)[held_out.proba.argmax(axis=1)] == held_out.y).mean()
    assert fitted.manifest["search"]["score"] == pytest.approx(accuracy)


def test_memorised_training_rows_are_noted_where_they_calibrate_or_choose(people, monkeypatch):
    calibrated, search = SMALL.replace("false", "true"), "search: {folds: 2, params: {model.C: [0.1]}}"
    assert recipe.fit(recipe.loads(calibrated), people).manifest["notes"] == []
    seen_by(monkeypatch, people.split("Training").pictures)
    for text in (calibrated, SMALL + search):
        (note,) = recipe.fit(recipe.loads(text), people).manifest["notes"]
        n = len(people.split("Training"))
        assert note.startswith(f"{n} of {n} training rows also trained a network of this recipe")
    for text in (SMALL, STACKED):  # nothing is fitted on out-of-fold answers for memorised faces
        fitted = recipe.fit(recipe.loads(text), people).manifest
        assert fitted["notes"] == []
        assert fitted["rows"]["trained_a_network"] == fitted["rows"]["train"]


def test_persons_on_both_sides_of_a_split_are_counted(people):
    assert recipe.fit(recipe.loads(SMALL), people).manifest["rows"]["persons_on_both_sides"] == 0
    subjects = people.subjects.copy()
    known, held_out = (sorted(set(people.split(name).subjects)) for name in ("Training", "PublicTest"))
    for person, same in zip(held_out[:2], known, strict=False):
        subjects[subjects == person] = same
    parted = recipe.fit(recipe.loads(SMALL), dataclasses.replace(people, subjects=subjects)).manifest
    assert parted["rows"]["persons_on_both_sides"] == 2
    assert parted["notes"][0].startswith("2 persons have pictures both in the training rows and in PublicTest:")
    assert parted["rows"]["train"] == len(people.split("Training")), "the split is the user's word"


def test_the_licence_of_the_68_points_is_noted():
    from ferkit.recipe.fit import _licence

    assert "non-commercial" in _licence(recipe.load("geometry_svm"))
    assert "non-commercial" not in _licence(recipe.load("hog_svm"))


def test_rows_that_the_first_weights_have_seen_are_not_held_out(people, tmp_path):
    from ferkit.nets.weights import Weights, save_weights

    held_out = seen_hashes(people.split("PublicTest").pictures)
    save_weights(Weights(("a", "b"), {}, (4, 4), (2,), seen=held_out), tmp_path / "net.npz")
    checked = recipe.loads(f"model: {{network: {{epochs: 1, init: {tmp_path / 'net.npz'}}}}}")
    with pytest.raises(DataError, match="that a network of the features was trained on"):
        recipe.fit(checked, people)


def test_a_refused_picture_is_skipped_and_named(people, tmp_path, monkeypatch):
    pictures = [np.asarray(picture) for picture in people.pictures[:40]]
    pictures[7] = np.zeros((120, 90), np.uint8)
    calls, transform = [], FaceExtractor.transform
    monkeypatch.setattr(FaceExtractor, "transform", lambda self, X: calls.append(len(X)) or transform(self, X))
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    data = Dataset(Pictures(paths), people.labels[:40], names=[path.name for path in paths])
    fitted = recipe.fit(recipe.loads(SMALL + "validation: none\nfaces: {missing: raise}"), data)
    assert fitted.manifest["rows"]["train"] == 39
    assert fitted.manifest["skipped"][0].startswith("7.png: Got picture 0 of 90x120 pixels without a face")
    assert calls.count(1) <= 3, "the others are searched together"
    held = dataclasses.replace(data, splits=np.where(np.arange(40) == 7, "Test", "Training"))
    with pytest.raises(DataError, match="Got no picture of Test that can be used, expected some to hold out: Got pic"):
        recipe.fit(recipe.loads(SMALL + "validation: Test\nfaces: {missing: raise}"), held)


def test_a_picture_with_a_name_in_no_encoding_costs_nothing(people, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for path, picture in zip(paths, people.pictures, strict=False):
        Image.fromarray(picture).save(path)
    broken = tmp_path / "kaputt_\udce4.png"
    broken.write_bytes(b"none")
    names = [path.name for path in (*paths, broken)]
    data = Dataset(Pictures([*paths, broken]), np.append(people.labels[:40], "fear"), names=names)
    fitted = recipe.fit(recipe.loads(SMALL + "validation: none"), data)
    manifest = store.load(fitted.save(tmp_path / "m.ferkit")).manifest
    assert manifest["skipped"][0].startswith("kaputt_")


def test_a_category_with_a_name_in_no_encoding_can_be_learnt(people, tmp_path):
    named = people.relabel({"fear": "K\udce4se"})
    fitted = recipe.fit(recipe.loads(SMALL), named)
    assert r"K\udce4se" in store.load(fitted.save(tmp_path / "m.ferkit")).labels


def test_labels_with_a_slash_stay_whole(people):
    slashed = np.array([f"a/{label}" for label in people.labels])
    plain = recipe.fit(recipe.loads(STACKED), people).pipeline[-1]
    fitted = recipe.fit(recipe.loads(STACKED), dataclasses.replace(people, labels=slashed)).pipeline[-1]
    assert set(fitted.classes_) == set(slashed)
    assert sorted(fitted.final_.family_weights_) == sorted(plain.final_.family_weights_) == ["fine", "hog"]


def test_an_svm_on_the_network_learns_categories_of_ones_own(people):
    mapping = dict.fromkeys(["happiness", "surprise"], "welcome") | dict.fromkeys(["anger", "sadness"], "unwelcome")
    data = people.relabel(mapping | dict.fromkeys(set(people.labels) - set(mapping)))
    fitted = recipe.fit(recipe.load("deep_svm"), data)
    answers = np.array(fitted.validation.classes)[fitted.validation.proba.argmax(axis=1)]
    assert set(fitted.validation.classes) == {"welcome", "unwelcome"}
    assert (answers == fitted.validation.y).mean() > 0.8
