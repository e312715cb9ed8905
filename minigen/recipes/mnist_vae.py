"""A variational autoencoder of black and white MNIST, and by --k the importance-weighted one.

    minigen train mnist_vae                         the VAE, 10 minutes
    minigen train mnist_vae --k 50                  the IWAE with 50 samples, 10 minutes
    minigen train mnist_vae --network conv
    minigen sample runs/mnist_vae-1 -n 64
    minigen eval runs/mnist_vae-1 -n 1000           the bound of log p(x), k = 5000

The training pictures are drawn black and white anew at every step, the test pictures once, from
seed 0. k = 5000 passes of the decoder are spent on -n test pictures and 50 on each of the others,
and the difference that k makes is carried over to them.

What to expect (two cores, one seed, 2026-11-23): 10 minutes each, in which the machine had other
work too: the VAE came to 11,929 steps, 50 passes over the training set, the IWAE to 7,616. The loss
is 110 at step 700, 97 at step 5,000. By `minigen eval` with -n 1000, of all 10,000 test pictures:

             -log p(x), at most      -ELBO               latents in use
    VAE      87.08 +- 0.23 nats      91.24 +- 0.24       20 of 50
    IWAE-50  86.51 +- 0.24           97.65 +- 0.25       20 of 50

The errors are those of the choice of test pictures, which are the same for both. The IWAE is a VAE
for the first 40 % of its time (--k-from), then one drawn sample has its way back (--resample).

Published for test pictures drawn black and white, two hidden layers of 200, k = 5000: 86.76 nats
for the VAE, 85.54 for IWAE-5 and 84.78 for IWAE-50 after some 3,280 passes over the training set
(Burda et al., 2015, table 1, arXiv 1509.00519).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from minigen.autograd import no_grad
from minigen.backend import auto_unless_chosen
from minigen.data.loader import Loader
from minigen.data.mnist import mnist
from minigen.data.pixels import binarise, grid, to_uint8
from minigen.latents import interpolate
from minigen.metrics.nll import Bound, bits_per_dim, extended
from minigen.metrics.report import Measured, Report, mean_of
from minigen.models.vae import iwae, vae
from minigen.models.vae.vae import VAE, VAEConfig
from minigen.ops import kl_per_latent
from minigen.optim import AdamW
from minigen.parallel import cores, parallel_map
from minigen.recipes.classifier import copies
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, WeightsFile, load_model, option, part_of
from minigen.train import train as run_training

TEST_SEED = 0  # of the one draw of the test pictures
WARMUP = 200  # steps
CHEAP_K = 50  # importance samples of every test picture, beside the k of some
PART = 50  # test pictures that a core works through at once
ACTIVE = 0.01  # nats that a latent in use carries


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    minutes: float | None = option(10.0, "stop after so many minutes")
    steps: int | None = option(None, "optimiser steps")
    batch_size: int = option(250, "pictures a step")
    k: int = option(1, "importance samples of a picture: 1 is the VAE, more the IWAE")
    k_from: float = option(0.4, "share of the run before k counts; until then it is 1")
    resample: bool = option(
        True, "for k > 1: the way back for one sample only, drawn by its weight"
    )
    latents: int = option(50, "numbers in z")
    network: str = option("mlp", "of encoder and decoder", ("mlp", "conv"))
    widths: tuple[int, ...] = option((500, 500), "of hidden layers, for mlp")
    channels: tuple[int, ...] = option((16, 32), "at 14 and 7 pixels, for conv")
    lr: float = option(3e-3, "largest learning rate of AdamW")
    seed: int = option(0, "of weights, batches and noise")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(5000, "steps between pictures")
    save_every: int = option(2000, "steps between checkpoints")
    log_every: int = option(100, "steps between lines of log.csv")


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands.

    Raises: ValueError for k <= 0.
    """
    if config.k <= 0:
        raise ValueError(f"mnist_vae: k is {config.k}, expected at least 1")
    rng = np.random.default_rng(config.seed)
    model = VAE(part_of(VAEConfig, asdict(config)), rng=rng)
    optimizer = AdamW(model.named_parameters(), config.lr, weight_decay=0.0)

    def batch_loss(model: VAE, batch: Any, rng: np.random.Generator) -> Any:
        x = binarise(batch[0], rng)
        late = optimizer.steps > WARMUP and optimizer.lr <= (1 - config.k_from) * config.lr
        if config.k > 1 and late:  # told by the learning rate, which a resumed run has again
            return iwae.loss(model, x, rng, config.k, config.resample)
        return vae.loss(model, x, rng)

    run_training(
        model,
        batch_loss,
        Loader([mnist("train")[0]], config.batch_size, rng=rng),
        optimizers=[optimizer],
        run=run,
        rng=rng,
        steps=config.steps,
        minutes=config.minutes,
        lr_schedule=partial(warmup_linear, warmup_steps=WARMUP),
        max_norm=10.0,
        workers=config.workers,
        sample=lambda model, rng: shown(vae.sample(model, 64, rng)),
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )


@auto_unless_chosen()
def sample(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` digits from the prior; the grey is the probability of white."""
    with no_grad():
        return shown(vae.sample(_trained(run), n, rng))


@auto_unless_chosen()
def evaluate(
    run: RunFolder | WeightsFile, n: int, rng: np.random.Generator, *, k: int = 5000
) -> Report:
    """The bound of log p(x) on the test set, by k importance samples of each of `n` pictures."""
    model = _trained(run)
    x, _ = test_pictures(rng)
    report = measured(lambda rows: model, x, n, k, rng)
    with no_grad():
        mu = model.encode(x[:32])[0].data
        again, drawn = vae.probabilities(model, mu), vae.sample(model, 64, rng)
        walks = np.concatenate([interpolate(a, b, 8) for a, b in zip(mu[:4], mu[4:8])])
        between = vae.probabilities(model, walks.astype(np.float32))
    pairs = np.stack([x[:32], again], axis=1).reshape(-1, *x.shape[1:])  # a digit, then itself
    sheets = {"samples": drawn, "reconstructions": pairs, "interpolations": between}
    pictures = {name: grid(shown(sheet), 8, 2) for name, sheet in sheets.items()}
    return replace(report, pictures=pictures) | copies(shown(drawn)[..., :1], "mnist")


def test_pictures(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The test set, binarised once, in a random order: x (N, 28, 28, 1) of 0 and 1, labels (N,)."""
    images, labels = mnist("test")
    images = binarise(images, np.random.default_rng(TEST_SEED))
    order = rng.permutation(len(images))
    return images[order], labels[order]


Told = Callable[[slice], Any]  # rows of x -> the model to be asked about them, for iwae.bound


def measured(
    told: Told, x: np.ndarray, n: int, k: int, rng: np.random.Generator, what: str = "x"
) -> Report:
    """The bound of log p(what), by k samples of the first n pictures and CHEAP_K of all."""
    n = min(n, len(x))
    cheap, costly = bounds(told, x, CHEAP_K, rng), bounds(told, x[:n], k, rng)
    of = f"{len(x)} test pictures, binarised once"
    nats = extended(-costly.log_px, -cheap.log_px, "nats", f"{of}; k = {k} for {n} of them")
    with no_grad():
        mu, log_var = told(slice(None)).encode(x)
    carried = kl_per_latent(mu, log_var).data.mean(axis=0)  # (latents,)
    numbers: dict[str, float | Measured] = {
        f"-log p({what}), at most": nats,
        "-ELBO": mean_of(-cheap.elbo, "nats", of),
        "bits/dim, at most": bits_per_dim(nats, x[0].size),
        "KL": Measured(float(carried.sum()), unit="nats", of=of),
        "latents in use": Measured(
            int((carried > ACTIVE).sum()), of=f"of {len(carried)}, above {ACTIVE} nats"
        ),
    }
    return Report(numbers, {}, remarks(float(nats), carried, costly.effective, x))


def bounds(told: Told, x: np.ndarray, k: int, rng: np.random.Generator) -> Bound:
    """`iwae.bound` of many pictures, PART at a time on each core."""
    starts = range(0, len(x), PART)
    parts = [slice(first, min(first + PART, len(x))) for first in starts]
    with tqdm(total=len(x), desc=f"k = {k}", unit=" pictures", disable=len(x) * k < 10**5) as bar:

        def part(rows: slice, rng: np.random.Generator) -> Bound:
            bar.update(len(x[rows]))
            return iwae.bound(told(rows), x[rows], k, rng, chunk=20)

        found = parallel_map(part, parts, rng.spawn(len(parts)))
    return Bound(*(np.concatenate([getattr(b, f.name) for b in found]) for f in fields(Bound)))


def remarks(
    nats: float, carried: np.ndarray, effective: np.ndarray, x: np.ndarray
) -> tuple[str, ...]:
    """What looks wrong, in words: a decoder that ignores z, an untrained one, a loose bound."""
    said = []
    active = int((carried > ACTIVE).sum())
    if active == 0:
        said.append(
            f"posterior collapse: none of the {len(carried)} latents carries {ACTIVE} nats, so the "
            "decoder ignores z and all samples look alike; train longer, or with a smaller beta in "
            "vae.loss at the start"
        )
    said += untrained(nats, x)
    if np.median(effective) < 2:
        said.append(
            "for half of the pictures one importance weight outweighs all others: the encoder does "
            "not find the latents that explain them, and the true -log p(x) is lower"
        )
    return tuple(said)


def untrained(nats: float, x: np.ndarray) -> list[str]:
    """A remark where pixels that know nothing of each other would do as well."""
    alone = independent_pixels(x)
    if nats <= alone:
        return []
    return [
        f"untrained, or trained on other data: {nats:.0f} nats are more than the {alone:.0f} of "
        "pixels that are drawn each by itself, white as often as in these pictures"
    ]


def independent_pixels(x: np.ndarray) -> float:
    """-log p of a picture in nats, if each pixel were white as often as in `x` and by itself."""
    p = np.clip(x.mean(axis=0, dtype=np.float64), 1e-6, 1 - 1e-6)
    return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).sum())


@auto_unless_chosen()
def encode(run: RunFolder | WeightsFile, images: np.ndarray) -> np.ndarray:
    """mu of pictures: uint8 (N, 28, 28, 1) -> (N, latents)."""
    with no_grad():
        return _trained(run).encode(images.astype(np.float32) / 255)[0].numpy()


@auto_unless_chosen()
def decode(run: RunFolder | WeightsFile, latents: np.ndarray) -> np.ndarray:
    """The pictures of latents: (N, latents) -> uint8 (N, 28, 28, 3)."""
    with no_grad():
        return shown(vae.probabilities(_trained(run), latents.astype(np.float32)))


def shown(x: np.ndarray) -> np.ndarray:
    """0 to 1, (N, H, W, 1) -> uint8 (N, H, W, 3)."""
    return to_uint8(2 * x - 1).repeat(3, axis=-1)


def _trained(run: RunFolder | WeightsFile) -> VAE:
    model = VAE(part_of(VAEConfig, run.config), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return model.eval()
