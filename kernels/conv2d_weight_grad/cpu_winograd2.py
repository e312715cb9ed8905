"""The gradient of conv2d by its filter, by Winograd's F(2x2, 3x3): see conv2d/winograd.py."""

from minigen.kernels.conv2d import winograd


def supports(g, x, *, kernel_size, stride=1, padding=0):
    return winograd.refusal(kernel_size, stride, g, x)


def launch(g, x, *, kernel_size, stride=1, padding=0):
    return winograd.gradients(2, g, x, None, padding, x.shape)[1], None
