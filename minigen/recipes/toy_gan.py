"""GANs on a ring or a grid of Gaussians in the plane: how many of the spots does G find?

    minigen train toy_gan                               WGAN-GP, one seed, a minute
    minigen train toy_gan --loss non_saturating         the plain GAN; --pack 4 makes it PacGAN
    minigen train toy_gan --seeds 10                    ten trainings, one on each core
    minigen eval runs/toy_gan-1 -n 2500                 the same numbers again

Measured on 2026-11-23 with --seeds 10, by 2,500 samples of each seed, mean and its standard error:

                    modes of 25        within 3 sigma    KL, nats          width of the spots
    WGAN-GP         25.000 +- 0.000    93.5 +- 0.7 %     0.013 +- 0.005    0.41 +- 0.01
    plain GAN       24.10 +- 0.48      43.8 +- 4.0 %     0.274 +- 0.057    1.02 +- 0.03

WGAN-GP is the default, 6,000 steps, 1.4 to 6 minutes a seed on two cores with other work, the plain
GAN `--loss non_saturating --waves 0 --lr 1e-3 --beta1 0.5 --beta2 0.999`, a minute a seed. What no
published number says: the spots of G are too narrow.

Published for 400,000 steps: GAN 17.3 modes, PacGAN4 24.8 and 93.6 % (arXiv 1712.04086). There G has
4 layers of 400 with batch norm, D 3 of 200 maxout units of 5 pieces. Here both are smaller, D reads
waves of x, the learning rate falls to 0, and the weights of G are averaged.
"""

import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minigen.backend import Array, auto_unless_chosen
from minigen.data import toy
from minigen.metrics.adversarial import diagnose
from minigen.metrics.modes import Modes, gaussian_modes
from minigen.metrics.neighbours import nearest
from minigen.metrics.report import Measured, Report, mean_of
from minigen.models.gan import gan, wgan_gp
from minigen.models.gan.gan import GAN, GANConfig
from minigen.models.gan.pac_gan import Packed
from minigen.optim import EMA, AdamW
from minigen.parallel import cores, one_blas_thread, use_threads
from minigen.schedules import warmup_linear
from minigen.train import RunFolder, Turn, WeightsFile, config_from, load_model, option, part_of
from minigen.train import train as run_training

SIGMA = 0.05  # of each Gaussian
CENTRES = {"grid25": toy.grid_centres, "ring": toy.ring_centres}
SPREAD = {"grid25": 8**0.5, "ring": 2**0.5}  # of the points: the networks see them divided by it
DIVERGED = 1e4  # a loss beyond it ends the run
_log = logging.getLogger("minigen")


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    data: str = option("grid25", "which points", choices=tuple(CENTRES))
    loss: str = option("wgan_gp", "of the game", choices=("wgan_gp", *gan.LOSSES))
    pack: int = option(1, "points that D is shown at once (PacGAN)")
    latents: int = option(2, "numbers in z")
    g_widths: tuple[int, ...] = option((128, 128, 128, 128), "hidden layers of G")
    d_widths: tuple[int, ...] = option((128, 128, 128), "hidden layers of D")
    waves: tuple[float, ...] = option((1.0, 2.0, 4.0), "of x that D reads; 0: x alone")
    penalty: float = option(1.0, "weight of the gradient penalty, for wgan_gp")
    d_steps: int = option(1, "steps of D for one of G")
    batch_size: int = option(256, "points a step")
    lr: float = option(4e-3, "largest learning rate of Adam, for both")
    beta1: float = option(0.0, "share of the old in Adam's mean gradient")
    beta2: float = option(0.99, "share of the old in its mean square")
    ema: float = option(0.999, "decay of the moving average of G's weights")
    steps: int | None = option(6000, "steps of D")
    minutes: float | None = option(None, "stop after so many minutes")
    seed: int = option(0, "of weights and batches")
    seeds: int = option(1, "trainings, with this seed and the next ones, each in a folder")
    sample_every: int = option(1500, "steps between pictures")
    save_every: int = option(1500, "steps between checkpoints")
    log_every: int = option(100, "steps between lines of log.csv")

    def network(self) -> GANConfig:
        waves = tuple(k * SPREAD[self.data] for k in self.waves if k)
        return part_of(GANConfig, asdict(self) | {"waves": waves})


def build(config: Config, rng: np.random.Generator) -> GAN:
    """Both networks; D behind a pack where it is asked for."""
    network = config.network()
    G, D = gan.Generator(network, rng=rng), gan.Discriminator(network, rng=rng)
    return GAN(G, Packed(D, config.pack) if config.pack > 1 else D)


def turns(config: Config, model: GAN) -> list[Turn]:
    """D's loss and G's, each with Adam."""
    betas = (config.beta1, config.beta2)
    adam_d, adam_g = (
        AdamW(
            [(f"{name}.{key}", p) for key, p in part.named_parameters()],
            config.lr,
            betas,
            1e-8,
            0.0,
        )
        for name, part in (("D", model.D), ("G", model.G))
    )
    if config.loss == "wgan_gp":
        d_loss: Any = partial(wgan_gp.critic_loss, weight=config.penalty)
        g_loss: Any = wgan_gp.generator_loss
    else:
        d_loss, g_loss = gan.discriminator_loss, partial(gan.generator_loss, loss=config.loss)
    return [Turn("D", d_loss, [adam_d]), Turn("G", g_loss, [adam_g], every=config.d_steps)]


def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands; several seeds in folders inside of it.

    Raises: ValueError for a pack that does not divide the batch.
    """
    if config.pack < 1 or config.batch_size % config.pack:
        raise ValueError(f"toy_gan: a batch of {config.batch_size} makes no packs of {config.pack}")
    if config.seeds > 1:
        train_seeds(config, run)
    else:
        train_one(config, run)


@auto_unless_chosen()
def train_one(config: Config, run: RunFolder) -> None:
    """One seed, in one thread: so small a network would wait for more of them."""
    rng = np.random.default_rng(config.seed)
    model = build(config, rng)
    met: dict[str, float] = {}  # by the samples of the newest picture

    def sample(model: GAN, rng: np.random.Generator) -> np.ndarray:
        points = draw(config, model, 2500, rng)
        found = modes_of(config, points)
        met.update(modes=found.found, modes_of=len(found.counts))
        return picture(config.data, [points])

    def say(numbers: Any, pictures: np.ndarray | None) -> list[str]:
        return diagnose(numbers if pictures is None else met, None)

    with one_blas_thread(), use_threads(1):
        run_training(
            model,
            turns(config, model),
            lambda rng: points(config, rng),
            run=run,
            rng=rng,
            steps=config.steps,
            minutes=config.minutes,
            lr_schedule=partial(warmup_linear, warmup_steps=0),
            ema=EMA([(f"G.{name}", p) for name, p in model.G.named_parameters()], config.ema),
            max_norm=None,
            max_loss=DIVERGED,
            sample=sample,
            diagnose=say,
            sample_every=config.sample_every,
            save_every=config.save_every,
            log_every=config.log_every,
        )


def train_seeds(config: Config, run: RunFolder) -> None:
    """Seeds seed ... seed + seeds - 1, one process on each core; then what they came to."""
    folders = {RunFolder(path).config["seed"]: path for path in inner(run)}
    jobs = []
    for seed in range(config.seed, config.seed + config.seeds):
        one = replace(config, seed=seed, seeds=1)
        if seed not in folders:
            folders[seed] = RunFolder.create(run.recipe, asdict(one), run.path).path
        jobs.append((one, folders[seed]))
    run.log({"step": 0, "seeds": config.seeds})  # the folder is in use: an error does not remove it
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(cores(), len(jobs)), spawn) as pool:
        for seed, error in zip(folders, pool.map(_train_there, *zip(*jobs))):
            _log.info("seed %d: %s", seed, error or "done")
    for name, value in evaluate(run, 2500, np.random.default_rng(0)).numbers.items():
        _log.info("%s  %s", name, value)


def _train_there(config: Config, path: Path) -> str:
    """In another process: what went wrong, or nothing."""
    try:
        train_one(config, RunFolder(path))
    except ArithmeticError as error:
        return str(error)
    return ""


def inner(run: RunFolder | WeightsFile) -> list[Path]:
    """The folders of several seeds, in their order."""
    made = Path(run.path).glob("*/config.json") if Path(run.path).is_dir() else ()
    return sorted((path.parent for path in made), key=lambda path: int(path.name.split("-")[-1]))


@auto_unless_chosen()
def sample(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` true points and `n` samples, of each seed, side by side, (H, W, 3)."""
    drawn = [draw(*_trained(one), n, rng) for one in _runs(run)]
    return picture(run.config["data"], drawn)


@auto_unless_chosen()
def evaluate(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> Report:
    """Modes found and the share of samples within 3 sigma of one, by `n` samples of each seed."""
    runs = _runs(run)
    config = config_from(Config, run.config)
    drawn = [draw(*_trained(one), n, rng) for one in runs]
    found = [modes_of(config, samples) for samples in drawn]
    of = f"{n} samples" if len(runs) == 1 else f"{n} samples of each of {len(runs)} seeds"
    kl = np.array([m.kl for m in found])  # infinite where no sample is good
    numbers: dict[str, float | Measured] = {
        f"modes found of {len(found[0].counts)}": mean_of(
            np.array([m.found for m in found]), of=of
        ),
        "within 3 sigma of a mode": mean_of(
            np.array([100 * m.high_quality for m in found]), "%", of
        ),
        "KL of the modes": mean_of(kl, "nats", of)
        if np.isfinite(kl).all()
        else Measured(float("inf"), unit="nats", of=of),
    }
    if np.isfinite(kl).all():
        widths = np.array([width_of_spots(config, samples) for samples in drawn])
        numbers["width of the spots"] = mean_of(widths, of=f"{of}; of true points 0.97")
    if len(runs) > 1:
        numbers["fewest modes of a seed"] = min(m.found for m in found)
        numbers["standard deviation of modes"] = float(np.std([m.found for m in found], ddof=1))
        numbers["standard deviation of % within 3 sigma"] = float(
            np.std([100 * m.high_quality for m in found], ddof=1)
        )
    worst = min(found, key=lambda m: m.found)
    remarks = diagnose({"modes": worst.found, "modes_of": len(worst.counts)}, None)
    return Report(numbers, {"samples": picture(config.data, drawn)}, tuple(remarks))


def _runs(run: RunFolder | WeightsFile) -> list[RunFolder | WeightsFile]:
    return [RunFolder(path) for path in inner(run)] or [run]


def _trained(run: RunFolder | WeightsFile) -> tuple[Config, GAN]:
    config = config_from(Config, run.config)
    model = build(config, np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()


def points(config: Config, rng: np.random.Generator) -> Array:
    """A batch of true points in the unit of the networks."""
    drawn = getattr(toy, config.data)(config.batch_size, rng, sigma=SIGMA)
    return (drawn / SPREAD[config.data]).astype(np.float32)


def draw(config: Config, model: GAN, n: int, rng: np.random.Generator) -> Array:
    """`n` samples in the unit of the data."""
    return gan.sample(model, n, rng) * SPREAD[config.data]


def modes_of(config: Config, samples: Array) -> Modes:
    return gaussian_modes(samples, CENTRES[config.data](), SIGMA)


def width_of_spots(config: Config, samples: Array) -> float:
    """Standard deviation of the good samples about their centres, over sigma.

    Of true points it is 0.97, as those beyond 3 sigma are left out.
    """
    centres = CENTRES[config.data]()
    places, distances = nearest(samples, centres)
    off = samples - centres[places[:, 0]]
    return float((off[distances[:, 0] <= 3 * SIGMA] ** 2).mean() ** 0.5 / SIGMA)


def picture(data: str, drawn: list[Array]) -> np.ndarray:
    """True points, then the samples of each seed, four plots in a row; (H, W, 3), uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    true = getattr(toy, data)(len(drawn[0]), np.random.default_rng(0), sigma=SIGMA)
    shown = [("data", true), *((f"samples {i}", p) for i, p in enumerate(drawn))]
    columns = min(4, len(shown))
    rows, limit = -(-len(shown) // columns), 1.2 * np.abs(true).max()
    figure = Figure(figsize=(3 * columns, 3 * rows), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    places = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in places[len(shown) :]:
        axes.axis("off")
    for axes, (title, p) in zip(places, shown):
        axes.scatter(p[:, 0], p[:, 1], s=2, linewidths=0)
        axes.set(title=title, aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
