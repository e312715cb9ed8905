"""ImageGPT: probabilities that sum to 1, no token seen too early, and a cache that adds no bit."""

import numpy as np
import pytest
from every_picture import effects, fit, pictures, shaken, shares, squares

from minigen.autograd import no_grad
from minigen.backend import use_kernels
from minigen.models.autoregressive.image_gpt import (
    ImageGPT,
    ImageGPTConfig,
    log_prob,
    loss,
    sample,
)


def tiny(seed=0, **settings):
    settings = {"shape": (3, 3), "width": 8, "layers": 2, "heads": 2} | settings
    return ImageGPT(ImageGPTConfig(**settings), rng=np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("H", "W", "settings"), [(3, 3, {}), (4, 2, {"patch": (2, 1)}), (4, 2, {"patch": (1, 2)})]
)
def test_probabilities_of_all_pictures_sum_to_1(H, W, settings):
    model = shaken(tiny(shape=(H, W), **settings))
    assert np.exp(log_prob(model, pictures(H, W)).numpy()).sum() == pytest.approx(1, abs=1e-10)


def test_a_pixel_depends_on_each_pixel_before_and_on_no_other():
    model, places = shaken(tiny(shape=(5, 5))), 25
    x = np.random.default_rng(0).integers(0, 2, (5, 5, 1)).astype(np.float64)
    with no_grad():
        found = effects(lambda x: model(x.reshape(-1, places).astype(int)).numpy(), x, places)
    before = np.tri(places, places, -1, bool)
    assert (found[before] > 1e-12).all()
    assert (found[~before] == 0).all()


@pytest.mark.parametrize("kernels", ["reference", "auto"])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_the_cache_changes_no_bit(n, kernels):
    """float64: the logits with the cache are those without, and `forward`'s but for rounding."""
    model, L = shaken(tiny(shape=(5, 5), width=32, heads=4), size=0.1), 25
    tokens = np.random.default_rng(1).integers(0, 2, (n, L))
    cache = model.cache(n)
    with no_grad(), use_kernels(kernels):
        at_once = model(tokens).numpy()
        for i in range(L):
            kept = model.next_logits(tokens[:, :i], cache).numpy()
            anew = model.next_logits(tokens[:, :i], model.cache(n)).numpy()
            assert kept.tobytes() == anew.tobytes()
            np.testing.assert_allclose(kept, at_once[:, i], rtol=0, atol=1e-12)


def test_the_cache_changes_no_picture():
    model = shaken(tiny(shape=(4, 4), patch=(2, 2)))
    kept, anew = (
        sample(model, 50, np.random.default_rng(0), use_cache=use_cache)
        for use_cache in (True, False)
    )
    np.testing.assert_array_equal(kept, anew)


@pytest.mark.parametrize("patch", [(1, 1), (2, 2)])
def test_pictures_are_drawn_as_often_as_their_probability_says(patch):
    model, every, n = shaken(tiny(shape=(4, 2), patch=patch), size=0.5), pictures(4, 2), 8_000
    drawn = sample(model, n, np.random.default_rng(0))
    p = np.exp(log_prob(model, every).numpy())
    error = np.abs(shares(drawn, every) - p)
    assert (error <= 4.5 * np.sqrt(p * (1 - p) / n) + 3 / n).all()


def test_rows_that_are_given_are_kept():
    given = np.random.default_rng(0).integers(0, 2, (3, 8, 8, 1)).astype(np.float32)
    model, seen = tiny(shape=(8, 8), patch=(2, 4)), []
    settings = {"given": given, "rows": 4, "callback": seen.append}
    drawn = sample(model, 3, np.random.default_rng(1), **settings)
    np.testing.assert_array_equal(drawn[:, :4], given[:, :4])
    assert (drawn[:, 4:] != given[:, 4:]).any()
    assert seen == [0.625, 0.75, 0.875, 1.0]


def test_it_learns_eight_pictures():
    """They are equally likely and nothing else is: log 8 = 2.08 nats is all there is to know."""
    model, x = tiny(shape=(8, 8), patch=(2, 2), width=16), squares()
    assert loss(model, x).item() > 30
    assert fit(model, lambda: loss(model, x), steps=120, lr=0.01) < 2.5


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="whole ones from 0 to 1"):
        log_prob(tiny(), np.full((1, 3, 3, 1), -1.0))
    with pytest.raises(ValueError, match=r"got pictures \(1, 4, 3, 1\), expected \(N, 3, 3, 1\)"):
        log_prob(tiny(), np.zeros((1, 4, 3, 1)))
    with pytest.raises(ValueError, match="rows is 3, expected a multiple of 2"):
        sample(tiny(shape=(4, 4), patch=(2, 2)), 1, np.random.default_rng(0), rows=3)
    with pytest.raises(ValueError, match="given is None, expected 1 pictures of 1 rows or more"):
        sample(tiny(), 1, np.random.default_rng(0), rows=1)
    with pytest.raises(ValueError, match=r"no blocks of \(2, 2\) make up 3 x 3 pixels"):
        tiny(patch=(2, 2))
