"""conv2d in Numba CUDA, a thread for each number of the result.

New: nothing yet; the formula as it stands. The threads of a warp differ in the output channel, so
they read the same x[...] at once and neighbours in w.

Prediction: far from the arithmetic's limit; each multiplication fetches two numbers, from the
caches at best.
Measured: not yet on a GPU.

Shapes: x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O), float32, every size.
Launch: blocks of 128 numbers of y, in the order of memory.
Source: arXiv 1603.07285, relationship 6.
Teaches: the bounds check of a padded image, which stands in the innermost loops.
"""

from numba import cuda, float32

from minigen.kernels.launch import blocks, empty
from minigen.kernels.simulator import start, supports_arrays


def supports(x, w, *, stride=1, padding=0):
    if reason := supports_arrays(x, w):
        return reason
    if x.ndim != 4 or w.ndim != 4 or x.shape[3] != w.shape[2]:
        return "the shapes do not fit"
    if min(*_sizes(x, w, stride, padding), *x.shape, *w.shape) < 1:
        return "an axis is empty"
    return None


def launch(x, w, *, stride=1, padding=0):
    y = empty((len(x), *_sizes(x, w, stride, padding), w.shape[3]), x)
    (SH, SW), (PH, PW) = _pair(stride), _pair(padding)
    start(conv2d, (blocks(y.size, 128),), (128,), x, w, y, SH, SW, PH, PW)
    return y, None


def _pair(value):
    return (value, value) if isinstance(value, int) else value


def _sizes(x, w, stride, padding):
    steps = zip(x.shape[1:3], w.shape[:2], _pair(stride), _pair(padding))
    return [(size + 2 * p - kernel) // s + 1 for size, kernel, s, p in steps]


@cuda.jit
def conv2d(x, w, y, SH, SW, PH, PW):
    N, OH, OW, O = y.shape
    _, H, W, C = x.shape
    i = cuda.grid(1)
    if i >= N * OH * OW * O:
        return
    o, q, p, n = i % O, i // O % OW, i // (O * OW) % OH, i // (O * OW * OH)
    total = float32(0)
    for kh in range(w.shape[0]):
        for kw in range(w.shape[1]):
            h, v = p * SH + kh - PH, q * SW + kw - PW
            if 0 <= h < H and 0 <= v < W:  # outside of the image x is 0
                for c in range(C):
                    total += x[n, h, v, c] * w[kh, kw, c, o]
    y[n, p, q, o] = total
