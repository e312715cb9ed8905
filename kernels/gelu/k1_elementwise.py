"""gelu, exact or by tanh, four numbers a thread.

New since the reference: as silu; CUDA has erfc, which keeps the digits of small probabilities.
Prediction: the speed of memory by tanh; the exact form computes more, perhaps enough to show.
Measured: not yet on a GPU.

Shapes: every one, float32; arrays whose address is no multiple of 16 a number at a time.
Launch: as many blocks of 256 threads as there are packs of four for, 2048 at most.
Source: Hendrycks and Gimpel, 2016, arXiv 1606.08415, section 2.
Teaches: two functions from one text, chosen when it is compiled.
"""

from minigen.kernels.elements import elementwise
from minigen.kernels.launch import CudaFile, only_cuda

kernels = CudaFile(__file__)


def supports(x, *, approximate="none"):
    if approximate not in ("none", "tanh"):
        return 'approximate is neither "none" nor "tanh"'
    return only_cuda(x)


def launch(x, *, approximate="none"):
    TANH = int(approximate == "tanh")
    y = elementwise(kernels, "forward", x, TANH=TANH)
    return y, lambda g, needs: (elementwise(kernels, "backward", g, x, TANH=TANH),)
