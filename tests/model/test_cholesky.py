"""Large symmetric systems are solved as NumPy solves them."""

import numpy as np
import pytest

from ferkit.model.cholesky import solve_positive


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
