"""Every CUDA rung of every op under AddressSanitizer and ThreadSanitizer: neither finds anything.

Builds and runs are programs, several at once. They take minutes: `pytest -m sanitizers`.
"""

import importlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minigen.backend import use_precision
from minigen.cli.emulate import cuda_rungs, launched, precision_of
from minigen.cli.samples import SAMPLES
from minigen.kernels.cpu import emulated

RUNGS = [(op, rung) for op, rungs in cuda_rungs().items() for rung in rungs]
SANITIZERS = ("address", "thread")
TEST = "test_no_sanitizer_finds_anything"


def run(op, rung, sanitize):
    """A seed that shuffles: in order, some races never happen."""
    sample = SAMPLES[op]
    arrays, settings = sample.make(*sample.sizes)
    exact, _ = sample.exact(arrays, settings)
    with emulated(2, sanitize) as launches, use_precision(precision_of(rung)):
        y, _, gradients = launched(op, rung, arrays, settings)
    return sample.outputs(y, arrays), exact, gradients, launches


@pytest.fixture(scope="module")
def runs(request):
    """(op, rung, sanitizer) of every test that was asked for -> what will come of it."""
    if "sanitizers" not in request.config.option.markexpr:
        pytest.skip("takes minutes: pytest -m sanitizers")
    ours = [item for item in request.session.items if getattr(item, "originalname", "") == TEST]
    asked = [tuple(item.callspec.params[k] for k in ("op", "rung", "sanitize")) for item in ours]
    for op, rung, _ in asked:  # here, not in several threads at once
        importlib.import_module(f"minigen.kernels.{op}.{rung}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {job: pool.submit(run, *job) for job in asked}
        pool.shutdown(cancel_futures=True)


@pytest.mark.sanitizers
@pytest.mark.parametrize("sanitize", SANITIZERS)
@pytest.mark.parametrize(("op", "rung"), RUNGS, ids=str)
def test_no_sanitizer_finds_anything(op, rung, sanitize, runs):
    found, exact, gradients, launches = runs[op, rung, sanitize].result()
    assert launches
    for a, b in zip(found, exact, strict=True):
        assert np.abs(a - b).max() <= 0.03 * max(1, np.abs(b).max())
    assert all(np.isfinite(a).all() for a in gradients if a is not None)


def test_every_op_with_kernels_has_a_sample():
    assert not {*cuda_rungs()} - {*SAMPLES}
