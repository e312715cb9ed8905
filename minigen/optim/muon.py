"""Muon: momentum for matrices, every step made orthogonal."""

import math
from collections.abc import Iterable

from minigen.autograd import Tensor
from minigen.backend import Array, array_module
from minigen.optim.optimizer import Optimizer, Parameters


class Muon(Optimizer):
    """Momentum with every step made orthogonal: all directions of a matrix move by the same amount.

        b = momentum b + (1 - momentum) g
        u = orthogonalise((1 - momentum) g + momentum b if nesterov else b)
        p = (1 - lr weight_decay) p - lr sqrt(max(1, n_out / n_in)) u

    For the weights of hidden layers, seen as matrices (n_in, n_out): Linear as it is, Conv2d (KH,
    KW, C, O) as (KH KW C, O). The factor is that of the source, max(1, rows / columns)^0.5, whose
    matrices are (n_out, n_in), ours transposed. Biases, norms, embeddings, the first and the last
    layer are for AdamW: see `split_matrices`.

    Raises: ValueError for a parameter with fewer than 2 axes.
    Source: Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024,
    kellerjordan.github.io/posts/muon.
    """

    slots = ("momentum",)

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr, weight_decay)
        self.momentum, self.nesterov = momentum, nesterov
        flat = [name for name, p in self.parameters.items() if p.ndim < 2]
        if flat:
            raise ValueError(
                f"Muon: matrices only, these have fewer than 2 axes: {', '.join(flat)}"
            )

    def update(self, p: Array, g: Array, **buffers: Array) -> None:
        xp, step, b = array_module(p), self.scratch.like(p), buffers["momentum"]
        xp.subtract(g, b, out=step)
        step *= 1 - self.momentum
        b += step
        if self.nesterov:
            xp.subtract(b, g, out=step)
            step *= self.momentum
            step += g
        else:
            step[...] = b
        n_in, n_out = p.size // p.shape[-1], p.shape[-1]
        u = orthogonalise(step.reshape(n_in, n_out))
        u *= self.lr * math.sqrt(max(1, n_out / n_in))
        p *= 1 - self.lr * self.weight_decay
        p -= u.reshape(p.shape)


def orthogonalise(x: Array, steps: int = 5, eps: float = 1e-7) -> Array:
    """About U V^T for x = U S V^T: Newton-Schulz steps that bring every singular value near 1.

        x = x / |x|;   five times:  x = p x  with  a = x x^T,  p = 3.4445 - 4.7750 a + 2.0315 a a

    A step maps each singular value s to 3.4445 s - 4.7750 s^3 + 2.0315 s^5, which is steep at 0 and
    stays between 0.68 and 1.21 from there on. As p x has the Gram matrix p a p, only the small
    matrices a and q = p ... p are iterated, and x is multiplied once, at the end. Of a matrix with
    more rows than columns the transpose is taken, so that a is the smaller of its Gram matrices.

    Shapes: (rows, columns) -> the same, a new array.
    Source: Jordan et al., 2024, as for Muon.
    """
    if x.shape[0] > x.shape[1]:
        return orthogonalise(x.T, steps, eps).T
    x = x / (float(array_module(x).linalg.norm(x)) + eps)
    a, q = x @ x.T, None  # (rows, rows)
    for step in range(steps):
        p = a @ a
        p *= 2.0315
        p -= 4.7750 * a
        p.reshape(-1)[:: len(p) + 1] += 3.4445  # the diagonal
        q = p if q is None else p @ q
        if step < steps - 1:
            a = p @ a @ p
    return q @ x


def split_matrices(
    named_parameters: Iterable[tuple[str, Tensor]], exclude: Iterable[str] = ()
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(weight matrices of hidden layers, all the rest): the first for Muon, the second for AdamW.

    `exclude` names what is no hidden layer though it has two axes: a parameter goes to the rest if
    any part of its dotted name stands there. Of a UNet these are "input", "output" and "positions".
    """
    outside = set(exclude)
    matrices: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    for name, p in named_parameters:
        hidden = p.ndim >= 2 and not outside & set(name.split("."))
        (matrices if hidden else rest)[name] = p
    return matrices, rest
