"""Every CUDA rung of matmul, at sizes around its tiles, in several orders of blocks and threads."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of

SIZES = [(1, 1, 1), (15, 16, 17), (16, 16, 16), (33, 7, 40), (2, 65, 31)]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("rung", rungs_of("matmul"))
def test_rung_multiplies(rung, size, where, rng):
    M, N, K = size
    a, b = rng.standard_normal((M, K), np.float32), rng.standard_normal((K, N), np.float32)
    y = launch(where, f"matmul/{rung}", [a, b])
    assert_close(y, (a.astype(float) @ b).astype(np.float32), K)
