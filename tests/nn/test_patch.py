"""PatchGAN's patches, measured by gradients; convolutions that grow leave no checkerboard."""

import numpy as np
import pytest

from minigen import nn
from minigen.autograd import Tensor, grad


def seen_by(D, size, row, column):
    """Which pixels one answer of D depends on: their gradients are not 0."""
    x = Tensor(np.random.default_rng(1).standard_normal((1, size, size, 1)), requires_grad=True)
    (gx,) = grad(D(x)[0, row, column, 0], [x])
    return np.argwhere(gx.numpy()[0, :, :, 0] != 0)


@pytest.mark.parametrize(
    ("channels", "field", "size"), [((4,), 7, 16), ((4, 4), 16, 48), ((4, 4, 4), 34, 80)]
)
def test_an_answer_is_about_its_patch_and_nothing_else(channels, field, size, rng):
    D = nn.PatchDiscriminator(1, channels, rng=rng).astype(np.float64)
    answers = D(np.zeros((1, size, size, 1))).shape[1]
    seen = seen_by(D, size, answers // 2, answers // 2)
    assert D.receptive_field == field
    assert tuple(np.ptp(seen, axis=0) + 1) == (field, field)
    assert len(seen) == field**2


def test_the_paper_names_its_patches_by_these_sizes(rng):
    sizes = [nn.PatchDiscriminator(3, [8] * n, rng=rng).receptive_field for n in (2, 4, 6)]
    assert sizes == [16, 70, 286]


def test_neighbouring_answers_are_about_patches_a_stride_apart(rng):
    D = nn.PatchDiscriminator(1, (4, 4), rng=rng).astype(np.float64)
    first, second = (seen_by(D, 48, 10, column).min(axis=0) for column in (10, 11))
    assert list(second - first) == [0, 2]


def test_pictures_of_any_size_are_judged(rng):
    D = nn.PatchDiscriminator(3, (4, 8), rng=rng)
    for H, W, answers in ((32, 32, (14, 14)), (6, 40, (1, 18))):
        assert D(np.zeros((2, H, W, 3), np.float32)).shape == (2, *answers, 1)


@pytest.mark.parametrize("shape", [(2, 5, 32, 3), (2, 32, 32, 4), (32, 32, 3)])
def test_pictures_smaller_than_a_patch_and_other_channels_are_refused(shape, rng):
    with pytest.raises(ValueError, match=r"expected \(N, H, W, 3\) with at least 6 pixels"):
        nn.PatchDiscriminator(3, (4, 8), rng=rng)(np.zeros(shape, np.float32))


def inside(y):
    """The pixels whose sums meet no border."""
    return y.numpy()[0, 4:-4, 4:-4, 0]


def test_a_resize_convolution_makes_flat_of_flat_and_a_transposed_one_a_checkerboard(rng):
    flat = np.ones((1, 8, 8, 2))
    resize = nn.ResizeConv2d(2, 1, rng=rng).astype(np.float64)
    transposed = nn.ConvTranspose2d(2, 1, 3, 2, 1, 1, rng=rng).astype(np.float64)
    assert resize(flat).shape == transposed(flat).shape == (1, 16, 16, 1)
    assert np.ptp(inside(resize(flat))) < 1e-12
    assert np.ptp(inside(transposed(flat))) > 0.1
