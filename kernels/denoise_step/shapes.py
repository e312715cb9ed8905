"""What a step takes, and changes in place.

    prediction  (N, ...), or (2 N, ...) for guidance: N with their conditions, then N without
    x           (N, ...), becomes the x of the next step
    x0_hat      (N, ...), becomes the guess of this step; it holds that of the step before
    table       (T, 8), see table.py
    step        (1,) int32, which row
    noise       an array as x; or a seed, (2,) uint32 as minigen.kernels.philox.key_of gives it,
                from which the step's noise is drawn; or None where the sampler has none

x and x0_hat are changed where they are, because a captured loop finds them there at its next turn;
step is left to the loop to count.
"""

from minigen.kernels.launch import contiguous, only_cuda

THREADS = 256


def supports(prediction, x, x0_hat, table, step, noise=None):
    floats = [prediction, x, x0_hat, table]
    if is_seed(noise):
        return "it takes the noise as an array, not as a seed"
    return refusal([*floats, noise] if noise is not None else floats, step)


def is_seed(noise):
    return noise is not None and noise.dtype == "uint32"


def refusal(floats, step):
    """None, or why prediction, x, x0_hat, table and perhaps noise cannot be taken."""
    if reason := only_cuda(*floats) or only_cuda(step, dtype="int32"):
        return reason
    prediction, x, x0_hat, table, *noise = floats
    N = x.shape[0] if x.ndim else 0
    fits = prediction.shape in (x.shape, (2 * N, *x.shape[1:])) and x0_hat.shape == x.shape
    if not (fits and all(a.shape == x.shape for a in noise)):
        return "the shapes do not fit"
    if table.ndim != 2 or table.shape[1] != 8 or step.shape != (1,):
        return "table is not (T, 8), or step not (1,)"
    if not x.size:
        return "there is no picture"
    if not all(a.flags.c_contiguous for a in (x, x0_hat, table)):
        return "x, x0_hat or table does not lie in order"
    return None


def arguments(prediction, x, noise):
    """The prediction in order, whether it has both halves, and the noise in order."""
    guided = prediction.shape != x.shape
    return contiguous(prediction), guided, None if noise is None else contiguous(noise)
