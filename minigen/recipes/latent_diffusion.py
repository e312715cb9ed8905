"""Text to image among latents: the shape of Stable Diffusion, in two stages.

    minigen train latent_diffusion
    minigen eval runs/latent_diffusion-1 -n 1000        obedience, and the autoencoder's ceiling
    minigen sample runs/latent_diffusion-1

The first stage, runs/latent_diffusion-1/autoencoder, learns to write a scene of 32 x 32 x 3 numbers
as 16 x 16 x 4 of unit variance, and to read them. The second leaves it as it is and learns
diffusion among the latents: v-prediction, the cosine schedule, DDIM. What the first loses, the
second can't bring back: `minigen eval` also marks true scenes that went through the autoencoder.

Not trained at length yet, no number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tqdm import trange

from minigen.autograd import Tensor, no_grad
from minigen.backend import auto_unless_chosen
from minigen.data.pixels import grid, to_float, to_uint8
from minigen.metrics.obedience import scenes_kept
from minigen.metrics.report import Measured, Report
from minigen.metrics.text_use import same_colours, text_use
from minigen.models.diffusion import ddpm
from minigen.models.diffusion.ddpm import DDPMConfig
from minigen.models.text_to_image import latent_diffusion
from minigen.models.text_to_image.latent_diffusion import LatentDiffusion, LatentDiffusionConfig
from minigen.models.vae import autoencoder_kl
from minigen.models.vae.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig
from minigen.optim.running_mean import RunningMean
from minigen.parallel import in_parts
from minigen.recipes._text_to_image import TextToImageConfig, captions_of, fit, obedience
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option, part_of

ENOUGH = 0.95  # share of true scenes that should come through the autoencoder unharmed


@dataclass(frozen=True)
class Config(TextToImageConfig):
    """Settings of a run."""

    autoencoder_share: float = option(0.15, "of the minutes, for the first stage")
    autoencoder_channels: tuple[int, ...] = option((48,), "each level halves the picture")
    latent_width: int = option(4, "numbers of a latent vector")
    kl_weight: float = option(0.001, "of nats beside the absolute error of a picture")
    channels: tuple[int, ...] = option((64, 96, 128), "of the U-Net, the largest map first")
    blocks: int = option(1, "residual blocks of a level")
    attention: tuple[bool, ...] = option((False, True, True), "levels that look at the words")
    text_width: int = option(128, "of a word's vector")
    text_layers: int = option(2, "Transformer blocks over the words")
    prediction_type: str = option("v", "what the network returns", ("epsilon", "x0", "v"))
    schedule: str = option("cosine", "of the noise", ("cosine", "linear"))
    sampler: str = option("ddim", "of the latents, unless another is asked for")
    sampling_steps: int = option(30, "of that sampler")
    guidance: float = option(2.0, "classifier-free guidance scale")

    def autoencoder(self) -> AutoencoderKLConfig:
        return AutoencoderKLConfig(
            3, self.autoencoder_channels, width=self.latent_width, kl_weight=self.kl_weight
        )

    def network(self) -> LatentDiffusionConfig:
        data = self.source()
        sizes = {
            "vocabulary": len(data.words),
            "caption_length": data.caption_length,
            "latent_size": data.size // 2 ** len(self.autoencoder_channels),
        }
        return part_of(LatentDiffusionConfig, {**vars(self), **sizes})

    def diffusion(self) -> DDPMConfig:
        return DDPMConfig(
            schedule=self.schedule, prediction_type=self.prediction_type, clip=None
        )  # latents have no bounds


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train both stages in `run`, or go on where it stands."""
    first = run.stage("autoencoder")
    _train_autoencoder(config, first)
    model = new_model(config, config.seed)
    model.autoencoder.load_state_dict(load_model(first.path)[0])

    def loss(model: LatentDiffusion, batch: Any, rng: np.random.Generator) -> Tensor:
        pictures, words = batch
        diffusion = partial(ddpm.loss, config=config.diffusion())
        return latent_diffusion.loss(model, pictures, rng, diffusion, words=words)

    fit(
        model,
        loss,
        config,
        run,
        frozen=model.autoencoder,
        share=1 - config.autoencoder_share,
        sample=lambda model, rng: draw(model, config, config.source().shown, rng),
        diagnose=same_colours,
    )


def _train_autoencoder(config: Config, run: RunFolder) -> None:
    """The first stage; the captions are not looked at."""
    model = AutoencoderKL(config.autoencoder(), rng=np.random.default_rng(config.seed))
    shown = captioned_pictures(config, 18, np.random.default_rng(0))

    def loss(
        model: AutoencoderKL, batch: Any, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        return autoencoder_kl.loss(model, batch[0], rng, config.autoencoder())

    fit(
        model,
        loss,
        config,
        run,
        share=config.autoencoder_share,
        more=[RunningMean(model.moments.named_parameters())],
        max_norm=None,  # which would slow the running means down
        sample=lambda model, rng: beside(shown, reconstruct(model, shown)),
    )


def new_model(config: Config, seed: int = 0) -> LatentDiffusion:
    """Both networks, untrained."""
    rng = np.random.default_rng(seed)
    return LatentDiffusion(AutoencoderKL(config.autoencoder(), rng=rng), config.network(), rng=rng)


def captioned_pictures(config: Config, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` pictures as the training has them, uint8."""
    return config.source().draw(n, rng)[0]


def reconstruct(autoencoder: AutoencoderKL, pictures: np.ndarray) -> np.ndarray:
    """Pictures through the autoencoder, 64 at a time, by the mean of their latents; uint8."""
    parts = range(0, len(pictures), 64)
    with no_grad():
        return np.concatenate(
            [to_uint8(autoencoder(to_float(pictures[i : i + 64])).data) for i in parts]
        )


def beside(pictures: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Each picture with another behind it: two of (N, ...) -> (2 N, ...)."""
    return np.stack([pictures, others], axis=1).reshape(-1, *pictures.shape[1:])


def draw(
    model: LatentDiffusion,
    config: Config,
    captions: Sequence[str],
    rng: np.random.Generator,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> np.ndarray:
    """A picture for each caption, uint8 (N, size, size, 3), drawn 64 at a time."""
    data, pictures = config.source(), []
    for first in trange(0, len(captions), 64, desc="drawing", disable=len(captions) <= 64):
        words = data.encode(captions[first : first + 64])
        x = latent_diffusion.sample(
            model,
            len(words),
            rng,
            ddpm.sample,
            network=in_parts(model.denoiser),
            conditions=model.read(words),
            null_conditions=model.read(np.zeros_like(words)),
            guidance_scale=config.guidance if guidance is None else guidance,
            config=config.diffusion(),
            sampler=sampler or config.sampler,
            steps=steps or config.sampling_steps,
        )
        pictures.append(to_uint8(x))
    return np.concatenate(pictures)


@auto_unless_chosen()
def sample(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    reconstructions: bool = False,
) -> np.ndarray:
    """`n` pictures of captions as the training has them; or true ones, each beside what the
    autoencoder makes of it.
    """
    config, model = trained(run)
    if reconstructions:
        pictures = captioned_pictures(config, n, rng)
        return beside(pictures, reconstruct(model.autoencoder, pictures))
    captions = captions_of(config, n, rng)
    return draw(model, config, captions, rng, sampler=sampler, steps=steps, guidance=guidance)


@auto_unless_chosen()
def evaluate(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> Report:
    """Obedience of `n` captions of each kind; what the autoencoder allows; the text's use."""
    config, model = trained(run)
    pictures, captions = config.source().draw(max(4, min(n, 256)), rng)
    made = reconstruct(model.autoencoder, pictures)
    x0 = to_float(pictures)

    def loss(part: slice, words: np.ndarray, rng: np.random.Generator) -> float:
        z = model.encode(x0[part], rng)
        with no_grad():
            denoiser = in_parts(model.denoiser)
            return ddpm.loss(denoiser, z, rng, config.diffusion(), words=words).item()

    def paint(captions: Sequence[str]) -> np.ndarray:
        return draw(model, config, captions, rng, sampler=sampler, steps=steps, guidance=guidance)

    use, remarks = text_use(loss, config.source().encode(captions))
    error = float(((to_float(made) - x0) ** 2).mean())
    most = ceiling(model.autoencoder, n, rng) if config.data == "scenes" else {}
    numbers: dict[str, float | Measured] = {
        "squared error of the autoencoder": error,
        **most,
        **use,
    }
    return Report(
        {**obedience(paint, config, n, rng), **numbers},
        {"reconstructions": grid(beside(pictures[:36], made[:36]), columns=12, gap=2)},
        remarks=(*remarks, *autoencoder_remarks(most)),
    )


def ceiling(autoencoder: AutoencoderKL, n: int, rng: np.random.Generator) -> dict[str, float]:
    """Shares of `n` true scenes of each kind that are still right behind the autoencoder."""
    kept = scenes_kept(lambda pictures: reconstruct(autoencoder, pictures), n, rng)
    return {f"autoencoder, {name}": share for name, share in kept.items()}


def autoencoder_remarks(shares: dict[str, float]) -> list[str]:
    """What `ceiling` found, in words."""
    worst = min((x for name, x in shares.items() if name.endswith("exactly right")), default=1.0)
    if worst >= ENOUGH:
        return []
    return [
        f"the autoencoder itself spoils {1 - worst:.0%} of the true scenes: no diffusion can do "
        "better; raise --autoencoder-share, --latent-width or --autoencoder-channels"
    ]


def trained(run: RunFolder | WeightsFile) -> tuple[Config, LatentDiffusion]:
    config = config_from(Config, run.config)
    model = new_model(config)
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()
