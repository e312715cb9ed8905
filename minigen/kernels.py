"""The door to the top-level folder `kernels/`: `minigen.kernels.conv2d` is `kernels/conv2d/`.

The folder cannot be imported under its own name: `kernels` belongs to another package, and an
`__init__.py` in it would shadow that package for anyone who stands in the checkout. So this module
says where its submodules live: in `_kernels/` beside it in an installed wheel, in `../kernels` in a
checkout.
"""

from pathlib import Path

_here = Path(__file__).resolve().parent
_installed, _checkout = _here / "_kernels", _here.parent / "kernels"

__path__ = [str(_installed if _installed.is_dir() else _checkout)]
