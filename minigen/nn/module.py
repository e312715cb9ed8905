"""Module: a layer or a network as an object that owns its parameters.

    class Affine(Module):
        def __init__(self, width):
            self.scale = Parameter(np.ones(width, np.float32))
            self.shift = Parameter(np.zeros(width, np.float32))

        def forward(self, x):
            return x * self.scale + self.shift

What a Module owns is what stands in its attributes: a `Parameter` is trained, a `Buffer` is kept
but not trained, a `numpy.random.Generator` is where it draws from, a `Module` is a part. Nothing is
registered, and no `super().__init__()` is needed. Names are the paths to them:
`down.0.conv1.weight`.
"""

from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import array_module, in_use, move

_asked: ContextVar[bool] = ContextVar("asked", default=False)


def _answer(y: Any) -> Any:
    return y.to("cpu") if isinstance(y, Tensor) and not y.requires_grad else y


class Parameter(Tensor):
    """A Tensor that training changes.

    It is one object for life: moving, converting and loading replace or overwrite its `.data`, so
    optimisers, averages and tied layers keep pointing at it.
    """

    __slots__ = ()

    def __init__(self, data: Any):
        super().__init__(data, requires_grad=True)


class Buffer(Tensor):
    """A Tensor of a module's state that is not trained: running statistics, fixed tables."""

    __slots__ = ()

    def __init__(self, data: Any):
        super().__init__(data)


class Module:
    """Base of every layer and network: `module(x)` runs `forward(x)`."""

    training = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: forward is not written")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if in_use.get() == "cpu":
            return self.forward(*args, **kwargs)
        return self._ask(args, kwargs)

    def _ask(self, args: Any, kwargs: Any) -> Any:
        """Inside `minigen.backend.use_device`: a network that is asked from the host answers there,
        unless the answer is for backward().
        """
        given = (*args, *kwargs.values())
        if _asked.get() or any(getattr(x, "device", "cpu") != "cpu" for x in given):
            return self.forward(*args, **kwargs)
        token = _asked.set(True)  # so that its parts answer where they are
        try:
            y = self.forward(*args, **kwargs)
        finally:
            _asked.reset(token)
        return tuple(map(_answer, y)) if type(y) is tuple else _answer(y)

    # ------------------------------------------------------------------------------- what is inside

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The direct parts, in the order in which they were assigned."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """(name, module) of this module, called `prefix`, and of all its parts, each once."""
        seen: set[int] = set()
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            children = [
                (f"{name}.{key}".lstrip("."), child) for key, child in module.named_children()
            ]
            stack.extend(reversed(children))

    def modules(self) -> Iterator["Module"]:
        """This module and every part of it."""
        return (module for _, module in self.named_modules())

    def _named(self, kind: type) -> Iterator[tuple[str, Any]]:
        """(name, object) of type `kind` in here; a tied one comes once, under its first name."""
        seen: set[int] = set()
        for path, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, kind) and id(value) not in seen:
                    seen.add(id(value))
                    yield f"{path}.{name}".lstrip("."), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter); a tied parameter comes once, under its first name."""
        return self._named(Parameter)

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter, once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """(name, buffer)."""
        return self._named(Buffer)

    # ---------------------------------------------------------------------------------------- state

    def _named_state(self) -> dict[str, Tensor]:
        return dict(self.named_parameters()) | dict(self.named_buffers())

    def state_dict(self) -> dict[str, np.ndarray]:
        """Name -> a copy, on the CPU, of every parameter and buffer."""
        return {name: np.array(tensor.numpy()) for name, tensor in self._named_state().items()}

    def load_state_dict(self, state: dict[str, np.ndarray], strict: bool = True) -> None:
        """Overwrite parameters and buffers by name; each keeps its dtype and its device, but inside
        `minigen.backend.use_device` all go there.

        strict=False leaves what has no entry as it is and skips entries that nothing is called;
        shapes must agree always.
        Raises: ValueError, one message for all that is missing, unexpected or of another shape;
        nothing is changed then.
        """
        own = self._named_state()
        missing = [name for name in own if name not in state] if strict else []
        unexpected = [name for name in state if name not in own] if strict else []
        reshaped = [
            f"{name} {tuple(state[name].shape)}, expected {tensor.shape}"
            for name, tensor in own.items()
            if name in state and tuple(state[name].shape) != tensor.shape
        ]
        faults = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped}
        lines = [f"{fault}: {'; '.join(names)}" for fault, names in faults.items() if names]
        if lines:
            raise ValueError(f"load_state_dict of {type(self).__name__}: " + ". ".join(lines))
        if in_use.get() != "cpu":
            self.to(in_use.get())
        for name, tensor in own.items():
            if name in state:
                tensor.data[...] = array_module(tensor.data).asarray(state[name], tensor.dtype)

    def rng_state(self) -> dict[str, dict[str, Any]]:
        """Name -> state of every random generator in here (Dropout has one), ready for JSON.

        It is not part of `state_dict`: weights are for everyone, the place in a random stream is
        for resuming a training.
        """
        return {name: rng.bit_generator.state for name, rng in self._named(np.random.Generator)}

    def load_rng_state(self, state: dict[str, dict[str, Any]]) -> None:
        """Set every random generator in here to where `rng_state` was taken.

        Raises: ValueError where the names differ.
        """
        own = dict(self._named(np.random.Generator))
        if own.keys() != state.keys():
            raise ValueError(f"load_rng_state: got {sorted(state)}, expected {sorted(own)}")
        for name, rng in own.items():
            rng.bit_generator.state = state[name]

    # ------------------------------------------------------------------------------- mode and place

    def train(self, mode: bool = True) -> Self:
        """Training behaviour of Dropout and BatchNorm2d, here and in every part."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Behaviour in use: Dropout passes all, BatchNorm2d takes its running statistics."""
        return self.train(False)

    def to(self, device: str) -> Self:
        """Move every parameter and buffer to "cpu" or "gpu", and drop the gradients.

        The parameters stay the same objects: tied ones stay tied, and optimisers follow.
        """
        for tensor in self._named_state().values():
            tensor.data, tensor.grad = move(tensor.data, device), None
        return self

    def astype(self, dtype: Any) -> Self:
        """Convert every parameter and buffer to another float type, and drop the gradients.

        In float64 a gradient can be checked against differences.
        """
        for tensor in self._named_state().values():
            if tensor.dtype.kind == "f":
                tensor.data, tensor.grad = tensor.data.astype(dtype), None
        return self

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters():
            parameter.grad = None


class ModuleList(Module):
    """Modules in a row, named "0", "1", ...: to loop over in a `forward`."""

    def __init__(self, modules: Iterable[Module] = ()):
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> None:
        """Add one at the end."""
        setattr(self, str(len(self)), module)

    def __len__(self) -> int:
        return sum(1 for _ in self.named_children())

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self.named_children())

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class Sequential(ModuleList):
    """Modules in a row, each applied to what the one before returned.

    A plain function from Tensor to Tensor may stand in the row too: Sequential(Linear(...), silu,
    Linear(...)).
    """

    def __init__(self, *modules: Any):
        super().__init__(m if isinstance(m, Module) else Function(m) for m in modules)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x


class Function(Module):
    """A function without parameters as a part of a Sequential."""

    def __init__(self, function: Any):
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)
