"""Random numbers without a state, the same on the CPU and on a GPU: Philox 4x32-10.

    normals(shape, seed, stream)     an array of N(0, 1), by NumPy
    Noise(seed)                      stream after stream, where a sampler expects a Generator

A number is a function of the seed, the stream and its place in the array: include/philox.h says
which counter gives which element. denoise_step/normals.py has the same normals on a GPU.

Error: the bits are those of the kernels. NumPy computes the normals from them in float64, the
kernels in float32: they differ by less than 2e-6 (tests/kernels/test_philox.py).
Source: Salmon, Moraes, Dror and Shaw, 2011, section 3.3; Box and Muller, 1958.
"""

import math

import numpy as np

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
STEPS_OF_KEY = 0x9E3779B9, 0xBB67AE85
LOW = 0xFFFFFFFF


def philox(counters, keys):
    """128 random bits for each counter: ten rounds of two multiplications.

    Shapes: counters (..., 4), keys (..., 2) -> (..., 4), uint32.
    """
    x, y, z, w = (counters[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = (keys[..., i].astype(np.uint64) for i in range(2))
    for _ in range(10):
        of_x, of_z = x * MULTIPLIERS[0], z * MULTIPLIERS[1]  # 64 bits: high half, low half
        x, y, z, w = (of_z >> 32) ^ y ^ k0, of_z & LOW, (of_x >> 32) ^ w ^ k1, of_x & LOW
        k0, k1 = (k0 + STEPS_OF_KEY[0]) & LOW, (k1 + STEPS_OF_KEY[1]) & LOW
    return np.stack([x, y, z, w], axis=-1).astype(np.uint32)


def key_of(seed):
    """A seed below 2^64 as the key: its low and its high 32 bits, (2,) uint32."""
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"philox: seed is {seed}, expected 0 to 2^64 - 1")
    return np.array([seed & LOW, seed >> 32], np.uint32)


def random_bits(n, seed, stream=0):
    """What an array of n elements is made of. Shapes: -> (ceil(n / 4), 4), uint32."""
    block = np.arange(-(-n // 4), dtype=np.uint64)
    rest = np.full(len(block), stream), np.zeros(len(block), np.uint64)
    return philox(np.stack([block & LOW, block >> 32, *rest], axis=-1), key_of(seed))


def normals(shape, seed, stream=0):
    """Independent numbers of N(0, 1), float64, by the formula of Box and Muller.

    u = (word + 1/2) / 2^32;  sqrt(-2 log u) (cos a, sin a)  with  a = pi angle / 2^31
    """
    n = math.prod(shape)
    words = random_bits(n, seed, stream).reshape(-1, 2)
    return box_muller(words[:, 0], words[:, 1]).reshape(-1)[:n].reshape(shape)


def box_muller(word, angle):
    """Two normals from two words. Shapes: (n,), (n,) -> (n, 2)."""
    u = word.astype(np.float32) * np.float32(2**-32) + np.float32(2**-33)
    a = angle.view(np.int32).astype(np.float32).astype(float) * (np.pi / 2**31)
    distance = np.sqrt(-2 * np.log(u.astype(float)))
    return np.stack([distance * np.cos(a), distance * np.sin(a)], axis=-1)


class Noise:
    """In the place of a numpy Generator for samplers: every call is the next stream.

    The first call, the noise that sampling starts from, is stream 0; the sampler's steps follow.
    """

    def __init__(self, seed):
        self.seed, self.stream = seed, 0

    def standard_normal(self, shape):
        self.stream += 1
        return normals(shape, self.seed, self.stream - 1)
