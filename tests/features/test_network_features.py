import json
import os
import pickle
import re
import subprocess
import sys
from hashlib import sha256

import cv2
import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone

from ferkit.errors import InputError, ModelFileError
from ferkit.features import onnx as onnx_module
from ferkit.features.network import NetworkFeatures
from ferkit.features.onnx import OnnxNetwork, cache_folder, find, open_network, remember

onnx = pytest.importorskip("onnx", reason="the test networks are written with the package onnx")

EMBEDDING, CLASSES = 5, 3
LABELS = ["anger", "happiness", "bored"]


@pytest.fixture(autouse=True)
def empty_home(tmp_path, monkeypatch):
    """No network is known but those that a test makes."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(onnx_module, "_MEMORY", {})
    monkeypatch.setattr(onnx_module, "ASSETS", tmp_path / "assets")
    open_network.cache_clear()
    yield
    open_network.cache_clear()


def weights(shape, seed=0):
    """Weights of the test network: pixels to embedding, embedding to logits."""
    rng = np.random.default_rng(seed)
    pixels = int(np.prod([length for length in shape[1:] if isinstance(length, int)]))
    return (
        rng.normal(size=(pixels, EMBEDDING)).astype(np.float32) / pixels,
        rng.normal(size=(EMBEDDING, CLASSES)).astype(np.float32),
    )


def network_bytes(shape=("n", 12, 12, 1), labels=LABELS, seed=0, dtype="FLOAT", open_sides=False, size=None):
    """ONNX file: embedding = pixels @ A, logits = embedding @ B, map = 2 * pixels."""
    helper, proto = onnx.helper, onnx.TensorProto
    first, second = weights(shape, seed)
    kind = getattr(proto, dtype)
    nodes = [
        helper.make_node("Cast", ["faces"], ["pixels"], to=proto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["flat"], axes=[1, 2], keepdims=0)
        if isinstance(shape[1], str)
        else helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "A"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "B"], ["logits"]),
        helper.make_node("Add", ["pixels", "pixels"], ["map"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("faces", kind, ["n", "h", "w", 1] if open_sides else list(shape))],
        [
            helper.make_tensor_value_info("logits", proto.FLOAT, [shape[0], CLASSES]),
            helper.make_tensor_value_info("embedding", proto.FLOAT, [shape[0], EMBEDDING]),
            helper.make_tensor_value_info("map", proto.FLOAT, list(shape)),
        ],
        [onnx.numpy_helper.from_array(first, "A"), onnx.numpy_helper.from_array(second, "B")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    about = {} if labels is None else {"labels": labels if isinstance(labels, str) else json.dumps(labels)}
    helper.set_model_props(model, about | ({} if size is None else {"size": size}))
    return model.SerializeToString()


@pytest.fixture
def make(tmp_path):
    """Write a test network and give back its path."""

    def write(name="net.onnx", **settings):
        path = tmp_path / name
        path.write_bytes(network_bytes(**settings))
        return path

    return write


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(1).integers(0, 256, (7, 12, 12), dtype=np.uint8)


def embedded(pixels, shape=("n", 12, 12, 1)):
    first = weights(shape)[0]
    return pixels.reshape(len(pixels), len(first)).astype(np.float32) @ first


# keeping and finding files


def test_remembered_network_is_found_by_its_hash():
    data = network_bytes()
    name = remember(data)
    assert name == sha256(data).hexdigest()
    assert (cache_folder() / f"{name}.onnx").read_bytes() == data
    assert find(name) == data
    assert remember(data) == name
    assert [path.name for path in cache_folder().iterdir()] == [f"{name}.onnx"]


def test_cache_folder_without_a_setting(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ferkit" / "nets"


def test_damaged_file_in_the_cache_is_never_used_and_is_replaced():
    data = network_bytes()
    name = remember(data)
    (cache_folder() / f"{name}.onnx").write_bytes(data[:-1])
    with pytest.raises(ModelFileError, match="another content"):
        find(name)
    remember(data)
    assert find(name) == data


def test_memory_stands_in_for_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    data = network_bytes()
    assert find(remember(data)) == data


def test_full_disk_leaves_no_half_file(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ferkit.files.os.replace", full)
    data = network_bytes()
    assert find(remember(data)) == data
    assert list(cache_folder().iterdir()) == []


def test_user_without_a_home_folder(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(onnx_module.Path, "home", homeless)
    data = network_bytes()
    assert find(remember(data)) == data
    with pytest.raises(ModelFileError, match="expected its ONNX file"):
        find("0" * 64)


def test_places_are_searched_in_order(make, tmp_path):
    path, name = make(), sha256(network_bytes()).hexdigest()
    assert find(name, path) == path.read_bytes()
    moved = tmp_path / "assets" / "other.onnx"
    moved.parent.mkdir()
    path.rename(moved)
    assert find(name, path) == moved.read_bytes()


def test_missing_network_names_every_place(make, tmp_path):
    path = make(seed=1)
    name = sha256(network_bytes()).hexdigest()
    with pytest.raises(ModelFileError) as caught:
        find(name, path)
    message = str(caught.value)
    assert name in message
    assert f"{path} (another content)" in message
    assert str(tmp_path / "assets") in message
    assert f"{cache_folder() / name}.onnx (no such file)" in message


def test_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="directory"):
        find("0" * 64, tmp_path)


# running


def test_network_tells_what_it_is(make):
    network = OnnxNetwork(make())
    assert network.input_name == "faces"
    assert network.input_shape == (None, 12, 12, 1)
    assert network.outputs == ("logits", "embedding", "map")
    assert network.labels == tuple(LABELS)
    assert network.metadata == {"labels": json.dumps(LABELS)}
    assert network.sha256[:12] in repr(network)
    assert network.output_name(-1) == "map"


@pytest.mark.parametrize("batch", ["n", 1, 3])
@pytest.mark.parametrize("n", [0, 1, 7])
def test_any_number_of_rows(make, crops, batch, n):
    network = OnnxNetwork(make(shape=(batch, 12, 12, 1)))
    out = network.run(crops[:n, ..., None].astype(np.float32), batch_size=2)
    assert {name: rows.shape for name, rows in out.items()} == {
        "logits": (n, CLASSES),
        "embedding": (n, EMBEDDING),
        "map": (n, 12, 12, 1),
    }
    np.testing.assert_allclose(out["embedding"], embedded(crops[:n]), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(out["map"][..., 0], 2.0 * crops[:n])


@pytest.mark.parametrize("dtype", ["UINT8", "FLOAT16", "DOUBLE"])
def test_input_of_another_type(make, crops, dtype):
    out = OnnxNetwork(make(dtype=dtype)).run(crops[..., None], ["embedding"])
    np.testing.assert_allclose(out["embedding"], embedded(crops), rtol=1e-4, atol=1e-4)


def test_rows_of_another_shape_are_refused(make):
    network = OnnxNetwork(make())
    for shape in ((2, 12, 11, 1), (2, 12, 12)):
        with pytest.raises(InputError, match=r"expected \('n', 12, 12, 1\)"):
            network.run(np.zeros(shape, np.float32))


def test_a_face_asked_again_for_another_output_costs_no_run(make, crops, monkeypatch):
    path, runs, called = make(), [], OnnxNetwork._called
    monkeypatch.setattr(OnnxNetwork, "_called", lambda *args: runs.append(len(args[1])) or called(*args))
    batch = crops[..., None].astype(np.float32)
    fresh = OnnxNetwork(path).run(batch)
    network = OnnxNetwork(path)
    for rows in (slice(3), slice(3), slice(3, 7), slice(3)):
        for name in ("logits", "map", "logits"):
            np.testing.assert_allclose(network.run(batch[rows], [name])[name], fresh[name][rows], rtol=1e-5)
    assert runs == [7, 3, 3, 4]  # of all outputs; logits; both, kept; both of other rows
    some = batch[:3].copy()
    network.run(some, ["map"])
    some += 1  # what was kept is a copy
    assert not np.allclose(network.run(some, ["map"])["map"], fresh["map"][:3])
    runs.clear()
    many = np.repeat(batch, 10, axis=0)
    for name in ("logits", "map"):
        network.run(many, [name])
    assert runs == [70, 70]
    network.run(many[:7], ["logits"])["logits"][:] = 0  # what comes back is the caller's own
    np.testing.assert_allclose(network.run(many[:7], ["logits"])["logits"], fresh["logits"][:1].repeat(7, 0), rtol=1e-5)


def test_pickle_holds_no_weights(make, crops, tmp_path):
    path = make()
    network = OnnxNetwork(path)
    batch = crops[..., None].astype(np.float32)
    before = network.run(batch)["logits"]
    text = pickle.dumps(network)
    assert len(text) < 500
    remember(path.read_bytes())
    path.unlink()
    np.testing.assert_array_equal(pickle.loads(text).run(batch)["logits"], before)  # noqa: S301


def test_file_that_is_no_network(tmp_path):
    path = tmp_path / "text.onnx"
    path.write_text("not a network")
    with pytest.raises(ModelFileError, match=r"text\.onnx.*expected an ONNX file"):
        _ = OnnxNetwork(path).session


def test_network_without_path_or_hash():
    with pytest.raises(InputError, match="path=None"):
        OnnxNetwork()


@pytest.mark.parametrize("labels", ["not json", '{"anger": 0}', "[1, 2]"])
def test_broken_labels(make, labels):
    with pytest.raises(ModelFileError, match="expected a JSON list"):
        _ = OnnxNetwork(make(labels=labels)).labels


def test_network_of_two_inputs(tmp_path):
    helper, proto = onnx.helper, onnx.TensorProto
    infos = [helper.make_tensor_value_info(name, proto.FLOAT, ["n", 2]) for name in "abc"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "two", infos[:2], infos[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "two.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="expected one input"):
        _ = OnnxNetwork(tmp_path / "two.onnx").input_name


def test_opened_once(make):
    path = make()
    name = OnnxNetwork(path).sha256
    assert open_network(name, str(path)).session is open_network(name, str(path)).session


def test_import_loads_no_onnxruntime():
    code = "import sys, ferkit.features.onnx; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == 0


# the feature family


def test_embedding_of_both_views(make, crops):
    path = str(make())
    plain = NetworkFeatures(path, mirror=False).fit_transform(crops)
    both = NetworkFeatures(path).fit_transform(crops)
    assert plain.dtype == both.dtype == np.float32
    np.testing.assert_allclose(plain, embedded(crops), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(both, (plain + embedded(crops[:, :, ::-1])) / 2, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(NetworkFeatures(path).fit(crops).transform(crops[:, :, ::-1]), both, rtol=1e-5)


def test_names_and_learnt_attributes(make, crops):
    path = make()
    cnn = NetworkFeatures(str(path)).fit(crops)
    assert cnn.network_hash_ == cnn.version == sha256(path.read_bytes()).hexdigest()
    assert list(cnn.get_feature_names_out()) == [f"cnn/embedding{i}" for i in range(EMBEDDING)]
    logits = NetworkFeatures(str(path), output="logits").fit(crops)
    assert (cnn.labels_, logits.labels_) == ([], LABELS)
    assert list(logits.get_feature_names_out()) == ["cnn/anger", "cnn/happiness", "cnn/bored"]
    unlabelled = NetworkFeatures(str(make(labels=None)), output=0).fit(crops)
    assert list(unlabelled.get_feature_names_out()) == ["cnn/logits0", "cnn/logits1", "cnn/logits2"]


def test_batches_do_not_change_the_numbers(make, crops):
    cnn = NetworkFeatures(str(make())).fit(crops)
    whole = cnn.transform(crops)
    np.testing.assert_allclose(clone(cnn).set_params(batch_size=2).fit(crops).transform(crops), whole, rtol=1e-5)
    assert cnn.transform(crops[:0]).shape == (0, EMBEDDING)


@pytest.mark.parametrize("shape", [("n", 12, 12, 3), ("n", 3, 12, 12), ("n", 1, 12, 12), ("n", 12, 12, 1)])
def test_layout_and_channels_are_inferred(make, crops, shape):
    pixels = np.repeat(crops[..., None], 3 if 3 in shape else 1, axis=3)
    if shape[1] in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    out = NetworkFeatures(str(make(shape=shape)), mirror=False).fit_transform(crops)
    np.testing.assert_allclose(out, embedded(pixels, shape), rtol=1e-4, atol=1e-4)


def test_layout_that_cannot_be_inferred(make, crops):
    ambiguous = str(make(shape=("n", 12, 12, 4)))
    with pytest.raises(InputError, match="layout='auto'"):
        NetworkFeatures(ambiguous).fit(crops)
    with pytest.raises(InputError, match="layout='nchw'"):
        NetworkFeatures(str(make(name="b.onnx")), layout="nchw").fit(crops)


@pytest.mark.parametrize("side", [8, 24])
def test_faces_are_brought_to_the_size_of_the_graph(make, crops, side):
    out = NetworkFeatures(str(make(shape=("n", 1, side, side))), mirror=False).fit_transform(crops)
    how = cv2.INTER_AREA if side < 12 else cv2.INTER_LINEAR
    resized = np.stack([cv2.resize(crop, (side, side), interpolation=how) for crop in crops])
    np.testing.assert_allclose(out, embedded(resized, ("n", 1, side, side)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "expected"), [(None, 144), (6, 36)])
def test_size_of_a_graph_that_leaves_it_open(make, crops, size, expected):
    path = str(make(shape=("n", "h", "w", 1)))
    assert NetworkFeatures(path, output="map", pool="flatten", size=size).fit(crops).n_outputs_ == expected


@pytest.mark.parametrize("mirror", [True, False])
def test_several_sizes_are_averaged(make, crops, mirror):
    path = str(make(shape=("n", "h", "w", 1)))
    small, large, both = (
        NetworkFeatures(path, output="logits", size=size, mirror=mirror).fit_transform(crops)
        for size in (6, 30, [6, 30])
    )
    assert not np.allclose(small, large, rtol=1e-4)
    np.testing.assert_allclose(both, (small + large) / 2, rtol=1e-4)


def test_several_sizes_give_no_list_of_positions(make, crops):
    path = str(make(shape=("n", "h", "w", 1)))
    with pytest.raises(InputError, match=r"size=\[6, 12\] with pool='flatten'.*\[36, 144\]"):
        NetworkFeatures(path, output="map", pool="flatten", size=[6, 12]).fit(crops)


def test_a_file_says_which_size_it_was_trained_on(make, crops):
    path = make(shape=("n", "h", "w", 1), size="24")
    assert OnnxNetwork(path).size == 24
    assert NetworkFeatures(str(path), output="map", pool="flatten").fit(crops).n_outputs_ == 24 * 24
    assert [OnnxNetwork(make(size=text)).size for text in ("", "0", "-4", "²", "large")] == [None] * 5


def test_faces_that_the_graph_cannot_run(make, crops):
    path = str(make(open_sides=True))
    with pytest.raises(InputError, match=r"Got a batch of shape \(2, 6, 6, 1\).*MatMul"):
        NetworkFeatures(path, size=6).fit(crops)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("raw", lambda x: x),
        ("unit", lambda x: x / 255),
        ("signed", lambda x: x / 127.5 - 1),
        ("standard", lambda x: (x - x.mean((1, 2), keepdims=True)) / x.std((1, 2), keepdims=True)),
    ],
)
def test_scale(make, crops, scale, expected):
    cnn = NetworkFeatures(str(make()), output="map", pool="flatten", mirror=False, scale=scale)
    np.testing.assert_allclose(
        cnn.fit_transform(crops), 2 * expected(crops.astype(float)).reshape(7, -1), rtol=1e-4, atol=1e-4
    )


def test_scale_of_imagenet(make, crops):
    settings = {"output": "map", "mirror": False, "scale": "imagenet"}
    out = NetworkFeatures(str(make(shape=("n", 3, 12, 12))), **settings).fit_transform(crops)
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (crops.mean((1, 2))[:, None] / 255 - mean) / deviation
    np.testing.assert_allclose(out, 2 * expected, rtol=1e-4)
    with pytest.raises(InputError, match="scale='imagenet'"):
        NetworkFeatures(str(make()), **settings).fit(crops)


def test_flat_face_is_not_divided_by_zero(make):
    out = NetworkFeatures(str(make()), scale="standard").fit_transform(np.full((2, 12, 12), 9, np.uint8))
    np.testing.assert_array_equal(out, 0)


@pytest.mark.parametrize("shape", [("n", 3, 12, 12), ("n", 12, 12, 3)])
def test_map_is_pooled_over_positions(make, crops, shape):
    out = NetworkFeatures(str(make(shape=shape)), output="map").fit_transform(crops)
    np.testing.assert_allclose(out, np.repeat(2 * crops.mean((1, 2))[:, None], 3, axis=1), rtol=1e-5)


@pytest.mark.parametrize("shape", [("n", 3, 12, 12), ("n", 12, 12, 3)])
@pytest.mark.parametrize("mirror", [False, True])
def test_map_is_pooled_over_each_part(make, crops, shape, mirror):
    cnn = NetworkFeatures(str(make(shape=shape)), output="map", pool=3, mirror=mirror).fit(crops)
    expected = 2 * crops.reshape(7, 3, 4, 3, 4).mean((2, 4))  # the mirror image's map is turned back
    found = cnn.transform(crops)
    np.testing.assert_allclose(found, np.repeat(expected.reshape(7, 9), 3, axis=1), rtol=1e-5)
    names = list(cnn.get_feature_names_out())
    assert [names[0], names[4], names[-1]] == ["cnn/row0/col0/map0", "cnn/row0/col1/map1", "cnn/row2/col2/map2"]


def test_parts_share_the_cells_between_them(make, crops):
    path = str(make(shape=("n", "h", "w", 1)))
    found = NetworkFeatures(path, output="map", pool=2, size=[5, 12], mirror=False).fit_transform(crops)
    small = np.stack([cv2.resize(crop, (5, 5), interpolation=cv2.INTER_AREA) for crop in crops]).astype(float)
    fine = np.repeat(np.repeat(small, 2, 1), 2, 2)  # 10 x 10, which two parts divide
    expected = [2 * maps.reshape(7, 2, n, 2, n).mean((2, 4)) for maps, n in ((fine, 5), (crops.astype(float), 6))]
    np.testing.assert_allclose(found, np.mean(expected, axis=0).reshape(7, 4), rtol=1e-5)


def test_all_of_a_mirrored_map_is_turned_back(make, crops):
    found = NetworkFeatures(str(make()), output="map", pool="flatten").fit_transform(crops)
    np.testing.assert_allclose(found, 2.0 * crops.reshape(7, -1))


def test_pickled_features_find_their_network_again(make, crops):
    path = make()
    cnn = NetworkFeatures(str(path)).fit(crops)
    before = cnn.transform(crops)
    text = pickle.dumps(cnn)
    assert path.read_bytes() not in text
    assert len(text) < 1500
    open_network.cache_clear()
    path.write_bytes(network_bytes(seed=1))
    copy = pickle.loads(text)  # noqa: S301
    np.testing.assert_array_equal(copy.transform(crops), before)
    open_network.cache_clear()
    (cache_folder() / f"{cnn.network_hash_}.onnx").unlink()
    with pytest.raises(ModelFileError, match="another content"):
        copy.transform(crops)


def test_other_processes_find_the_network(make, crops):
    cnn = NetworkFeatures(str(make())).fit(crops)
    parts = Parallel(n_jobs=2)(delayed(cnn.transform)(part) for part in (crops[:4], crops[4:]))
    np.testing.assert_allclose(np.concatenate(parts), cnn.transform(crops), rtol=1e-5)


@pytest.mark.parametrize(("init", "name"), [("shipped", "net.onnx"), ("small", "small.onnx")])
def test_the_own_networks(make, crops, tmp_path, init, name):
    with pytest.raises(ModelFileError, match=f"init='{init}'.*{re.escape(name)}"):
        NetworkFeatures(init).fit(crops)
    (tmp_path / "assets").mkdir()
    path = make(name=f"assets/{name}")
    assert NetworkFeatures(init).fit(crops).network_hash_ == sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "nothing"}, "output='nothing'.*'embedding'"),
        ({"output": 3}, "output=3"),
        ({"scale": "half"}, "scale='half'"),
        ({"layout": "hwc"}, "layout='hwc'"),
        ({"pool": "max"}, "pool='max'"),
        ({"pool": 0}, "pool=0"),
        ({"pool": 2}, r"pool=2 and the output 'embedding' of shape \(5,\) a face"),
        ({"pool": 13, "output": "map"}, r"pool=13 and the output 'map' of shape \(12, 12, 1\) a face, .*at least 13"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"n_threads": 1.5}, "n_threads=1.5"),
        ({"size": -1}, "size=-1"),
        ({"size": []}, r"size=\[\]"),
        ({"size": [12, None]}, r"size=\[12, None\]"),
        ({"size": "large"}, "size='large'"),
        ({"size": 6}, r"size=6 and a network for faces of \(12, 12\)"),
        ({"size": [12, 24]}, r"size=\[12, 24\] and a network"),
    ],
)
def test_wrong_parameters(make, crops, settings, message):
    with pytest.raises(InputError, match=f"Got {message}"):
        NetworkFeatures(str(make()), **settings).fit(crops)


def test_missing_file_is_named(crops, tmp_path):
    with pytest.raises(ModelFileError, match=r"none\.onnx"):
        NetworkFeatures(str(tmp_path / "none.onnx")).fit(crops)
