"""What is measured on a GPU, what it has to do at least, and how long that takes at given ceilings.

    floor of a case = max(FLOPs / (FLOP/s of its precision), bytes / (bytes/s))

An op's bytes are its inputs and outputs, each once; those of whole work are its weights and
pictures alone, as if nothing between them went to memory. Exponentials are not counted, so the
floor of a norm or a softmax is that of its bytes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.backend import use_kernels
from minigen.cli.samples import SAMPLES
from minigen.kernels.bench import work
from minigen.kernels.bench.cases import CONVOLUTIONS, FLOAT, Case, Shape, listed
from minigen.kernels.bench.flops import flops
from minigen.kernels.bench.ours import LOSSES
from minigen.parallel import one_blas_thread
from minigen.trace import trace

STEPS = 10  # of the denoising loop that is timed
MOVES = ("max_pool2d", "avg_pool2d", "upsample_nearest")  # whose gradient needs no input
BATCHES = 1, 16, 64  # pictures of the denoising loop
TRAINED = 128  # pictures of a training step
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


class Ceilings(NamedTuple):
    """The most a GPU can do, and where the numbers are from.

    flops   FLOP/s of products by precision
    copied  bytes/s read and written
    """

    flops: Mapping[str, float]
    copied: float
    source: str


# https://www.nvidia.com/en-us/data-center/h200, SXM; of tensor cores without sparsity, half of what
# stands there
H200 = Ceilings(
    {"fp32": 67e12, "tf32": 494.5e12, "bf16": 989.5e12, "fp16": 989.5e12},
    4.8e12,
    "the published numbers of an NVIDIA H200, SXM",
)


@dataclass(frozen=True)
class GpuCase:
    """An op on arrays of some size, or whole work.

    kind   "op", "backward" (of an op) or "whole"
    case   where it is one of cases.py too, which PyTorch can run
    sizes  else those of its sample in minigen/cli/samples.py
    """

    name: str
    op: str
    kind: str
    case: Case | None = None
    sizes: tuple[int, ...] = ()

    def make(self) -> tuple[list[Any], dict[str, Any]]:
        """Arrays, some of them lists of arrays or None, and settings, as rungs take them."""
        if self.case is None:
            return SAMPLES[self.op].make(*self.sizes)
        arrays = [_laid_out(a, kind) for a, kind in zip(self.case.inputs(), self.case.arrays)]
        settings = {"attention": {"mask": None, "is_causal": False}}
        return arrays, {**settings.get(self.op.rpartition("_")[2], {}), **self.case.settings}

    def exact(self) -> list[np.ndarray]:
        """In float64: the outputs, or for "backward" the gradients."""
        if self.kind == "whole":
            from minigen.kernels.bench.ours import reference

            assert self.case is not None
            return reference(self.case)
        arrays, settings = self.make()
        sample = SAMPLES[self.op]
        if self.kind == "op":
            return sample.exact(arrays, settings)[0]
        gradients = sample.exact(arrays, settings, self.upstream())[1]
        return [gx for gx in gradients if gx is not None]

    def upstream(self) -> np.ndarray:
        """The gradient of the output that a backward case starts from."""
        assert self.case is not None
        return self.case.upstream(_result_of(self.case))

    def outputs(self, y: Any, arrays: Sequence[Any]) -> list[Any]:
        """Of a launch on `arrays` that returned `y`, what belongs to `exact`."""
        changes = SAMPLES[self.op].changes
        return flat([arrays[i] for i in changes] if changes else y)

    def counted(self) -> tuple[float, float]:
        """FLOPs of products and convolutions, and bytes: at the least."""
        if self.kind == "whole":
            assert self.case is not None
            return _counted_whole(self.case.op, self.case.settings["batch"])
        if self.case is not None:
            assert self.case.bytes is not None
            bytes = self.case.bytes
            if self.kind == "backward" and self.op in MOVES:  # it need not look at the input again
                bytes = FLOAT * (math.prod(self.case.shapes[0]) + math.prod(_result_of(self.case)))
            return self.case.flops or 0.0, bytes
        inputs, results = self.shapes()
        op, taken = self.op, inputs
        if op == "group_norm_silu_conv2d":
            op, taken = "conv2d", [inputs[0], inputs[-1]]
        counted = flops(op, taken, results) or 0.0
        return counted, float(FLOAT * sum(map(math.prod, [*inputs, *results])))

    def shapes(self) -> tuple[list[Shape], list[Shape]]:
        """Those of the inputs and of the outputs, by arrays that take no memory."""
        sample = SAMPLES[self.op]
        arrays, _ = sample.arrays(lambda *shape: _empty(*shape), *self.sizes)  # type: ignore[arg-type]
        outputs: Any = [arrays[i] for i in sample.changes]
        outputs = outputs or _OUTPUTS.get(self.op, lambda *xs: xs[0])(*arrays)
        return [a.shape for a in flat(arrays)], [a.shape for a in flat(outputs)]


def _empty(*shape: int) -> np.ndarray:
    return np.broadcast_to(np.float32(0), shape)


_OUTPUTS = {  # of the ops that cases.py has not, where the output is not as the first input
    "matmul": lambda a, b: _empty(*a.shape[:-1], b.shape[-1]),
    "group_norm_silu_conv2d": lambda x, weight, bias, w: _empty(*x.shape[:3], w.shape[3]),
    "avg_pool2d_grad": lambda g: _empty(len(g), 2 * g.shape[1], 2 * g.shape[2], g.shape[3]),
}


def flat(x: Any) -> list[Any]:
    """All arrays in lists of lists; None is left out."""
    if isinstance(x, list | tuple):
        return [a for part in x for a in flat(part)]
    return [] if x is None else [x]


def _laid_out(a: np.ndarray, kind: str) -> np.ndarray:
    """Heads as a view of what a projection gives, as in ours.py."""
    return np.ascontiguousarray(a.swapaxes(1, 2)).swapaxes(1, 2) if kind == "h" else a


def _result_of(case: Case) -> Shape:
    """The shape of an op's output."""
    x = case.shapes[0]
    if case.op == "linear":
        return (*x[:-1], case.shapes[1][-1])
    if case.op in ("max_pool2d", "avg_pool2d"):
        return (x[0], x[1] // 2, x[2] // 2, x[3])
    if case.op == "upsample_nearest":
        return (x[0], 2 * x[1], 2 * x[2], x[3])
    return x


# ------------------------------------------------------------------------------------- all of them


def gpu_listed(quick: bool = False) -> list[GpuCase]:
    """The ops of cases.py, those that only a GPU has, and whole work.

    `quick` has batches of 4 in the place of 64, and small matrices.
    """
    found = [
        GpuCase(case.name, case.op, case.kind, case)
        for case in listed(quick)
        if case.kind in ("op", "backward") and (case.op, case.kind) != ("conv2d", "backward")
    ]
    return [*found, *_own(quick), *_whole(quick)]


def _own(quick: bool) -> list[GpuCase]:
    N = 4 if quick else 64
    large = (96,) if quick else (1024, 4096)
    weights = (4, 1000) if quick else (180, 30_000)  # arrays, numbers of the largest: as of scenes
    sizes: list[tuple[str, tuple[int, ...]]] = [("matmul", (n, n, n)) for n in large]
    sizes += [("matmul", (256 * N, 512, 128))]  # tokens of 16 x 16 pixels, into a hidden layer
    sizes += [("scaled_dot_product_attention", (max(1, N // 16), 4, n, n, 32)) for n in large[:1]]
    sizes += [("group_norm", (N, 32, 32, 32)), ("group_norm", (N, 16, 16, 128))]
    sizes += [("group_norm_silu_conv2d", (N, *x[1:], O)) for x, O in CONVOLUTIONS[2:6]]
    sizes += [("silu_grad", (N * 256, 64)), ("avg_pool2d_grad", (N, 32, 32, 64))]
    sizes += [("pixel_shuffle", (N, 16, 16, 64)), ("space_to_depth", (N, 32, 32, 16))]
    sizes += [("affine_step", (N, 32 * 32 * 3)), ("denoise_step", (N, 32 * 32 * 3))]
    sizes += [("adamw", weights), ("ema", weights), ("clip_grad_norm", weights)]
    return [GpuCase(f"{op} {_words(op, of)}", op, "op", sizes=of) for op, of in sizes]


def _words(op: str, sizes: tuple[int, ...]) -> str:
    return ", ".join(f"{axis} {n}" for axis, n in zip(SAMPLES[op].axes.split(), sizes))


def _whole(quick: bool) -> list[GpuCase]:
    batches, trained = ((1, 2), 4) if quick else (BATCHES, TRAINED)
    loops = [(f"denoising step, scenes, batch {n}", "sample", n) for n in batches]
    all_of = [*loops, (f"training step, scenes, batch {trained}", "train", trained)]
    steps = 4 if quick else STEPS
    return [
        GpuCase(name, op, "whole", Case(name, op, "whole", settings={
            "recipe": "scenes", "batch": n, "steps": steps,
        }))
        for name, op, n in all_of
    ]  # fmt: skip


def _counted_whole(op: str, batch: int) -> tuple[float, float]:
    """FLOPs and bytes of a step; a denoising step predicts twice for each picture, for guidance."""
    constant, each, weights, pixels = _counted_network(op)
    evaluated = batch if op == "train" else 2 * batch
    # AdamW reads a weight, its gradient and two moments, and writes all but the gradient
    bytes = FLOAT * (2 * batch * pixels + weights * (1 if op == "sample" else 7))
    return constant + evaluated * each, float(bytes)


@cache
def _counted_network(op: str) -> tuple[float, float, int, int]:
    """FLOPs of no picture and of each; numbers in the weights and in a picture.

    One picture and two are counted on the CPU: all that is counted grows by as much for each.
    """
    net = work.network("scenes")
    pictures, words = work.batch("scenes", 2)

    def counted(n: int) -> float:
        with one_blas_thread(), use_kernels("reference"), trace() as record:
            if op == "train":
                given, rng = (pictures[:n], words[:n]), np.random.default_rng(0)
                LOSSES["scenes"](net.config, net.model, given, rng).backward()
            else:
                with no_grad():
                    read = net.model.read(words[:n])
                    record.clear()  # the words are read once for all steps
                    net.model(Tensor(pictures[:n]), np.full(n, 0.5, np.float32), **read)
        return sum(flops(row.op, row.inputs, row.outputs) or 0.0 for row in record)

    one, two = counted(1), counted(2)
    weights = sum(p.size for p in net.model.parameters())
    return 2 * one - two, two - one, weights, math.prod(pictures.shape[1:])


def floor(flops: float, bytes: float, ceilings: Ceilings, precision: str) -> float:
    """Milliseconds that a GPU of these ceilings needs at least.

    >>> floor(2e9, 1e6, Ceilings({"fp32": 1e12}, 1e12, ""), "fp32")
    2.0
    """
    return 1e3 * max(flops / ceilings.flops[precision], bytes / ceilings.copied)


def floors(cases: Sequence[GpuCase], ceilings: Ceilings) -> str:
    """A table of what each case has to do, and how long that takes at least."""
    shown = [p for p in PRECISIONS if p in ceilings.flops and p != "fp16"]
    head = ["case", "GFLOP", "MB", "FLOP/byte", *(f"ms at least, {p}" for p in shown)]
    rows = [head]
    for case in cases:
        flop, size = case.counted()
        times = (f"{floor(flop, size, ceilings, p):#.3g}" for p in shown)
        rows.append([case.name, f"{flop / 1e9:.3f}", f"{size / 1e6:.3f}", f"{flop / size:.1f}"])
        rows[-1] += times
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))])
        for row in rows
    ]
    rates = ", ".join(f"{p} {ceilings.flops[p] / 1e12:g} TFLOP/s" for p in shown)
    about = f"Ceilings: {ceilings.source}: {rates}, memory {ceilings.copied / 1e12:g} TB/s."
    return "\n".join([about, "", *lines])
