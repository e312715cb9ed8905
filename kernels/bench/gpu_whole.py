"""Whole steps of minigen on a GPU: of a denoising loop, in four ways, and of a training."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from minigen import Tensor, no_grad
from minigen.backend import move, use_kernels
from minigen.kernels.bench import work
from minigen.kernels.bench.gpu import ROUNDS, How, RefusedError, Row, check, clock, noted
from minigen.kernels.bench.gpu_cases import Ceilings, GpuCase
from minigen.kernels.bench.ours import training_step
from minigen.kernels.gpu import require
from minigen.kernels.graph import Recorded, Recording
from minigen.kernels.philox import key_of
from minigen.kernels.precision import use_precision
from minigen.models.flow_matching import flow_matching
from minigen.samplers import by_kernel
from minigen.samplers.levels import levels_of, times_of

Prepared = tuple[Callable[[], Any], Callable[[], Any], int]  # run, its network's answer, steps


def time_whole(case: GpuCase, how: How, ceilings: Ceilings | None) -> list[Row]:
    """A denoising loop or a training step of minigen, in strict float32 and rounded."""
    assert case.case is not None
    expected, rows = case.exact(), []
    for precision in ("fp32", *ROUNDS[:2]):
        for variant, prepare in (LOOPS if case.op == "sample" else TRAININGS).items():
            row = Row(case.name, "minigen", variant, precision, *case.counted())
            rows.append(row)
            with noted(row), use_kernels("auto"), use_precision(precision):
                run, answer, per = prepare(**case.case.settings)
                check(row, [answer().get()], expected)
                clock(row, run, how, ceilings, per)
            run = answer = None
            require().get_default_memory_pool().free_all_blocks()
    return rows


def _network(recipe: str) -> work.Network:
    net = work.network(recipe)
    net.model.to("cuda")
    return net


def _answer(network: Any, read: Any, recipe: str, batch: int) -> Any:
    """The prediction for the pictures that are compared; `read` is the model's own."""
    xt, t, conditions = work.question(recipe, batch)
    with no_grad():
        xt, t = Tensor(move(xt, "gpu")), move(t, "gpu")
        return network(xt, t, **read(conditions["words"])).data


def _as_painted(recipe: str, batch: int, steps: int, graph: str | None) -> Prepared:
    """As the painter samples, its noise drawn on the host.

    graph  what is recorded: a "step" (the painter), the "network" alone (`minigen sample`), or None
    """
    config, model = _network(recipe)
    words, rng = work.batch(recipe, batch)[1], np.random.default_rng(0)
    given, null = model.read(words), model.read(np.zeros_like(words))
    at_once = Recorded(lambda xt, t, **words: model(Tensor(xt), t, **words).data)
    recorded = lambda xt, t, **words: Tensor(at_once(xt.data, t, **words))  # noqa: E731
    network = recorded if graph == "network" else model
    step = by_kernel.recorded_step(model, Recorded) if graph == "step" else None
    x = require().zeros((batch, 32, 32, 3), "float32")
    if step and not by_kernel.is_possible(config.sampler, x):
        raise RefusedError(f"no kernel of denoise_step does steps of {config.sampler}")

    def run() -> Any:
        return flow_matching.sample(
            network,
            batch,
            rng,
            x.shape[1:],
            config.flow(),
            sampler=config.sampler,
            steps=steps,
            conditions=given,
            null_conditions=null,
            guidance_scale=config.guidance,
            device="cuda",
            step=step,
        )

    return run, lambda: _answer(network, model.read, recipe, batch), steps


def _one_graph(recipe: str, batch: int, steps: int) -> Prepared:
    """One graph for a step, noise by Philox inside: nothing comes from the host."""
    config, model = _network(recipe)
    words = work.batch(recipe, batch)[1]
    given, null = model.read(words), model.read(np.zeros_like(words))
    cupy = require()
    both = {name: cupy.concatenate([given[name], null[name]]) for name in given}
    start = np.random.default_rng(0).standard_normal((batch, 32, 32, 3), np.float32)
    loop = Loop(model, both, config, steps, start)
    return loop.run, lambda: _answer(model, model.read, recipe, batch), steps


class Loop:
    """A flow network that predicts x0, sampled with guidance by one graph, replayed for each step.

    What changes from step to step lies in memory: x, the step, and a table of what the sampler
    multiplies by (kernels/denoise_step/table.py). Noise is Philox's.
    """

    def __init__(self, model: Any, conditions: Any, config: Any, steps: int, start: np.ndarray):
        table_of = importlib.import_module("minigen.kernels.denoise_step.table").steps_of
        rung = importlib.import_module("minigen.kernels.denoise_step.k4_vectors")
        times = times_of(config.sampler, steps, config.shift)
        levels = levels_of(config.sampler, times)
        made = table_of(config.sampler, levels, "x0", guidance=config.guidance, clip=config.clip)
        cupy, self.steps = require(), steps
        self.start, self.step = cupy.asarray(start * float(times[0])), cupy.zeros(1, "int32")
        self.x, self.guess = cupy.array(self.start), cupy.zeros(start.shape, "float32")
        table, key = cupy.asarray(made.table), cupy.asarray(key_of(0))
        times = cupy.asarray(made.times.astype(np.float32))
        ones = cupy.ones(2 * len(start), "float32")

        def one_step() -> Any:
            pairs = cupy.concatenate([self.x, self.x])
            with no_grad():
                p = model(Tensor(pairs), ones * times[self.step], **conditions).data
            rung.launch(p, self.x, self.guess, table, self.step, key)
            self.step += 1
            return self.x

        self.recording = Recording(one_step)  # which takes WARM_UP steps; run() starts anew

    def run(self) -> Any:
        self.x[...] = self.start
        self.step.fill(0)
        for _ in range(self.steps):
            self.recording.replay()
        return self.x


def _training(recipe: str, batch: int, steps: int) -> Prepared:
    """A step of the training loop: its launches come from Python, one by one."""
    net = _network(recipe)
    net = net._replace(config=replace(net.config, workers=1))
    step = training_step(recipe, net)
    given = tuple(move(a, "gpu") for a in work.batch(recipe, batch))
    return lambda: step(given), lambda: _answer(net.model, net.model.read, recipe, batch), 1


LOOPS: dict[str, Callable[..., Prepared]] = {
    "graph of a whole step, noise by Philox": _one_graph,
    "graph of a whole step": partial(_as_painted, graph="step"),
    "graph of the network": partial(_as_painted, graph="network"),
    "no graph": partial(_as_painted, graph=None),
}
TRAININGS: dict[str, Callable[..., Prepared]] = {"eager": _training}
