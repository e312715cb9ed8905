"""What both sides have in common: work that can be timed, and the networks of whole steps."""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigen import weights
from minigen.nn import Module
from minigen.recipes import fashion_ddpm, scenes
from minigen.train import config_from, load_model

CHECKED = 8  # pictures whose predictions are compared before a whole step is timed
ADAMW = {"lr": 2e-3, "weight_decay": 0.01}  # PyTorch's default decay; the rest is alike
MAX_NORM = 1.0  # of all gradients, the training loop's default
UPDATES = 3  # steps of AdamW before its parameters are compared
SAMPLING_STEPS = 2  # timed together: the first draws noise, the last does not, the start does


class Work(NamedTuple):
    """A case, ready to run on one side.

    run      once, as it is timed
    outputs  what it computes, in minigen's layouts, to be compared with the float64 reference
    inside   the context of both: choice of kernels, no graph
    per      how many units of work a run does
    """

    run: Callable[[], Any]
    outputs: Callable[[], list[np.ndarray]]
    inside: Callable[[], AbstractContextManager[Any]] = nullcontext
    per: int = 1


class Network(NamedTuple):
    """A recipe's settings and its network, none of whose layers is 0."""

    config: Any
    model: Module


def network(recipe: str) -> Network:
    """A new one with the weights that ship for scenes, else random ones, the zeroed layers too.

    Raises: ValueError for another recipe.
    """
    if recipe == "scenes":
        arrays, note = load_model(weights.find("scenes"))
        config: Any = config_from(scenes.Config, note["config"])
        model: Module = scenes.TextUNet(config.network(), rng=np.random.default_rng(0))
        model.load_state_dict(arrays)
    elif recipe == "fashion_ddpm":
        rng = np.random.default_rng(0)
        config = fashion_ddpm.Config()
        model = fashion_ddpm.GarmentUNet(config, rng=rng)
        for p in model.parameters():
            p.data += 0.02 * rng.standard_normal(p.shape, np.float32)
    else:
        raise ValueError(f"bench: there is no whole step of {recipe!r}")
    return Network(config, model)


def batch(recipe: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """(pictures, words) of scenes in [-1, 1], (pictures, labels) of fashion_ddpm, uint8."""
    rng = np.random.default_rng(n)
    if recipe == "scenes":
        return scenes.batch(rng, replace(network(recipe).config, batch_size=n))
    return rng.integers(0, 256, (n, 28, 28, 1), np.uint8), rng.integers(0, 10, n)


def question(recipe: str, n: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """(xt, t, conditions) of up to CHECKED pictures, the same on both sides."""
    n = min(n, CHECKED)
    rng = np.random.default_rng(1000 + n)
    pictures, condition = batch(recipe, n)
    xt = rng.standard_normal(pictures.shape, np.float32)
    if recipe == "scenes":
        return xt, rng.random(n, np.float32), {"words": condition}
    return xt, rng.integers(1, 1001, n), {"labels": condition}


def gradients(model: Module) -> list[np.ndarray]:
    """A random gradient for each parameter."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal(p.shape, np.float32) for p in model.parameters()]


# ------------------------------------------------------------------------------------------ memory


def memory_of(step: Callable[[Any], None], small: Any, large: Any) -> int:
    """Bytes that two steps with the large batch take at most, over the level after a small one."""
    step(small)
    gc.collect()
    level = resident()
    forget_peak()
    for _ in range(2):
        step(large)
    return peak() - level


def resident() -> int:
    """Bytes of this process that are in memory now.

    Raises: OSError on systems without /proc.
    """
    return _status("VmRSS")


def forget_peak() -> None:
    """Let `peak` begin anew, at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most bytes that were resident since `forget_peak`."""
    return _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"bench: /proc/self/status does not tell {name}")
