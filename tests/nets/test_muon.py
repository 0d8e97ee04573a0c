import numpy as np
import pytest

from ferkit.nets import NetworkClassifier, backend, training
from ferkit.nets.build import build

pytest.importorskip("tensorflow", reason="training networks needs the extra 'train'")


@pytest.fixture(scope="module")
def muon():
    backend.keras()
    from ferkit.nets import muon

    return muon


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16)])
def test_steps_are_nearly_orthogonal(muon, shape, half):
    from keras import ops

    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    u, _, v = np.linalg.svd(x, full_matrices=False)
    got = np.asarray(ops.cast(muon.orthogonal(ops.cast(x, "bfloat16" if half else "float32")), "float32"))
    values = np.linalg.svd(got, compute_uv=False)
    assert 0.5 < values.min() <= values.max() < 1.3
    assert np.sum(got * (u @ v)) / np.linalg.norm(got) / np.linalg.norm(u @ v) > 0.97


def test_one_step_is_the_one_that_was_published(muon):
    """Against the update written out in NumPy, twice, so that the momentum counts."""
    from keras import Variable

    rng = np.random.default_rng(1)
    start, *gradients = rng.normal(size=(3, 3, 3, 4, 6)).astype(np.float32)
    kernel = Variable(start)
    optimizer = muon.Muon(0.9, ratio=0.5)
    optimizer.build([kernel])
    optimizer.learning_rate.assign(0.1)
    expected, momentum = start.astype(np.float64), np.zeros_like(start, np.float64)
    for gradient in gradients:
        optimizer.apply([gradient])
        momentum = 0.9 * momentum + gradient
        rows = (gradient + 0.9 * momentum).reshape(-1, 6).T
        y = rows / np.linalg.norm(rows)
        for _ in range(5):
            square = y @ y.T
            y = 3.4445 * y + (-4.7750 * square + 2.0315 * square @ square) @ y
        expected = expected * 6**0.5 / np.linalg.norm(expected) - 0.05 * y.T.reshape(start.shape)
    np.testing.assert_allclose(np.asarray(kernel), expected, rtol=1e-3, atol=1e-4)


def test_everything_but_wide_convolutions_moves_as_by_sgd(muon):
    keras = backend.keras()
    weights = [np.ones(shape, np.float32) for shape in ((3, 3, 1, 4), (5, 2), (4,))]
    moved = []
    for optimizer in (muon.Muon(0.9, ratio=0.3), keras.optimizers.SGD(momentum=0.9, nesterov=True)):
        variables = [keras.Variable(w) for w in weights]
        optimizer.build(variables)
        optimizer.learning_rate.assign(0.1)
        for _ in range(2):
            optimizer.apply([w * 0.5 for w in weights])
        moved.append([np.asarray(v) for v in variables])
    for own, reference in zip(*moved, strict=True):
        np.testing.assert_allclose(own, reference)


def test_filters_keep_their_length_while_they_turn(drawn, small):
    X, y = drawn
    model = NetworkClassifier(epochs=2, **small).fit(X, y)
    arrays = model.weights().arrays
    first = build(3, widths=small["widths"], strides=small["strides"], seed=0)
    path = "block1_conv2/kernel"
    before = next(np.asarray(v) for v in first.variables if v.path == path)
    after = arrays[path]
    assert np.linalg.norm(after) == pytest.approx(after.shape[-1] ** 0.5, rel=0.05)
    turned = np.sum(before * after) / np.linalg.norm(before) / np.linalg.norm(after)
    assert turned < 0.999


def test_a_rate_of_zero_is_sgd(drawn, small, monkeypatch):
    seen = []
    step = training._compiled_step

    def spy(model, optimizer, *rest):
        seen.append([optimizer.takes(v) for v in model.trainable_variables])
        return step(model, optimizer, *rest)

    monkeypatch.setattr(training, "_compiled_step", spy)
    for changes in ({}, {"muon_rate": 0}, {"learning_rate": 0}):
        NetworkClassifier(epochs=1, **small | changes).fit(*drawn)
    assert [any(taken) for taken in seen] == [True, False, False]
