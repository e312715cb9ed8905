"""What all optimisers share: parameters, the buffers of each, the state, the threads."""

import threading
from collections.abc import Iterable

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import Array, array_module, as_array, move
from minigen.parallel import parallel_map

Parameters = Iterable[Tensor] | Iterable[tuple[str, Tensor]]


def named(parameters: Parameters, what: str) -> dict[str, Tensor]:
    """Name (or number) -> parameter, each parameter once."""
    pairs = [p if isinstance(p, tuple) else (str(i), p) for i, p in enumerate(parameters)]
    if not pairs:
        raise ValueError(f"{what}: got no parameters")
    first = {id(p): name for name, p in reversed(pairs)}  # a tied one goes by its first name
    return {name: p for name, p in pairs if first[id(p)] == name}


class Scratch(threading.local):
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
        self.parameters = named(parameters, type(self).__name__)
        self.lr, self.weight_decay, self.steps = lr, weight_decay, 0
        self.buffers = {
            name: {slot: array_module(p.data).zeros_like(p.data) for slot in self.slots}
            for name, p in self.parameters.items()
        }
        self.scratch = Scratch()

    def step(self) -> None:
        """Move every parameter that has a gradient; several at once where `workers` is above 1."""
        self.steps += 1
        names = [name for name, p in self.parameters.items() if p.grad is not None]
        for name in names:
            self._follow(name)
        if not names or self.update_all(names):
            return
        if self.workers > 1:
            names.sort(key=lambda name: -self.parameters[name].size)  # the longest work first
            parallel_map(self._move, names)
        else:
            for name in names:
                self._move(name)

    def _follow(self, name: str) -> None:
        """Bring the buffers to where their parameter is, after to(device) or astype."""
        p, own = self.parameters[name], self.buffers[name]
        for slot, a in own.items():
            if type(a) is not type(p.data) or a.dtype != p.dtype:
                own[slot] = as_array(move(a, p.device), p.dtype)

    def _move(self, name: str) -> None:
        p = self.parameters[name]
        assert p.grad is not None
        self.update(p.data, p.grad.data, **self.buffers[name])

    def update_all(self, names: list[str]) -> bool:
        """Whether a kernel was chosen, and has updated all of these parameters at once."""
        return False

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
        compare(type(self).__name__, state, self.state_dict())
        self.steps, self.lr = int(state["steps"]), float(state["lr"])
        for name, own in self.buffers.items():
            for slot, a in own.items():
                a[...] = array_module(a).asarray(state[f"{name}.{slot}"], a.dtype)


def compare(what: str, state: dict[str, np.ndarray], own: dict[str, np.ndarray]) -> None:
    """Raise one message with every name that is missing, unexpected or of another shape."""
    faults = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another shape": [n for n in own if n in state and state[n].shape != own[n].shape],
    }
    lines = [f"{fault}: {', '.join(names)}" for fault, names in faults.items() if names]
    if lines:
        raise ValueError(f"load_state_dict of {what}: " + ". ".join(lines))
