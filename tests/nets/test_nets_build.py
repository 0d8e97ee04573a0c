import os
import subprocess
import sys

import numpy as np
import pytest

from ferkit.errors import InputError, MissingExtraError
from ferkit.nets.backend import keras
from ferkit.nets.build import build
from ferkit.nets.weights import take_arrays

pytest.importorskip("tensorflow", reason="training networks needs the extra 'train'")

TINY = {"widths": (4, 4, 8), "strides": (2, 1), "input_size": 16}


@pytest.fixture(scope="module")
def model():
    return build(3, **TINY, extra_heads={"votes": 5})


@pytest.fixture
def faces():
    return np.random.default_rng(0).uniform(0, 255, (5, 16, 16, 1)).astype(np.float32)


def test_outputs_and_shapes_for_any_batch(model, faces):
    for n in (1, 5):
        shapes = {name: tuple(value.shape) for name, value in model(faces[:n], training=False).items()}
        assert shapes == {"logits": (n, 3), "votes": (n, 5), "embedding": (n, 8), "map": (n, 8, 8, 8)}


def test_class_activation_map_is_exact(model, faces):
    out = {name: value.numpy() for name, value in model(faces, training=False).items()}
    kernel, bias = (take_arrays(model)[f"logits/{name}"] for name in ("kernel", "bias"))
    activation = out["map"] @ kernel
    np.testing.assert_allclose(out["map"].mean((1, 2)), out["embedding"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(activation.mean((1, 2)) + bias, out["logits"], rtol=1e-4, atol=1e-5)


def test_brightness_and_contrast_do_not_matter(model, faces):
    one = model(faces, training=False)["logits"].numpy()
    other = model(faces * 0.5 + 40, training=False)["logits"].numpy()
    np.testing.assert_allclose(one, other, atol=1e-4)
    assert np.isfinite(model(np.full_like(faces, 7), training=False)["logits"].numpy()).all()


def test_rows_do_not_touch_each_other(model, faces):
    together = model(faces, training=False)["logits"].numpy()
    alone = np.concatenate([model(face[None], training=False)["logits"].numpy() for face in faces])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_weights_follow_the_seed():
    one, same, other = (take_arrays(build(3, **TINY, seed=seed)) for seed in (1, 1, 2))
    for path, array in one.items():
        np.testing.assert_array_equal(array, same[path])
    assert not np.allclose(one["stem_conv/kernel"], other["stem_conv/kernel"])
    assert not np.allclose(one["block1_conv1/kernel"], one["block1_conv2/kernel"])


def test_default_network_has_the_size_it_says():
    assert build(7).count_params() == pytest.approx(1.65e6, rel=0.01)


def test_without_gates_the_rest_is_the_same(model):
    plain = take_arrays(build(3, **TINY, gates=False, extra_heads={"votes": 5}))
    gates = {name for name in take_arrays(model) if "squeeze" in name or "excite" in name}
    assert len(gates) == 8
    assert set(plain) == set(take_arrays(model)) - gates


def test_variables_stay_float32_in_bfloat16(faces):
    model = build(3, **TINY, dtype="mixed_bfloat16")
    assert {str(v.dtype) for v in model.trainable_variables} == {"float32"}
    exact = build(3, **TINY)(faces, training=False)["logits"].numpy()
    got = model(faces, training=False)["logits"].numpy()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, exact, atol=0.05)
    assert not np.array_equal(got, exact)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_classes": 0}, "n_classes=0"),
        ({"n_classes": 3, "widths": ()}, "widths"),
        ({"n_classes": 3, "widths": (4, 0), "strides": (1,)}, "widths"),
        ({"n_classes": 3, "widths": (4, 8), "strides": (1, 2)}, "strides"),
        ({"n_classes": 3, "widths": (4, 8), "strides": (3,)}, "strides"),
        ({"n_classes": 3, "widths": (4, 8), "strides": (2,), "input_size": 15}, "input_size=15"),
        ({"n_classes": 3, "dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_wrong_parameters_are_named(wrong, message):
    with pytest.raises(InputError, match=message):
        build(**wrong)


def test_without_tensorflow_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    with pytest.raises(MissingExtraError, match=r"ferkit\[train\]"):
        keras()


def test_another_backend_of_keras_is_refused(monkeypatch):
    monkeypatch.setattr(keras().backend, "backend", lambda: "torch")
    with pytest.raises(MissingExtraError, match="torch"):
        build(3)


def test_another_backend_of_keras_is_named():
    code = "from ferkit.nets.backend import keras; keras()"
    for name in ("jax", "torch"):
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"KERAS_BACKEND": name}, capture_output=True, text=True
        )
        assert "MissingExtraError: Got Keras set to another backend" in done.stderr
        assert f"{name}, expected 'tensorflow'" in done.stderr


def test_keras_is_imported_where_standard_error_is_closed():
    code = "import os; os.close(2); from ferkit.nets.backend import keras; print(keras().__name__)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (0, "keras\n")
