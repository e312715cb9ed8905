"""The gradient of conv2d by its filter, by columns: see conv2d/cpu_columns.py."""

from minigen.kernels.arrays import only_floats
from minigen.kernels.conv2d import cpu_columns


def supports(g, x, *, kernel_size, stride=1, padding=0):
    return only_floats(g, x)


def launch(g, x, *, kernel_size, stride=1, padding=0):
    def backward(h, needs):  # h is the gradient of a filter, as a filter is
        gg = cpu_columns.forward(x, h, stride, padding) if needs[0] else None
        gx = cpu_columns.input_grad(g, h, x.shape[1:3], stride, padding) if needs[1] else None
        return gg, gx

    return cpu_columns.weight_grad(g, x, kernel_size, stride, padding), backward
