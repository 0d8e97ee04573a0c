import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

import ferkit
from ferkit.errors import InputError, MissingExtraError
from ferkit.features.onnx import OnnxNetwork
from ferkit.nets import export
from ferkit.nets.start import fresh
from ferkit.nets.weights import Weights, save_weights

pytest.importorskip("tensorflow", reason="training networks needs the extra 'train'")
pytest.importorskip("onnx", reason="exporting networks needs the extra 'train'")


@pytest.fixture(scope="module")
def weights():
    return fresh(Weights(("fear", "bored"), {}, (4, 4, 8), (2, 2), 24), seed=0)


@pytest.fixture(scope="module")
def data(weights):
    return export.to_onnx(weights, "for tests")


@pytest.fixture(scope="module")
def session(data):
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("gates", [True, False])
@pytest.mark.parametrize(("widths", "strides"), [((4, 4, 8), (2, 2)), ((5, 5, 7, 7), (1, 2, 1)), ((6, 9), (1,))])
def test_onnx_gives_the_numbers_of_keras(gates, widths, strides):
    heads = {"votes": ("joy", "awe", "ire")}
    first = fresh(Weights(("fear", "bored"), {}, widths, strides, 24, heads=heads, gates=gates), seed=0)
    rng = np.random.default_rng(3)  # nothing is 0 or 1 as in a network that has not learnt yet
    arrays = {path: array + rng.uniform(0.1, 0.5, array.shape) for path, array in first.arrays.items()}
    weights = replace(first, arrays={path: array.astype(np.float32) for path, array in arrays.items()})
    session = onnxruntime.InferenceSession(export.to_onnx(weights), providers=["CPUExecutionProvider"])
    keras = weights.model(input_size=None, dropout=0.3, extra_heads={"votes": 3})
    for n, size in ((1, 24), (9, 24), (3, 32), (2, 16), (2, (16, 20))):
        faces = rng.uniform(0, 255, (n, *np.broadcast_to(size, 2), 1)).astype(np.float32)
        faces[0] = 128  # no variance at all
        expected = keras(faces, training=False)
        names = (*export.OUTPUTS, "votes")
        for name, got in zip(names, session.run(None, {"faces": faces}), strict=True):
            np.testing.assert_allclose(got, expected[name].numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


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


@pytest.mark.parametrize("path", ["stem_conv/kernel", "block2_norm1/gamma", "logits/bias"])
def test_what_does_not_fit_is_named(weights, path):
    missing = {name: array for name, array in weights.arrays.items() if name != path}
    with pytest.raises(InputError, match=rf"Got nothing for the weight '{path}', expected shape \("):
        export.to_onnx(replace(weights, arrays=missing))
    wrong = missing | {path: weights.arrays[path][..., :1]}
    with pytest.raises(InputError, match=rf"Got shape \(.*1,?\) for the weight '{path}', expected shape \("):
        export.to_onnx(replace(weights, arrays=wrong))


def test_without_onnx_the_error_names_the_extra(weights, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"'onnx'.*ferkit\[train\]"):
        export.to_onnx(weights)


def test_tensorflow_is_not_needed(weights, tmp_path):
    save_weights(weights, tmp_path / "net.npz")
    code = (
        "import sys\n"
        "from ferkit.nets.export import to_onnx\n"
        "from ferkit.nets.weights import load_weights\n"
        "assert to_onnx(load_weights(sys.argv[1]))\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "net.npz")], check=True)
