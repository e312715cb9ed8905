"""DALL-E on scenes: a discrete autoencoder, then one Transformer over words and codes.

    minigen train dalle                         60 minutes, both stages together
    minigen eval runs/dalle-1 -n 1000           obedience, and the ceiling of the autoencoder
    minigen sample runs/dalle-1 -n 64
    minigen sample runs/dalle-1 -n 64 --guidance 3 --temperature 0.8 --top-k 64

A picture of 32 x 32 pixels becomes 8 x 8 codes of a vocabulary of 256; a caption of 14 words stands
before them, 78 places in all. The first stage, in RUN/autoencoder, shows true pictures beside
what their codes make of them; watch "kl" in its log, the nats that a code still tells, and
"perplexity". What to see in the second: backgrounds first, then shapes that hold together, since
every code has to fit those before it; an object may still be cut off where the codes lost track.

Not trained at length yet, no number.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from minigen.autograd import Tensor
from minigen.backend import auto_unless_chosen
from minigen.metrics.codes import diagnose_codes
from minigen.metrics.report import Report
from minigen.metrics.text_use import same_colours
from minigen.models.text_to_image import dalle
from minigen.models.text_to_image.dalle import (
    DALLE,
    Annealing,
    DALLEConfig,
    DiscreteVAE,
    DiscreteVAEConfig,
)
from minigen.recipes._text_to_codes import (
    TextToCodesConfig,
    beside,
    ceiling,
    in_batches,
    judge_of,
    through,
    what_captions_tell,
)
from minigen.recipes._text_to_image import TABLES, captions_of, fit, obedience
from minigen.train import RunFolder, WeightsFile, config_from, load_model, option, part_of

CODEBOOK = (*TABLES, "codebook")  # AdamW's, though a matrix
HEADS = (*TABLES, "code", "row", "column", "word_logits", "code_logits")


@dataclass(frozen=True)
class Config(TextToCodesConfig):
    """Settings of a run."""

    autoencoder_share: float = option(0.2, "of the minutes, for the first stage")
    code_width: int = option(16, "numbers of a code")
    autoencoder_lr: float = option(1e-2, "largest learning rate of AdamW in the first stage")
    beta: float = option(1.0, "weight of the KL of the codes")
    anneal_steps: int = option(2500, "steps in which the choice of codes hardens")
    width: int = option(192, "channels of a token")
    layers: int = option(6, "Transformer blocks")
    heads: int = option(6, "of attention")
    words_weight: float = option(0.125, "of the words' loss; the rest is the codes'")

    def autoencoder(self) -> DiscreteVAEConfig:
        return part_of(DiscreteVAEConfig, asdict(self))

    def transformer(self) -> DALLEConfig:
        source = self.source()
        text = {"vocabulary": len(source.words), "caption_length": source.caption_length}
        return part_of(DALLEConfig, {**asdict(self), **text, "grid": self.grid()})


@auto_unless_chosen()
def train(config: Config, run: RunFolder) -> None:
    """Train both stages in `run`, or go on where it stands."""
    rng = np.random.default_rng(config.seed)
    autoencoder = DiscreteVAE(config.autoencoder(), rng=rng)
    first = run.stage("autoencoder")
    shown = config.source().draw(36, np.random.default_rng(config.seed))[0]
    fit(
        autoencoder,
        lambda model, batch, rng: dalle.autoencoder_loss(model, batch[0], rng),
        replace(config, lr_rest=config.autoencoder_lr),
        first,
        share=config.autoencoder_share,
        tables=CODEBOOK,
        more=[Annealing(autoencoder)],
        sample=lambda model, rng: beside(shown, through(model, shown)[1]),
        diagnose=diagnose_codes(config.codes),
    )
    autoencoder.load_state_dict(load_model(first.path)[0])
    model = DALLE(config.transformer(), autoencoder, rng=rng)
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


def _loss(model: DALLE, batch: Any, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
    pictures, words = batch
    return dalle.loss(model, pictures, words)


def draw(
    model: DALLE,
    config: Config,
    captions: Sequence[str],
    rng: np.random.Generator,
    *,
    guidance: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
) -> np.ndarray:
    """A picture for each caption, uint8 (N, size, size, 3), drawn 64 at a time."""
    sample = partial(
        dalle.sample,
        model,
        rng=rng,
        guidance_scale=config.guidance if guidance is None else guidance,
        temperature=config.temperature if temperature is None else temperature,
        top_k=config.top_k if top_k is None else top_k,
    )
    return in_batches(sample, config, captions)


@auto_unless_chosen()
def sample(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    guidance: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
) -> np.ndarray:
    """`n` pictures of captions as the training has them."""
    config, model = trained(run, guidance, temperature, top_k)
    return draw(model, config, captions_of(config, n, rng), rng)


@auto_unless_chosen()
def evaluate(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    guidance: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    judge: str | None = None,
) -> Report:
    """Shares of `n` captions of each kind whose picture is right, and the most that the codes
    allow; the loss with another's caption; error of the autoencoder, and use of its codes.

    judge  folder or weights of a CLIP, for art
    """
    config, model = trained(run, guidance, temperature, top_k)
    obeyed = obedience(
        lambda captions: draw(model, config, captions, rng), config, n, rng, judge_of(judge)
    )

    def of_codes(words: np.ndarray, codes: np.ndarray) -> Tensor:
        return dalle.log_prob(model, words, codes)[1]

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
) -> tuple[Config, DALLE]:
    """The settings, changed where something is given, and the network."""
    asked = {"guidance": guidance, "temperature": temperature, "top_k": top_k}
    given = {name: value for name, value in asked.items() if value is not None}
    config = config_from(Config, {**run.config, **given})
    rng = np.random.default_rng(0)
    model = DALLE(config.transformer(), DiscreteVAE(config.autoencoder(), rng=rng), rng=rng)
    model.load_state_dict(load_model(run.path)[0])
    return config, model.eval()
