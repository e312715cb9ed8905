"""How minigen runs a case: an op with each of its rungs, a whole step as the recipes run it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np

import minigen.ops as ops
from minigen import Tensor, no_grad
from minigen.autograd import grad
from minigen.backend import rungs_of, use_kernels
from minigen.data.pixels import to_float
from minigen.kernels.bench import work
from minigen.kernels.bench.cases import Case
from minigen.kernels.bench.work import Work
from minigen.models.diffusion import ddpm
from minigen.models.flow_matching import flow_matching
from minigen.ops import conv, resample
from minigen.optim import AdamW, clip_grad_norm
from minigen.parallel import cores, in_parts, one_blas_thread
from minigen.train.data_parallel import parallel_backward


def _group_norm_silu(x: Any, weight: Any, bias: Any, *, num_groups: int, eps: float) -> Tensor:
    fused = getattr(ops, "group_norm_silu", None)
    if fused is not None:
        return fused(x, num_groups, weight, bias, eps)
    return ops.silu(ops.group_norm(x, num_groups, weight, bias, eps))


def _linear(x: Any, weight: Any, bias: Any) -> Tensor:
    fused = getattr(ops, "linear", None)
    return x @ weight + bias if fused is None else fused(x, weight, bias)


OPS: dict[str, Callable[..., Tensor]] = {
    "conv2d": ops.conv2d,
    "conv2d_input_grad": conv.conv2d_input_grad,
    "conv2d_weight_grad": conv.conv2d_weight_grad,
    "group_norm_silu": _group_norm_silu,
    "layer_norm": ops.layer_norm,
    "softmax": ops.softmax,
    "scaled_dot_product_attention": ops.scaled_dot_product_attention,
    "linear": _linear,
    "silu": ops.silu,
    "gelu": ops.gelu,
    "max_pool2d": ops.max_pool2d,
    "avg_pool2d": ops.avg_pool2d,
    "upsample_nearest": resample.upsample_nearest,
}
PARTS = {"group_norm_silu": "group_norm", "linear": "matmul"}  # the op, where there is no fused one


def ladder(case: Case) -> tuple[str, tuple[str, ...]]:
    """The primitive whose rungs for the CPU are compared, and their names, slow to fast."""
    if case.kind in ("whole", "memory"):
        return case.op, ()
    op = case.op if rungs_of(case.op) else PARTS.get(case.op, case.op)
    return op, rungs_of(op, "cpu")


def variants(case: Case, rungs: bool) -> list[str]:
    """What is timed: "auto", and with `rungs` the reference and every rung by its name."""
    if not rungs:
        return ["auto"]
    return ["reference", *ladder(case)[1], "auto"]


def prepare(case: Case, variant: str) -> Work:
    """The case, to be run by "reference", "auto", or the rung of this name."""
    if variant in ("reference", "auto"):

        def inside() -> AbstractContextManager[Any]:
            return use_kernels(variant)
    else:
        op = ladder(case)[0]

        def inside() -> AbstractContextManager[Any]:
            return use_kernels("auto", **{op: variant})

    if case.kind != "op":
        with inside():
            prepared = _backward(case) if case.kind == "backward" else WHOLE[case.op](case)
        return prepared._replace(inside=inside)
    f, xs = OPS[case.op], [Tensor(a) for a in _arrays(case)]

    @contextmanager
    def without_graph() -> Any:
        with inside(), no_grad():
            yield

    return Work(
        lambda: f(*xs, **case.settings), lambda: [f(*xs, **case.settings).data], without_graph
    )


def reference(case: Case) -> list[np.ndarray]:
    """The outputs of the reference implementation in float64."""
    with use_kernels("reference"):
        if case.kind == "whole":
            return _whole_reference(case)
        f, xs = OPS[case.op], [Tensor(a.astype(np.float64), True) for a in _arrays(case)]
        y = f(*xs, **case.settings)
        if case.kind == "op":
            return [y.data]
        g = case.upstream(y.shape).astype(np.float64)
        return [gx.data for gx in grad(y, xs, g)]


def _arrays(case: Case) -> list[np.ndarray]:
    def laid_out(a: np.ndarray, kind: str) -> np.ndarray:
        return np.ascontiguousarray(a.swapaxes(1, 2)).swapaxes(1, 2) if kind == "h" else a

    return [laid_out(a, kind) for a, kind in zip(case.inputs(), case.arrays)]


def _backward(case: Case) -> Work:
    """The way back alone, over a graph that is kept."""
    xs = [Tensor(a, True) for a in _arrays(case)]
    y = OPS[case.op](*xs, **case.settings)
    g = Tensor(case.upstream(y.shape))
    return Work(lambda: grad(y, xs, g), lambda: [gx.data for gx in grad(y, xs, g)])


# -------------------------------------------------------------------------------------- whole work


def _adamw(case: Case) -> Work:
    model = work.network(case.settings["recipe"]).model
    return _adamw_of(list(model.parameters()), work.gradients(model), cores())


def _adamw_of(parameters: list[Tensor], gradients: list[np.ndarray], workers: int) -> Work:
    before = [p.data.copy() for p in parameters]
    for p, g in zip(parameters, gradients):
        p.grad = Tensor(g)
    optimizer = AdamW(parameters, **work.ADAMW)
    optimizer.workers = workers

    def run() -> None:
        with one_blas_thread():
            optimizer.step()

    def outputs() -> list[np.ndarray]:
        for _ in range(work.UPDATES):
            run()
        return [p.data - old for p, old in zip(parameters, before)]

    return Work(run, outputs)


def _train(case: Case) -> Work:
    recipe, n = case.settings["recipe"], case.settings["batch"]
    net = work.network(recipe)
    step, batch = training_step(recipe, net), work.batch(recipe, n)

    def outputs() -> list[np.ndarray]:
        xt, t, conditions = work.question(recipe, n)
        return [net.model(Tensor(xt), t, **conditions).data]

    return Work(lambda: step(batch), outputs)


def training_step(recipe: str, net: work.Network) -> Callable[[Any], None]:
    """Loss, gradients, clipping and AdamW; the batch is there already, the noise is drawn."""
    config, model = net
    loss = LOSSES[recipe]
    optimizer = AdamW(model.named_parameters(), **work.ADAMW)
    optimizer.workers = workers = config.workers
    rng = np.random.default_rng(0)

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        with one_blas_thread() if workers > 1 else nullcontext():
            if workers > 1:
                parallel_backward(partial(loss, config), model, batch, rng, workers)
            else:
                loss(config, model, batch, rng).backward()
            clip_grad_norm(model.parameters(), work.MAX_NORM)
            optimizer.step()

    return step


def _scenes_loss(config: Any, model: Any, batch: Any, rng: np.random.Generator) -> Tensor:
    return flow_matching.loss(model, batch[0], rng, config.flow(), words=batch[1])


def _fashion_loss(config: Any, model: Any, batch: Any, rng: np.random.Generator) -> Tensor:
    return ddpm.loss(model, to_float(batch[0]), rng, config.diffusion(), labels=batch[1])


LOSSES = {"scenes": _scenes_loss, "fashion_ddpm": _fashion_loss}


def _sample(case: Case) -> Work:
    """The painter's way: both halves of guidance in one batch, its parts on all cores."""
    recipe, n = case.settings["recipe"], case.settings["batch"]
    (config, model), rng = work.network(recipe), np.random.default_rng(0)
    words = work.batch(recipe, n)[1]
    given, null = model.read(words), model.read(np.zeros_like(words))  # once for all steps

    def run() -> None:
        flow_matching.sample(
            in_parts(model),
            n,
            rng,
            (32, 32, 3),
            config.flow(),
            sampler=config.sampler,
            steps=work.SAMPLING_STEPS,
            conditions=given,
            null_conditions=null,
            guidance_scale=config.guidance,
        )

    def outputs() -> list[np.ndarray]:
        xt, t, conditions = work.question(recipe, n)
        with no_grad():
            return [in_parts(model)(Tensor(xt), t, **conditions).data]

    return Work(run, outputs, per=work.SAMPLING_STEPS)


WHOLE: dict[str, Callable[[Case], Work]] = {"adamw": _adamw, "train": _train, "sample": _sample}


def _whole_reference(case: Case) -> list[np.ndarray]:
    model = work.network(case.settings["recipe"]).model
    given = work.gradients(model)
    model.astype(np.float64)
    if case.op == "adamw":
        return _adamw_of(list(model.parameters()), [g.astype(np.float64) for g in given], 1)[1]()
    xt, t, conditions = work.question(case.settings["recipe"], case.settings["batch"])
    with no_grad():
        return [model(Tensor(xt.astype(np.float64)), t, **conditions).data]


def memory(case: Case, variant: str) -> int:
    """Bytes of a training step at its highest, over those of a process that has taken small ones.

    A small step before loads or compiles what will run, and makes the optimiser's state.
    """
    recipe = case.settings["recipe"]
    with use_kernels(variant):
        step = training_step(recipe, work.network(recipe))
        return work.memory_of(
            step, work.batch(recipe, 2), work.batch(recipe, case.settings["batch"])
        )
