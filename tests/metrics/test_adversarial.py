"""Each thing that goes wrong, planted; and true pictures, of which nothing is said."""

import numpy as np
import pytest

from minigen import Tensor
from minigen.data.pixels import to_uint8
from minigen.metrics.adversarial import diagnose, regular_part
from minigen.models.gan.dcgan import DCGANConfig, Generator
from minigen.ops import tanh


def pictures(rng, n=40, colours=1):
    """Soft spots of any place, size and brightness on black: uint8 (n, 28, 28, colours)."""
    rows, columns = np.mgrid[:28, :28]
    place, size = rng.uniform(6, 22, (2, n, 1, 1)), rng.uniform(3, 7, (n, 1, 1))
    spots = np.exp(-((rows - place[0]) ** 2 + (columns - place[1]) ** 2) / size**2)
    bright = rng.uniform(0.6, 1.6, (n, 1, 1, colours))
    return to_uint8((2 * spots[..., None] * bright - 1).astype(np.float32))


def said_of(shown, real):
    return diagnose({}, shown.repeat(3, axis=-1) if shown.shape[-1] == 1 else shown, real)


def copies(real, rng):
    noisy = real[:2][rng.integers(2, size=len(real))].astype(int) + rng.integers(-3, 4, real.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def checked(real, rng):
    board = np.indices((28, 28)).sum(axis=0) % 2 * 20
    return (0.9 * real + board[..., None]).astype(np.uint8)


def striped(real, rng):
    return (0.9 * real + 20 * (np.arange(28) % 2)[:, None, None]).astype(np.uint8)


PLANTED = {
    "mode collapse: the pictures": copies,
    "mode collapse": lambda real, rng: real[:1].repeat(len(real), axis=0),
    "checkerboard": checked,
    "checkerboard: every": striped,
    "inverted colours": lambda real, rng: 255 - real,
    "G is saturated: nearly": lambda real, rng: np.where(real > 60, 255, 0).astype(np.uint8),
}


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_said_and_nothing_else(what, colours, rng):
    real = pictures(rng, colours=colours)
    (remark,) = said_of(PLANTED[what](pictures(rng, colours=colours), rng), real)
    assert remark.startswith(what)


@pytest.mark.parametrize("colours", [1, 3])
def test_nothing_is_said_of_true_pictures_nor_of_noisy_and_blurred_ones(colours, rng):
    real, others = pictures(rng, colours=colours), pictures(rng, colours=colours)
    noisy = others.astype(int) + rng.integers(-25, 26, others.shape)
    blurred = (others[:, 1:].astype(int) + others[:, :-1]) // 2
    for shown in (others, noisy.clip(0, 255), np.pad(blurred, [(0, 0), (1, 0), (0, 0), (0, 0)])):
        assert said_of(shown.astype(np.uint8), real) == []


@pytest.mark.parametrize(
    ("numbers", "begins"),
    [
        ({"D_real": 0.999, "D_fake": 0.001}, "D wins"),
        ({"G_grad_norm": 1e-5}, "G is saturated: next to no gradient"),
        ({"modes": 4, "modes_of": 25}, "mode collapse: few modes"),
        ({"D_real": 0.999, "D_fake": 0.4, "G_grad_norm": 0.1, "modes": 24, "modes_of": 25}, None),
        ({"distance": 0.01}, None),
    ],
)
def test_what_numbers_tell(numbers, begins):
    said = diagnose(numbers, None)
    assert [text.startswith(begins) for text in said] == ([True] if begins else [])


def test_a_plot_is_not_looked_at(rng):
    assert diagnose({}, np.zeros((40, 80, 3), np.uint8), pictures(rng)) == []


def grown(upsample, rng):
    """What an untrained G makes of constant colours: its pattern alone."""
    G = Generator(DCGANConfig(upsample=upsample), rng=rng)
    x = Tensor(np.ones((4, 14, 14, 32), np.float32))
    return tanh(G.grow[1](x)).data[:, 4:-4, 4:-4]  # away from the edges


def test_transposed_convolutions_leave_a_checkerboard_and_resizing_does_not(rng):
    assert regular_part(grown("transposed", rng))[0] > 0.5
    assert regular_part(grown("resize", rng))[1] < 1e-6
    assert np.ptp(grown("resize", rng)) < 1e-5


def test_the_regular_part_of_noise_is_small(rng):
    share, size = regular_part(rng.standard_normal((50, 28, 28, 1)))
    assert share < 0.001
    assert size < 0.05
    assert regular_part(np.zeros((2, 8, 8, 1))) == (0.0, 0.0)
