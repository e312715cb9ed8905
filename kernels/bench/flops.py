"""How many multiplications and additions an op that ran has done, from its shapes."""

from collections.abc import Sequence
from math import prod

Shape = tuple[int, ...]
ATTENTION = "scaled_dot_product_attention"


def flops(op: str, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> float | None:
    """Of products, convolutions and attention; None for an op that has none, or is not known.

    >>> flops("matmul", [(8, 16), (16, 4)], [(8, 4)])
    1024.0
    """
    if op == "matmul":
        return 2.0 * prod(outputs[0]) * inputs[0][-1]
    if op in ("conv2d", "linear"):
        return 2.0 * prod(outputs[0]) * prod(inputs[1][:-1])
    if op == "conv2d_input_grad":
        return 2.0 * prod(inputs[0]) * prod(inputs[1][:-1])
    if op == "conv2d_weight_grad":
        return 2.0 * prod(inputs[0]) * prod(outputs[0][:-1])
    if op == ATTENTION:
        q, k, v = inputs[:3]
        return 2.0 * prod(q[:-1]) * k[-2] * (q[-1] + v[-1])
    if op == "attention_weights":
        q, k = inputs[:2]
        return 2.0 * prod(q) * k[-2]
    if op == f"{ATTENTION}_backward" and len(outputs) == 3:  # a kernel's own
        q, k, v = outputs
        return 2.0 * prod(q[:-1]) * k[-2] * (3 * q[-1] + 2 * v[-1])
    if op == "conv2d_backward" and outputs[-1][0] != inputs[0][0]:  # (x's and) w's gradient
        return 2.0 * len(outputs) * prod(inputs[0]) * prod(outputs[-1][:-1])
    if op == "linear_backward" and len(outputs) > 1 and len(outputs[1]) == 2:
        return 4.0 * prod(inputs[0]) * outputs[1][0]
    return None
