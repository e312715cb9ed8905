"""The painter: a text-to-image network, its words, and how to sample from it."""

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigen import weights
from minigen.backend import auto_unless_chosen, move, plain_gpu_errors
from minigen.data.byte_pairs import BytePairs
from minigen.data.pixels import to_float, to_uint8
from minigen.data.words import Words, split_words
from minigen.latents import slerp
from minigen.models.flow_matching import flow_matching
from minigen.models.flow_matching.flow_matching import FlowMatchingConfig
from minigen.paint.conditions import NONE, Conditions
from minigen.parallel import in_parts
from minigen.recipes import load_recipe
from minigen.samplers import check_sampler, in_alpha_bar, repaint, sample_denoiser
from minigen.samplers.by_kernel import recorded_step
from minigen.samplers.frames import Denoiser
from minigen.samplers.guidance import mixed_model
from minigen.samplers.palette import within_palette
from minigen.schedules import alpha_bars_from_times, flow_times
from minigen.train import open_model

BATCH = 16  # pictures drawn at once: enough for the cores, few enough to repeat for one of them


@dataclass(frozen=True)
class Sampling:
    """How to sample; what a model was tuned for is stored with its weights.

    Raises: ValueError for an unknown sampler, steps < 1, or a guidance that is no number.
    """

    sampler: str  # "" where the model takes no steps of a sampler
    steps: int
    guidance: float

    def __post_init__(self) -> None:
        if self.sampler:
            check_sampler(self.sampler)
            if self.steps < 1:
                raise ValueError(f"paint: steps is {self.steps}, expected at least 1")
        if not math.isfinite(self.guidance):
            raise ValueError(f"paint: guidance is {self.guidance}, expected a finite number")


class Painter:
    """A text-to-image network, its words, and how to sample from it.

    network  predicts pictures or velocities of a flow, and has read(words)
    words    make numbers of prompts
    name     what it was loaded from
    digest   of its weights: two painters of one digest paint the same
    device   "cpu" or "cuda": where it paints. A seed means the same picture on both, but for a
             level of brightness here and there (tests/test_paint.py): noise is drawn on the host
    """

    device = "cpu"

    def __init__(
        self,
        network: Any,
        words: Any,
        flow: FlowMatchingConfig,
        sampling: Sampling,
        name: str = "",
    ):
        self.network, self.words, self.flow, self.sampling = network, words, flow, sampling
        self.caption_length, self.size = network.config.caption_length, network.config.image_size
        self.name, self.digest = name, digest_of_weights(network)
        self._prepare()

    @classmethod
    def load(cls, model: str | Path = "scenes") -> "Painter":
        """A painter for a model that ships (by name), a weights file, or a run folder.

        Raises: FileNotFoundError, DamagedFileError, or ValueError for what holds no painter.
        """
        run = open_model(weights.find(model))
        recipe = load_recipe(run.recipe)
        if not hasattr(recipe, "trained") or "captions" not in _options(
            getattr(recipe, "draw", None)
        ):
            raise ValueError(
                f"paint: {run.path} is no text-to-image model, but one of {run.recipe}"
            )
        config, network = recipe.trained(run)
        sampler, steps = getattr(config, "sampler", ""), getattr(config, "sampling_steps", 0)
        sampling = Sampling(sampler, steps, config.guidance)
        words = Words(config.words) if hasattr(config, "words") else config.source().words
        if hasattr(config, "flow"):
            return Painter(network, words, config.flow(), sampling, str(model))
        return DrawingPainter(recipe, config, network, sampling, str(model))

    def to(self, device: str) -> "Painter":
        """Paint on "cpu" or "cuda" from here on.

        Raises: GPUError where there is no GPU, with what is missing.
        """
        self.network.to(device)
        self.device = device
        self._prepare()
        return self

    def _prepare(self) -> None:
        """New recordings, as the old ones know where the weights were."""
        self.ask, self.step = in_parts(self.network), recorded_step(self.network)

    @auto_unless_chosen()
    def paint(
        self,
        prompts: Sequence[str],
        *,
        rng: np.random.Generator,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: str | None = None,
        callback: Callable[[int, np.ndarray], None] | None = None,
        conditions: Conditions = NONE,
    ) -> np.ndarray:
        """One picture for each prompt; what is None is as the model was tuned.

        callback  called as callback(step, pictures so far) after every step: what the network
                  takes the pictures for, uint8
        conditions  what else is asked for; with a mix, its prompts take the place of `prompts`

        Shapes: -> uint8 (N, 32, 32, 3).
        Raises: ValueError for a prompt that is empty, too long or of unknown words; a bad setting.
        """
        if isinstance(prompts, str):
            raise ValueError("paint: prompts is one string, expected a list of them")
        sampling = self.choose(sampler, steps, guidance)
        self.check(conditions)
        self.encode(prompts)
        chunks = [prompts[i : i + BATCH] for i in range(0, len(prompts), BATCH)]
        with plain_gpu_errors("paint") if self.device != "cpu" else nullcontext():
            pictures = [self._paint(chunk, rng, sampling, conditions, callback) for chunk in chunks]
        return np.concatenate(pictures or [np.zeros(self._shape(0), np.uint8)])

    def choose(self, sampler: str | None, steps: int | None, guidance: float | None) -> Sampling:
        """The model's own sampling, changed where something is given."""
        own = self.sampling
        return Sampling(
            own.sampler if sampler is None else sampler,
            own.steps if steps is None else steps,
            own.guidance if guidance is None else guidance,
        )

    def check(self, conditions: Conditions) -> None:
        """Raises: ValueError for what the model cannot be asked."""
        conditions.fit(self.size)

    def warnings(self, prompt: str) -> list[str]:
        """What is not painted of a prompt: unknown words, and what is too much."""
        said = check_prompt(prompt, self.words)
        if isinstance(self.words, BytePairs):
            kept, lost = self.words.cut(prompt, self.caption_length)
            said += [f"the prompt is cut behind {kept!r}; left out: {lost!r}"] if lost else []
        return said

    def encode(self, prompts: Sequence[str]) -> np.ndarray:
        """The numbers of the prompts' words, (N, L), 0 behind the last.

        Raises: ValueError for a prompt that is empty, too long or without a known word.
        """
        for prompt in prompts:
            check_prompt(prompt, self.words)
        return self.words.encode(prompts, self.caption_length)

    def _paint(
        self,
        prompts: Sequence[str],
        rng: np.random.Generator,
        sampling: Sampling,
        asked: Conditions,
        callback: Any,
    ) -> np.ndarray:
        words = self.encode(prompts)
        look = callback and (lambda step, x, x0: callback(step, to_uint8(move(x0, "cpu"))))
        if asked is not NONE:
            return self._edit(words, rng, sampling, asked, look)
        pictures = flow_matching.sample(
            self.ask,
            len(words),
            rng,
            self._shape(1)[1:],
            self.flow,
            sampler=sampling.sampler,
            steps=sampling.steps,
            conditions=self.network.read(words),
            null_conditions=self.network.read(np.zeros_like(words)),
            guidance_scale=sampling.guidance,
            device=self.device,
            step=self.step,
            callback=look,
        )
        return to_uint8(move(pictures, "cpu"))

    def _edit(
        self, words: np.ndarray, rng: Any, sampling: Sampling, asked: Conditions, look: Any
    ) -> np.ndarray:
        """Step by step in Python: what is asked for comes between network and sampler."""
        denoise = self._denoiser(words, sampling.guidance, asked)
        if asked.palette is not None:
            denoise = within_palette(denoise, to_float(asked.palette), asked.palette_strength)
        noise = move(rng.standard_normal(self._shape(len(words))).astype(np.float32), self.device)
        shift, steps = self.flow.shift, sampling.steps
        init = None if asked.init is None else move(to_float(asked.init)[None], self.device)
        if asked.mask is None or asked.init is None:
            x = sample_denoiser(
                denoise,
                noise,
                sampling.sampler,
                steps,
                shift,
                rng,
                callback=look,
                init=None if init is None else init.repeat(len(words), axis=0),
                strength=asked.strength,
            )
            return to_uint8(move(x, "cpu"))
        hole = asked.mask[None, :, :, None]  # (1, H, W, 1)
        x = repaint(
            in_alpha_bar(denoise),
            noise,
            alpha_bars_from_times(flow_times(steps, shift)),
            init,
            move(hole.astype(np.float32), self.device),
            rng,
            asked.resample,
            callback=look,
        )
        return np.where(hole, to_uint8(move(x, "cpu")), asked.init)

    def _denoiser(self, words: np.ndarray, guidance: float, asked: Conditions) -> Denoiser:
        """The network with its prompts, the negative one in the place of none."""
        away = self.encode([asked.negative_prompt]) if asked.negative_prompt else words[:1] * 0
        null, N = self.network.read(away), len(words)
        if asked.mix:
            rows = [self.network.read(self.encode([prompt])) for prompt, _ in asked.mix]
            model: Any = mixed_model(self.ask, [*rows, null])
            weights = np.array([weight for _, weight in asked.mix], np.float32)
            conditions = {"mixed": move(np.tile(weights, (N, 1)), self.device)}
            null = {"mixed": 0 * conditions["mixed"]}
        else:
            model, conditions = self.ask, self.network.read(words)
            null = {name: c.repeat(N, axis=0) for name, c in null.items()}
        return flow_matching.denoiser(
            model,
            self.flow,
            conditions,
            null,
            guidance,
            interval=asked.guidance_interval,
            rescale=asked.guidance_rescale,
        )

    @auto_unless_chosen()
    def walk(
        self,
        prompts: tuple[str, str],
        seeds: tuple[int, int],
        frames: int,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: str | None = None,
    ) -> np.ndarray:
        """Pictures on the way from one prompt and seed to another, the ends among them.

        Between prompts the prediction goes from the one's to the other's on a straight line,
        between seeds the noise goes around (slerp). A sampler that draws noise in its steps makes
        each frame another picture; the default here is dpmpp_2m, which draws none.

        Shapes: -> uint8 (frames, size, size, 3).
        Raises: ValueError as `paint`, for fewer than 2 frames, or seeds below 0.
        """
        if frames < 2:
            raise ValueError(f"paint: frames is {frames}, expected at least 2")
        if min(seeds) < 0:
            raise ValueError(f"paint: seeds are {seeds}, expected 0 or more")
        sampling = self.choose(sampler or "dpmpp_2m", steps, guidance)
        rows = [self.network.read(self.encode([prompt])) for prompt in prompts]
        null = self.network.read(np.zeros_like(self.encode(prompts[:1])))
        share = np.linspace(0, 1, frames, dtype=np.float32)
        mixed = move(np.stack([1 - share, share], axis=1), self.device)  # (frames, 2)
        first, last = (
            np.random.default_rng(seed).standard_normal(self._shape(1)[1:]) for seed in seeds
        )
        noise = slerp(first, last, share.astype(float)).astype(np.float32)
        pictures = []
        for start in range(0, frames, BATCH):
            part = slice(start, start + BATCH)
            denoise = flow_matching.denoiser(
                mixed_model(self.ask, [*rows, null]),
                self.flow,
                {"mixed": mixed[part]},
                {"mixed": 0 * mixed[part]},
                sampling.guidance,
            )
            x = sample_denoiser(
                denoise,
                move(noise[part], self.device),
                sampling.sampler,
                sampling.steps,
                self.flow.shift,
                np.random.default_rng(seeds[0]),
            )
            pictures.append(to_uint8(move(x, "cpu")))
        return np.concatenate(pictures)

    def _shape(self, N: int) -> tuple[int, ...]:
        return N, self.size, self.size, 3


class DrawingPainter(Painter):
    """A painter whose model is no flow over pixels: its recipe draws, and takes no Conditions."""

    def __init__(self, recipe: Any, config: Any, model: Any, sampling: Sampling, name: str):
        data = config.source()
        self.recipe, self.config, self.model, self.sampling = recipe, config, model, sampling
        self.words, self.caption_length, self.size = data.words, data.caption_length, data.size
        self.name, self.digest = name, digest_of_weights(model)

    def to(self, device: str) -> "Painter":
        """Raises: ValueError for another device than the CPU."""
        if device != self.device:
            raise ValueError(
                f"paint: {self.name} paints on the CPU only; minigen sample can do both"
            )
        return self

    def check(self, conditions: Conditions) -> None:
        if conditions is not NONE:
            raise ValueError(f"paint: {self.name} takes a prompt only, no other condition")

    def walk(self, prompts: Any, seeds: Any, frames: int, **sampling: Any) -> np.ndarray:
        raise ValueError(f"paint: {self.name} draws a prompt at a time, it has no way between two")

    def choose(self, sampler: str | None, steps: int | None, guidance: float | None) -> Sampling:
        asked = {"sampler": sampler, "steps": steps}
        for option, value in asked.items():
            if value and option not in _options(self.recipe.draw):
                raise ValueError(f"paint: {self.name} draws code by code, it has no {option}")
        return super().choose(sampler, steps, guidance)

    def _paint(
        self,
        prompts: Sequence[str],
        rng: np.random.Generator,
        sampling: Sampling,
        asked: Conditions,
        callback: Any,
    ) -> np.ndarray:
        steps = {"sampler": sampling.sampler, "steps": sampling.steps} if sampling.sampler else {}
        return self.recipe.draw(
            self.model, self.config, prompts, rng, guidance=sampling.guidance, **steps
        )


def _options(function: Any) -> Mapping[str, Any]:
    return {} if function is None else inspect.signature(function).parameters


def check_prompt(prompt: str, words: Words) -> list[str]:
    """What to warn about in a prompt: its unknown words, each with the nearest known one.

    Raises: ValueError for an empty prompt, or one without a single known word.
    """
    said = split_words(prompt)
    if not said:
        raise ValueError("paint: the prompt is empty")
    unknown = dict(words.unknown(prompt))
    if all(word in unknown for word in said):
        known = ", ".join(words.vocabulary)
        raise ValueError(f"paint: no word of {prompt!r} is known; the model knows: {known}")
    return [
        f"{word!r} is unknown and left out; the nearest is {near!r}"
        for word, near in unknown.items()
    ]


def digest_of_weights(network: Any) -> str:
    """Two networks of one digest are the same, whatever the type that their weights came in."""
    digest = hashlib.sha256()
    for name, array in sorted(network.state_dict().items()):
        digest.update(name.encode() + move(array, "cpu").tobytes())
    return digest.hexdigest()[:16]
