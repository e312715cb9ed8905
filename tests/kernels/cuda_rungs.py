"""CUDA rungs on the emulator, and the same tests on a GPU where there is one.

@pytest.mark.parametrize("rung", rungs_of("matmul"))
@pytest.mark.parametrize("where", WHERE)
def test_matmul(rung, where, rng):
    y = launch(where, f"matmul/{rung}", [a, b])
    assert_close(y, exact, terms=K)
"""

import importlib

import numpy as np
import pytest

from minigen.kernels.cpu import emulated

SEEDS = (0, 1, 2, 3)  # in order, in reverse, shuffled twice
WHERE = [*SEEDS, pytest.param("gpu", marks=pytest.mark.gpu)]


def rungs_of(op, kind="k"):
    """Names of the rungs in CUDA C++, k1_naive and so on."""
    return [
        name
        for name in importlib.import_module(f"minigen.kernels.{op}").CUDA_RUNGS
        if name.startswith(kind)
    ]


def launch(where, rung, arrays, g=None, needs=None, sanitize=None, **settings):
    """The rung's output as a NumPy array; with an upstream gradient `g` also the list of gradients.

    where     the seed of a schedule on the emulator, or "gpu"
    """
    module = importlib.import_module("minigen.kernels." + rung.replace("/", "."))
    if where == "gpu":
        cupy = pytest.importorskip("cupy")
        arrays, g = [cupy.asarray(a) for a in arrays], None if g is None else cupy.asarray(g)
        for name, a in settings.items():
            settings[name] = cupy.asarray(a) if isinstance(a, np.ndarray) else a
        return _both(module, arrays, g, needs, settings, cupy.asnumpy)
    with emulated(where, sanitize):
        return _both(module, arrays, g, needs, settings, np.asarray)


def _both(module, arrays, g, needs, settings, to_numpy):
    assert module.supports(*arrays, **settings) is None
    y, pull = module.launch(*arrays, **settings)
    if g is None:
        return to_numpy(y)
    gradients = pull(g, (True,) * len(arrays) if needs is None else needs)
    return to_numpy(y), [None if a is None else to_numpy(a) for a in gradients]
