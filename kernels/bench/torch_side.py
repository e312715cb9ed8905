"""How PyTorch runs a case: eager mode, as its users write it, on all cores.

Variants are the two layouts of pictures in memory, and for AdamW its two implementations.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from minigen.kernels.bench import torch_unet, work
from minigen.kernels.bench.cases import Case
from minigen.kernels.bench.work import Work
from minigen.models.flow_matching.flow_matching import FlowMatchingConfig
from minigen.parallel import cores
from minigen.schedules import alpha_bars_from_times, flow_times

torch.set_num_threads(cores())
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def variants(case: Case, rungs: bool) -> list[str]:
    """The default first."""
    if case.op == "adamw":
        return ["for loop", "fused"]
    return list(LAYOUTS) if case.in_layouts else ["default"]


def prepare(case: Case, variant: str) -> Work:
    """The case in this layout."""
    if case.kind == "whole":
        return WHOLE[case.op](case, variant)
    layout = LAYOUTS.get(variant, torch.contiguous_format)
    xs = [to_torch(a, kind, layout) for a, kind in zip(case.inputs(), case.arrays)]
    if case.kind == "op":
        f = OPS[case.op]
        return Work(
            lambda: f(*xs, **case.settings),
            lambda: [from_torch(f(*xs, **case.settings), case.result)],
            torch.inference_mode,
        )
    for x in xs:
        x.requires_grad_()
    y = OPS[case.op](*xs, **case.settings)
    upstream = case.upstream(from_torch(y.detach(), case.result).shape)
    g = to_torch(upstream, case.result, layout)

    def run() -> tuple[Tensor, ...]:
        return torch.autograd.grad(y, xs, g, retain_graph=True)

    return Work(run, lambda: [from_torch(gx, kind) for gx, kind in zip(run(), case.arrays)])


# ------------------------------------------------------------------------------------------ layouts


def to_torch(a: np.ndarray, kind: str, layout: torch.memory_format) -> Tensor:
    """A minigen array in PyTorch's order of axes, and in this layout; for letters see cases.py."""
    if kind == "p":
        a = a.transpose(0, 3, 1, 2)
    elif kind == "f":
        a = a.transpose(3, 2, 0, 1)
    elif kind == "h":
        return torch.tensor(a.swapaxes(1, 2)).transpose(1, 2)  # a view, as behind a projection
    elif kind == "l":
        a = a.T
    x = torch.tensor(a)
    return x.contiguous(memory_format=layout) if x.ndim == 4 and kind in "pf" else x.contiguous()


def from_torch(x: Tensor, kind: str) -> np.ndarray:
    """The way back."""
    axes = {"p": (0, 2, 3, 1), "f": (2, 3, 1, 0), "l": (1, 0)}.get(kind)
    a = x.detach().float().cpu().numpy()
    return a if axes is None else a.transpose(axes)


# ---------------------------------------------------------------------------------------------- ops


def _group_norm_silu(x: Tensor, weight: Tensor, bias: Tensor, num_groups: int, eps: float) -> Any:
    return F.silu(F.group_norm(x, num_groups, weight, bias, eps))


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def _convolution_backward(
    g: Tensor, x: Tensor, w: Tensor, stride: int, padding: int, of_input: bool
) -> Tensor:
    """One of the two gradients, as autograd asks for it."""
    steps = (stride, stride), (padding, padding), (1, 1), False, (0, 0), 1
    wanted = [of_input, not of_input, False]
    return torch.ops.aten.convolution_backward(g, x, w, None, *steps, wanted)[0 if of_input else 1]


def _input_grad(g: Tensor, w: Tensor, *, size: Any, stride: int, padding: int) -> Tensor:
    x = _filled_like(g, (len(g), w.shape[1], *size))
    return _convolution_backward(g, x, w, stride, padding, True)


def _weight_grad(g: Tensor, x: Tensor, *, kernel_size: Any, stride: int, padding: int) -> Tensor:
    w = _filled_like(g, (g.shape[1], x.shape[1], *kernel_size))
    return _convolution_backward(g, x, w, stride, padding, False)


_made: dict[Any, Tensor] = {}


def _filled_like(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A tensor of this shape in the layout of `g`: its values are not used, so it is made once."""
    last = g.is_contiguous(memory_format=torch.channels_last)
    if (shape, last) not in _made:
        _made.clear()
        layout = torch.channels_last if last else torch.contiguous_format
        zeros = torch.zeros(shape, dtype=g.dtype, device=g.device)
        _made[shape, last] = zeros.contiguous(memory_format=layout)
    return _made[shape, last]


OPS: dict[str, Callable[..., Tensor]] = {
    "conv2d": F.conv2d,
    "conv2d_input_grad": _input_grad,
    "conv2d_weight_grad": _weight_grad,
    "group_norm_silu": _group_norm_silu,
    "layer_norm": _layer_norm,
    "softmax": lambda x, axis: F.softmax(x, dim=axis),
    "scaled_dot_product_attention": F.scaled_dot_product_attention,
    "linear": F.linear,
    "silu": F.silu,
    "gelu": F.gelu,
    "max_pool2d": F.max_pool2d,
    "avg_pool2d": F.avg_pool2d,
    "upsample_nearest": lambda x, scale_factor: F.interpolate(x, scale_factor=scale_factor),
}


# --------------------------------------------------------------------------------------- whole work


def _adamw(case: Case, variant: str) -> Work:
    model = work.network(case.settings["recipe"]).model
    parameters = [torch.nn.Parameter(torch.tensor(p.data)) for p in model.parameters()]
    before = [p.detach().clone() for p in parameters]
    for p, g in zip(parameters, work.gradients(model)):
        p.grad = torch.tensor(g)
    fused = True if variant == "fused" else None  # None: PyTorch chooses, on a CPU the loop
    optimizer = torch.optim.AdamW(parameters, fused=fused, **work.ADAMW)

    def outputs() -> list[np.ndarray]:
        for _ in range(work.UPDATES):
            optimizer.step()
        return [(p.detach() - old).numpy() for p, old in zip(parameters, before)]

    return Work(optimizer.step, outputs)


def _train(case: Case, variant: str) -> Work:
    return train(case, variant)


def train(case: Case, variant: str, compiled: Any = None, **adamw: Any) -> Work:
    """A training step; for `compiled` see training_step."""
    recipe, n = case.settings["recipe"], case.settings["batch"]
    step, model = training_step(recipe, variant, compiled, **adamw)
    batch = _batch(recipe, n, variant)
    return Work(lambda: step(batch), lambda: _answer(model, recipe, n, variant))


def training_step(
    recipe: str, variant: str, compiled: Any = None, **adamw: Any
) -> tuple[Callable[[Any], None], torch.nn.Module]:
    """Loss, gradients, clipping and AdamW; and the network that is trained.

    compiled  what makes a faster function of the network; None: nothing
    """
    config, ours = work.network(recipe)
    model = torch_unet.build(ours).to(memory_format=LAYOUTS[variant])  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(model.parameters(), **work.ADAMW, **adamw)
    loss = {"scenes": _scenes_loss, "fashion_ddpm": _fashion_loss}[recipe](config)
    network = model if compiled is None else compiled(model)

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        loss(network, *batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), work.MAX_NORM)
        optimizer.step()

    return step, model


def _scenes_loss(config: Any) -> Callable[..., Tensor]:
    flow: FlowMatchingConfig = config.flow()
    assert flow.prediction_type == "x0"

    def loss(model: Any, x0: Tensor, words: Tensor) -> Tensor:
        t = torch.sigmoid(flow.time_mean + flow.time_std * torch.randn(len(x0), device=x0.device))
        share, eps = t[:, None, None, None], torch.randn_like(x0)
        y = model((1 - share) * x0 + share * eps, t, words)
        weight = (1 / share.clamp(min=1e-4) ** 2).clamp(max=flow.max_weight)
        return (weight * (y - x0) ** 2).mean()

    return loss


def _fashion_loss(config: Any) -> Callable[..., Tensor]:
    diffusion = config.diffusion()
    alpha_bars = torch.tensor(diffusion.alpha_bars(), dtype=torch.float32)
    assert diffusion.prediction_type == "v"
    assert diffusion.min_snr_gamma is None

    def loss(model: Any, pictures: Tensor, labels: Tensor) -> Tensor:
        x0 = pictures.float() / 127.5 - 1
        t = torch.randint(1, diffusion.num_timesteps + 1, (len(x0),))
        abar, eps = alpha_bars[t][:, None, None, None], torch.randn_like(x0)
        a, b = abar.sqrt(), (1 - abar).sqrt()
        return F.mse_loss(model(a * x0 + b * eps, t, labels), a * eps - b * x0)

    return loss


def _batch(recipe: str, n: int, variant: str) -> tuple[Tensor, Tensor]:
    pictures, condition = work.batch(recipe, n)
    return to_torch(pictures, "p", LAYOUTS[variant]), torch.tensor(condition)


def _answer(model: Any, recipe: str, n: int, variant: str) -> list[np.ndarray]:
    xt, t, conditions = work.question(recipe, n)
    others = (torch.tensor(c) for c in conditions.values())
    return [from_torch(model(to_torch(xt, "p", LAYOUTS[variant]), torch.tensor(t), *others), "p")]


def _sample(case: Case, variant: str) -> Work:
    return sample(case, variant)


def sample(case: Case, variant: str, compiled: Any = None) -> Work:
    """minigen.samplers.ddpm for a flow network, with guidance in one batch."""
    recipe, n = case.settings["recipe"], case.settings["batch"]
    steps = case.settings.get("steps", work.SAMPLING_STEPS)
    config, ours = work.network(recipe)
    assert config.sampler == "ddpm"
    layout, scale = LAYOUTS[variant], config.guidance
    model = torch_unet.build(ours).eval().to(memory_format=layout)  # type: ignore[call-overload]
    words = torch.tensor(work.batch(recipe, n)[1])
    with torch.no_grad():  # the words are read once for all steps
        text = model.text(torch.cat([words, torch.zeros_like(words)]))
    abars = alpha_bars_from_times(flow_times(steps, config.shift, 1.0)).tolist()
    predict = model.given_text if compiled is None else compiled(model.given_text)
    where = words.device

    def run() -> Tensor:
        x = torch.randn(n, 3, 32, 32, device=where).contiguous(memory_format=layout)
        for abar, abar_next in pairwise(abars):
            a, b = math.sqrt(abar), math.sqrt(1 - abar)
            xt, t = x / (a + b), torch.full((2 * n,), b / (a + b), device=where)
            given, null = predict(torch.cat([xt, xt]), t, *text).chunk(2)
            x0 = (null + scale * (given - null)).clamp(-config.clip, config.clip)
            alpha = abar / abar_next
            on_x0 = math.sqrt(abar_next) * (1 - alpha) / (1 - abar)
            on_xt = math.sqrt(alpha) * (1 - abar_next) / (1 - abar)
            x = on_x0 * x0 + on_xt * x
            if abar_next < 1:
                x = x + math.sqrt((1 - abar_next) / (1 - abar) * (1 - alpha)) * torch.randn_like(x)
        return x

    inside = torch.inference_mode
    return Work(run, lambda: _answer(model, recipe, n, variant), inside, per=steps)


WHOLE: dict[str, Callable[[Case, str], Work]] = {
    "adamw": _adamw,
    "train": _train,
    "sample": _sample,
}


def memory(case: Case, variant: str) -> int:
    """As minigen.kernels.bench.ours.memory."""
    recipe = case.settings["recipe"]
    step, _ = training_step(recipe, variant)
    large = _batch(recipe, case.settings["batch"], variant)
    return work.memory_of(step, _batch(recipe, 2, variant), large)
