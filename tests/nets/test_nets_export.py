import json
import sys

import numpy as np
import onnxruntime
import pytest

import ferkit
from ferkit.errors import FerkitError, MissingExtraError
from ferkit.features.onnx import OnnxNetwork
from ferkit.nets import export
from ferkit.nets.start import fresh
from ferkit.nets.weights import Weights

pytest.importorskip("tensorflow", reason="training networks needs the extra 'train'")
pytest.importorskip("tf2onnx", reason="exporting networks needs the extra 'train'")


@pytest.fixture(scope="module")
def weights():
    return fresh(Weights(("fear", "bored"), {}, (4, 4, 8), (2, 2), 24), seed=0)


@pytest.fixture(scope="module")
def data(weights):
    return export.to_onnx(weights, "for tests")


@pytest.fixture(scope="module")
def session(data):
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def test_onnx_gives_the_numbers_of_keras(weights, session):
    for n, size in ((1, 24), (9, 24), (3, 32), (2, 16)):
        faces = np.random.default_rng(n).uniform(0, 255, (n, size, size, 1)).astype(np.float32)
        expected = weights.model(input_size=size)(faces, training=False)
        for name, got in zip(export.OUTPUTS, session.run(None, {"faces": faces}), strict=True):
            np.testing.assert_allclose(got, expected[name].numpy(), rtol=1e-4, atol=1e-5)


def test_means_over_four_places_are_part_of_a_convolution(data):
    import onnx

    nodes = onnx.load_from_string(data).graph.node
    assert "AveragePool" not in {node.op_type for node in nodes}
    kernels = [list(a.ints) for node in nodes if node.op_type == "Conv" for a in node.attribute if a.name == "strides"]
    assert kernels.count([2, 2]) == 4  # of each block the first convolution and the shortcut


def test_ports_and_metadata(session):
    assert [(port.name, port.shape) for port in session.get_inputs()] == [("faces", ["n", "height", "width", 1])]
    outputs = [(port.name, port.shape) for port in session.get_outputs()]
    assert outputs == [("logits", ["n", 2]), ("embedding", ["n", 8]), ("map", ["n", "rows", "columns", 8])]
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["labels"]) == ["fear", "bored"]
    assert about["ferkit"] == ferkit.__version__
    assert about["licence"] == "for tests"
    assert about["size"] == "24"


def test_further_heads_are_outputs_with_labels(tmp_path):
    heads = {"votes": ("joy", "awe", "ire")}
    weights = fresh(Weights(("fear", "bored"), {}, (4, 4, 8), (2, 2), 24, heads=heads), seed=2)
    (tmp_path / "two.onnx").write_bytes(export.to_onnx(weights))
    network = OnnxNetwork(tmp_path / "two.onnx")
    assert network.outputs == ("logits", "embedding", "map", "votes")
    assert network.labels_of("votes") == heads["votes"]
    assert network.labels == network.labels_of("logits") == ("fear", "bored")
    assert network.labels_of("embedding") == ()


def test_same_weights_give_the_same_file(weights, data):
    assert export.to_onnx(weights, "for tests") == data


def test_a_file_with_other_numbers_is_refused(weights, data, monkeypatch):
    monkeypatch.setattr(export, "_convert", lambda *args: data)
    other = fresh(Weights(("fear", "bored"), {}, (4, 4, 8), (2, 2), 24), seed=1)
    with pytest.raises(FerkitError, match="differs by"):
        export.to_onnx(other)


def test_without_the_converter_the_error_names_the_extra(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(MissingExtraError, match=r"'tf2onnx'.*ferkit\[train\]"):
        export.to_onnx(weights)
