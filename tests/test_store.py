"""Model files: what is saved comes back, and nothing else gets in."""

import io
import json
import os
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ferkit import store
from ferkit.errors import ModelFileError
from ferkit.features import HOG, FamilyUnion, FeatureCache
from ferkit.model import RBFSVM, LinearSVM
from ferkit.model.kernel import Machine
from ferkit.recipe import registry
from ferkit.records import Faces, seen_hashes
from ferkit.store import container
from ferkit.store.reader import Reader

FACES = np.random.default_rng(0).integers(0, 256, (42, 48, 48), dtype=np.uint8)
LABELS = np.array(["neutral", "bored", "anger"] * 14)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    features = FamilyUnion([("hog", HOG(cell=16))], cache=FeatureCache(tmp_path_factory.mktemp("cache")))
    return Pipeline([("features", features), ("model", LinearSVM())]).fit(FACES, LABELS)


@pytest.fixture
def saved(pipeline, tmp_path):
    seen = seen_hashes(FACES)
    return store.save(pipeline, tmp_path / "m.ferkit", {"name": "small"}, fitted=seen[:30], fusion=seen[30:])


def rewrite(path, change):
    """Pass every member through ``change(dict of bytes)`` and write them again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def edit_manifest(path, **values):
    def change(members):
        members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | values).encode()

    rewrite(path, change)


def edit_schema(path, old, new):
    """Replace text in the table of contents of the pipeline part."""

    def change(members):
        with zipfile.ZipFile(io.BytesIO(members["pipeline.skops"])) as inner:
            parts = {name: inner.read(name) for name in inner.namelist()}
        text = json.dumps(json.loads(parts["schema.json"]))
        assert old in text
        parts["schema.json"] = text.replace(old, new)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as inner:
            for name, data in parts.items():
                inner.writestr(name, data)
        members["pipeline.skops"] = buffer.getvalue()

    rewrite(path, change)


def test_what_is_saved_comes_back(pipeline, saved):
    model = store.load(saved)
    assert model.labels == ["anger", "neutral", "bored"]
    expected = pipeline.predict_proba(FACES)[:, [0, 2, 1]]
    np.testing.assert_array_equal(model.predict_proba(FACES), expected)
    assert model.predict_proba(Faces(FACES[:2])).shape == (2, 3)
    assert model.manifest["name"] == "small"
    assert model.manifest["labels"] == model.labels
    assert store.inspect(saved) == model.manifest


KINDS = [
    {1: "a", "b": [None, True, 1.5]},
    {np.str_("key"): np.float32(3), "more": {"deep": (1, (2, "x"))}},
    [np.arange(6).reshape(2, 3), np.array(["x", "yy"]), np.array([["a", None]], object), np.array([(1,), "b"], object)],
    [csr_array(np.eye(3)), slice(1, None, 2), b"bytes", {1, 2}, np.dtype("float32"), float, np.int64(3)],
    Machine(np.ones(2), None, "c"),
    np.random.RandomState(3),
]


def written(value):
    """All that skops writes of a value, without the ids of this process."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(value))) as archive:
        files = [archive.read(name) for name in archive.namelist() if name.endswith((".npy", ".bin"))]
        return re.sub(rb'"(__id__|file)": [^,\n}]+', b"", archive.read("schema.json")), files


@pytest.mark.parametrize("value", KINDS, ids=range(len(KINDS)))
def test_our_reader_gives_what_skops_gives(value):
    part = skops.io.dumps(value)
    expected = skops.io.loads(part, trusted=skops.io.get_untrusted_types(data=part))
    with zipfile.ZipFile(io.BytesIO(part)) as archive:
        found = Reader(archive).make(json.loads(archive.read("schema.json")))
    assert type(found) is type(expected)
    assert written(found) == written(expected)


def test_an_array_that_claims_another_shape():
    part = skops.io.dumps(np.array(["a", None], object))
    with zipfile.ZipFile(io.BytesIO(part)) as archive:
        schema = json.loads(archive.read("schema.json"))
        schema["shape"]["content"][0]["content"] = "1000000000000"
        with pytest.raises(ValueError, match=r"shape \(2,\) that claims"):
            Reader(archive).make(schema)


def test_one_object_stays_one(tmp_path):
    model = LogisticRegression(max_iter=1000).fit(FACES.reshape(42, -1)[:, :3] / 255, LABELS)
    model.first_ = model.second_ = np.arange(3.0)
    again = store.load(store.save(model, tmp_path / "m.ferkit")).pipeline
    assert again.first_ is again.second_


def test_a_file_of_another_skops_is_read_by_skops(saved):
    edit_schema(saved, '"protocol": 2', '"protocol": 1')
    assert store.load(saved).predict_proba(FACES).shape == (42, 3)
    edit_schema(saved, '"protocol": 1', '"protocol": 99')
    with pytest.raises(ModelFileError, match="protocol 99"):
        store.load(saved)


def test_the_file_counts_faces_that_it_has_seen(saved):
    model = store.load(saved)
    assert model.seen(FACES) == (30, 12)
    assert model.seen(Faces(FACES[28:32], points=np.ones((4, 5, 2)))) == (2, 2)
    assert model.seen(seen_hashes(255 - FACES)) == (0, 0)


def test_the_cache_folder_stays_at_home(pipeline, saved):
    assert store.load(saved).pipeline.named_steps["features"].cache is None
    assert pipeline.named_steps["features"].cache is not None
    with zipfile.ZipFile(saved) as archive:
        folder = str(pipeline.named_steps["features"].cache.folder)
        assert folder.encode() not in archive.read("pipeline.skops")


def test_permissions_are_those_of_a_new_file(saved, tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    assert saved.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("kept", [0, 10, 200, 5000, -30])
def test_a_file_that_is_cut_off(saved, kept):
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(ModelFileError, match=r"expected a \.ferkit model"):
        store.load(saved)


def test_a_flipped_byte_is_noticed(saved):
    with zipfile.ZipFile(saved) as archive:
        at = archive.getinfo("pipeline.skops").header_offset + 3000
    data = bytearray(saved.read_bytes())
    data[at] ^= 0xFF
    saved.write_bytes(data)
    with pytest.raises(ModelFileError, match=r"damaged pipeline\.skops"):
        store.load(saved)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ModelFileError, match="Got no file"):
        store.load(tmp_path / "none.ferkit")
    with pytest.raises(ModelFileError, match="directory"):
        store.inspect(tmp_path)


def test_a_newer_format_says_so(saved):
    edit_manifest(saved, format=store.FORMAT + 1, ferkit="9.0")
    for read in (store.load, store.inspect):
        with pytest.raises(ModelFileError, match=r"ferkit 9\.0.*pip install --upgrade"):
            read(saved)


@pytest.mark.parametrize("manifest", [b"{", b"[]", b'{"format": "1"}', b"[" * 100_000])
def test_a_manifest_that_is_none(saved, manifest):
    rewrite(saved, lambda members: members.update({"manifest.json": manifest}))
    with pytest.raises(ModelFileError, match="manifest"):
        store.inspect(saved)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "nets/../x.onnx", "nets/abc.onnx", "extra.txt"])
def test_a_member_that_does_not_belong(saved, name):
    rewrite(saved, lambda members: members.update({name: b"x"}))
    with pytest.raises(ModelFileError, match="which no"):
        store.load(saved)


def test_a_member_that_is_missing(saved):
    rewrite(saved, lambda members: members.pop("seen_fusion.npy"))
    with pytest.raises(ModelFileError, match=r"without seen_fusion\.npy"):
        store.load(saved)


def test_a_member_given_twice(saved):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with zipfile.ZipFile(saved, "a") as archive:
            archive.writestr("manifest.json", "{}")
    with pytest.raises(ModelFileError, match="each once"):
        store.load(saved)


def test_a_zip_bomb(saved):
    rewrite(saved, lambda members: members.update({"pipeline.skops": bytes(2**25)}))
    with pytest.raises(ModelFileError, match="too dense"):
        store.load(saved)


def test_a_bomb_inside_the_pipeline_part(saved):
    def change(members):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as inner:
            inner.writestr("1.npy", bytes(2**22))
        members["pipeline.skops"] = buffer.getvalue()

    rewrite(saved, change)
    with pytest.raises(ModelFileError, match="compressed member"):
        store.load(saved)


def test_too_large_a_manifest(saved):
    rewrite(saved, lambda members: members.update({"manifest.json": bytes(2**23 + 1)}))
    with pytest.raises(ModelFileError, match="expected at most"):
        store.inspect(saved)


@pytest.mark.parametrize(
    ("member", "data"),
    [
        ("seen_fitted.npy", b"not an array"),
        ("seen_fitted.npy", b"\x93NUMPY\x01\x00"),
        ("pipeline.skops", b"not a zip"),
    ],
)
def test_a_damaged_member(saved, member, data):
    rewrite(saved, lambda members: members.update({member: data}))
    with pytest.raises(ModelFileError, match="damaged"):
        store.load(saved)


def test_seen_faces_of_another_kind(saved):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    rewrite(saved, lambda members: members.update({"seen_fusion.npy": buffer.getvalue()}))
    with pytest.raises(ModelFileError, match="dtype float64"):
        store.load(saved)


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "ferkit.features.hog.Evil", "numpy.memmap"])
def test_a_type_outside_the_list_is_named(saved, name):
    module, _, word = name.rpartition(".")
    edit_schema(
        saved,
        '"__class__": "HOG", "__module__": "ferkit.features.hog"',
        f'"__class__": "{word}", "__module__": "{module}"',
    )
    with pytest.raises(ModelFileError, match=name.replace(".", r"\.")):
        store.load(saved)


def test_a_way_of_keeping_that_calls_something(saved):
    edit_schema(saved, '"__loader__": "ObjectNode"', '"__loader__": "ConstructorFromReduceNode"')
    with pytest.raises(ModelFileError, match="ConstructorFromReduceNode"):
        store.load(saved)


def test_a_pipeline_part_that_does_not_fit_together(saved):
    edit_schema(saved, '"__loader__": "TupleNode"', '"__loader__": "NdArrayNode"')
    with pytest.raises(ModelFileError, match="cannot be opened"):
        store.load(saved)


class Own(ClassifierMixin, BaseEstimator):
    """A classifier that ferkit does not know."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def test_a_type_of_ones_own_needs_a_word(tmp_path):
    name = f"{Own.__module__}.Own"
    model = Own().fit(FACES, LABELS)
    with pytest.raises(ModelFileError, match="trusted="):
        store.save(model, tmp_path / "own.ferkit")
    assert not list(tmp_path.iterdir())
    store.save(model, tmp_path / "own.ferkit", trusted=[name])
    with pytest.raises(ModelFileError, match=name):
        store.load(tmp_path / "own.ferkit")
    assert store.load(tmp_path / "own.ferkit", trusted=[name]).predict_proba(FACES).shape == (42, 3)


def test_a_function_is_refused_though_skops_would_take_it(tmp_path):
    steps = [("root", FunctionTransformer(np.sqrt)), ("model", LogisticRegression())]
    model = Pipeline(steps).fit(FACES.reshape(42, -1), LABELS)
    with pytest.raises(ModelFileError, match=r"FunctionTransformer|sqrt"):
        store.save(model, tmp_path / "m.ferkit")


def test_a_pipeline_of_scikit_learn(tmp_path):
    X = FACES.reshape(42, -1)
    model = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())]).fit(X, LABELS)
    again = store.load(store.save(model, tmp_path / "deep" / "m.ferkit"))
    np.testing.assert_array_equal(again.pipeline.predict(X), model.predict(X))


def test_what_is_not_fitted_or_no_classifier(tmp_path):
    with pytest.raises(ModelFileError, match="fitted"):
        store.save(LogisticRegression(), tmp_path / "m.ferkit")
    with pytest.raises(ModelFileError, match="cannot be written"):
        store.save(LogisticRegression().set_params(C=(n for n in ())), tmp_path / "m.ferkit")


def test_sparse_rows_of_ones_come_back(tmp_path):
    rows = csr_array(np.ones((2200, 2000), np.float32))
    model = RBFSVM(n_components=None, loss="squared", standardize=False, calibrate=False)
    model.fit(rows[:42], LABELS).vectors_ = rows  # as of thousands of faces with equal words
    again = store.load(store.save(model, tmp_path / "m.ferkit")).pipeline.vectors_
    assert again.shape == rows.shape
    assert (again.toarray() == 1).all()


def test_what_load_would_refuse_is_not_written(saved, pipeline):
    before = saved.read_bytes()
    with pytest.raises(ModelFileError, match=r"manifest\.json of .* bytes, expected at most"):
        store.save(pipeline, saved, {"note": "x" * 2**23})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_folder_does_not_hide_a_model_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("fast").mkdir()
    assert container.model_path("fast") == container.ASSETS / "fast.ferkit"
    Path("default").write_bytes(b"")
    assert container.model_path("default") == Path("default")


def test_every_class_of_the_registry_can_be_opened():
    targets = [registry.FACES, *registry.FEATURES.values(), *registry.MODELS.values()]
    classes = [registry.resolve(target) for target in targets]
    names = {f"{one.__module__}.{one.__name__}" for one in classes}
    assert names <= store.TRUSTED, names - store.TRUSTED


def test_a_private_part_of_another_scikit_learn_is_said(tmp_path):
    from sklearn.calibration import CalibratedClassifierCV

    X = FACES.reshape(42, -1)[:, :20]
    model = CalibratedClassifierCV(LogisticRegression(max_iter=1000), cv=3).fit(X / 255, LABELS)
    path = store.save(model, tmp_path / "m.ferkit")
    store.load(path)
    edit_manifest(path, libraries={"scikit-learn": "1.2.0"})
    with pytest.warns(UserWarning, match=r"_CalibratedClassifier.* may differ"):
        store.load(path)


def test_public_parts_of_another_scikit_learn_are_quiet(saved):
    edit_manifest(saved, libraries={"scikit-learn": "1.2.0"})
    assert store.load(saved).labels


FULL_DISK = """
import resource, sys
import numpy as np
from sklearn.linear_model import LogisticRegression
from ferkit import store
from ferkit.errors import ModelFileError
model = LogisticRegression().fit(np.random.default_rng(0).normal(size=(20, 4000)), np.arange(20) % 2)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    store.save(model, sys.argv[1])
except ModelFileError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_file(saved):
    before = saved.read_bytes()
    done = subprocess.run([sys.executable, "-c", FULL_DISK, saved], capture_output=True, text=True)
    assert "expected a place with enough room" in done.stdout, done.stderr
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(pipeline, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ModelFileError, match="Permission"):
        store.save(pipeline, tmp_path / "m.ferkit")


def test_a_file_in_the_place_of_a_folder(pipeline, saved):
    with pytest.raises(ModelFileError, match="expected a place"):
        store.save(pipeline, saved / "m.ferkit")


def test_default_path_is_inside_the_package():
    path = store.default_path()
    assert path.parent == Path(store.__file__).resolve().parents[1] / "assets"
    assert path.suffix == ".ferkit"


def test_models_of_the_package_go_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert store.model_path(None) == store.model_path("default") == store.default_path()
    for name in ("fast", "ferplus", "hybrid"):
        assert store.model_path(name) == store.default_path().with_name(f"{name}.ferkit")
    assert store.model_path("fast.ferkit") == Path("fast.ferkit")
    Path("fast").touch()
    assert store.model_path("fast") == Path("fast")  # a file of that name comes first


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A model that names a network and its weights, and a function that goes to another machine."""
    from ferkit.features import onnx

    def elsewhere(name):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    elsewhere("here")
    monkeypatch.setattr(onnx, "_MEMORY", {})
    model = LogisticRegression().fit(np.arange(6.0)[:, None], list("aabbab"))
    model.network_hash_ = onnx.remember(b"a network")
    model.weights_hash_ = onnx.remember(b"its weights", suffix=".npz")
    return model, elsewhere, onnx


def test_networks_travel_with_the_model(named, tmp_path):
    model, elsewhere, onnx = named
    path = store.save(model, tmp_path / "m.ferkit")
    assert set(store.inspect(path)["networks"].values()) == {"inside"}
    elsewhere("there")
    with pytest.raises(ModelFileError, match="expected its ONNX file"):
        onnx.find(model.network_hash_)
    store.load(path)
    assert onnx.find(model.network_hash_) == b"a network"
    assert onnx.find(model.weights_hash_, suffix=".npz") == b"its weights"


def test_a_network_is_unpacked_also_where_there_is_no_cache(named, tmp_path):
    model, elsewhere, _ = named
    path = store.save(model, tmp_path / "m.ferkit")
    (tmp_path / "file").touch()
    elsewhere("file")
    unpacked = store.network_file(path)
    assert unpacked.read_bytes() == b"a network"
    assert unpacked.with_suffix(".npz").read_bytes() == b"its weights"


def test_a_network_that_is_gone(named, tmp_path):
    model, elsewhere, _ = named
    elsewhere("there")
    with pytest.raises(ModelFileError, match="file in one of"):
        store.save(model, tmp_path / "m.ferkit")
    assert not (tmp_path / "m.ferkit").exists()


def test_a_network_of_another_content(named, tmp_path):
    model, elsewhere, _ = named
    path = store.save(model, tmp_path / "m.ferkit")
    rewrite(path, lambda members: members.update({f"nets/{model.network_hash_}.onnx": b"evil"}))
    elsewhere("there")
    with pytest.raises(ModelFileError, match="of another content"):
        store.load(path)
    assert not list((tmp_path / "there").rglob("*.onnx"))


@pytest.mark.parametrize("name", ["net.onnx", "small.onnx"])
def test_a_shipped_network_may_stay_outside(named, tmp_path, monkeypatch, name):
    model, _, onnx = named
    (tmp_path / name).write_bytes(b"a network")
    monkeypatch.setattr(onnx, "ASSETS", tmp_path)
    path = store.save(model, tmp_path / "m.ferkit", embed_shipped=False)
    assert store.inspect(path)["networks"] == {
        f"{model.network_hash_}.onnx": "ferkit's own",
        f"{model.weights_hash_}.npz": "inside",
    }
    with zipfile.ZipFile(path) as archive:
        assert f"nets/{model.network_hash_}.onnx" not in archive.namelist()


def test_what_does_not_shrink_is_not_packed(tmp_path):
    noise = np.random.default_rng(0).bytes(2**20)
    large, small = container.PIPELINE, container.MANIFEST
    members = {large: noise, small: noise[:1000] * 1000, container.FITTED: b"", container.FUSION: b"ab"}
    container.write(tmp_path / "x.ferkit", members)
    with zipfile.ZipFile(tmp_path / "x.ferkit") as archive:
        packed = {item.filename: item.compress_type == zipfile.ZIP_DEFLATED for item in archive.infolist()}
        assert {name: archive.read(name) for name in members} == members
    assert (packed[large], packed[small]) == (False, True)
