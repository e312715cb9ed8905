"""All of minigen on CuPy's arrays, without a GPU: what mixes them with NumPy's fails.

See fake_cupy.py for what that CuPy knows; with the real one, `pytest -m gpu` runs the same.
"""

import numpy as np
import pytest

from minigen import Tensor, nn, ops, use_kernels
from minigen.backend import explain, move
from minigen.models.diffusion import ddpm
from minigen.models.flow_matching import flow_matching
from minigen.optim import EMA, SGD, Adam, AdamW, Muon, clip_grad_norm


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


IMAGE, TOKENS, MATRIX = (2, 6, 6, 4), (2, 3, 5, 4), (5, 4)
MASK = np.arange(25).reshape(5, 5) % 3 > 0

OPS = (
    {  # what is called, and the shapes of its inputs
        "add": (lambda a, b: a + b * 2.0 - 1, [MATRIX, (4,)]),
        "divide": (lambda a, b: a / (b * b + 1.0), [MATRIX, MATRIX]),
        "power": (lambda a: (a * a + 1) ** 0.5, [MATRIX]),
        "matmul": (lambda a, b: a @ b, [(2, 3, 4), (4, 5)]),
        "batched matmul": (lambda a, b: a @ b, [(2, 3, 4), (2, 4, 5)]),
        "getitem": (lambda a: a[1:, ::2], [MATRIX]),
        "getitem by arrays": (lambda a: a[[0, 2, 0]], [MATRIX]),
        "sum": (lambda a: a.sum(0) + a.mean((0, 1)), [MATRIX]),
        "var": (lambda a: ops.var(a, axis=1, correction=1), [MATRIX]),
        "max": (lambda a: ops.max(a, axis=-1), [MATRIX]),
        "softmax": (lambda a: ops.softmax(a), [MATRIX]),
        "log_softmax": (lambda a: ops.log_softmax(a), [MATRIX]),
        "logsumexp": (lambda a: ops.logsumexp(a), [MATRIX]),
        "cumsum": (lambda a: ops.cumsum(a, axis=0, reverse=True), [MATRIX]),
        "where": (lambda a, b: ops.where(a > 0, a, b), [MATRIX, MATRIX]),
        "clip": (lambda a: ops.clip(a, -1, 1), [MATRIX]),
        "maximum": (lambda a, b: ops.maximum(a, b) + ops.minimum(a, 0.5), [MATRIX, MATRIX]),
        "concat": (lambda a, b: ops.concat([a, b], axis=0), [MATRIX, (2, 4)]),
        "stack and split": (lambda a: ops.stack(ops.split(a, 2, axis=1)), [MATRIX]),
        "pad and flip": (
            lambda a: ops.flip(ops.pad(a, pad_width=((1, 0), (0, 2))), axis=0),
            [MATRIX],
        ),
        "take": (lambda a: ops.take(a, [[0, 1], [1, 4]]), [MATRIX]),
        "linear": (ops.linear, [(2, 3, 4), (4, 5), (5,)]),
        "conv2d": (lambda x, w: ops.conv2d(x, w, stride=2, padding=1), [IMAGE, (3, 3, 4, 2)]),
        "conv_transpose2d": (
            lambda x, w: ops.conv_transpose2d(x, w, stride=2, padding=1),
            [IMAGE, (4, 4, 4, 2)],
        ),
        "attention": (
            lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, is_causal=True),
            [TOKENS] * 3,
        ),
        "masked attention": (
            lambda q, k, v: ops.scaled_dot_product_attention(
                q, k, v, mask=move(MASK, "gpu") if q.device == "gpu" else MASK
            ),
            [TOKENS] * 3,
        ),
        "rotary_embedding": (lambda x: ops.rotary_embedding(x, np.arange(5)), [TOKENS]),
        "layer_norm": (ops.layer_norm, [MATRIX, (4,), (4,)]),
        "rms_norm": (ops.rms_norm, [MATRIX, (4,)]),
        "group_norm": (lambda x, w, b: ops.group_norm(x, 2, w, b), [IMAGE, (4,), (4,)]),
        "group_norm_silu": (
            lambda x, w, b: ops.group_norm_silu(x, 2, w, b),
            [IMAGE, (2, 4), (2, 4)],
        ),
        "instance_norm": (ops.instance_norm, [IMAGE]),
        "batch_norm": (lambda x: ops.batch_norm(x, None, None, training=True), [IMAGE]),
        "avg_pool2d": (lambda x: ops.avg_pool2d(x, 3, 2, 1), [IMAGE]),
        "max_pool2d": (lambda x: ops.max_pool2d(x, 3, 2, 1), [IMAGE]),
        "upsample": (lambda x: ops.upsample(x, 2) + ops.upsample(x, 2, "bilinear"), [IMAGE]),
        "pixel_shuffle": (lambda x: ops.pixel_shuffle(ops.space_to_depth(x, 2), 2), [IMAGE]),
        "mse_loss": (ops.mse_loss, [MATRIX, MATRIX]),
        "huber_loss": (ops.huber_loss, [MATRIX, MATRIX]),
        "bce_with_logits": (ops.bce_with_logits, [MATRIX, MATRIX]),
        "cross_entropy": (lambda x: ops.cross_entropy(x, [0, 3, 1, 2, 2]), [MATRIX]),
        "gated_tanh": (ops.gated_tanh, [IMAGE]),
        "kl_per_latent": (ops.kl_per_latent, [MATRIX, MATRIX]),
        "gaussian_kl": (ops.gaussian_kl, [MATRIX, MATRIX]),
    }
    | {
        op.__name__.strip("_"): (op, [MATRIX])
        for op in (
            *(ops.abs, ops.cos, ops.exp, ops.gelu, ops.leaky_relu, ops.relu, ops.sigmoid),
            *(ops.silu, ops.sin, ops.tanh),
        )
    }
)


def output_and_gradients(op, shapes, device):
    inputs = [Tensor(numbers(*s, seed=i), True) for i, s in enumerate(shapes)]
    inputs = [x.to(device) for x in inputs]
    with use_kernels("reference"):
        y = op(*inputs)
        y.backward(move(numbers(*y.shape, seed=9), device))
    assert {y.device, *(x.grad.device for x in inputs)} == {inputs[0].device}
    return [x.numpy() for x in [y, *(x.grad for x in inputs)]]


def check(op, shapes):
    for ours, theirs in zip(*(output_and_gradients(op, shapes, d) for d in ("cpu", "cuda"))):
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OPS)
def test_an_op_and_its_gradients(name, fake_cupy):
    check(*OPS[name])


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPS)
def test_an_op_and_its_gradients_on_the_real_gpu(name, real_cupy):
    check(*OPS[name])


def test_everything_that_was_called_is_in_cupy(fake_cupy):
    cupy = pytest.importorskip("cupy_backends", reason="needs the real CuPy, if without a GPU")
    assert cupy
    for op, shapes in OPS.values():
        output_and_gradients(op, shapes, "cuda")
    used = fake_cupy.used
    names = real_names()
    assert {name for name in used if name.partition(".")[2] not in names} == set()


def real_names():
    """All names in the real CuPy, and those one and two modules down, by a Python of its own."""
    import subprocess
    import sys

    program = (
        "import cupy\n"
        "for a in dir(cupy):\n"
        "    print(a)\n"
        "    for b in dir(getattr(cupy, a)) if a in ('lib', 'linalg') else ():\n"
        "        print(f'{a}.{b}')\n"
        "        for c in dir(cupy.lib.stride_tricks) if b == 'stride_tricks' else ():\n"
        "            print(f'{a}.{b}.{c}')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return set(done.stdout.split())


# --------------------------------------------------------------------- models, optimisers, samplers


class Small(nn.Module):
    """A network with a bit of everything: (N, 4, 4, 3), (N,) -> (N, 4, 4, 3)."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.time = nn.Linear(8, 6, rng=rng)
        self.table = nn.Embedding(5, 6, rng=rng)
        self.first = nn.Conv2d(3, 6, 3, padding=1, rng=rng)
        self.norm = nn.GroupNorm(2, 6, silu=True)
        self.drop = nn.Dropout(0.2, rng=rng)
        self.attention = nn.MultiHeadAttention(6, 2, rng=rng)
        self.last = nn.Conv2d(6, 3, 1, rng=rng)

    def forward(self, x, t, words=None):
        e = self.time(nn.timestep_embedding(t, 8))
        if words is not None:
            e = e + self.table(words)
        h = self.drop(self.norm(self.first(x) + e.reshape(len(x), 1, 1, 6)))
        h = h + self.attention(h.reshape(len(x), 16, 6)).reshape(h.shape)
        return self.last(h)


def trained(device, optimiser):
    """Weights and averages after three steps."""
    model = Small().to(device)
    optimizer, ema = optimiser(model), EMA(model, 0.9)
    rng = np.random.default_rng(1)
    for seed in range(3):
        x0 = move(numbers(4, 4, 4, 3, seed=seed), device)
        optimizer.zero_grad()
        flow_matching.loss(model, x0, rng, words=np.array([0, 1, 2, 1])).backward()
        clip_grad_norm(model.parameters(), 0.5)
        optimizer.step()
        ema.update()
    assert all(a.dtype == np.float32 for a in optimizer.state_dict().values() if a.ndim)
    with ema.applied(model):
        averages = model.state_dict()
    return [*model.state_dict().values(), *averages.values()]


OPTIMISERS = {
    "SGD": lambda model: SGD(model.parameters(), 0.1, momentum=0.9),
    "Adam": lambda model: Adam(model.parameters(), weight_decay=0.1),
    "AdamW": lambda model: AdamW(model.parameters(), weight_decay=0.1),
    "Muon": lambda model: Muon([p for p in model.parameters() if p.ndim > 1]),
}


def check_training(optimiser):
    with use_kernels("reference"):
        for ours, theirs in zip(*(trained(d, OPTIMISERS[optimiser]) for d in ("cpu", "cuda"))):
            np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_training_goes_as_on_the_cpu(optimiser, fake_cupy):
    check_training(optimiser)


@pytest.mark.gpu
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_training_goes_as_on_the_cpu_on_the_real_gpu(optimiser, real_cupy):
    check_training(optimiser)


def samples(device, sampler):
    model, rng = Small().eval().to(device), np.random.default_rng(2)
    flow = flow_matching.sample(model, 2, rng, (4, 4, 3), sampler=sampler, steps=3, device=device)
    noise = ddpm.sample(model, 2, rng, (4, 4, 3), sampler=sampler, steps=3, device=device)
    return [move(flow, "cpu"), move(noise, "cpu")]


def check_sampler(sampler):
    with use_kernels("reference"):
        for ours, theirs in zip(samples("cpu", sampler), samples("cuda", sampler)):
            np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-3)


SAMPLERS = ["ddpm", "ddim", "euler", "heun", "dpmpp_2m", "flow_euler"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_draws_what_it_draws_on_the_cpu(sampler, fake_cupy):
    check_sampler(sampler)


@pytest.mark.gpu
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_draws_what_it_draws_on_the_cpu_on_the_real_gpu(sampler, real_cupy):
    check_sampler(sampler)


def test_explain_names_the_array_library_and_the_precision(fake_cupy):
    x = fake_cupy.ones((2, 3), "f")
    with use_kernels("auto"):
        assert explain("silu", x).startswith("silu runs as k1_elementwise (cupy, fp32): ")
        assert explain("add", x, x) == (
            "add runs as reference (cupy, fp32): no kernel is written for it."
        )
