"""Philox in NumPy and in CUDA: the published vectors, equal bits, and the laws of a normal."""

from pathlib import Path

import numpy as np
import pytest
from cuda_rungs import WHERE

from minigen.kernels import philox
from minigen.kernels.cpu import emulated
from minigen.kernels.launch import CudaFile, blocks, empty

KERNELS = CudaFile(Path(__file__).with_name("philox_kernels"))

# Of the distribution of Random123, tests/kat_vectors, philox4x32 with 10 rounds.
PUBLISHED = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0"),
]
ANSWERS = [
    "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    "408f276d 41c83b0e a20bc7c6 6d5451fd",
    "d16cfe09 94fdcceb 5001e420 24126ea1",
]


def words(lines):
    return np.array([[int(word, 16) for word in line.split()] for line in lines], np.uint32)


COUNTERS, KEYS = (words(lines) for lines in zip(*PUBLISHED))


def on_device(where, arrays, launch):
    """launch(*arrays) on the emulator or on a GPU, and its result as a NumPy array."""
    if where == "gpu":
        cupy = pytest.importorskip("cupy")
        return cupy.asnumpy(launch(*(cupy.asarray(a) for a in arrays)))
    with emulated(where):
        return launch(*arrays)


def rows_of(name, width, dtype, block=32):
    """A launcher of one of philox_kernels.cu, whose result has rows of `width` numbers."""

    def start(*arrays):
        n = len(arrays[0])
        y = empty((n, width), arrays[0], dtype)
        KERNELS.launch(name, (blocks(n, block),), (block,), *arrays, y, n)
        return y

    return start


bits_on = rows_of("bits", 4, np.uint32)


def test_numpys_bits_are_the_published_ones():
    assert np.array_equal(philox.philox(COUNTERS, KEYS), words(ANSWERS))


@pytest.mark.parametrize("where", WHERE)
def test_the_kernels_bits_are_the_published_ones_and_numpys(where, rng):
    assert np.array_equal(on_device(where, (COUNTERS, KEYS), bits_on), words(ANSWERS))
    counters, keys = (rng.integers(0, 2**32, (33, k), np.uint32) for k in (4, 2))
    found = on_device(where, (counters, keys), bits_on)
    assert np.array_equal(found, philox.philox(counters, keys))


@pytest.mark.parametrize("where", WHERE)
def test_the_ends_of_the_words_give_finite_normals(where):
    ends = np.array([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF], np.uint32)
    words, angles = (a.ravel().copy() for a in np.meshgrid(ends, ends))
    exact = philox.box_muller(words, angles)
    assert np.isfinite(exact).all()
    assert 6.7 < np.abs(exact).max() < 6.8
    found = on_device(where, (words, angles), rows_of("pairs", 2, np.float32))
    assert np.abs(found - exact).max() < 2e-6


@pytest.mark.parametrize("where", WHERE)
def test_each_part_of_a_place_counts(where):
    place = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1 << 32, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    place = np.concatenate([place, [[0, 0, 0, 1], [(5 << 32) + 9, 8, 7, 6]]])
    block, stream, *seed = np.ascontiguousarray(place.T)
    words = np.stack([block & philox.LOW, block >> 32, stream, 0 * block], axis=1)
    seeds = np.stack(seed, axis=1).astype(np.uint32)
    exact = philox.box_muller(*philox.philox(words, seeds).reshape(-1, 2).T).reshape(-1, 4)
    arrays = block, stream.astype(np.uint32), seeds
    found = on_device(where, arrays, rows_of("at", 4, np.float32))
    assert np.abs(found - exact).max() < 2e-6
    assert len(np.unique(found[:, 0])) == len(found)


@pytest.mark.parametrize("block", [32, 96, 256])
def test_a_number_is_that_of_its_place_whatever_the_block(block, rng):
    counters, keys = (rng.integers(0, 2**32, (100, k), np.uint32) for k in (4, 2))
    with emulated():
        found = rows_of("bits", 4, np.uint32, block)(counters, keys)
    assert np.array_equal(found, philox.philox(counters, keys))
    whole = philox.normals((1000,), 5)
    assert np.array_equal(philox.normals((10, 3), 5).ravel(), whole[:30])


def test_mean_variance_and_tails_are_those_of_a_normal():
    x = philox.normals((1 << 20,), 1)
    n = len(x)
    assert abs(x.mean()) < 4 / n**0.5
    assert abs(x.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((x**3).mean()) < 4 * (15 / n) ** 0.5
    assert abs((x**4).mean() - 3) < 4 * (96 / n) ** 0.5
    for limit, beyond in ((1, 0.3173105), (2, 0.0455003), (3, 0.0026998), (4, 6.334e-5)):
        assert abs((np.abs(x) > limit).mean() - beyond) < 4 * (beyond / n) ** 0.5


def test_neighbours_streams_and_seeds_are_uncorrelated():
    n = 1 << 16
    x = philox.normals((n,), 1)
    others = [philox.normals((n,), 1, 1), philox.normals((n,), 2), philox.normals((n,), 1 << 32)]
    others += [np.roll(x, k) for k in (1, 2, 3, 4, 128)]
    for y in others:
        assert abs((x * y).mean()) < 4 / n**0.5


def test_no_two_counters_and_no_two_streams_give_the_same_bits():
    found = [philox.random_bits(1 << 16, 9, stream) for stream in range(4)]
    whole = np.concatenate(found).view("V16").ravel()
    assert len(np.unique(whole)) == len(whole)


def test_noise_gives_stream_after_stream():
    noise = philox.Noise(4)
    for stream in range(3):
        assert np.array_equal(noise.standard_normal((2, 5)), philox.normals((2, 5), 4, stream))


def test_a_seed_beyond_64_bits_is_refused():
    for seed in (-1, 1 << 64):
        with pytest.raises(ValueError, match="expected 0 to 2"):
            philox.normals((1,), seed)
