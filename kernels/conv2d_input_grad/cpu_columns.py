"""The gradient of conv2d by its input, by columns: see conv2d/cpu_columns.py."""

from minigen.kernels.arrays import only_floats
from minigen.kernels.conv2d import cpu_columns


def supports(g, w, *, size, stride=1, padding=0):
    return only_floats(g, w)


def launch(g, w, *, size, stride=1, padding=0):
    def backward(h, needs):  # h is the gradient of a picture, as a picture is
        gg = cpu_columns.forward(h, w, stride, padding) if needs[0] else None
        gw = cpu_columns.weight_grad(g, h, w.shape[:2], stride, padding) if needs[1] else None
        return gg, gw

    return cpu_columns.input_grad(g, w, size, stride, padding), backward
