"""How PyTorch runs a case on a GPU: what minigen is compared with there.

In the process of minigen's own runs, on the same GPU, by the same clock: both put their work into
CUDA's default stream. Ops run in both layouts, eagerly and as a CUDA graph, and compiled inside
such a graph, on as many copies of their inputs as ours. In "bf16" its ops are given 16 bits, ours
float32; in "tf32" its flags for products and convolutions are on, in "fp32" both are off.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch

from minigen.kernels.bench import torch_side
from minigen.kernels.bench.gpu import How, Row, check, clock, copies_of, noted, rungs
from minigen.kernels.bench.gpu_cases import Ceilings, GpuCase
from minigen.kernels.bench.torch_side import LAYOUTS, OPS, from_torch, to_torch
from minigen.kernels.bench.work import Work

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
MODES = ("eager", "graph", "compiled")  # compiled in one layout: it chooses its own
DEVICE = "cuda"
WARM_UP = 3  # runs before a capture, as PyTorch's documentation has it

Modes = list[tuple[str, str]]  # (layout, mode)


@contextmanager
def precision_of(name: str) -> Iterator[None]:
    """Inside the block products and convolutions of float32 are exact or in TF32, and tuned."""
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags], torch.backends.cudnn.benchmark
    for flag in flags:
        flag.allow_tf32 = name == "tf32"
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        for flag, was in zip(flags, before[0]):
            flag.allow_tf32 = was
        torch.backends.cudnn.benchmark = before[1]


def settings() -> dict[str, str]:
    """The versions, and the flags as they are set for each precision."""
    said = {"PyTorch": torch.__version__, "cuDNN": str(torch.backends.cudnn.version())}
    for name in ("fp32", "tf32", "bf16"):
        with precision_of(name):
            flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
            tuned = torch.backends.cudnn.benchmark
        said[f"PyTorch in {name}"] = (
            f"matmul.allow_tf32 {flags[0]}, cudnn.allow_tf32 {flags[1]}, cudnn.benchmark {tuned}"
        )
    return said


def time_torch(case: GpuCase, how: How, ceilings: Ceilings | None) -> list[Row]:
    """All variants of a case; none for those that cases.py has not."""
    if case.case is None:
        return []
    expected, rows = case.exact(), []
    layouts = list(LAYOUTS) if case.case.in_layouts else ["default"]
    modes = [(layout, mode) for mode in MODES[:2] for layout in layouts]
    modes.append((layouts[-1], MODES[2]))
    rounds = case.kind == "whole" or any("mma" in rung for rung, _ in rungs(case))
    for precision in ("fp32", "tf32", "bf16") if rounds else ("fp32",):
        for layout, mode in modes:
            row = Row(case.name, "PyTorch", f"{mode}, {layout}", precision, *case.counted())
            rows.append(row)
            with noted(row), precision_of(precision):
                prepare = _whole if case.kind == "whole" else _op
                prepared = prepare(case, layout, mode, precision, how)
                with prepared.inside():
                    check(row, prepared.outputs(), expected)
                    run = prepared.run if mode == "eager" else _final(case, mode, prepared.run)
                    clock(row, run, how, ceilings, prepared.per)
            prepared = run = None
            torch_side._made.clear()
            torch.compiler.reset()
            torch.cuda.empty_cache()
    return rows


def _final(case: GpuCase, mode: str, run: Callable[[], Any]) -> Callable[[], Any]:
    """What is timed: a graph, but for compiled whole work, which has graphs of its own."""
    return run if mode == "compiled" and case.kind == "whole" else graphed(run)


def graphed(run: Callable[[], Any]) -> Callable[[], Any]:
    """`run` as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = run()

    def replay() -> Any:
        graph.replay()
        return kept  # lives as long as the graph that writes to it

    return replay


def _op(case: GpuCase, layout: str, mode: str, precision: str, how: How) -> Work:
    """An op on copies of its inputs, one after the other."""
    own = case.case
    assert own is not None
    dtype, kind = TYPES.get(precision, torch.float32), LAYOUTS.get(layout, torch.contiguous_format)
    f = partial(OPS[case.op], **own.settings)
    if mode == "compiled":
        f = torch.compile(f, mode="max-autotune-no-cudagraphs")  # the graph is ours, around all

    def inputs() -> list[Any]:
        with torch.device(DEVICE):
            return [to_torch(a, k, kind).to(dtype) for a, k in zip(own.inputs(), own.arrays)]

    sets = [inputs()]
    sets += [[x.clone() for x in sets[0]] for _ in range(copies_of(case.counted()[1], how) - 1)]
    inside: Any = torch.inference_mode
    if case.kind == "op":
        works = [partial(f, *xs) for xs in sets]
        kinds = own.result
    else:
        inside, works, kinds = nullcontext, [], own.arrays
        with torch.device(DEVICE):
            g = to_torch(case.upstream(), own.result, kind).to(dtype)
        for xs in sets:
            y = f(*[x.requires_grad_() for x in xs])
            works.append(partial(torch.autograd.grad, y, xs, g, retain_graph=True))

    def run() -> Any:
        y = None
        for one in works:
            y = one()
        return y

    def outputs() -> list[Any]:
        y = works[0]()
        return [from_torch(a, k) for a, k in zip(y if isinstance(y, tuple) else (y,), kinds)]

    return Work(run, outputs, inside, per=len(sets))


def _whole(case: GpuCase, layout: str, mode: str, precision: str, how: How) -> Work:
    """The denoising loop or the training step of torch_side.py, with its weights on the GPU."""
    assert case.case is not None
    compiled = partial(torch.compile, mode="max-autotune") if mode == "compiled" else None
    with torch.device(DEVICE):
        if case.op == "sample":
            made = torch_side.sample(case.case, layout, compiled)
        else:  # a graph can take only an optimiser that counts its steps on the GPU
            made = torch_side.train(case.case, layout, compiled, capturable=mode == "graph")

    @contextmanager
    def inside() -> Iterator[None]:
        rounded = nullcontext()
        if precision in TYPES:
            rounded = torch.autocast(DEVICE, TYPES[precision], cache_enabled=mode != "graph")
        with made.inside(), rounded:
            yield

    def outputs() -> list[Any]:
        with torch.device(DEVICE), torch.no_grad():
            return made.outputs()

    return Work(made.run, outputs, inside, made.per)
