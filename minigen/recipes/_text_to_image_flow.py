"""What painting from captions by a flow has in common: dit.py, mmdit.py, and draw of scenes.py.

The flow is that of scenes.py: the network returns the picture, x0, and most training times lie near
the noise, where the caption is needed (docs/derivations/text_to_image.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import trange

from minigen.autograd import Tensor, no_grad
from minigen.backend import auto_unless_chosen
from minigen.data.pixels import to_float, to_uint8
from minigen.metrics.report import Report
from minigen.metrics.text_use import same_colours, text_use
from minigen.models.flow_matching import flow_matching
from minigen.models.flow_matching.flow_matching import FlowMatchingConfig
from minigen.parallel import in_parts
from minigen.recipes import load_recipe
from minigen.recipes._text_to_image import (
    TABLES,
    TextToImageConfig,
    captions_of,
    fit,
    obedience,
)
from minigen.train import RunFolder, WeightsFile, load_model, option, part_of

MODULATION = ("scale", "shift", "gate")  # zero at the start: AdamW's


@dataclass(frozen=True)
class FlowPainterConfig(TextToImageConfig):
    """Settings of the text, the training times and the sampler."""

    text_width: int = option(128, "of a word's vector")
    text_layers: int = option(2, "Transformer blocks over the words alone")
    prediction_type: str = option("x0", "what the network returns", ("x0", "velocity"))
    time_mean: float = option(0.8, "of logit(t) in training: above 0 is more often near the noise")
    time_std: float = option(1.1, "of logit(t) in training")
    sampler: str = option("ddpm", "of the pictures, unless another is asked for")
    sampling_steps: int = option(30, "of that sampler")
    guidance: float = option(2.0, "classifier-free guidance scale")
    shift: float = option(1.5, "of the sampling times towards the noise")
    clip: float = option(1.0, "keep predicted pictures within [-clip, clip]")

    def flow(self) -> FlowMatchingConfig:
        return part_of(FlowMatchingConfig, vars(self))

    def sizes(self) -> dict[str, Any]:
        """What a network has to know of the data, beside its own settings."""
        data = self.source()
        return {
            **vars(self),
            "vocabulary": len(data.words),
            "caption_length": data.caption_length,
            "image_size": data.size,
        }


def fit_flow(model: Any, config: FlowPainterConfig, run: RunFolder) -> None:
    """Train `model` in `run`, or go on where it stands."""

    def loss(model: Any, batch: Any, rng: np.random.Generator) -> Tensor:
        pictures, words = batch
        return flow_matching.loss(model, pictures, rng, config.flow(), words=words)

    fit(
        model,
        loss,
        config,
        run,
        tables=(*TABLES, *MODULATION),
        sample=lambda model, rng: draw(model, config, config.source().shown, rng),
        diagnose=same_colours,
    )


def draw(
    model: Any,
    config: Any,
    captions: Sequence[str],
    rng: np.random.Generator,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> np.ndarray:
    """A picture for each caption, uint8 (N, size, size, 3), drawn 64 at a time.

    config  has source() and flow(), and sampler, sampling_steps and guidance
    """
    data, pictures = config.source(), []
    for first in trange(0, len(captions), 64, desc="drawing", disable=len(captions) <= 64):
        words = data.encode(captions[first : first + 64])
        pictures.append(
            flow_matching.sample(
                in_parts(model),
                len(words),
                rng,
                (data.size, data.size, 3),
                config.flow(),
                sampler=sampler or config.sampler,
                steps=steps or config.sampling_steps,
                conditions=model.read(words),
                null_conditions=model.read(np.zeros_like(words)),
                guidance_scale=config.guidance if guidance is None else guidance,
            )
        )
    return to_uint8(np.concatenate(pictures))


@auto_unless_chosen()
def sample(
    run: RunFolder | WeightsFile,
    n: int,
    rng: np.random.Generator,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
) -> np.ndarray:
    """`n` pictures of captions as the training has them."""
    config, model = load_recipe(run.recipe).trained(run)
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
    """Shares of `n` captions of each kind whose picture is right; whether the text is used."""
    config, model = load_recipe(run.recipe).trained(run)
    pictures, captions = config.source().draw(max(4, min(n, 256)), rng)
    x0 = to_float(pictures)

    def paint(captions: Sequence[str]) -> np.ndarray:
        return draw(model, config, captions, rng, sampler=sampler, steps=steps, guidance=guidance)

    def loss(part: slice, words: np.ndarray, rng: np.random.Generator) -> float:
        with no_grad():
            y = flow_matching.loss(in_parts(model), x0[part], rng, config.flow(), words=words)
        return y.item()

    use, remarks = text_use(loss, config.source().encode(captions))
    return Report({**obedience(paint, config, n, rng), **use}, remarks=tuple(remarks))


def network_of(kind: Any, config: Any, run: RunFolder | WeightsFile) -> Any:
    """The network of a run, of the given kind and settings."""
    model = kind(config.network(), rng=np.random.default_rng(0))
    model.load_state_dict(load_model(run.path)[0])
    return model.eval()
