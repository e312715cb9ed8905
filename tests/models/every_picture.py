"""What holds for any model that gives each token its probability, given those before."""

import itertools

import numpy as np

from minigen.optim import Adam


def pictures(H, W, levels=2):
    """All of them: (levels^(H W), H, W, 1)."""
    numbers = itertools.product(range(levels), repeat=H * W)
    return np.array(list(numbers), np.float64).reshape(-1, H, W, 1)


def shaken(model, seed=0, size=0.3):
    """The model in float64, no weight 0: every input matters."""
    rng = np.random.default_rng(seed)
    for weight in model.astype(np.float64).parameters():
        weight.data += size * rng.standard_normal(weight.shape)
    return model


def effects(logits, x, places):
    """effects[i, j]: how far the logits at place i move when the pixel at place j is turned over.

    logits  (pictures) -> (N, places, V)
    """
    x = x.reshape(1, *x.shape)
    turned = np.repeat(x, places, axis=0)
    turned.reshape(places, places)[np.diag_indices(places)] = 1 - x.reshape(-1)
    # one at a time: a batch of another size may round otherwise
    there = np.stack([logits(t[None])[0] for t in turned], axis=1)  # (places, turned, V)
    return np.abs(there - logits(x)[0][:, None]).max(axis=-1)


def shares(drawn, every):
    """How often each of the pictures `every` was drawn."""
    powers = 2 ** np.arange(drawn[0].size)
    places = np.argsort(every.reshape(len(every), -1) @ powers)
    counts = np.bincount((drawn.reshape(len(drawn), -1) @ powers).astype(int), minlength=len(every))
    found = np.empty(len(every))
    found[places] = counts / len(drawn)
    return found


def fit(model, loss, steps, lr):
    """Adam with a falling learning rate; the last loss."""
    optimizer = Adam(model.parameters(), lr)
    for step in range(steps):
        optimizer.lr = lr * (1 - step / steps)
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
    return value.item()


def squares():
    """Eight pictures of a white square on black, 8 x 8."""
    x = np.zeros((8, 8, 8, 1), np.float32)
    for i, picture in enumerate(x):
        picture[i % 4 : i % 4 + 3, i // 2 : i // 2 + 4] = 1
    return x
