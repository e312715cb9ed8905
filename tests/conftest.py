"""Being here, it puts this folder on the path: every test may import close.py."""

import numpy as np
import pytest

collect_ignore_glob = ["golden/make_*.py"]  # they write golden files, with PyTorch


@pytest.fixture
def rng():
    return np.random.default_rng(0)
