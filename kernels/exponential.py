"""exp, the sigmoid and a maximum for compiled kernels, in loops that become vector instructions.

    exp(x) = 2^k * exp(r)    k = round(x / ln 2), r = x - k ln 2, |r| <= ln 2 / 2

exp(r) is a polynomial, 2^k is made of the bits of a float. The library's own exp, called for one
element at a time, takes ten times as long.

A result below exp(-86) = 4e-38 in float32, exp(-707) = 9e-308 in float64, is 0, a NaN stays a NaN.
Error: relative, 1e-7 in float32 and 2e-16 in float64 (test_exp_is_accurate).
Source: Muller, Elementary Functions, 3rd edition, 2016, sections 10.2 (reduction in two steps) and
3.2 (polynomials of least error; the coefficients below are of least relative error).
"""

import numba
import numpy as np
from numba import types
from numba.extending import overload

from minigen.kernels.jit import jit

F, D = np.float32, np.float64

# no "reassoc": rounding by adding a large number, and ln 2 in two parts, need the order as written
ordered = numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, error_model="numpy")


@ordered
def _exp32(x):
    low, high = F(-86.0), F(88.8)
    z = low if x < low else x  # in this order a NaN passes through
    z = high if z > high else z
    t = z * F(1.4426950408889634) + F(12582912.0)  # 1.5 * 2^23: the last bits of t are k
    k = t - F(12582912.0)
    r = (z - k * F(0.693359375)) + k * F(2.1219444e-4)  # the first part of ln 2 has 9 bits
    p = F(0.0013814598) * r + F(0.008368717)
    p = p * r + F(0.041668388)
    p = p * r + F(0.1666652)
    p = p * r + F(0.49999994)
    p = p * (r * r) + r + F(1)
    half = np.int32((F(t).view(np.int32) << np.int32(23)) + np.int32(0x3F000000))  # 2^(k - 1)
    y = p * np.int32(half).view(np.float32)
    y = y + y
    return F(0) if x < low else y


@ordered
def _exp64(x):
    low, high = D(-707.0), D(709.9)
    z = low if x < low else x
    z = high if z > high else z
    t = z * D(1.4426950408889634) + D(6755399441055744.0)  # 1.5 * 2^52
    k = t - D(6755399441055744.0)
    r = (z - k * D(0.6931471803691238)) - k * D(1.9082149292705877e-10)
    p = D(2.4999732386855342e-08) * r + D(2.763025721845098e-07)
    p = p * r + D(2.755758731724417e-06)
    p = p * r + D(2.4801493070139526e-05)
    p = p * r + D(0.0001984126950560493)
    p = p * r + D(0.0013888888943662016)
    p = p * r + D(0.00833333333349489)
    p = p * r + D(0.04166666666653002)
    p = p * r + D(0.16666666666666413)
    p = p * r + D(0.5000000000000011)
    p = p * (r * r) + r + D(1)
    half = np.int64((D(t).view(np.int64) << np.int64(52)) + np.int64(0x3FE0000000000000))
    y = p * np.int64(half).view(np.float64)
    y = y + y
    return D(0) if x < low else y


def exp(x):
    """e ** x, inside compiled text."""
    raise NotImplementedError("exp: for compiled text only; see numpy.exp")


@overload(exp)
def _exp(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: _exp64(x)


@jit
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    one = type(x)(1)
    return one / (one + exp(-x))


# ------------------------------------------------------------------------------------ the largest


@jit
def _largest32(x, r):
    top = np.int32(-0x80000000)
    for c in range(x.shape[1]):
        n = np.int32(F(x[r, c]).view(np.int32))
        n = np.int32(n ^ np.int32((n >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        top = n if n > top else top
    top = np.int32(top ^ np.int32((top >> np.int32(31)) & np.int32(0x7FFFFFFF)))
    return np.int32(top).view(np.float32)


@jit
def _largest64(x, r):
    top = np.int64(-0x8000000000000000)
    for c in range(x.shape[1]):
        n = np.int64(D(x[r, c]).view(np.int64))
        n = n ^ ((n >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))
        top = n if n > top else top
    top = top ^ ((top >> np.int64(63)) & np.int64(0x7FFFFFFFFFFFFFFF))
    return np.int64(top).view(np.float64)


def largest(x, r):
    """The largest number of row r, inside compiled text.

    The bits of floats, those of negative ones turned over, are in the order of the floats, and
    whole numbers have no NaN to look out for: so the loop is vectorised. A NaN is beyond infinity.
    """
    raise NotImplementedError("largest: for compiled text only; see numpy.max")


@overload(largest)
def _largest(x, r):
    if x.dtype == types.float32:
        return lambda x, r: _largest32(x, r)
    return lambda x, r: _largest64(x, r)


# ---------------------------------------------------------------------------- for tests to measure


@jit
def _fill(x, y):
    for i in range(len(x)):
        y[i] = exp(x[i])


def exponential(x):
    """exp of a flat array."""
    y = np.empty_like(x)
    _fill(x, y)
    return y


def warmup():
    for dtype in (np.float32, np.float64):
        exponential(np.zeros(1, dtype))
