"""VQ-VAE: an autoencoder whose latents are words of a small, learned vocabulary.

Aaron van den Oord, Oriol Vinyals, Koray Kavukcuoglu, Neural Discrete Representation Learning, 2017,
arXiv 1711.00937.

The idea: the encoder makes a small map of vectors, and each vector is replaced by the nearest of K
codes; the decoder sees the codes only. Choosing the nearest has no gradient, so the decoder's
gradient at the codes is handed to the encoder as if nothing had been replaced. The codes follow
what is replaced by them: each is a moving average of its vectors.

    z_q(x) = e_k,   k = argmin_j |z_e(x) - e_j|                                         (1), (2)
    L = -log p(x | z_q(x)) + |sg[z_e(x)] - e|^2 + beta |z_e(x) - sg[e]|^2                    (3)
    N_i = gamma N_i + (1 - gamma) n_i                                                        (6)
    m_i = gamma m_i + (1 - gamma) sum_j z_ij                                                 (7)
    e_i = m_i / N_i                                                                          (8)

sg[.] is what is seen as a constant; n_i vectors z_i1, z_i2, ... have e_i as their nearest code.
(6) to (8), the paper's appendix A.1, stand in the place of the middle term of (3).

The two averages are parameters that the loss itself moves, by minigen/optim/running_mean.py: a
batch may then be shared among threads, and a checkpoint holds them as it holds weights.

Shapes: x (N, H, W, C), z_e and z_q (N, h, w, D), codes (N, h, w) integers below K; e (K, D).

Differs from the paper in: the first term of (3) has the sign that makes L a loss; it is the squared
error of a pixel, which is -log p up to a factor, and both terms of the loss are means; the blocks
have group norm and silu; a code that is hardly used any more takes over half of what the most used
one has (`restart`; the split of Linde, Buzo and Gray, An algorithm for vector quantizer design,
1980). The prior over the codes, which the paper trains afterwards, is not here.

Notebook: notebooks/12_vq_vae.ipynb. Recipe: minigen/recipes/fashion_vq_vae.py.
Derivation: docs/derivations/vq_vae.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minigen import nn
from minigen.autograd import Tensor
from minigen.backend import Array, array_module, move
from minigen.metrics.codes import perplexity
from minigen.nn.autoencoder import Decoder, Encoder
from minigen.ops.shape import take_grad
from minigen.optim.running_mean import RunningMean, follow


@dataclass(frozen=True)
class VQVAEConfig:
    """Sizes of the network, and how it learns."""

    in_channels: int = 1
    channels: tuple[int, ...] = (32, 64)  # every level halves the picture: 28 pixels to 7
    blocks: int = 1  # residual blocks of a level
    codes: int = 512  # K, as in the paper
    width: int = 64  # D of a code, as in the paper
    beta: float = 0.25  # weight of the commitment, as in the paper
    decay: float = 0.99  # gamma of the codebook's averages, as in the paper
    restart_below: float = 0.25  # share of the mean use below which a code is restarted; 0: never


class Codebook(nn.Module):
    """K vectors of D numbers; e_i = m_i / N_i.

    uses   N, (K,), how many vectors of a picture have the code as their nearest: a moving average
    sums   m, (K, D), the sum of these vectors: a moving average

    Both are per picture, so that the size of a batch changes nothing.
    """

    def __init__(self, codes: int, width: int, *, rng: np.random.Generator):
        start = 0.01  # of N: little, so that the first vectors to come outweigh the first codes
        self.uses = nn.Parameter(np.full(codes, start, np.float32))
        self.sums = nn.Parameter(nn.init.normal((codes, width), start, rng=rng))
        self.rng = np.random.default_rng(rng.integers(2**63))  # of the restarts

    def vectors(self) -> Array:
        """e, (K, D); 0 for a code that has not been used for so long that N is 0 in its type."""
        N = self.uses.data
        return self.sums.data / (N + (N == 0))[:, None]  # eq. 8

    def nearest(self, z: Array) -> Array:
        """The index of the nearest code; of equally near ones the first.

        |z - e|^2 = |z|^2 - 2 z e^T + |e|^2, of which |z|^2 is the same for all codes.

        Shapes: z (..., D) -> (...), integers.
        """
        where = Tensor(z).device  # and the codes with it
        e, uses = move(self.vectors(), where), move(self.uses.data, where)
        flat = z.reshape(-1, z.shape[-1])  # (..., D) -> (M, D)
        distances = (e * e).sum(axis=1) - 2 * (flat @ e.T)  # (M, K)
        distances[:, uses == 0] = np.inf
        return distances.argmin(axis=1).reshape(z.shape[:-1])  # eq. 1

    def follow(self, z: Array, codes: Array) -> Tensor:
        """The term of the loss, of value 0, by which the averages follow a batch.

        Shapes: z (N, ..., D), codes (N, ...) -> ().
        """
        xp, K, N = array_module(z), len(self.uses), len(z)
        flat, chosen = z.reshape(-1, z.shape[-1]), codes.reshape(-1)
        n = xp.bincount(chosen, minlength=K).astype(z.dtype) / N
        total = take_grad.forward(flat, indices=chosen, axis=0, size=K) / N  # (K, D)
        return follow(self.uses, n) + follow(self.sums, total)  # eq. 6, eq. 7

    def perplexity(self) -> float:
        """exp(entropy) of the use of the codes, lately: K where all are used alike."""
        return perplexity(self.uses.numpy())

    def restart(self, below: float) -> int:
        """Give codes that are used less than `below` times the mean a new place; returns how many.

        Each takes over half of what one of the most used codes has, and stands beside it at a
        hundredth of the codes' spread: the next vectors decide who goes where.
        """
        N, m = self.uses.data, self.sums.data
        xp = array_module(N)
        order = N.argsort()
        share = N / N.mean()
        count = int(min((share < below).sum(), (share > 1).sum()))
        if not count:
            return 0
        dead, large = order[:count], order[::-1][:count]
        spread = 0.01 * float(self.vectors()[large].std())
        noise = spread * self.rng.standard_normal((count, m.shape[1]))
        N[large] /= 2
        m[large] /= 2
        N[dead] = N[large]
        m[dead] = m[large] + N[large][:, None] * xp.asarray(noise.astype(m.dtype))
        return count


class CodebookAverage(RunningMean):
    """The codebook's optimiser: eq. 6 and 7, then the restarts."""

    def __init__(self, codebook: Codebook, config: VQVAEConfig):
        super().__init__(codebook.named_parameters(), config.decay)
        self.codebook, self.restart_below = codebook, config.restart_below

    def step(self) -> None:
        super().step()
        self.codebook.restart(self.restart_below)


class VQVAE(nn.Module):
    """Pictures (N, H, W, C) in [-1, 1] to codes (N, h, w), and back."""

    def __init__(self, config: VQVAEConfig, *, rng: np.random.Generator):
        sizes = (config.in_channels, config.channels, config.width, config.blocks)
        self.encoder = Encoder(*sizes, rng=rng)
        self.codebook = Codebook(config.codes, config.width, rng=rng)
        self.decoder = Decoder(*sizes, rng=rng)

    def encode(self, x: Any) -> Tensor:
        """z_e: (N, H, W, C) -> (N, h, w, D)."""
        return self.encoder(x)

    def quantise(self, z: Tensor) -> tuple[Tensor, Array]:
        """z_q, and the codes that it is made of.

        The value is that of the nearest codes, the gradient goes to z as it comes: "straight
        through".

        Shapes: z (N, h, w, D) -> the same, (N, h, w).
        """
        codes = self.codebook.nearest(z.data)
        e = self.codebook.vectors()[codes]  # (N, h, w, D)
        return z + Tensor(e - z.data), codes  # section 3.2

    def tokenise(self, x: Any) -> Array:
        """The codes of pictures: (N, H, W, C) -> (N, h, w) integers."""
        return self.codebook.nearest(self.encode(x).data)

    def decode(self, codes: Array) -> Tensor:
        """Pictures of codes: (N, h, w) integers -> (N, H, W, C).

        Raises: ValueError where they are no integers from 0 to K - 1.
        """
        K = len(self.codebook.uses)
        if codes.dtype.kind not in "iu" or not 0 <= int(codes.min()) <= int(codes.max()) < K:
            raise ValueError(f"VQVAE: decode takes codes, integers from 0 to {K - 1}")
        vectors = move(self.codebook.vectors(), Tensor(codes).device)
        return self.decoder(Tensor(vectors[codes]))

    def forward(self, x: Any) -> Tensor:
        return self.decoder(self.quantise(self.encode(x))[0])


def loss(
    model: VQVAE, x: Array, config: VQVAEConfig = VQVAEConfig()
) -> tuple[Tensor, dict[str, float]]:
    """Squared error and commitment, means over all their numbers; and what is logged.

    Moves the codebook too, where CodebookAverage is one of the optimisers.

    Shapes: x (N, H, W, C) -> a scalar, {"squared_error", "commitment", "perplexity"}.
    Raises: ValueError for pictures of another shape, or outside [-1, 1].
    """
    z = model.encode(Tensor(x))  # (N, h, w, D)
    z_q, codes = model.quantise(z)
    error = ((model.decoder(z_q) - x) ** 2).mean()  # eq. 3, first term
    commitment = ((z - z_q.detach()) ** 2).mean()  # third term, over beta
    total = error + config.beta * commitment + model.codebook.follow(z.data, codes)
    return total, {
        "squared_error": error.item(),
        "commitment": commitment.item(),
        "perplexity": model.codebook.perplexity(),
    }


def sample(model: VQVAE, n: int, rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Pictures of `n` maps of random codes, each code as often as it is used.

    No samples of the data: the codes of a picture depend on each other, and only a model of that,
    a prior, would draw them together.

    size  (h, w) of the maps

    Shapes: -> (n, H, W, C).
    """
    uses = np.asarray(model.codebook.uses.numpy(), np.float64)
    codes = rng.choice(len(uses), (n, *size), p=uses / uses.sum())
    xp = array_module(model.codebook.uses.data)
    return model.decode(xp.asarray(codes)).data
