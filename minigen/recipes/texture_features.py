"""Features for style: a small VGG that tells textures and shapes apart, all of them drawn.

    minigen train texture_features
    minigen sample runs/texture_features-1 -n 12    pictures, and where it sees their shape
    minigen eval runs/texture_features-1 -n 1000    runs/... or the weights that ship:
    minigen eval texture_features -n 1000

No photograph is needed: a picture is one or two shapes with a texture each before a textured
background (minigen/data/textures.py), and the network is asked which of 16 textures, 6 shapes and
12 colours are in it. At the end every filter is scaled to a mean answer of 1, as arXiv 1505.07376
does with its VGG; `vgg` gives the result to those who measure style.

What to expect (two cores with other work, one seed, 2026-11-23): 26 minutes, the loss is 0.32 at
step 750, 0.24 at the end. By `minigen eval texture_features -n 1000`: of what is in a picture,
57.5 +- 0.8 % of the textures, 46.2 +- 1.3 % of the shapes and 94.9 +- 0.4 % of the tones are found.
By its Gram matrices 64.3 +- 2.8 % of 300 grey textures find their other half, by those of the
untrained network 56.7 +- 2.9 %. Three pictures of 256 x 256, painted in the manner of a texture in
150 steps:

    loss taken away              98.8 +- 0.4 %
    distance to the style        0.0044 +- 0.0018    another corner of the style 0.0080 +- 0.0022
    distance to the content      1.03 +- 0.16        another content 1.59 +- 0.21
    seconds                      72 +- 6, beside another training
"""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from minigen import weights
from minigen.autograd import Tensor, no_grad
from minigen.backend import auto_unless_chosen
from minigen.data.loader import Loader
from minigen.data.pixels import enlarge, grid, to_float, to_uint8
from minigen.data.textures import LABELS, TEXTURES, TONES, labelled, leaf_picture, texture, tones
from minigen.metrics.report import Measured, Report, mean_of
from minigen.models.features.grad_cam import activation_pictures, filter_pictures, grad_cam, overlay
from minigen.models.features.vgg import (
    VGG,
    VGGClassifier,
    VGGConfig,
    balance,
    freeze,
    from_torchvision,
    loss,
)
from minigen.models.style.neural_style import (
    NeuralStyleConfig,
    content_layer,
    content_loss,
    gram,
    style_loss,
    style_targets,
    transfer,
)
from minigen.optim import EMA, AdamW, Muon, split_matrices
from minigen.parallel import cores, one_blas_thread, parallel_map, split
from minigen.schedules import warmup_linear
from minigen.train import (
    RunFolder,
    WeightsFile,
    config_from,
    load_model,
    load_weights,
    open_model,
    option,
    save_weights,
)
from minigen.train import train as run_training

PARTS = {  # of LABELS
    "textures": slice(0, len(TEXTURES)),
    "shapes": slice(len(TEXTURES), len(LABELS) - len(TONES)),
    "tones": slice(len(LABELS) - len(TONES), len(LABELS)),
}
NO_HIDDEN_LAYER = ("vgg.convs.0", "vote")  # AdamW's, though matrices
TEST_SEED, BALANCE_SEED = 1, 2
SIZE = 64  # pixels of a training picture
GREYS = np.array([[0.1] * 3, [0.5] * 3, [0.9] * 3], np.float32)  # no texture told by its colours
PAIRS = 300  # textures of which each half looks for the other


@dataclass(frozen=True)
class Config:
    """Settings of a run."""

    steps: int | None = option(2000, "optimiser steps")
    minutes: float | None = option(None, "stop after so many minutes, drawing pictures apart")
    pictures: int = option(6000, "pictures drawn before the training")
    batch_size: int = option(64, "pictures a step")
    channels: tuple[int, ...] = option((32, 64, 128, 192), "maps of each block")
    convs: tuple[int, ...] = option((1, 1, 2, 1), "convolutions of each block")
    lr_matrices: float = option(0.02, "largest learning rate of Muon, for hidden filters")
    lr_rest: float = option(2e-3, "largest learning rate of AdamW, for the rest")
    ema: float = option(0.998, "decay of the weights' moving average")
    seed: int = option(0, "of weights, pictures and batches")
    workers: int = option(cores(), "threads that share each batch")
    sample_every: int = option(1000, "steps between pictures")
    save_every: int = option(500, "steps between checkpoints")
    log_every: int = option(25, "steps between lines of log.csv")

    def network(self) -> VGGConfig:
        return VGGConfig(channels=self.channels, convs=self.convs)


def drawn(n: int, seed: int, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """n pictures (n, size, size, 3) uint8 and which of LABELS are in them, (n, 34) of 0 and 1."""
    rng, parts = np.random.default_rng(seed), []
    for first in tqdm(range(0, n, 50), desc="drawing", unit="50 pictures", leave=False):
        parts.append(labelled(min(50, n - first), size, rng))
    images, seen = (np.concatenate(part) for part in zip(*parts))
    return images, seen


def varied(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The batch turned and mirrored, every picture with its colours in another order, or negative.

    Shapes: uint8 (N, H, H, 3) -> the same.
    """
    x = np.rot90(images, int(rng.integers(4)), axes=(1, 2))
    x = x[:, :, ::-1] if rng.random() < 0.5 else x
    order = rng.random((len(x), 1, 1, 3)).argsort(axis=-1)
    x = np.take_along_axis(x, np.broadcast_to(order, x.shape), axis=-1)
    return np.where(rng.random((len(x), 1, 1, 1)) < 0.5, x, 255 - x)


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    model = VGGClassifier(config.network(), len(LABELS), rng=rng)
    matrices, rest = split_matrices(model.named_parameters(), NO_HIDDEN_LAYER)

    def batch_loss(model: VGGClassifier, batch: Any, rng: np.random.Generator) -> Tensor:
        pictures, seen = batch
        pictures = varied(pictures, rng)
        seen = np.concatenate([seen[:, : -len(TONES)], tones(pictures)], axis=1)
        return loss(model, to_float(pictures), seen)

    run_training(
        model,
        batch_loss,
        Loader([*drawn(config.pictures, config.seed)], config.batch_size, rng=rng),
        optimizers=[
            Muon(matrices.items(), config.lr_matrices),
            AdamW(rest.items(), config.lr_rest),
        ],
        run=run,
        rng=rng,
        steps=config.steps,
        minutes=config.minutes,
        lr_schedule=partial(warmup_linear, warmup_steps=50),
        ema=EMA(model, config.ema),
        workers=config.workers,
        sample_every=config.sample_every,
        save_every=config.save_every,
        log_every=config.log_every,
    )
    arrays, note = load_model(run.path)
    model.load_state_dict(arrays)
    with no_grad():
        balance(model, split(to_float(drawn(64, BALANCE_SEED)[0]), 8))
    save_weights(run.path / "weights.safetensors", model.state_dict(), note, dtype="float16")


@auto_unless_chosen()
def sample(run: RunFolder | WeightsFile, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` pictures, and beside each where the network sees the first shape that is in it."""
    _, model = _trained(run)
    images, seen = drawn(n, int(rng.integers(2**31)))
    return np.stack([images, _looked_at(model, images, seen)], axis=1).reshape(-1, SIZE, SIZE, 3)


@auto_unless_chosen()
def evaluate(
    run: RunFolder | WeightsFile, n: int, rng: np.random.Generator, *, paintings: int = 3
) -> Report:
    """What is seen in `n` pictures that no training had, and how well Gram matrices tell textures.

    "textures found" is the share of the k textures in a picture that are among the k with the most
    votes; so with shapes and with tones, the names of colours. For "halves that find each other" a
    grey texture is cut in two, and each left half looks for its right one among `PAIRS` by the
    distance of Gram matrices; the same before training. `paintings` pictures are then painted in
    the manner of a texture (minigen/models/style/neural_style.py), 256 pixels wide.
    """
    config, model = _trained(run)
    images, seen = drawn(n, TEST_SEED)
    with no_grad():
        votes = np.concatenate(
            parallel_map(lambda x: model(Tensor(to_float(x))).data, _parts(images))
        )
    numbers = {
        f"{name} found": mean_of(_found(votes[:, part], seen[:, part]), of=f"{n} pictures")
        for name, part in PARTS.items()
    }
    halves = _halves(min(PAIRS, n))
    untrained = VGG(config.network(), rng=np.random.default_rng(config.seed))
    for name, network in {
        "halves that find each other": model.vgg,
        "... untrained": untrained,
    }.items():
        numbers[name] = mean_of(_reunited(network, *halves), of=f"{len(halves[0])} textures")
    pictures = _pictures(model, images[:24], seen[:24])
    if paintings:
        measured, pictures["paintings"] = painted(freeze(model.vgg), paintings)
        numbers |= measured
    return Report(numbers, pictures)


def painted(vgg: VGG, n: int, size: int = 256) -> tuple[dict[str, Measured], np.ndarray]:
    """How well `n` drawn contents are painted in the manner of a texture, and a sheet of them.

    Every row of the sheet: content, style, painting.
    """
    rng, rows, sheet = np.random.default_rng(TEST_SEED), [], []
    config = NeuralStyleConfig()
    contents = [leaf_picture(size, rng)[None] * 2 - 1 for _ in range(n + 1)]
    for k in tqdm(range(n), desc="painting", leave=False):
        name = TEXTURES[-1 - 3 * k % len(TEXTURES)]
        whole = texture(name, 2 * size, rng, period=size / 16)[None] * 2 - 1
        corners = whole[:, :size, :size], whole[:, size:, size:]
        x, row = _painting(vgg, contents[k], contents[k + 1], *corners, config)
        rows.append(row)
        sheet += [contents[k], corners[0], x]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    of = f"{n} of {size} x {size}, {config.steps} steps"
    numbers = {name: mean_of(column, of=of) for name, column in columns.items()}
    return numbers, grid(to_uint8(np.concatenate(sheet)), 3, 2)


def _painting(
    vgg: VGG,
    content: np.ndarray,
    other: np.ndarray,
    style: np.ndarray,
    corner: np.ndarray,
    config: NeuralStyleConfig,
) -> tuple[np.ndarray, dict[str, float]]:
    """One painting, and its relative distances, each beside one to compare it with."""
    losses: list[float] = []

    def note(step: int, numbers: dict[str, float], x: np.ndarray) -> None:
        losses.append(numbers["total"])

    start = time.monotonic()
    with one_blas_thread():
        x = transfer(vgg, content, [style], config, np.random.default_rng(0), callback=note)
    taken = time.monotonic() - start
    x = to_float(to_uint8(x))  # as it is in a file
    targets, layer = style_targets(vgg, [style]), content_layer(vgg, None)
    with no_grad():
        kept, ours, theirs, elsewhere = (
            vgg.layers(Tensor(picture), {layer, *targets})
            for picture in (content, x, other, corner)
        )
        P = kept[layer].data
        return x, {
            "painting: loss taken away": 1 - losses[-1] / losses[0],
            "... distance to the style": style_loss(ours, targets).item(),
            "... of another corner of the style": style_loss(elsewhere, targets).item(),
            "... distance to the content": content_loss(ours[layer], P).item(),
            "... of another content": content_loss(theirs[layer], P).item(),
            "... seconds": taken,
        }


def vgg(model: str = "texture_features") -> VGG:
    """Features, ready to measure style: those that ship, or of a run, or of a file from elsewhere.

    A safetensors file that minigen has not written is read as a VGG of torchvision.

    Raises: FileNotFoundError where there is nothing; ValueError for what holds no VGG.
    """
    path = weights.find(model)
    if path.is_file() and "recipe" not in (read := load_weights(path))[1]:
        return freeze(from_torchvision(read[0]))
    return freeze(classifier(str(path)).vgg)


def classifier(model: str = "texture_features") -> VGGClassifier:
    """The network with its votes, in the order of LABELS: the one that ships, or of a run.

    Raises: FileNotFoundError where there is nothing; ValueError for another model.
    """
    found = open_model(weights.find(model))
    if found.recipe != "texture_features":
        raise ValueError(f"style: {model} is a model of {found.recipe}, expected texture_features")
    return _trained(found)[1]


def _parts(images: np.ndarray) -> list[np.ndarray]:
    return split(images, max(1, len(images) // 25))


def _found(votes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Of the k labels of each picture the share among its k highest votes: (N,)."""
    votes, seen = votes[seen.any(axis=1)], seen[seen.any(axis=1)]
    k = seen.sum(axis=1).astype(int)
    rank = (-votes).argsort(axis=1).argsort(axis=1)
    return ((rank < k[:, None]) * seen).sum(axis=1) / k


def _halves(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(TEST_SEED)
    kinds = [TEXTURES[k % len(TEXTURES)] for k in range(n)]
    whole = np.stack([texture(kind, 2 * SIZE, rng, colours=GREYS) for kind in kinds]) * 2 - 1
    return whole[:, :SIZE, :SIZE], whole[:, SIZE:, SIZE:]  # corners, which do not touch


def _reunited(network: VGG, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Whether each left half is nearest to its right one, 0 or 1, (n,)."""

    def grams(x: np.ndarray) -> np.ndarray:
        with no_grad():
            maps = network.layers(Tensor(x), network.names)
        return np.concatenate([g.reshape(len(x), -1) for g in _normalised(maps)], axis=1)

    a, b = (np.concatenate(parallel_map(grams, _parts(x))) for x in (left, right))
    return (a @ b.T).argmax(axis=1) == np.arange(len(a))


def _normalised(maps: dict[str, Tensor]) -> list[np.ndarray]:
    """Gram matrices of length 1: the nearest of them are those with the largest product."""
    grams = [gram(m).data for m in maps.values()]
    return [g / np.linalg.norm(g, axis=(1, 2), keepdims=True) for g in grams]


def _looked_at(model: VGGClassifier, images: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The pictures, dark where the first of their shapes is not seen: Grad-CAM."""
    shapes = PARTS["shapes"]
    label = shapes.start + seen[:, shapes].argmax(axis=1)
    with no_grad():
        maps = model.vgg(Tensor(to_float(images)))
    return overlay(images, grad_cam(maps.data, model.head, label))


def _pictures(model: VGGClassifier, images: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
    """Sheets: filters of the first layer, maps of every layer, what is looked at."""
    with no_grad():
        maps = model.vgg.layers(Tensor(to_float(images[:1])), model.vgg.names)
    looked = np.stack([images, _looked_at(model, images, seen)], axis=1)  # (N, 2, H, W, 3)
    filters = filter_pictures(model.vgg.convs[0].weight.data)
    sheets = {"filters": enlarge(grid(filters, 8, 1), 12)}
    sheets["looked_at"] = grid(looked.reshape(-1, *images.shape[1:]), 8, 2)
    for name, m in maps.items():
        tiles = activation_pictures(m.data[0])[:32]
        sheets[f"maps_{name}"] = enlarge(grid(tiles, 8, 1), SIZE // len(tiles[0]))
    return sheets


def _trained(run: RunFolder | WeightsFile) -> tuple[Config, VGGClassifier]:
    """The settings and the network, from weights.safetensors where a run has come to its end."""
    config = config_from(Config, run.config)
    model = VGGClassifier(config.network(), len(LABELS), rng=np.random.default_rng(0))
    done = run.path / "weights.safetensors"  # there the filters are balanced
    model.load_state_dict(load_model(done if done.is_file() else run.path)[0])
    return config, model.eval()
