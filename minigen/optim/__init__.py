"""Optimisers, the moving average of weights, and gradient clipping.

    optimizer = AdamW(model.named_parameters(), lr=2e-3)
    loss.backward()
    clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()

An optimiser takes parameters, or (name, parameter) pairs, whose names then stand in its state. It
works in place: a step allocates nothing of a parameter's size (Muon: its matrix products), and a
parameter that moved to another device is followed there. `lr` may be set before each step.
Hyperparameters are the caller's: `state_dict` holds the buffers, the number of steps and the
learning rate, with which the next step is the same bit for bit.

Kernels: kernels/adamw, kernels/ema and kernels/clip_grad_norm go over all parameters at once.
"""

from minigen.optim.adam import Adam, AdamW
from minigen.optim.average import EMA
from minigen.optim.clip import clip_grad_norm
from minigen.optim.lbfgs import LBFGS
from minigen.optim.muon import Muon, orthogonalise, split_matrices
from minigen.optim.sgd import SGD

__all__ = [
    "EMA",
    "LBFGS",
    "SGD",
    "Adam",
    "AdamW",
    "Muon",
    "clip_grad_norm",
    "orthogonalise",
    "split_matrices",
]
