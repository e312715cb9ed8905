"""CUDA rungs that change their arrays: what stands in them after the launch."""

import importlib

import numpy as np
import pytest

from minigen.kernels.cpu import emulated


def changed(where, rung, arrays, sanitize=None, **settings):
    """What the rung returns, and the arrays, or lists of arrays, after it; all as NumPy arrays.

    where  the seed of a schedule on the emulator, or "gpu"
    """
    module = importlib.import_module("minigen.kernels." + rung.replace("/", "."))
    if where == "gpu":
        cupy = pytest.importorskip("cupy")
        arrays = _each(arrays, cupy.asarray)
        y = _launch(module, arrays, settings)
        return _each(y, cupy.asnumpy), _each(arrays, cupy.asnumpy)
    arrays = _each(arrays, np.copy)
    with emulated(where, sanitize):
        return _launch(module, arrays, settings), arrays


def _launch(module, arrays, settings):
    assert module.supports(*arrays, **settings) is None
    return module.launch(*arrays, **settings)[0]


def _each(x, change):
    if isinstance(x, list | tuple):
        return [_each(a, change) for a in x]
    return x if x is None or isinstance(x, float) else change(x)
