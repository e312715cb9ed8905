"""A training of a tiny network: what the tests of the loop share."""

import numpy as np

from minigen import Tensor, nn
from minigen.data.loader import Loader
from minigen.optim import EMA, AdamW, Muon, split_matrices
from minigen.train import train

POINTS = np.random.default_rng(5).standard_normal((20, 2)).astype(np.float32)


def denoising(model, batch, rng):
    eps = Tensor(rng.standard_normal(batch[0].shape).astype(np.float32))
    error = model(Tensor(batch[0]) + eps * 0.5) - eps
    return (error * error).mean(), {"points": len(batch[0])}


def network(rng, dropout=0.1):
    return nn.Sequential(
        nn.Linear(2, 16, rng=rng), nn.Dropout(dropout, rng=rng), nn.Linear(16, 2, rng=rng)
    )


def go(run, steps=12, *, loss=denoising, model=None, prefetch=2, ema=True, **settings):
    """Train a tiny network, or go on with it; returns it."""
    rng = np.random.default_rng(0)
    model = model or network(rng)
    settings.setdefault("batches", Loader([POINTS], 8, rng=1, prefetch=prefetch))
    if "optimizers" not in settings:
        matrices, rest = split_matrices(model.named_parameters())
        settings["optimizers"] = [Muon(matrices.items()), AdamW(rest.items(), lr=0.01)]
    settings = {"sample_every": 5, "save_every": 5, "log_every": 4} | settings
    batches = settings.pop("batches")
    average = EMA(model, 0.9) if ema else None
    train(model, loss, batches, run=run, rng=rng, steps=steps, ema=average, **settings)
    return model


def breaking(step, error=KeyboardInterrupt):
    """The loss, which draws its numbers and then raises an error in the given step."""
    calls = []

    def loss(model, batch, rng):
        calls.append(0)
        result = denoising(model, batch, rng)
        if len(calls) >= step:
            raise error
        return result

    return loss


def assert_same_state(a, b):
    (arrays, note), (others, other) = a.load_checkpoint(), b.load_checkpoint()
    assert arrays.keys() == others.keys()
    for name in arrays:
        assert arrays[name].tobytes() == others[name].tobytes(), name
    assert {**note, "seconds": 0} == {**other, "seconds": 0}
