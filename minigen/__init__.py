"""minigen: every algorithm behind AI painting, from scratch, in code to read in one sitting.

    >>> from minigen import Tensor
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.], dtype=float32)

`import minigen` needs NumPy alone; everything else is imported by the module that uses it.
"""

import importlib
from typing import Any

from minigen.autograd import Tensor, no_grad
from minigen.backend import explain, use_kernels, use_precision

__version__ = "0.1.0"
__all__ = ["Tensor", "explain", "no_grad", "use_kernels", "use_precision"]


def __getattr__(name: str) -> Any:
    if name == "check":  # mg.check.matmul(my_kernel): a room above, imported by who asks for it
        return importlib.import_module("minigen.check")
    raise AttributeError(f"module 'minigen' has no attribute {name!r}")
