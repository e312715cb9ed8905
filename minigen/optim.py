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
"""

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import Array, array_module, as_array, move
from minigen.parallel import parallel_map

Parameters = Iterable[Tensor] | Iterable[tuple[str, Tensor]]


def _named(parameters: Parameters, what: str) -> dict[str, Tensor]:
    """Name (or number) -> parameter, each parameter once."""
    pairs = [p if isinstance(p, tuple) else (str(i), p) for i, p in enumerate(parameters)]
    if not pairs:
        raise ValueError(f"{what}: got no parameters")
    first = {id(p): name for name, p in reversed(pairs)}  # a tied one goes by its first name
    return {name: p for name, p in pairs if first[id(p)] == name}


class _Scratch(threading.local):
    """Memory for one intermediate array at a time in each thread, as large as the largest."""

    def __init__(self) -> None:
        self.memory: Array = np.empty(0, np.float32)

    def like(self, a: Array) -> Array:
        m = self.memory
        if type(m) is not type(a) or m.dtype != a.dtype or m.size < a.size:
            self.memory = array_module(a).empty(a.size, a.dtype)
        return self.memory[: a.size].reshape(a.shape)


class Optimizer:
    """What all optimisers share: parameters, the buffers of `slots` for each, and the state."""

    slots: tuple[str, ...] = ()
    workers = 1  # threads, each at another parameter; the result is the same

    def __init__(self, parameters: Parameters, lr: float, weight_decay: float = 0.0):
        self.parameters = _named(parameters, type(self).__name__)
        self.lr, self.weight_decay, self.steps = lr, weight_decay, 0
        self.buffers = {
            name: {slot: array_module(p.data).zeros_like(p.data) for slot in self.slots}
            for name, p in self.parameters.items()
        }
        self.scratch = _Scratch()

    def step(self) -> None:
        """Move every parameter that has a gradient; several at once where `workers` is above 1."""
        self.steps += 1
        names = [name for name, p in self.parameters.items() if p.grad is not None]
        if self.workers > 1:
            parallel_map(self._move, names)
        else:
            for name in names:
                self._move(name)

    def _move(self, name: str) -> None:
        p, own = self.parameters[name], self.buffers[name]
        for slot, a in own.items():
            if type(a) is not type(p.data) or a.dtype != p.dtype:  # after to(device), astype
                own[slot] = as_array(move(a, p.device), p.dtype)
        assert p.grad is not None
        self.update(p.data, p.grad.data, **own)

    def update(self, p: Array, g: Array, **buffers: Array) -> None:
        """Change `p` in place, by the gradient `g`."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters.values():
            p.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """ "{name}.{slot}" -> a copy of the buffer, and "steps", "lr" as 0-d arrays: all that a
        bit-for-bit resume needs.
        """
        state = {"steps": np.array(self.steps, np.int64), "lr": np.array(self.lr, np.float64)}
        for name, own in self.buffers.items():
            state |= {f"{name}.{slot}": np.array(move(a, "cpu")) for slot, a in own.items()}
        return state

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state_dict` gave.

        Raises: ValueError where names or shapes differ; nothing is changed then.
        """
        _compare(type(self).__name__, state, self.state_dict())
        self.steps, self.lr = int(state["steps"]), float(state["lr"])
        for name, own in self.buffers.items():
            for slot, a in own.items():
                a[...] = array_module(a).asarray(state[f"{name}.{slot}"], a.dtype)


def _compare(what: str, state: dict[str, np.ndarray], own: dict[str, np.ndarray]) -> None:
    """Raise one message with every name that is missing, unexpected or of another shape."""
    faults = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another shape": [n for n in own if n in state and state[n].shape != own[n].shape],
    }
    lines = [f"{fault}: {', '.join(names)}" for fault, names in faults.items() if names]
    if lines:
        raise ValueError(f"load_state_dict of {what}: " + ". ".join(lines))


class SGD(Optimizer):
    """Gradient descent with momentum.

        g = g + weight_decay p
        b = momentum b + g, from b = 0
        p = p - lr (g + momentum b if nesterov else b)

    Source: Sutskever et al., 2013, in the form of torch.optim.SGD.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        self.slots = ("momentum",) if momentum else ()
        super().__init__(parameters, lr, weight_decay)
        self.momentum, self.nesterov = momentum, nesterov

    def update(self, p: Array, g: Array, **buffers: Array) -> None:
        xp, step = array_module(p), self.scratch.like(p)
        xp.multiply(p, self.weight_decay, out=step)
        step += g
        if self.momentum:
            b = buffers["momentum"]
            b *= self.momentum
            b += step
            if self.nesterov:
                step *= self.lr
                p -= step
            xp.multiply(b, self.momentum if self.nesterov else 1.0, out=step)
        step *= self.lr
        p -= step


class Adam(Optimizer):
    """Steps of about lr in each coordinate: the gradient's mean over the root of its mean square.

        m = beta1 m + (1 - beta1) g,      m_hat = m / (1 - beta1^steps)
        v = beta2 v + (1 - beta2) g^2,    v_hat = v / (1 - beta2^steps)
        p = p - lr m_hat / (sqrt(v_hat) + eps)

    `weight_decay` is added to the gradient (g + weight_decay p); see AdamW for decay apart from it.
    Source: Kingma and Ba, 2015, algorithm 1, arXiv 1412.6980.
    """

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr, weight_decay)
        self.betas, self.eps = betas, eps

    def update(self, p: Array, g: Array, **buffers: Array) -> None:
        self._adapt(p, g + self.weight_decay * p if self.weight_decay else g, **buffers)

    def _adapt(self, p: Array, g: Array, m: Array, v: Array) -> None:
        xp, step, (beta1, beta2) = array_module(p), self.scratch.like(p), self.betas
        xp.subtract(g, m, out=step)
        step *= 1 - beta1
        m += step
        xp.multiply(g, g, out=step)
        step *= 1 - beta2
        v *= beta2
        v += step
        xp.sqrt(v, out=step)
        step *= (1 - beta2**self.steps) ** -0.5
        step += self.eps
        xp.divide(m, step, out=step)
        step *= self.lr / (1 - beta1**self.steps)
        p -= step


class AdamW(Adam):
    """Adam with the decay p = p - lr weight_decay p apart from the gradient and its scaling.

    Source: Loshchilov and Hutter, 2019, algorithm 2, arXiv 1711.05101.
    """

    def update(self, p: Array, g: Array, **buffers: Array) -> None:
        if self.weight_decay:
            p *= 1 - self.lr * self.weight_decay
        self._adapt(p, g, **buffers)


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
    for _ in range(steps):
        p = a @ a
        p *= 2.0315
        p -= 4.7750 * a
        p.flat[:: len(p) + 1] += 3.4445  # the diagonal
        a = p @ a @ p
        q = p if q is None else p @ q
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


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Shorten all gradients by one factor to a joint length <= max_norm; returns that before.

    norm = sqrt(sum over parameters of |g|^2). Where it is not finite the gradients stay as they
    are, for the caller to see.
    Source: Pascanu, Mikolov and Bengio, 2013, algorithm 1, arXiv 1211.5063.
    """
    gradients = [(p, p.grad.data) for p in parameters if p.grad is not None]
    norm = math.sqrt(sum(float(array_module(g).vdot(g, g)) for _, g in gradients))
    if math.isfinite(norm) and norm > max_norm:
        for p, g in gradients:  # a new array: two gradients may share one
            p.grad = Tensor(g * (max_norm / norm))
    return norm


class EMA:
    """The exponential moving average of a model's parameters: what one samples with.

        n = n + 1;  d = min(decay, (1 + n) / (10 + n));  average = d average + (1 - d) p

    The second bound lets the average follow fast while the model is young. Takes a Module, or
    parameters as optimisers do.
    Source: Ho et al., 2020, appendix B, arXiv 2006.11239; the warm-up is that of
    tf.train.ExponentialMovingAverage.
    """

    def __init__(self, model: Any, decay: float = 0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"EMA: decay is {decay}, expected 0 <= decay < 1")
        self.parameters = _parameters_of(model)
        self.decay, self.updates = decay, 0
        self.averages = {name: p.data.copy() for name, p in self.parameters.items()}
        self.scratch = _Scratch()

    def update(self) -> None:
        """Take in the parameters as they are now, after an optimiser's step."""
        self.updates += 1
        d = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, p in self.parameters.items():
            average = self.averages[name] = as_array(move(self.averages[name], p.device), p.dtype)
            difference = self.scratch.like(average)
            array_module(average).subtract(p.data, average, out=difference)
            difference *= 1 - d
            average += difference

    def copy_to(self, model: Any) -> None:
        """Write the averages into a model's parameters of the same names."""
        own = _parameters_of(model)
        _compare("EMA", self.averages, {name: p.data for name, p in own.items()})
        for name, p in own.items():
            p.data[...] = array_module(p.data).asarray(move(self.averages[name], p.device), p.dtype)

    @contextmanager
    def applied(self, model: Any) -> Iterator[None]:
        """Inside the block the model has the averages, afterwards its own weights again."""
        own = {name: p.data.copy() for name, p in _parameters_of(model).items()}
        self.copy_to(model)
        try:
            yield
        finally:
            for name, p in _parameters_of(model).items():
                p.data[...] = own[name]

    def state_dict(self) -> dict[str, np.ndarray]:
        """Name -> a copy of the average, and "updates" as a 0-d array."""
        averages = {name: np.array(move(a, "cpu")) for name, a in self.averages.items()}
        return {"updates": np.array(self.updates, np.int64), **averages}

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state_dict` gave.

        Raises: ValueError where names or shapes differ; nothing is changed then.
        """
        _compare("EMA", state, self.state_dict())
        self.updates = int(state["updates"])
        for name, a in self.averages.items():
            a[...] = array_module(a).asarray(state[name], a.dtype)


def _parameters_of(model: Any) -> dict[str, Tensor]:
    """Of a Module, or of an iterable of parameters or pairs."""
    named: Callable[[], Any] | None = getattr(model, "named_parameters", None)
    return _named(named() if named else model, "EMA")
