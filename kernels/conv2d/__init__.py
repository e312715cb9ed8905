"""conv2d. On the CPU cpu_columns takes every filter, Winograd's are for 3x3 at stride 1."""

RUNGS = ["cpu_columns", "cpu_winograd2", "cpu_winograd4"]
# In the order of a prediction, not yet measured on a GPU.
CUDA_RUNGS = [
    "numba_naive",
    "k1_naive",
    "k2_halo",
    "k3_columns",
    "k4_implicit",
    "k5_winograd",
    "k6_implicit_mma",
]


def order(x, w, *, stride=1, padding=0):
    """The rungs, fastest first: the choice of the tuning table, then the others."""
    return first_tuned(x.shape, w.shape, stride, padding)


def first_tuned(x_shape, w_shape, stride, padding):
    if len(x_shape) != 4 or len(w_shape) != 4 or tuple(w_shape[:2]) != (3, 3):
        return RUNGS[:1]
    from minigen.kernels import tuning  # here, so that names can be listed without it

    best = tuning.fastest("conv2d", features, (x_shape, w_shape), stride=stride, padding=padding)
    rungs = RUNGS[::-1]
    return [best, *[rung for rung in rungs if rung != best]] if best in rungs else rungs


def features(shapes, stride=1, padding=0):
    """What decides: the filter and the stride; the tiles of four by four, images, channels."""
    (N, H, W, C), (KH, KW, _, O) = shapes
    return (KH, KW, stride), (N, -(-H // 4), -(-W // 4), C, O)
