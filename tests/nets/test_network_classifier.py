import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ferkit import recipe, store
from ferkit.augment import Augment
from ferkit.errors import DataError, InputError, MissingExtraError, ModelFileError
from ferkit.features.onnx import OnnxNetwork, find
from ferkit.files import default_folder
from ferkit.model.calibration import fit_temperature
from ferkit.nets import NetworkClassifier, classifier, training
from ferkit.nets.start import changed_head, fresh
from ferkit.nets.weights import Weights, load_weights, save_weights
from ferkit.records import Faces, face_hashes
from ferkit.sources import sample

pytest.importorskip("tensorflow", reason="training networks needs the extra 'train'")
pytest.importorskip("onnx", reason="exporting networks needs the extra 'train'")


@pytest.fixture(scope="module")
def fitted(drawn, small):
    """Trained with everything on: augmentation, mixup, average, rows held out."""
    changes = {"average": 0.9, "augment": Augment(rotation=5, flip=True, erase=0.1), "mixup": 0.2}
    model = NetworkClassifier(epochs=12, validation_share=0.25, dropout=0.1, **small | changes)
    return model.fit(*drawn)


@pytest.fixture(scope="module")
def quick(drawn, small):
    """Two epochs, nothing on."""
    return NetworkClassifier(epochs=2, **small).fit(*drawn)


@pytest.fixture(scope="module")
def shipped_like(tmp_path_factory, small):
    """File of weights for four labels, never trained."""
    path = tmp_path_factory.mktemp("init") / "net.npz"
    labels = ("neutral", "happiness", "sadness", "fear")
    blank = Weights(labels, {}, small["widths"], small["strides"], 48, np.array([5], np.uint64))
    save_weights(fresh(blank, seed=11), path)
    return path


def test_learns_drawn_faces(fitted, drawn):
    X, y = drawn
    assert fitted.score(X, y) > 0.9
    assert fitted.history_["held_out"][-1] > 0.7
    assert len(fitted.history_["loss"]) == 12
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0]


def test_answers_agree_with_each_other(fitted, drawn):
    X, _ = drawn
    logits, shares = fitted.decision_function(X[:9]), fitted.predict_proba(X[:9])
    assert logits.shape == shares.shape == (9, 3)
    np.testing.assert_allclose(shares.sum(1), 1)
    scaled = np.exp(logits / fitted.temperature_)
    np.testing.assert_allclose(shares, scaled / scaled.sum(1, keepdims=True), rtol=1e-4)
    np.testing.assert_array_equal(fitted.predict(X[:9]), fitted.classes_[shares.argmax(1)])
    assert 0 < fitted.temperature_ != 1
    assert fitted.predict_proba(X[:0]).shape == (0, 3)


def test_the_temperature_is_that_of_the_rows_held_out(fitted, drawn):
    X, y = drawn
    codes = np.searchsorted(fitted.classes_, y)
    held = classifier._held_out(codes, fitted.validation_share, fitted.seed)
    expected = fit_temperature(fitted.decision_function(X[held]), codes[held])
    assert fitted.temperature_ == pytest.approx(expected, rel=1e-3)


def test_mirror_averages_both_views(fitted, drawn):
    X = drawn[0][:5]
    plain = clone(fitted).set_params(mirror=False)
    vars(plain).update({k: v for k, v in vars(fitted).items() if k.endswith("_")})
    both = (plain.decision_function(X) + plain.decision_function(X[:, :, ::-1])) / 2
    np.testing.assert_allclose(fitted.decision_function(X), both, atol=1e-5)
    np.testing.assert_allclose(fitted.decision_function(X[:, :, ::-1]), both, atol=1e-5)


def test_takes_faces_and_other_sizes(fitted, drawn):
    X, y = drawn
    np.testing.assert_array_equal(fitted.predict(Faces(X)), fitted.predict(X))
    large = X.repeat(2, axis=1).repeat(2, axis=2)
    assert (fitted.predict(large) == y).mean() > 0.8


def test_same_fit_gives_the_same_numbers(quick, drawn, small):
    X, y = drawn
    again = clone(quick).fit(X, y)
    np.testing.assert_allclose(again.decision_function(X), quick.decision_function(X), atol=1e-4)
    np.testing.assert_allclose(again.history_["loss"], quick.history_["loss"], rtol=1e-5)
    other = clone(quick).set_params(seed=1).fit(X, y)
    assert np.abs(other.decision_function(X) - quick.decision_function(X)).max() > 0.01


def test_onnx_names_its_labels_and_faces_are_remembered(quick, drawn):
    network = OnnxNetwork(sha256=quick.network_hash_)
    assert network.labels == tuple(quick.classes_)
    assert set(network.outputs) == {"logits", "embedding", "map"}
    np.testing.assert_array_equal(quick.seen_, np.unique(face_hashes(drawn[0])))


def test_rows_held_out_are_not_seen(fitted, drawn):
    assert len(fitted.seen_) == 72
    assert set(fitted.seen_) < set(face_hashes(drawn[0]))


def test_opened_elsewhere_it_predicts_without_tensorflow(quick, drawn, tmp_path):
    data = pickle.dumps(quick)
    assert len(data) < 8000
    (tmp_path / "model").write_bytes(data)
    np.save(tmp_path / "faces.npy", drawn[0][:4])
    code = (
        "import pickle, sys, numpy as np\n"
        "model = pickle.load(open(sys.argv[1] + '/model', 'rb'))\n"
        "np.save(sys.argv[1] + '/out.npy', model.predict_proba(np.load(sys.argv[1] + '/faces.npy')))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), quick.predict_proba(drawn[0][:4]), atol=1e-6)


def test_without_gates_it_learns_saves_and_goes_on(drawn, small, tmp_path):
    X, y = drawn
    first = NetworkClassifier(epochs=1, gates=False, **small).fit(X, y)
    first.save(tmp_path / "net.npz")
    assert not load_weights(tmp_path / "net.npz").gates
    tuned = NetworkClassifier(epochs=1, init=tmp_path / "net.npz", **small).fit(X, y)
    assert not any("excite" in name for name in load_weights(find(tuned.weights_hash_, suffix=".npz")).arrays)


def test_parameters_of_the_augmentation_can_be_searched():
    model = NetworkClassifier(augment=Augment())
    assert clone(model.set_params(augment__rotation=3)).augment.rotation == 3


def test_defaults_for_fine_tuning_are_gentler():
    new, tuned = NetworkClassifier(), NetworkClassifier(init="shipped")
    assert (new._rate, new._muon, new._batch) == (0.1, 0.03, 128)
    assert (tuned._rate, tuned._muon, tuned._batch) == (0.01, 0.0, 32)


def test_two_classes_give_one_column(drawn, small):
    X, y = drawn
    rows = y != "surprise"
    model = NetworkClassifier(epochs=1, precision="bfloat16", **small).fit(X[rows], y[rows])
    margin = model.decision_function(X[:6])
    assert margin.shape == (6,)
    np.testing.assert_allclose(1 / (1 + np.exp(-margin)), model.predict_proba(X[:6])[:, 1], rtol=1e-4)


def test_votes_stand_in_for_labels(drawn, small):
    X, y = drawn
    model = NetworkClassifier(label_smoothing=0.0, **small)
    model.classes_, codes = np.unique(y, return_inverse=True)
    votes = np.zeros((len(y), 3))
    votes[0] = 3, 1, 0
    targets = model._targets(codes, votes)
    np.testing.assert_allclose(targets[0], [0.75, 0.25, 0])
    np.testing.assert_array_equal(targets[1:], np.eye(3)[codes[1:]])
    hidden = np.eye(3)[(codes + 1) % 3]
    shifted = model.set_params(epochs=10).fit(X, y, votes=hidden)
    assert (shifted.predict(X) == shifted.classes_[(codes + 1) % 3]).mean() > 0.8


def test_frozen_trunk_stays_and_the_head_moves(drawn, small, shipped_like):
    X, y = drawn
    model = NetworkClassifier(epochs=1, init=shipped_like, freeze="trunk", **small | {"average": 0.9}).fit(X, y)
    before, after = load_weights(shipped_like), model.weights()
    for name, array in before.arrays.items():
        if not name.startswith("logits"):
            np.testing.assert_array_equal(after.arrays[name], array, err_msg=name)
    start = changed_head(before, after.labels, seed=0)
    assert not np.allclose(after.arrays["logits/kernel"], start.arrays["logits/kernel"])
    assert 5 in model.seen_


def test_freezing_some_stages(drawn, small, shipped_like):
    X, y = drawn
    model = NetworkClassifier(epochs=1, init=shipped_like, freeze=2, **small | {"average": 0.9}).fit(X, y)
    before, after = load_weights(shipped_like).arrays, model.weights().arrays
    same = {name for name in before if not name.startswith("logits") and np.array_equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith(("stem", "block1"))}


def test_head_keeps_the_columns_of_known_labels(shipped_like):
    old = load_weights(shipped_like)
    new = changed_head(old, ("bored", "fear", "happy"), seed=0)
    assert new.labels == ("bored", "fear", "happy")
    head, was = new.arrays["logits/kernel"], old.arrays["logits/kernel"]
    np.testing.assert_array_equal(head[:, 1], was[:, 3])
    assert not np.isin(head[:, 0], was).any()
    assert not np.array_equal(changed_head(old, ("bored", "fear"), seed=1).arrays["logits/kernel"][:, 0], head[:, 0])


def test_saved_weights_start_another_training(quick, drawn, small, tmp_path):
    quick.save(tmp_path / "net.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.npz", "net.onnx"]
    rate = {"learning_rate": 1e-9, "weight_decay": 0.0, "freeze": "trunk"}
    again = NetworkClassifier(epochs=1, init=str(tmp_path / "net.onnx"), **small | rate).fit(*drawn)
    np.testing.assert_allclose(
        again.decision_function(drawn[0]), quick.decision_function(drawn[0]), rtol=1e-2, atol=1e-2
    )


def test_stopped_training_goes_on_and_ends_the_same(drawn, small, tmp_path, monkeypatch, capsys):
    X, y = drawn
    path = tmp_path / "state.npz"
    settings = small | {"epochs": 3, "average": 0.9, "augment": True, "mixup": 0.5, "validation_share": 0.2}
    settings["sizes"] = (32, 48)
    whole = NetworkClassifier(**settings).fit(X, y)
    save, calls = training.save_checkpoint, []

    def interrupted(*args):
        save(*args)
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        NetworkClassifier(checkpoint=path, verbose=1, **settings).fit(X, y)
    printed = capsys.readouterr().err
    assert "epoch 1/3" in printed
    assert f"Stopped after epoch 2 of 3; the same fit goes on from {path}." in printed
    monkeypatch.setattr(training, "save_checkpoint", save)
    resumed = NetworkClassifier(checkpoint=path, verbose=1, **settings).fit(X, y)
    assert "epoch 2/3" not in capsys.readouterr().err
    np.testing.assert_allclose(resumed.history_["loss"], whole.history_["loss"], rtol=1e-4)
    np.testing.assert_allclose(resumed.decision_function(X), whole.decision_function(X), atol=1e-3)
    with pytest.raises(InputError, match=r"dropout: 0\.3 there, 0\.4 here"):
        NetworkClassifier(checkpoint=path, dropout=0.4, **settings).fit(X, y)
    with pytest.raises(InputError, match="faces: "):
        NetworkClassifier(checkpoint=path, **settings).fit(X[::-1], y)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="expected one of ferkit's"):
        NetworkClassifier(checkpoint=path, **settings).fit(X, y)


def test_a_name_with_a_dot_is_kept_whole(quick, tmp_path):
    for name in ("run.1", "run.2", "net.onnx", "v1.5.npz"):
        quick.save(tmp_path / name)
    stems = ("net", "run.1", "run.2", "v1.5")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{n}.{s}" for n in stems for s in ("npz", "onnx")]


@pytest.mark.filterwarnings("ignore:.* argument '___pyct_anno':DeprecationWarning")  # TensorFlow's, on Python 3.13
def test_a_full_disk_costs_the_checkpoint_and_not_the_training(drawn, small, monkeypatch):
    def full(path, content):
        raise DataError(f"Got {path} that cannot be written (No space left on device), expected a place with room.")

    monkeypatch.setattr("ferkit.nets.checkpoint.write_whole", full)
    with pytest.warns(RuntimeWarning, match=r"No space left .* The training goes on without that checkpoint\."):
        model = NetworkClassifier(epochs=2, checkpoint="cache", **small).fit(*drawn)
    assert len(model.history_["loss"]) == 2


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_training(drawn, small, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "a.npz", tmp_path / "file" / "a.npz"):
        with pytest.raises(InputError, match="expected a file in a folder that can be written to"):
            NetworkClassifier(checkpoint=path, **small).fit(*drawn)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 1e25}, r"loss=nan in epoch \d, expected numbers.* smaller learning_rate"),
        ({"learning_rate": 1e16}, r"weights beyond all numbers in epoch \d, expected numbers.* smaller learning_rate"),
    ],
)
def test_a_training_that_runs_away_stops_and_is_not_kept(drawn, small, tmp_path, changes, message):
    path = tmp_path / "state.npz"
    with pytest.raises(InputError, match=message):
        NetworkClassifier(epochs=40, checkpoint=path, **small | {"muon_rate": 0, "batch_size": 96} | changes).fit(
            *drawn
        )
    if path.exists():
        with np.load(path) as kept:
            assert np.isfinite(json.loads(str(kept["progress"]))["loss"]).all()
            assert all(np.isfinite(kept[name]).all() for name in kept.files if name.startswith("weight:"))


def test_a_checkpoint_in_the_cache_folder_is_used_and_removed(drawn, small, monkeypatch):
    X, y = drawn
    folder = default_folder() / "trainings"
    epoch = training._Trainer.epoch

    def stops(trainer, rows, number):
        if number == 1:
            raise KeyboardInterrupt
        return epoch(trainer, rows, number)

    model = NetworkClassifier(epochs=2, checkpoint="cache", **small)
    monkeypatch.setattr(training._Trainer, "epoch", stops)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert len(list(folder.iterdir())) == 1
    seen = []
    monkeypatch.setattr(
        training._Trainer, "epoch", lambda trainer, rows, number: seen.append(number) or epoch(trainer, rows, number)
    )
    assert len(model.fit(X, y).history_["loss"]) == 2
    assert seen == [1]
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 1.5}, r"epochs=1\.5"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"learning_rate": -1}, "learning_rate=-1"),
        ({"muon_rate": "fast"}, "muon_rate='fast'"),
        (
            {"muon_rate": 0.03, "learning_rate": 0},
            r"muon_rate=0\.03 with learning_rate=0, expected a learning_rate above",
        ),
        ({"dropout": 1}, "dropout=1"),
        ({"mixup": 2}, "mixup=2"),
        ({"average": 1.0}, r"average=1\.0"),
        ({"validation_share": -0.1}, r"validation_share=-0\.1"),
        ({"precision": "half"}, "precision='half'"),
        ({"augment": "yes"}, "augment='yes'"),
        ({"freeze": 1}, "freeze=1 and init=None"),
        ({"widths": (4, 4)}, "strides"),
        ({"verbose": -1}, "verbose=-1"),
        ({"sizes": (48, 32)}, r"sizes=\(48, 32\), expected multiples of 8 of which 48, the size of the network, comes"),
        ({"sizes": (20, 48)}, r"sizes=\(20, 48\), expected multiples of 8"),
        ({"sizes": "48"}, "sizes='48'"),
        ({"gates": "no"}, "gates='no', expected True, False or None"),
        ({"init": "none.npz"}, r"none\.npz"),
    ],
)
def test_wrong_parameters_are_named(wrong, message, drawn):
    with pytest.raises(InputError, match=message):
        NetworkClassifier(**wrong).fit(*drawn)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"freeze": 9}, "freeze=9"),
        ({"freeze": "head"}, "freeze='head'"),
        ({"widths": (4, 4, 8)}, "that of init"),
        ({"gates": False}, "gates=False, expected True, that of init"),
    ],
)
def test_what_does_not_fit_init_is_named(wrong, message, drawn, small, shipped_like):
    with pytest.raises(InputError, match=message):
        NetworkClassifier(init=shipped_like, **small | wrong).fit(*drawn)


def test_wrong_rows_are_named(drawn, quick):
    X, y = drawn
    model = clone(quick)
    with pytest.raises(InputError, match="y=None"):
        model.fit(X, None)
    with pytest.raises(InputError, match="Got y with 95 rows, expected 96"):
        model.fit(X, y[:-1])
    with pytest.raises(InputError, match="at least 2 classes"):
        model.fit(X[:2], ["fear", "fear"])
    with pytest.raises(InputError, match=r"votes with shape \(96, 2\), expected \(96, 3\)"):
        model.fit(X, y, votes=np.ones((96, 2)))
    with pytest.raises(InputError, match="votes with NaN"):
        model.fit(X, y, votes=np.full((96, 3), np.nan))
    with pytest.raises(NotFittedError):
        NetworkClassifier().predict(X)


def test_the_shipped_network_is_tuned_and_tuned_again_and_becomes_a_family(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    people = sample(n=84, seed=2)
    quick = ["model.network.epochs=1", "model.network.freeze=trunk", "labels.happiness=glad"]
    chosen = recipe.load("pipelines/finetune.yaml", quick)
    path = recipe.fit(chosen, people).save(tmp_path / "first.ferkit")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    chosen = recipe.load("pipelines/finetune.yaml", [*quick, f"model.network.init={path}"])
    second = recipe.fit(chosen, people)
    first = store.load(path).pipeline[-1].weights()
    np.testing.assert_array_equal(
        second.pipeline[-1].weights().arrays["stem_conv/kernel"], first.arrays["stem_conv/kernel"]
    )
    assert second.pipeline[-1].classes_.tolist() == list(first.labels)
    text = f"features: {{cnn: {{init: '{path}', output: logits}}}}\nmodel: linear_svm\nvalidation: none\n"
    family = recipe.fit(recipe.loads(text, sets=quick[2:]), people)
    assert set(family.pipeline.classes_) == set(first.labels)
    assert family.manifest["rows"]["train"] == len(people.split("Training"))
    with pytest.raises(ModelFileError, match="with 0 networks of its own, expected one"):
        recipe.fit(recipe.load("pipelines/finetune.yaml", [f"model.network.init={store.default_path()}"]), people)


def test_changes_are_given_as_settings():
    assert NetworkClassifier(augment={"rotation": 3})._changes().rotation == 3
    assert NetworkClassifier(augment=False)._changes() is None
    with pytest.raises(InputError, match=r"augment=\{'turn': 3\}, expected settings among blur, "):
        NetworkClassifier(augment={"turn": 3}).fit(np.zeros((2, 48, 48), np.uint8), ["a", "b"])


def test_what_the_end_of_a_training_needs_is_looked_for_before_it(drawn, small, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(classifier, "train", lambda *args: pytest.fail("it was trained"))
    with pytest.raises(MissingExtraError, match=r"'onnx'.*ferkit\[train\]"):
        NetworkClassifier(**small).fit(*drawn)


def test_missing_parts_are_named(drawn, monkeypatch, tmp_path):
    monkeypatch.setattr("ferkit.features.onnx.ASSETS", tmp_path)
    with pytest.raises(InputError, match="which this copy lacks"):
        NetworkClassifier(init="shipped").fit(*drawn)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError, match=r"ferkit\[train\]"):
        NetworkClassifier().fit(*drawn)


def test_batches_are_even_and_repeatable(drawn):
    X, _ = drawn
    rows = training.Rows(X, np.eye(3, dtype=np.float32)[np.arange(96) % 3])
    plan = training.Plan(1, 0.1, 0.0, 40, 0.0, 1.0, 0.0, 0.0, "float32", 0, 7, Augment(), (48,))
    one, same, next_epoch = (list(training.batches(rows, plan, epoch)) for epoch in (0, 0, 1))
    assert [len(faces) for faces, _ in one] == [48, 48]
    for (a, s), (b, t) in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(s, t)
        np.testing.assert_allclose(s.sum(1), 1, rtol=1e-5)
    assert not np.array_equal(one[0][0], next_epoch[0][0])


def test_small_faces_come_first(drawn, small, monkeypatch):
    X, y = drawn
    seen, batches = [], training.batches
    monkeypatch.setattr(
        training, "batches", lambda rows, *plan: seen.append(rows.crops.shape[1]) or batches(rows, *plan)
    )
    model = NetworkClassifier(epochs=12, sizes=(24, 40, 48), **small | {"average": 0.9}).fit(X, y)
    assert seen == [24] * 4 + [40] * 4 + [48] * 4
    assert OnnxNetwork(sha256=model.network_hash_).size == 48
    assert model.score(X, y) > 0.9


def test_learning_rate_rises_then_falls():
    rates = [training.one_cycle(share, 0.1) for share in np.linspace(0, 1, 101)]
    assert np.argmax(rates) == 15
    assert max(rates) == pytest.approx(0.1, rel=1e-3)
    assert rates[0] == rates[-1] == pytest.approx(1e-5)
    assert (np.diff(rates[15:]) < 0).all()


@pytest.mark.parametrize("peak", [1e-3, 1e-5, 1e-9])
def test_small_learning_rates_fall_as_far(peak):
    """So does muon_rate, which is a multiple of them."""
    rates = np.array([training.one_cycle(share, peak) for share in np.linspace(0, 1, 101)])
    assert rates.max() == pytest.approx(peak, rel=2e-3)
    assert max(rates[0], rates[-1]) <= 1.1e-3 * peak
    assert training.one_cycle(0.5, 0.0) == 0
