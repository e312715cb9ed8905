"""avg_pool2d_grad, a thread for each number: the way back of avg_pool2d/k1_elementwise.py.

New: nothing; both kernels are that file's.
Prediction: as there.
Measured: not yet on a GPU.

Shapes: g (N, OH, OW, C) -> (N, H, W, C) with `size` = (H, W), float32, every size.
Launch, Source, Teaches: as there.
"""

from minigen.kernels.avg_pool2d.k1_elementwise import gather, pair, refusal, scatter


def supports(g, *, size, kernel_size, stride, padding):
    if reason := refusal(g, max(pair(stride))):
        return reason
    steps = zip(size, pair(kernel_size), pair(stride), pair(padding))
    pooled = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in steps)
    return None if g.shape[1:3] == pooled else "the shapes do not fit"


def launch(g, *, size, kernel_size, stride, padding):
    steps = (*pair(kernel_size), *pair(stride), *pair(padding))
    share = 1 / (steps[0] * steps[1])
    return scatter(g, size, steps, share), lambda h, needs: (gather(h, steps, share),)
