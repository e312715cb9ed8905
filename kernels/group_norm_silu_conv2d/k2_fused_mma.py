"""conv2d(group_norm_silu(x), w, padding=1) on the tensor cores.

New since k1: x and w are rounded to 16 bits while they are brought to shared memory, and a warp
multiplies 16 pixels of 16 channels with 8 outputs in one instruction.
Prediction: several times k1, and then held up by what surrounds the multiplications: the norm, and
loads that nothing overlaps. Reads of w that were rounded once, by cp.async, would be next.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C), weight and bias (C,) or (N, C), w (3, 3, C, O) -> (N, H, W, O), float32,
every size. Forward only.
Precision: use_precision("bf16") or "fp16"; what is multiplied is rounded to 8 and 11 bits, the
statistics and the norm are not. Not in "fp32" and "tf32".
Launch: 128 threads, four warps, for 8 x 16 pixels x 64 outputs; 29 KB of shared memory.
Source: PTX ISA 8.5, section 9.7.14.5.
Teaches: a convolution as nine products that read one tile, each a pixel further.
"""

import numpy as np

from minigen.kernels import gpu, precision
from minigen.kernels.group_norm_silu_conv2d import cuda_shapes
from minigen.kernels.group_norm_silu_conv2d.cuda_shapes import arranged
from minigen.kernels.launch import CudaFile, blocks, empty

kernels = CudaFile(__file__)
NUMBERS = {  # C's type, what rounds to it, the instruction
    "fp16": {"NUMBER": "__half", "ROUND": "__float2half", "MMA": "mg_mma_f16"},
    "bf16": {"NUMBER": "__nv_bfloat16", "ROUND": "__float2bfloat16", "MMA": "mg_mma_bf16"},
}


def supports(x, weight, bias, w, *, num_groups, eps):
    if reason := cuda_shapes.supports(x, weight, bias, w, num_groups=num_groups, eps=eps):
        return reason
    if (chosen := precision.current()) not in NUMBERS:
        return f"it rounds to 16 bits, and the precision is {chosen}"
    if not isinstance(x, np.ndarray) and gpu.capability() < (8, 0):
        return "it needs a GPU of compute capability 8.0 or more"
    return None


def launch(x, weight, bias, w, *, num_groups, eps):
    arrays, sizes = arranged(x, weight, bias, w, num_groups, eps)
    (N, H, W), O = x.shape[:3], w.shape[3]
    y = empty((N, H, W, O), x)
    grid = (N * blocks(H, 8) * blocks(W, 16), blocks(O, 64))
    kernels.launch("conv", grid, (128,), *arrays, y, *sizes, **NUMBERS[precision.current()])
    return y, None
