"""The cache of a causal Transformer: the same bits as without, with a context too."""

import numpy as np
import pytest

from minigen import nn
from minigen.autograd import no_grad
from minigen.nn.cached import Cache, read

N, L, D = 3, 7, 16


def blocks(rng, context_width=None, layers=2):
    made = nn.ModuleList(
        [nn.TransformerBlock(D, 4, context_width=context_width, rng=rng) for _ in range(layers)]
    ).astype(np.float64)
    for p in made.parameters():  # no branch ends in zeros
        p.data += 0.2 * rng.standard_normal(p.shape)
    return made


def at_once(blocks, x, context):
    for block in blocks:
        x = block(x, context=context, is_causal=True)
    return x.numpy()


@pytest.fixture(params=[None, 10], ids=["alone", "context"])
def case(request, rng):
    """Blocks, what they read, and the context or None."""
    context = rng.standard_normal((N, 5, request.param)) if request.param else None
    x = nn.Parameter(rng.standard_normal((N, L, D)))
    return blocks(rng, request.param), x, context if context is None else nn.Parameter(context)


def test_place_by_place_is_all_at_once_but_for_rounding(case):
    made, x, context = case
    cache = Cache(made, N, L, context)
    with no_grad():
        found = [read(made, [x[:, i]], cache)[0].numpy() for i in range(L)]
        np.testing.assert_allclose(
            np.stack(found, axis=1), at_once(made, x, context), rtol=0, atol=1e-12
        )


def test_what_the_cache_holds_changes_no_bit(case):
    made, x, context = case
    kept = Cache(made, N, L, context)
    with no_grad():
        for i in range(L):
            anew = read(made, [x[:, j] for j in range(i + 1)], Cache(made, N, L, context))[-1]
            assert read(made, [x[:, i]], kept)[0].numpy().tobytes() == anew.numpy().tobytes()


def test_what_does_not_fit_is_told(rng):
    made = blocks(rng)
    with pytest.raises(ValueError, match="place 3 came, the cache has room for 2"):
        read(made, [nn.Parameter(np.zeros((1, D)))] * 3, Cache(made, 1, 2))
    with pytest.raises(ValueError, match="the context is of 2 rows, expected 1"):
        Cache(blocks(rng, 4), 1, 2, nn.Parameter(np.zeros((2, 5, 4))))
