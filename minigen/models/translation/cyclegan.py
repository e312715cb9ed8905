"""CycleGAN: from one kind of picture to another and back, learnt without pairs.

Zhu, Park, Isola, Efros, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks, 2017, arXiv 1703.10593; the pool of old pictures Shrivastava et al., 2016, section 2.3,
arXiv 1612.07828.

The idea: a discriminator of Y can ask G: X -> Y for pictures that look like Y, but not for the
right ones: G might make any Y of any x. So there is a way back, F: Y -> X, and who goes there and
back must arrive where he began. What F needs to know to find x again, G must keep. The game is that
of least squares: D answers 1 to true and 0 to made pictures.

    L_GAN(G)  = E (D_Y(G(x)) - 1)^2,   the same for F and D_X                        section 4
    L_GAN(D)  = 1/2 E (D_Y(y) - 1)^2 + 1/2 E D_Y(G(x))^2                             section 4
    L_cyc     = E |F(G(x)) - x|_1 + E |G(F(y)) - y|_1                                (2)
    L         = L_GAN(G) + L_GAN(F) + cycle L_cyc                                    (3)
    L_idt     = E |G(y) - y|_1 + E |F(x) - x|_1,   weight cycle identity             section 5.2

    G: x -> conv 7 x 7 -> [conv 3 x 3 of stride 2] -> residual blocks
         -> [twice the size, conv 3 x 3 -> + what this size saw] -> conv 3 x 3 -> + x

D sees G's pictures of the last steps too, by way of a pool of 50: else both networks may go round
in circles, D forgetting what G did before.

Shapes: x of X and y of Y (N, H, W, channels) in [-1, 1]; scores of patches (N, OH, OW, 1).

Differs from the paper in: pictures of 32 pixels with few and narrow layers; G adds to its input,
and adds nothing at the start, so that it begins with F(G(x)) = x and changes what it must: at that
tip of eq. 2 a lambda of 10 drowns the game, so it is 2; G grows by nn.ResizeConv2d, adds what it
saw at that size, as lines of one pixel have no room at half of it, and ends with a small filter;
zero padding; a norm only inside of the residual blocks, as a group norm: an instance norm right
behind a convolution forgets the colour of a flat background; silu, as rectifiers without a norm may
die; no norm in D; where a style has a place, as a hatching does, a learned map tells G where it is.

Recipe: minigen/recipes/scenes_cyclegan.py. Derivation: docs/derivations/cyclegan.md.
Notebook: notebooks/19_translation.ipynb.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.backend import Array, move
from minigen.nn.init import normal, zeroed
from minigen.ops import l1_loss, mse_loss, silu

DIRECTIONS = ("AtoB", "BtoA")  # as folders of pictures are called: A is X, B is Y


@dataclass(frozen=True)
class CycleGANConfig:
    """Sizes of the networks, and the weights of the losses."""

    size: int = 32  # pixels along each side, halved after each entry of `channels` but the first
    channels: tuple[int, ...] = (24, 48)  # of G and F, the largest picture first
    blocks: int = 3  # residual blocks at the smallest size
    colours: int = 3  # channels of a picture
    positions: bool = True  # whether G and F are told where a pixel is
    d_channels: tuple[int, ...] = (48, 96)  # of D_X and D_Y: patches of 16 pixels
    cycle: float = 2.0  # lambda
    identity: float = 0.5  # part of lambda; 0 for none
    pool: int = 50  # pictures that each discriminator remembers
    num_groups: int = 8  # of every norm

    def __post_init__(self) -> None:
        halvings = len(self.channels) - 1
        if halvings < 0 or self.size % 2**halvings:
            raise ValueError(
                f"cyclegan: a picture of {self.size} pixels cannot be halved {halvings} times"
            )


class Generator(nn.Module):
    """G or F: x (N, size, size, colours) -> the same shape; untrained, it gives back x.

    Raises: ValueError for pictures of another shape.
    """

    def __init__(self, config: CycleGANConfig, *, rng: np.random.Generator):
        first, last, size = config.channels[0], config.channels[-1], config.size
        self.shape = (size, size, config.colours)
        self.input = nn.Conv2d(config.colours, first, 7, padding=3, rng=rng)
        places = normal((size, size, first), 0.1, rng=rng)
        self.positions = nn.Parameter(places) if config.positions else None
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for C, O in zip(config.channels, config.channels[1:]):
            self.shrink.append(nn.Conv2d(C, O, 3, stride=2, padding=1, rng=rng))
        groups = config.num_groups
        rows = (nn.ResBlock(last, last, num_groups=groups, rng=rng) for _ in range(config.blocks))
        self.blocks = nn.Sequential(*rows)
        for O, C in zip(config.channels[-2::-1], config.channels[::-1]):
            self.grow.append(nn.ResizeConv2d(C, O, rng=rng))
        self.output = zeroed(nn.Conv2d(first, config.colours, 3, padding=1, rng=rng))

    def forward(self, x: Any) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"cyclegan: x is {tuple(x.shape)}, expected (N, {str(self.shape)[1:]}")
        h = self.input(x)
        h = silu(h if self.positions is None else h + self.positions)  # (N, H, W, C)
        fine = []  # what each size saw
        for shrink in self.shrink:
            fine.append(h)
            h = silu(shrink(h))  # -> (N, H/2, W/2, O)
        h = self.blocks(h)
        for grow in self.grow:
            h = silu(grow(h) + fine.pop())  # -> (N, 2H, 2W, O)
        return self.output(h) + x


class ImagePool(nn.Module):
    """The last pictures that a generator made, some of them shown again to the discriminator.

    The first `size` pictures are kept and handed on. Then, with probability 1/2, a picture changes
    places with one of the pool, which is handed on instead; else it is handed on itself. What is
    kept is part of a checkpoint.

    Source: Zhu et al., 2017, section 4; Shrivastava et al., 2016, section 2.3.
    """

    def __init__(self, size: int, shape: tuple[int, ...]):
        self.pictures = nn.Buffer(np.zeros((size, *shape), np.float32))
        self.count = nn.Buffer(np.zeros((), np.int64))

    def exchange(self, made: Array, rng: np.random.Generator) -> Array:
        """As many pictures as were made, some of them older. Shapes: (N, H, W, C) -> the same."""
        kept, made = self.pictures.data, move(made, self.pictures.device)
        shown = made.copy()
        for n in range(len(made)):
            filled = int(self.count.data)
            if filled < len(kept):
                kept[filled] = made[n]
                self.count.data[...] = filled + 1
            elif len(kept) and rng.random() < 0.5:
                k = int(rng.integers(len(kept)))
                shown[n], kept[k] = kept[k], made[n]
        return shown


class CycleGAN(nn.Module):
    """The four networks under the paper's names, and the pools."""

    def __init__(self, config: CycleGANConfig, *, rng: np.random.Generator):
        self.config = config
        self.G, self.F = (Generator(config, rng=rng) for _ in range(2))
        self.D_X, self.D_Y = (
            nn.PatchDiscriminator(config.colours, config.d_channels, rng=rng) for _ in range(2)
        )
        self.pool_X, self.pool_Y = (ImagePool(config.pool, self.G.shape) for _ in range(2))


def generator_loss(
    model: CycleGAN, batch: tuple[Array, Array], rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Eq. 3 for G and F, with the identity loss. The log gets its parts.

    Shapes: batch is x and y (N, H, W, colours), no pairs -> a scalar.
    """
    config, (x, y) = model.config, (Tensor(part) for part in batch)
    fake_y, fake_x = model.G(x), model.F(y)
    deceived = mse_loss(model.D_Y(fake_y), 1.0) + mse_loss(model.D_X(fake_x), 1.0)
    cycle = l1_loss(model.F(fake_y), x) + l1_loss(model.G(fake_x), y)  # eq. 2
    loss = deceived + cycle * config.cycle  # eq. 3
    numbers = {"G_gan": deceived.item(), "G_cycle": cycle.item()}
    if config.identity:
        identity = identity_loss(model, x, y)
        loss = loss + identity * (config.cycle * config.identity)
        numbers["G_identity"] = identity.item()
    return loss, numbers


def identity_loss(model: CycleGAN, x: Any, y: Any) -> Tensor:
    """E |G(y) - y| + E |F(x) - x|: a picture that is right already is left as it is.

    It keeps colours where the game alone would take any others as well (section 5.2).
    """
    return l1_loss(model.G(y), y) + l1_loss(model.F(x), x)


def discriminator_loss(
    model: CycleGAN, batch: tuple[Array, Array], rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """1/2 E (D(true) - 1)^2 + 1/2 E D(made)^2, the sum over both; made ones come from the pools.

    It is 1/2 where both always say 1/2, and 0 where they are always right. Numbers for the log:
    their mean answers to true and to made pictures.

    Shapes: batch is x and y (N, H, W, colours), no pairs -> a scalar.
    """
    x, y = batch
    with no_grad():
        fake_y, fake_x = model.G(Tensor(x)), model.F(Tensor(y))
    loss: Any = 0.0
    answers = []
    for D, pool, true, fake in (
        (model.D_Y, model.pool_Y, y, fake_y),
        (model.D_X, model.pool_X, x, fake_x),
    ):
        on_real, on_fake = D(Tensor(true)), D(Tensor(pool.exchange(fake.data, rng)))
        loss = loss + (mse_loss(on_real, 1.0) + mse_loss(on_fake, 0.0)) * 0.5
        answers.append((float(on_real.numpy().mean()), float(on_fake.numpy().mean())))
    real, made = np.mean(answers, axis=0)
    return loss, {"D_real": float(real), "D_fake": float(made)}


def translate(model: CycleGAN, x: Array, direction: str = "AtoB") -> Array:
    """G(x), or F(x) for "BtoA", cut to [-1, 1]: (N, H, W, colours), float32.

    Raises: ValueError for another direction.
    """
    if direction not in DIRECTIONS:
        raise ValueError(
            f"cyclegan: the direction is {direction!r}, expected {' or '.join(DIRECTIONS)}"
        )
    network = model.G if direction == DIRECTIONS[0] else model.F
    with no_grad():
        return network(Tensor(x)).data.clip(-1, 1)
