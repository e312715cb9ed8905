"""Parti on scenes: a VQ-VAE, then an encoder-decoder Transformer that writes its codes.

    minigen train parti                         60 minutes, both stages together
    minigen eval runs/parti-1 -n 1000           obedience, and the ceiling of the VQ-VAE
    minigen sample runs/parti-1 -n 64
    minigen sample runs/parti-1 -n 64 --guidance 3 --candidates 8 --judge runs/clip-1

A picture of 32 x 32 pixels becomes 8 x 8 codes of a vocabulary of 256. The first stage, in
RUN/autoencoder, shows true pictures beside what their codes make of them. What to see in the
second: backgrounds first, then shapes that hold together, since every code has to fit those before.
Restarts of codes are rare here: those that divide a background's colour among many codes leave the
Transformer more to guess, and the pictures no better.

--candidates draws several pictures of each caption and keeps the best. The judge is a CLIP, --judge
runs/clip-1, or else the model itself, which knows how much likelier the caption makes a picture:
ln p(codes | caption) - ln p(codes). `draw` takes any other, score(pictures, captions) -> (N,).

Not trained at length yet, no number.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.backend import auto_unless_chosen
from minigen.data.pixels import to_float
from minigen.metrics.codes import diagnose_codes
from minigen.metrics.report import Report
from minigen.metrics.text_use import same_colours
from minigen.models.text_to_image import parti
from minigen.models.text_to_image.parti import Parti, PartiConfig, Score
from minigen.models.vae import vq_vae
from minigen.models.vae.vq_vae import VQVAE, CodebookAverage, VQVAEConfig
from minigen.recipes._text_to_codes import (
    BATCH,
    TextToCodesConfig,
    beside,
    ceiling,
    in_batches,
    judge_of,
    of_pairs,
    through,
    what_captions_tell,
)
from minigen.recipes._text_to_image import TABLES, captions_of, fit, obedience
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option, part_of

HEADS = (*TABLES, "code", "row", "column", "code_logits")  # AdamW's, though matrices


@dataclass(frozen=True)
class Config(TextToCodesConfig):
    """Settings of a run."""

    commitment: float = option(0.25, "weight of the VQ-VAE's commitment")
    decay: float = option(0.99, "of the codebook's averages")
    restart_below: float = option(0.02, "share of the mean use below which a code is restarted")
    text_width: int = option(192, "of a word's vector")
    text_layers: int = option(2, "Transformer blocks over the words")
    width: int = option(192, "channels of a code in the decoder")
    layers: int = option(5, "Transformer blocks over the codes")
    heads: int = option(6, "of attention")
    candidates: int = option(1, "pictures of each caption, of which the best is kept")

    def autoencoder(self) -> VQVAEConfig:
        sizes = {"in_channels": 3, "width": self.code_width, "beta": self.commitment}
        return part_of(VQVAEConfig, {**asdict(self), **sizes})

    def transformer(self) -> PartiConfig:
        source = self.source()
        text = {"vocabulary": len(source.words), "caption_length": source.caption_length}
        return part_of(PartiConfig, {**asdict(self), **text, "grid": self.grid()})


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train both stages in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    autoencoder = VQVAE(config.autoencoder(), rng=rng)
    first = run.stage("autoencoder")
    shown = config.source().draw(36, np.random.default_rng(config.seed))[0]
    fit(
        autoencoder,
        lambda model, batch, rng: vq_vae.loss(model, batch[0], config.autoencoder()),
        config,
        first,
        share=config.autoencoder_share,
        more=[CodebookAverage(autoencoder.codebook, config.autoencoder())],
        max_norm=None,  # which would slow the codebook's averages down
        sample=lambda model, rng: beside(shown, through(model, shown)[1]),
        diagnose=diagnose_codes(config.codes),
    )
    autoencoder.load_state_dict(load_model(first.path)[0])
    model = Parti(config.transformer(), autoencoder, rng=rng)
    fit(
        model,
        _loss,
        config,
        run,
        frozen=autoencoder,
        share=1 - config.autoencoder_share,
        tables=HEADS,
        sample=lambda model, rng: draw(model, config, config.source().shown, rng),
        diagnose=same_colours,
    )


def _loss(model: Parti, batch: Any, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
    pictures, words = batch
    return parti.loss(model, pictures, words)


def draw(
    model: Parti,
    config: Config,
    captions: Sequence[str],
    rng: np.random.Generator,
    *,
    guidance: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    candidates: int | None = None,
    score: Score | None = None,
) -> np.ndarray:
    """A picture for each caption, uint8 (N, size, size, 3), the best of several.

    score  (pictures uint8, captions) -> (N,); None: the model itself judges
    """
    sample = partial(
        parti.sample,
        model,
        rng=rng,
        guidance_scale=config.guidance if guidance is None else guidance,
        temperature=config.temperature if temperature is None else temperature,
        top_k=config.top_k if top_k is None else top_k,
    )
    return parti.best_of(
        lambda captions: in_batches(sample, config, captions),
        score or partial(by_itself, model, config),
        captions,
        config.candidates if candidates is None else candidates,
    )


def by_itself(
    model: Parti, config: Config, pictures: np.ndarray, captions: Sequence[str]
) -> np.ndarray:
    """How much likelier each picture is with its caption: ln p(codes | caption) - ln p(codes).

    Shapes: pictures uint8 (N, H, W, 3), N captions -> (N,).
    """
    words, scores = config.source().encode(captions), []
    with no_grad():
        for first in range(0, len(pictures), BATCH):
            part = slice(first, first + BATCH)
            codes = model.autoencoder.tokenise(to_float(pictures[part]))
            told = parti.log_prob(model, words[part], codes)
            scores.append((told - parti.log_prob(model, 0 * words[part], codes)).numpy())
    return np.concatenate(scores)


@auto_unless_chosen()
def sample(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    guidance: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    candidates: int | None = None,
    judge: str | None = None,
) -> np.ndarray:
    """`n` pictures of captions as the training has them.

    judge  folder or weights of a CLIP that picks among the candidates
    """
    config, model = trained(run, guidance, temperature, top_k, candidates)
    found = judge_of(judge)
    score = of_pairs(found) if found else None
    return draw(model, config, captions_of(config, n, rng), rng, score=score)


@auto_unless_chosen()
def evaluate(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    guidance: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    candidates: int | None = None,
    judge: str | None = None,
) -> Report:
    """Shares of `n` captions of each kind whose picture is right, and the most that the codes
    allow; the loss with another's caption; error of the VQ-VAE, and use of its codes.

    judge  folder or weights of a CLIP that picks among the candidates; for art, the judge as well
    """
    config, model = trained(run, guidance, temperature, top_k, candidates)
    found = judge_of(judge)
    paint = partial(draw, model, config, rng=rng, score=of_pairs(found) if found else None)
    obeyed = obedience(paint, config, n, rng, found)
    of_codes = partial(parti.log_prob, model)
    return (
        Report(obeyed)
        | ceiling(model.autoencoder, config, n, rng)
        | what_captions_tell(of_codes, model.autoencoder, config, n, rng)
    )


def trained(
    run: RunFolder | WeightsFile,
    guidance: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    candidates: int | None = None,
) -> tuple[Config, Parti]:
    """The settings, changed where something is given, and the network."""
    asked = {
        "guidance": guidance,
        "temperature": temperature,
        "top_k": top_k,
        "candidates": candidates,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    config = config_from(Config, {**run.config, **given})
    rng = np.random.default_rng(0)
    model = Parti(config.transformer(), VQVAE(config.autoencoder(), rng=rng), rng=rng)
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()
