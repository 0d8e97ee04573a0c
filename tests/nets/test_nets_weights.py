import numpy as np
import pytest
from scipy.special import expit

from ferkit.errors import InputError
from ferkit.nets.weights import (
    Weights,
    dump_weights,
    from_torch,
    load_weights,
    put_arrays,
    save_weights,
    take_arrays,
)


def torch_state(widths, strides, heads, rng, gates=True):
    """Random state dict in PyTorch's layout, as plain arrays."""
    state = {}

    def conv(name, out, into, size):
        state[f"{name}.weight"] = rng.normal(0, 0.2, (out, into, size, size)).astype(np.float32)

    def norm(name, n):
        for key, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
            state[f"{name}.{key}"] = rng.uniform(low, low + 1, n).astype(np.float32)
        state[f"{name}.num_batches_tracked"] = np.array(7)

    def dense(name, out, into):
        state[f"{name}.weight"] = rng.normal(0, 0.5, (out, into)).astype(np.float32)
        state[f"{name}.bias"] = rng.normal(0, 0.5, out).astype(np.float32)

    conv("c", widths[0], 1, 3)
    norm("n", widths[0])
    for i, (a, b, stride) in enumerate(zip(widths, widths[1:], strides, strict=False)):
        conv(f"blocks.{i}.c1", b, a, 3)
        norm(f"blocks.{i}.n1", b)
        conv(f"blocks.{i}.c2", b, b, 3)
        norm(f"blocks.{i}.n2", b)
        if gates:
            dense(f"blocks.{i}.se.a", b // 8, b)
            dense(f"blocks.{i}.se.b", b, b // 8)
        if stride > 1 or a != b:
            conv(f"blocks.{i}.cs", b, a, 1)
            norm(f"blocks.{i}.ns", b)
    for i, n in enumerate(heads):
        dense(f"heads.{i}", n, widths[-1])
    return state


def forward(state, faces, strides):
    """The network in NumPy, with PyTorch's layout, padding and formulas: what the Keras model must equal."""

    def conv(x, name, stride=1):
        kernel = state[f"{name}.weight"]
        size = kernel.shape[2]
        x = np.pad(x, ((0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2))
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
        return np.einsum("nchwij,ocij->nohw", windows, kernel)

    def norm(x, name):
        scale, shift, mean, var = (
            state[f"{name}.{key}"][:, None, None] for key in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * scale + shift

    def dense(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = (faces - faces.mean((1, 2, 3), keepdims=True)) / np.sqrt(faces.var((1, 2, 3), keepdims=True) + 1e-3)
    x = np.maximum(norm(conv(x, "c"), "n"), 0)
    for i, stride in enumerate(strides):
        at = f"blocks.{i}"
        y = np.maximum(norm(conv(x, f"{at}.c1", stride), f"{at}.n1"), 0)
        y = norm(conv(y, f"{at}.c2"), f"{at}.n2")
        if f"{at}.se.a.weight" in state:
            gate = dense(np.maximum(dense(y.mean((2, 3)), f"{at}.se.a"), 0), f"{at}.se.b")
            y = y * expit(gate)[:, :, None, None]
        if f"{at}.cs.weight" in state:
            if stride == 2:
                n, c, h, w = x.shape
                x = x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))
            x = norm(conv(x, f"{at}.cs"), f"{at}.ns")
        x = np.maximum(x + y, 0)
    return [dense(x.mean((2, 3)), f"heads.{i}") for i in range(2)]


def example(gates=True, **changes):
    rng = np.random.default_rng(0)
    state = torch_state((8, 8, 16, 16), (2, 2, 1), (3, 5), rng, gates)
    labels = ("anger", "fear", "neutral")
    return Weights(labels, from_torch(state), (8, 8, 16, 16), (2, 2, 1), 16, gates=gates, **changes), state


@pytest.mark.parametrize("gates", [True, False])
def test_keras_equals_the_network_of_the_training_script(gates):
    pytest.importorskip("tensorflow", reason="training networks needs the extra 'train'")
    weights, state = example(gates)
    faces = np.random.default_rng(1).uniform(0, 255, (4, 1, 16, 16))
    out = weights.model(extra_heads={"votes": 5})(faces.transpose(0, 2, 3, 1).astype(np.float32), training=False)
    for name, expected in zip(("logits", "votes"), forward(state, faces, weights.strides), strict=True):
        np.testing.assert_allclose(out[name].numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_weights_survive_a_file(tmp_path):
    heads = {"votes": ("fear", "joy", "x", "y", "z")}
    weights, _ = example(seen=np.array([3, 2**63 + 5], np.uint64), heads=heads)
    save_weights(weights, tmp_path / "net.npz")
    back = load_weights(tmp_path / "net.npz")
    assert back.config == weights.config
    assert back.labels == ("anger", "fear", "neutral")
    np.testing.assert_array_equal(back.seen, weights.seen)
    assert list(back.arrays) == list(weights.arrays)
    assert back.heads == weights.heads == {"votes": ("fear", "joy", "x", "y", "z")}
    for name, array in weights.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["net.npz"]


@pytest.mark.parametrize("gates", [True, False])
def test_a_file_says_whether_there_are_gates(gates):
    assert load_weights(dump_weights(example(gates)[0])).gates is gates


def test_a_file_of_an_earlier_version_has_gates(monkeypatch):
    config = {name: value for name, value in example()[0].config.items() if name != "gates"}
    monkeypatch.setattr(Weights, "config", config)
    data = dump_weights(example()[0])
    monkeypatch.undo()
    assert load_weights(data).gates is True


def test_kernels_may_be_kept_in_half_the_size(tmp_path):
    weights, _ = example(seen=np.array([3], np.uint64))
    whole, half = len(dump_weights(weights)), len(dump_weights(weights, half=True))
    assert half < 0.9 * whole
    save_weights(weights, tmp_path / "net.npz", half=True)
    back = load_weights(tmp_path / "net.npz")
    for name, array in weights.arrays.items():
        assert back.arrays[name].dtype == np.float32
        np.testing.assert_allclose(back.arrays[name], array, rtol=1e-3 if array.ndim > 1 else 0, atol=1e-7)


def test_same_weights_give_the_same_bytes():
    assert dump_weights(example()[0]) == dump_weights(example()[0])
    assert load_weights(dump_weights(example()[0])).widths == (8, 8, 16, 16)


def test_arrays_go_in_and_come_out():
    pytest.importorskip("tensorflow", reason="training networks needs the extra 'train'")
    weights, _ = example()
    model = weights.model()
    arrays = take_arrays(model)
    assert set(weights.arrays) - set(arrays) == {"votes/kernel", "votes/bias"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, weights.arrays[name])
    with pytest.raises(InputError, match="nothing for the weight 'stem_conv/kernel'"):
        put_arrays(model, {})
    with pytest.raises(InputError, match=r"shape \(2, 2\) for the weight 'stem_conv/kernel'"):
        put_arrays(model, weights.arrays | {"stem_conv/kernel": np.zeros((2, 2), np.float32)})


@pytest.mark.parametrize("content", [b"", b"not a zip", b"half", b"other arrays"])
def test_files_that_hold_no_network(tmp_path, content):
    path = tmp_path / "net.npz"
    whole = dump_weights(example()[0])
    path.write_bytes(whole[: len(whole) // 2] if content == b"half" else content)
    if content == b"other arrays":
        np.savez(path, a=np.zeros(3))
    with pytest.raises(InputError, match=r"expected an \.npz file of ferkit's network"):
        load_weights(path)


def test_pickles_inside_are_not_loaded(tmp_path):
    path = tmp_path / "net.npz"
    np.savez(path, config=np.array([{"a": 1}], dtype=object), seen=np.zeros(0, np.uint64))
    with pytest.raises(InputError, match="allow_pickle"):
        load_weights(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.npz"):
        load_weights(tmp_path / "none.npz")


@pytest.mark.parametrize("key", ["z.weight", "blocks.x.c1.weight", "blocks.0.c9.weight", "heads.2.weight"])
def test_unknown_torch_module_is_named(key):
    with pytest.raises(InputError, match=key.removesuffix(".weight")):
        from_torch({key: np.zeros((2, 2))})
