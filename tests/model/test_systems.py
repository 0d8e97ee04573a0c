"""Large symmetric systems are solved as NumPy solves them."""

import numpy as np
import pytest

from ferkit.model import systems
from ferkit.model.systems import conjugate_gradients, solve_positive


@pytest.mark.parametrize("block", [1, 7, 30, 64, 200])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 2e-3)])
def test_any_block_gives_the_solution(block, dtype, tolerance):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(64, 80))
    matrix, targets = root @ root.T + np.eye(64), rng.normal(size=(64, 3))
    solution = solve_positive(matrix.astype(dtype), targets.astype(dtype), block)
    assert solution.dtype == dtype
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, targets), rtol=tolerance, atol=tolerance)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    with pytest.raises(np.linalg.LinAlgError):
        solve_positive(np.diag([1.0, -1.0]), np.ones((2, 1)), block=1)


def kernel(n, ridge, dtype=np.float32):
    rows = np.random.default_rng(1).normal(size=(n, 5))
    squares = (rows**2).sum(1)
    matrix = np.exp(-0.2 * (squares[:, None] + squares - 2 * rows @ rows.T)) + ridge * np.eye(n)
    return matrix.astype(dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-8), (np.float32, 1e-3)])
def test_gradients_give_the_solution_of_a_kernel(dtype, tolerance):
    matrix = kernel(600, 0.3, dtype)
    targets = np.random.default_rng(2).normal(size=(600, 3)).astype(dtype)
    targets[:, 1] = 0
    before = matrix.copy()
    found = conjugate_gradients(matrix, targets, landmarks=100)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.linalg.solve(matrix, targets), atol=tolerance)
    np.testing.assert_array_equal(matrix, before)


def test_columns_of_the_matrix_save_steps():
    matrix, targets = kernel(600, 0.01), np.ones((600, 1), np.float32)
    assert conjugate_gradients(matrix, targets, landmarks=1, most_steps=60) is None
    assert conjugate_gradients(matrix, targets, landmarks=200, most_steps=60) is not None


def test_a_large_system_without_convergence_is_factorised(monkeypatch):
    monkeypatch.setattr(systems, "LARGE", 100)
    monkeypatch.setattr(systems, "conjugate_gradients", lambda matrix, targets: None)
    matrix, targets = kernel(200, 0.1, np.float64), np.ones((200, 1))
    expected = np.linalg.solve(matrix, targets)
    np.testing.assert_allclose(solve_positive(matrix, targets), expected, rtol=1e-6)


def test_gradients_leave_what_is_not_positive_definite():
    matrix = np.diag(np.r_[-1.0, np.ones(50)])
    targets = np.r_[1.0, np.zeros(50)][:, None]
    assert conjugate_gradients(matrix, targets, landmarks=51) is None
    assert conjugate_gradients(matrix, targets, landmarks=1) is None
