"""Ops against PyTorch 2.13: outputs and all gradients, from files that PyTorch wrote."""

import functools
from pathlib import Path

import numpy as np
import pytest
from close import assert_close
from golden_cases import FILES

from minigen.autograd import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"
TERMS = 4  # the sums are short, and their rounding errors cancel in part


@functools.cache
def stored(file):
    with np.load(GOLDEN / f"ops_{file}.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("file", FILES)
def test_every_stored_case_is_checked(file):
    assert {key.partition("/")[0] for key in stored(file)} == set(FILES[file])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file, cases in FILES.items() for name in cases]
)
def test_op_agrees_with_pytorch(file, name, dtype):
    prefix = name + "/"
    case = {k.removeprefix(prefix): a for k, a in stored(file).items() if k.startswith(prefix)}
    case = {key: a.astype(dtype) for key, a in case.items()}
    xs = [Tensor(case[f"x{i}"], requires_grad=True) for i in range(3) if f"x{i}" in case]
    y = FILES[file][name](*xs)
    y.backward(case["g"])
    assert_close(y.data, case["y"], TERMS)
    for i, x in enumerate(xs):
        assert_close(x.grad.data, case[f"gx{i}"], TERMS)
