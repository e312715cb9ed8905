"""A sampler's step in Numba CUDA: k2 in Python, a thread for each number.

New: nothing; what k2 does, to be read beside it. The row of the table is read by every thread, from
the cache, for they all want the same.

Prediction: as fast as k2, which waits for memory and not for arithmetic; a launch from Numba costs
the host more.
Measured: not yet on a GPU.

Shapes: see shapes.py. Every size.
Launch: a thread for each number, blocks of 256.
Source: as k1.
Teaches: that the language of a kernel matters less than what it reads and writes.
"""

import numpy as np
from numba import cuda

from minigen.kernels.denoise_step import shapes
from minigen.kernels.denoise_step.shapes import THREADS, arguments
from minigen.kernels.launch import blocks
from minigen.kernels.simulator import start, supports_arrays


def supports(prediction, x, x0_hat, table, step, noise=None):
    refusal = shapes.supports(prediction, x, x0_hat, table, step, noise)
    return refusal or supports_arrays(prediction, x, x0_hat, table)


def launch(prediction, x, x0_hat, table, step, noise=None):
    prediction, is_guided, noise = arguments(prediction, x, noise)
    has_noise = noise is not None
    arrays = [a.reshape(-1) for a in (prediction, x, x0_hat, noise if has_noise else x)]
    start(
        denoise_step,
        (blocks(x.size, THREADS),),
        (THREADS,),
        *arrays,
        table,
        step,
        is_guided,
        has_noise,
    )
    return x, None


@cuda.jit
def denoise_step(prediction, x, x0_hat, noise, table, step, is_guided, has_noise):
    i = cuda.grid(1)
    if i < x.size:
        row = table[step[0]]
        guess_x, guess_p, next_x, next_guess, next_noise, next_last, guidance, clip = (
            row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]
        )  # fmt: skip
        p = prediction[i]
        if is_guided:  # the second half of the batch has no condition
            p = guidance * p + (np.float32(1) - guidance) * prediction[x.size + i]
        guess = guess_x * x[i] + guess_p * p
        if guess > clip:  # a NaN stays one
            guess = clip
        elif guess < -clip:
            guess = -clip
        following = next_x * x[i] + next_guess * guess
        if next_last != 0:  # before the first step x0_hat holds anything
            following += next_last * x0_hat[i]
        if has_noise:
            following += next_noise * noise[i]
        x[i] = following
        x0_hat[i] = guess
