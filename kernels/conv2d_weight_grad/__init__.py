"""conv2d_weight_grad: on the CPU the rungs of conv2d, seen from one of its gradients."""

RUNGS = ["cpu_columns", "cpu_winograd2", "cpu_winograd4"]
# In the order of a prediction, not yet measured on a GPU.
CUDA_RUNGS = ["k1_naive", "k2_split", "k3_split_mma"]


def order(g, x, *, kernel_size, stride=1, padding=0):
    """As the convolution that it belongs to."""
    from minigen.kernels.conv2d import first_tuned  # here, so that names can be listed without it

    return first_tuned(x.shape, (*kernel_size, x.shape[3], g.shape[3]), stride, padding)
