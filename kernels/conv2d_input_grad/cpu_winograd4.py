"""The gradient of conv2d by its input, by Winograd's F(4x4, 3x3): see conv2d/winograd.py."""

from minigen.kernels.conv2d import winograd


def supports(g, w, *, size, stride=1, padding=0):
    return winograd.refusal(w.shape[:2], stride, g, w)


def launch(g, w, *, size, stride=1, padding=0):
    return winograd.input_grad(4, g, w, size, padding), None
