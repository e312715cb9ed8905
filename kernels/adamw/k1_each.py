"""AdamW, a launch for each parameter.

New: nothing yet; the formula in one kernel, where an array library takes thirteen.
Prediction: a network's many small parameters, biases and norms, take as long as their launches: for
300 parameters about a millisecond, in which the memory of a large GPU moves gigabytes.
Measured: not yet on a GPU.

Arrays: four lists of the same length; p, m, v are changed in place. Every size.
Launch: a thread for each number, blocks of 256.
Source: Loshchilov and Hutter, 2019, algorithm 2, arXiv 1711.05101.
Teaches: that a launch has a price, and that a network is a long list of short arrays.
"""

import math

from minigen.kernels.adamw.many import refusal
from minigen.kernels.launch import CudaFile, blocks, contiguous

kernels = CudaFile(__file__)


def supports(ps, gs, ms, vs, *, lr, betas, eps, weight_decay, steps):
    return refusal([*ps, *ms, *vs], gs)


def numbers(lr, betas, eps, weight_decay, steps):
    """What is the same for all parameters: decay, rise1, beta2, rise2, root, eps, step.

    m += rise1 (g - m);  v = beta2 v + rise2 g^2;  p = decay p - step m / (root sqrt(v) + eps)
    """
    beta1, beta2 = betas
    root = 1 / math.sqrt(1 - beta2**steps)  # both corrections for the zeros that m and v began with
    step = lr / (1 - beta1**steps)
    return 1 - lr * weight_decay, 1 - beta1, beta2, 1 - beta2, root, eps, step


def launch(ps, gs, ms, vs, **settings):
    of_all = numbers(**settings)
    for p, g, m, v in zip(ps, gs, ms, vs):
        if p.size:
            grid = (blocks(p.size, 256),)
            kernels.launch("adamw", grid, (256,), p, contiguous(g), m, v, p.size, *of_all)
    return None, None
