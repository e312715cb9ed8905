"""Being here, it puts this folder on the path: every test may import close.py."""

import numpy as np
import pytest
from fake_cupy import fake_cupy  # noqa: F401, a fixture

from minigen.kernels import gpu
from minigen.kernels.errors import GPUError

collect_ignore_glob = ["golden/make_*.py"]  # they write golden files, with PyTorch


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def real_cupy():
    """The module cupy; the test is skipped where it cannot run, and says why."""
    try:
        return gpu.require()
    except GPUError as error:
        pytest.skip(str(error))
