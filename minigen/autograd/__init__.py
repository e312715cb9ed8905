"""Reverse-mode automatic differentiation: a Tensor, a primitive, and the walk back to the leaves.

An op is up to three plain functions:

    forward  (x, w, *, stride)        arrays  -> array     NumPy or CuPy, the same text
    backward (g, y, x, w, *, stride)  Tensors -> Tensors   one for each input, or None
    kernel   (x, w, *, stride)        arrays  -> (y, backward or None)   in kernels/, see backend.py

Backward rules are made of ops, so a gradient can be differentiated again:

    >>> x = Tensor(3.0, requires_grad=True)
    >>> y = x ** 3
    >>> (gx,) = grad(y, [x], create_graph=True)     # 3 x^2
    >>> grad(gx, [x])[0].item()                     # 6 x
    18.0

To be read in this order, each file standing on the one before:

    graph.py      Primitive and Node: an op and one application of it; walk_back, the algorithm
    operators.py  the primitives behind + - * / ** @ [] and sum, reshape, transpose, astype
    tensor.py     Tensor, what a user holds; grad

Source: Griewank and Walther, Evaluating Derivatives, 2nd ed., 2008, chapter 3.
Derivation: docs/derivations/autograd.md.
"""

from minigen.autograd.graph import Call, Node, Primitive, no_grad, observe, primitive, recording
from minigen.autograd.operators import (
    add,
    astype,
    broadcast_to,
    divide,
    getitem,
    matmul,
    multiply,
    negative,
    power,
    put,
    reshape,
    subtract,
    sum_,
    sum_to,
    transpose,
)
from minigen.autograd.tensor import Tensor, grad, leaf_gradients

__all__ = [
    "Call",
    "Node",
    "Primitive",
    "Tensor",
    "add",
    "astype",
    "broadcast_to",
    "divide",
    "getitem",
    "grad",
    "leaf_gradients",
    "matmul",
    "multiply",
    "negative",
    "no_grad",
    "observe",
    "power",
    "primitive",
    "put",
    "recording",
    "reshape",
    "subtract",
    "sum_",
    "sum_to",
    "transpose",
]
