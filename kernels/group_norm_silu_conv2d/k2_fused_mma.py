"""conv2d(group_norm_silu(x), w, padding=1) on the tensor cores.

New since k1: a warp multiplies 16 pixels of 16 channels with 8 outputs in one instruction. x is
rounded to 16 bits once it is normalised; w by a small kernel before, so that cp.async can bring it
while the block norms.
Prediction: several times k1, and then held up by what surrounds the multiplications: the norm, and
loads of x that only other blocks on the same multiprocessor overlap.
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
from minigen.kernels.elements import vector_of
from minigen.kernels.group_norm_silu_conv2d import cuda_shapes
from minigen.kernels.group_norm_silu_conv2d.cuda_shapes import arranged
from minigen.kernels.launch import CudaFile, blocks, empty

kernels = CudaFile(__file__)
CHANNELS, OUTPUTS = 16, 64  # of a slice, of a block, as in the .cu file
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
    (*arrays, w), sizes = arranged(x, weight, bias, w, num_groups, eps)
    (N, H, W, C), O = x.shape, w.shape[3]
    CP, OP = CHANNELS * blocks(C, CHANNELS), OUTPUTS * blocks(O, OUTPUTS)
    y, packed = empty((N, H, W, O), x), empty((9, CP, OP // 8, 4), x, "uint32")
    how = {**NUMBERS[precision.current()], "VECTOR": vector_of(C, arrays[0])}
    chunks = 9 * CP * OP // 8
    kernels.launch("pack", (blocks(chunks, 128),), (128,), w, packed, C, O, CP, OP, **how)
    grid = (N * blocks(H, 8) * blocks(W, 16), OP // OUTPUTS)
    kernels.launch("conv", grid, (128,), *arrays, packed, y, CP, OP, *sizes, **how)
    return y, None
