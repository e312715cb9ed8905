"""Every CUDA rung of softmax, in several orders of blocks and threads."""

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of

from minigen.kernels.cpu import run

SIZES = {  # around a warp, a block of 128 rows, and 256 threads for a row
    "k1_naive": [(1, 1), (127, 3), (128, 2), (2, 65, 5)],
    "k2_warp": [(1, 1), (4, 31), (5, 32), (3, 33), (2, 3, 97)],
    "k3_block": [(1, 1024), (2, 1031), (1, 2, 1281)],
}
CASES = [(rung, size) for rung in rungs_of("softmax") for size in SIZES[rung]]


def exact(x):
    e = np.exp(x.astype(float) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("rung", "size"), CASES, ids=str)
def test_rung_is_softmax_and_its_gradient(rung, size, where, rng):
    x, g = (rng.standard_normal(size, np.float32) for _ in range(2))
    x[..., size[-1] // 2] += 20  # of so many numbers three have weight
    x[..., [0, -1]] = x[..., size[-1] // 2, None] - 0.5
    y, (gx,) = launch(where, f"softmax/{rung}", [x], g)
    p = exact(x)
    assert_close(y, p.astype(np.float32), 8)
    assert_close(gx, (p * (g - (p * g).sum(-1, keepdims=True))).astype(np.float32), 16)


@pytest.mark.parametrize(("rung", "C"), [("k1_naive", 5), ("k2_warp", 40), ("k3_block", 1030)])
def test_rows_with_numbers_of_no_weight(rung, C, rng):
    x = rng.standard_normal((3, C), np.float32)
    x[:2, 1:-1] = -np.inf
    x[1] *= 1000
    assert_close(launch(0, f"softmax/{rung}", [x]), exact(x).astype(np.float32), 8)


@pytest.mark.parametrize("rung", rungs_of("softmax"))
def test_views_are_read_as_they_are(rung, rng):
    x = rng.standard_normal((1100, 3), np.float32).T
    y, (gx,) = launch(0, f"softmax/{rung}", [x], np.broadcast_to(np.float32(2), x.shape))
    assert_close(y, exact(x).astype(np.float32), 8)
    assert_close(gx, np.zeros_like(y), 8)


@pytest.mark.parametrize("rung", rungs_of("softmax"))
def test_what_is_for_the_reference(rung, rng):
    x = rng.standard_normal((1100, 1100), np.float32)
    for bad, settings in ((x, {"axis": 0}), (x[:0], {}), (x.astype(float), {})):
        with pytest.raises(ValueError, match="it takes"):
            run(f"softmax/{rung}", bad, **settings)


def test_a_block_is_for_long_rows(rng):
    with pytest.raises(ValueError, match="C = 1023 numbers is too short"):
        run("softmax/k3_block", rng.standard_normal((2, 1023), np.float32))
