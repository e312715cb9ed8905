"""The halves of an autoencoder: sizes, independence of pictures, gradients."""

import numpy as np
import pytest

from minigen import Tensor
from minigen.gradcheck import gradcheck
from minigen.nn.autoencoder import Decoder, Encoder


def halves(channels=(8, 16), blocks=1, dtype=np.float64):
    rng = np.random.default_rng(0)
    pair = [half(3, channels, 5, blocks, rng=rng).astype(dtype) for half in (Encoder, Decoder)]
    for p in (p for half in pair for p in half.parameters()):
        p.data += 0.1 * rng.standard_normal(p.shape).astype(dtype)
    return pair


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("blocks", [0, 2])
def test_every_level_halves_the_picture_and_the_decoder_doubles_it(levels, blocks, rng):
    encoder, decoder = halves((8,) * levels, blocks, np.float32)
    x = rng.uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
    z = encoder(x)
    assert z.shape == (2, 16 // 2**levels, 24 // 2**levels, 5)
    assert decoder(z).shape == x.shape


def test_pictures_of_a_batch_do_not_see_each_other(rng):
    encoder, decoder = halves()
    x = rng.uniform(-1, 1, (3, 8, 8, 3))
    alone = [decoder(encoder(x[i : i + 1])).data[0] for i in range(3)]
    np.testing.assert_allclose(decoder(encoder(x)).data, alone, rtol=1e-9, atol=1e-12)


def test_the_gradient_of_both_halves_is_right(rng):
    encoder, decoder = halves((8,))
    x = rng.uniform(-0.9, 0.9, (2, 4, 4, 3))
    gradcheck(lambda x: decoder(encoder(x)), x, rng=rng)


def test_a_picture_that_is_not_within_bounds_is_told():
    encoder, _ = halves()
    with pytest.raises(ValueError, match=r"between -3 and -3, expected pictures in \[-1, 1\]"):
        encoder(Tensor(np.full((1, 8, 8, 3), -3.0)))
