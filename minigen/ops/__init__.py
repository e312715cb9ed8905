"""Everything differentiable that has a name of its own.

Images are (N, H, W, C), filters (KH, KW, C, O). Names and arguments are NumPy's where NumPy has the
op, else those of torch.nn.functional.
"""

from minigen.autograd import broadcast_to, matmul, reshape, transpose
from minigen.autograd import sum_ as sum
from minigen.ops.attention import rotary_embedding, scaled_dot_product_attention
from minigen.ops.conv import conv2d, conv_transpose2d
from minigen.ops.elementwise import abs_ as abs
from minigen.ops.elementwise import (
    clip,
    cos,
    exp,
    gelu,
    leaky_relu,
    log,
    maximum,
    minimum,
    relu,
    sigmoid,
    silu,
    sin,
    sqrt,
    tanh,
    where,
)
from minigen.ops.fused import group_norm_silu_conv2d
from minigen.ops.gate import gated_tanh
from minigen.ops.linear import linear
from minigen.ops.loss import (
    bce_with_logits,
    cross_entropy,
    gaussian_kl,
    huber_loss,
    kl_per_latent,
    l1_loss,
    mse_loss,
)
from minigen.ops.norm import (
    batch_norm,
    group_norm,
    group_norm_silu,
    instance_norm,
    layer_norm,
    rms_norm,
)
from minigen.ops.reduce import cumsum, log_softmax, logsumexp, mean, softmax, var
from minigen.ops.reduce import max_ as max
from minigen.ops.resample import (
    avg_pool2d,
    max_pool2d,
    pixel_shuffle,
    space_to_depth,
    upsample,
)
from minigen.ops.shape import concat, flip, pad, split, stack, take
from minigen.ops.shape import slice_ as slice

__all__ = [
    "abs",
    "avg_pool2d",
    "batch_norm",
    "bce_with_logits",
    "broadcast_to",
    "clip",
    "concat",
    "conv2d",
    "conv_transpose2d",
    "cos",
    "cross_entropy",
    "cumsum",
    "exp",
    "flip",
    "gated_tanh",
    "gaussian_kl",
    "gelu",
    "group_norm",
    "group_norm_silu",
    "group_norm_silu_conv2d",
    "huber_loss",
    "instance_norm",
    "kl_per_latent",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log",
    "log_softmax",
    "logsumexp",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "minimum",
    "mse_loss",
    "pad",
    "pixel_shuffle",
    "relu",
    "reshape",
    "rms_norm",
    "rotary_embedding",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "sin",
    "slice",
    "softmax",
    "space_to_depth",
    "split",
    "sqrt",
    "stack",
    "sum",
    "take",
    "tanh",
    "transpose",
    "upsample",
    "var",
    "where",
]
