"""Every CUDA rung of the convolution and of its gradients, around its tiles, in several orders."""

from functools import cache

import numpy as np
import pytest
from close import assert_close
from cuda_rungs import WHERE, launch, rungs_of

from minigen.ops.conv import conv2d, conv2d_input_grad, conv2d_weight_grad

# x (N, H, W, C), O, kernel, stride, padding
CASES = [
    ((1, 1, 1, 1), 1, (1, 1), 1, 0),  # one of everything
    ((1, 1, 1, 1), 1, (3, 3), 1, 1),  # most of the filter lies outside
    ((2, 5, 7, 3), 5, (3, 3), 1, 1),
    ((3, 4, 6, 4), 4, (3, 3), 1, (0, 2)),
    ((1, 9, 8, 8), 33, (3, 3), 1, 1),  # one more than a tile of rows, and than one of outputs
    ((3, 4, 11, 17), 65, (3, 3), 1, 1),
    ((1, 12, 12, 9), 64, (1, 1), 1, 0),  # 144 pixels: more than 128
    ((2, 8, 16, 4), 4, (4, 4), 2, 1),
    ((1, 9, 6, 1), 3, (7, 7), 1, 3),
    ((1, 9, 8, 3), 4, (2, 3), (2, 1), (0, 2)),
    ((2, 5, 4, 2), 2, (2, 2), 1, (3, 2)),  # more padding than filter: rows of zeros
    ((1, 7, 7, 2), 2, (1, 2), 3, 0),  # pixels that no output reads
]


@cache
def example(case):
    """x, w, an upstream gradient of the output, and the steps."""
    shape, O, kernel, stride, padding = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, np.float32)
    w = rng.standard_normal((*kernel, shape[3], O), np.float32)
    steps = {"stride": stride, "padding": padding}
    return x, w, rng.standard_normal(conv2d.forward(x, w, **steps).shape, np.float32), steps


def takes(op, rung, case):
    """Winograd's rungs are for 3x3 at stride 1."""
    return "winograd" not in rung or (case[2], case[3]) == ((3, 3), 1)


@cache
def exact(op, case):
    """In float64, rounded once."""
    x, w, g, steps = example(case)
    x, w, g = (a.astype(np.float64) for a in (x, w, g))
    if op == "conv2d":
        y = conv2d.forward(x, w, **steps)
    elif op == "conv2d_input_grad":
        y = conv2d_input_grad.forward(g, w, size=x.shape[1:3], **steps)
    else:
        y = conv2d_weight_grad.forward(g, x, kernel_size=w.shape[:2], **steps)
    return np.ascontiguousarray(y, np.float32)


def by(op, rung, where, case):
    """What the rung makes of the case."""
    x, w, g, steps = example(case)
    if op == "conv2d":
        return launch(where, f"{op}/{rung}", [x, w], **steps)
    if op == "conv2d_input_grad":
        return launch(where, f"{op}/{rung}", [g, w], size=x.shape[1:3], **steps)
    return launch(where, f"{op}/{rung}", [g, x], kernel_size=w.shape[:2], **steps)


OPS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")
RUNGS = [(op, rung) for op in OPS for rung in rungs_of(op)]


TAKEN = [(*rung, case) for rung in RUNGS for case in CASES if takes(*rung, case)]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(("op", "rung", "case"), TAKEN, ids=str)
def test_rung_is_the_reference(op, rung, case, where):
    assert_close(by(op, rung, where, case), exact(op, case), 64)
