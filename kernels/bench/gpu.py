"""How a case is timed on a GPU, and how minigen runs it there.

Time is CUDA's: events in the stream before and after. A rung's launches are recorded as a graph, so
that it is the GPU that is timed and not Python; it runs on as many copies of its inputs as it takes
to have more than the L2 cache holds, and the copies take turns. What cannot be recorded (Numba's
kernels, a kernel whose host looks at a number) is launched from Python, and the table says so.

Nothing is timed that is wrong: before, its result is compared with float64, that of the recording
too, after NaN were written over it.
"""

import importlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minigen import Tensor, no_grad
from minigen.backend import move, use_kernels
from minigen.kernels.bench import work
from minigen.kernels.bench.gpu_cases import Ceilings, GpuCase, flat, floor
from minigen.kernels.bench.measure import LARGEST_ERROR, largest_error
from minigen.kernels.bench.ours import training_step
from minigen.kernels.errors import GraphError
from minigen.kernels.gpu import plain_errors, require
from minigen.kernels.graph import Recorded, Recording
from minigen.kernels.philox import key_of
from minigen.kernels.precision import use_precision
from minigen.samplers import guided_model, sample_flow
from minigen.schedules import alpha_bars_from_times, flow_times

ROUNDS = ("tf32", "bf16", "fp16")  # precisions of tensor cores
LARGEST = {"fp32": LARGEST_ERROR}  # error of what is timed; of the others:
LARGEST_ROUNDED = 3e-2
CACHE = 60e6  # bytes of L2, where the GPU does not say


@dataclass
class Row:
    """One variant of a case.

    side       "minigen" or "PyTorch"
    ms, low, high   median and quartiles; of whole work: of one step
    error      largest difference from float64, by its largest element
    roofline   the floor at the ceilings measured in this run, over the time
    failed     why there is no time
    """

    case: str
    side: str
    variant: str
    precision: str
    flops: float
    bytes: float
    ms: float | None = None
    low: float | None = None
    high: float | None = None
    error: float | None = None
    roofline: float | None = None
    failed: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class How(NamedTuple):
    """How often; `quick` is to see that everything runs."""

    quick: bool = False

    @property
    def repeats(self) -> int:
        return 2 if self.quick else 50

    @property
    def warm_up(self) -> int:
        return 1 if self.quick else 5


class RefusedError(Exception):
    """It cannot run on this; with the reason."""


@contextmanager
def noted(row: Row) -> Iterator[None]:
    """What goes wrong inside the block is written down where the time would stand."""
    try:
        with plain_errors(row.variant):
            yield
    except RefusedError as error:
        row.failed = f"cannot run: {error}"
    except Exception as error:
        row.failed = f"{type(error).__name__}: {error}"


def check(row: Row, actual: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    """Note the error; the larger one where there was one. Raises: ValueError where it is wrong."""
    error = largest_error(actual, expected)
    row.error = max(error, row.error or 0.0) if error == error else error
    most = LARGEST.get(row.precision, LARGEST_ROUNDED)
    if not row.error <= most:
        raise ValueError(f"error {row.error:.1e} is above {most:.0e}")


# ------------------------------------------------------------------------------------------- clock


def milliseconds(run: Callable[[], Any], how: How, per: int = 1) -> np.ndarray:
    """What each of `how.repeats` runs took, by events in CUDA's default stream, for each of `per`.

    All runs are handed to the GPU before the first time is read, so it never waits for the clock.
    """
    cuda = require().cuda
    for _ in range(how.warm_up):
        run()
    pairs = []
    for _ in range(how.repeats):
        start, end = cuda.Event(), cuda.Event()
        start.record()
        run()
        end.record()
        pairs.append((start, end))
    pairs[-1][1].synchronize()
    return np.array([cuda.get_elapsed_time(*pair) for pair in pairs]) / per


def clock(
    row: Row, run: Callable[[], Any], how: How, ceilings: Ceilings | None, per: int = 1
) -> None:
    """Time it and fill in the row."""
    times = milliseconds(run, how, per)
    row.low, row.ms, row.high = np.quantile(times, (0.25, 0.5, 0.75)).tolist()
    if ceilings is not None and row.ms:
        row.roofline = floor(row.flops, row.bytes, ceilings, row.precision) / row.ms


def copies_of(bytes: float, how: How) -> int:
    """How many sets of inputs together are twice what the L2 cache holds."""
    attributes = require().cuda.Device().attributes
    cache = max(CACHE, attributes.get("L2CacheSize", 0))
    return 2 if how.quick else 1 + int(2 * cache / bytes)


# ---------------------------------------------------------------------------------------- ceilings


def measured_ceilings(how: How) -> Ceilings:
    """What this GPU does now: a large copy, and a large product by cuBLAS in each precision."""
    cupy = require()
    n, large = (64, 1 << 16) if how.quick else (8192, 1 << 28)
    a = cupy.zeros(large, "float32")
    b = cupy.empty_like(a)
    copied = 2e3 * a.nbytes / np.median(milliseconds(lambda: cupy.copyto(b, a), how))
    found = {}
    for precision in ("fp32", "tf32", "fp16"):
        dtype = "float16" if precision == "fp16" else "float32"
        x = cupy.asarray(np.random.default_rng(0).standard_normal((n, n)).astype(dtype))
        y = cupy.empty_like(x)
        with _compute_type(cupy, precision):
            ms = np.median(milliseconds(partial(cupy.matmul, x, x, out=y), how))
        found[precision] = 2e3 * n**3 / ms
    found["bf16"] = found["fp16"]  # a tensor core multiplies both as fast
    source = f"cuBLAS on {n} x {n}, that of fp16 for bf16 too; a copy of {large * 4 / 1e9:.1f} GB"
    return Ceilings(found, copied, f"measured in the same run: {source}")


@contextmanager
def _compute_type(cupy: Any, precision: str) -> Iterator[None]:
    """cuBLAS in CuPy multiplies in this precision; "fp32" strictly, also under CUPY_TF32."""
    linear = importlib.import_module("cupy._core._routines_linalg")
    kinds = {"fp32": linear.COMPUTE_TYPE_FP32, "tf32": linear.COMPUTE_TYPE_TF32}
    before = linear.get_compute_type("f")
    if precision in kinds:
        linear.set_compute_type("f", kinds[precision])
    try:
        yield
    finally:
        linear.set_compute_type("f", before)


# -------------------------------------------------------------------------------------------- rungs


def rungs(case: GpuCase) -> list[tuple[str, str]]:
    """(rung, precision), slow to fast: one on tensor cores in all precisions that round."""
    names = importlib.import_module(f"minigen.kernels.{case.op}").CUDA_RUNGS
    return [(name, p) for name in names for p in (ROUNDS if "mma" in name else ("fp32",))]


def time_rungs(case: GpuCase, how: How, ceilings: Ceilings | None) -> list[Row]:
    """All rungs of an op."""
    arrays, settings = case.make()
    expected, rows = case.exact(), []
    for rung, precision in rungs(case):
        row = Row(case.name, "minigen", rung, precision, *case.counted())
        rows.append(row)
        with noted(row), use_precision(precision):
            _time_rung(case, row, arrays, settings, expected, how, ceilings)
        require().get_default_memory_pool().free_all_blocks()
    return rows


def _time_rung(
    case: GpuCase, row: Row, arrays: Any, settings: Any, expected: Any, how: How, ceilings: Any
) -> None:
    module = importlib.import_module(f"minigen.kernels.{case.op}.{row.variant}")
    first = on_gpu(arrays)
    if reason := module.supports(*first, **settings):
        raise RefusedError(reason)
    g = move(case.upstream(), "gpu") if case.kind == "backward" else None

    def work_on(xs: Any) -> Callable[[], Any]:
        if g is None:
            return lambda: module.launch(*xs, **settings)[0]
        pull = module.launch(*xs, **settings)[1]
        if pull is None:
            raise RefusedError("it has no gradient of its own")
        return lambda: pull(g, (True,) * len(xs))

    y = work_on(first)()
    check(row, _numbers(case.outputs(y, first) if g is None else flat(y)), expected)
    sets = [on_gpu(arrays) for _ in range(copies_of(row.bytes, how))]
    works = [work_on(xs) for xs in sets]

    def run() -> Any:
        y = None
        for one in works:
            y = one()
        return y

    recorded = None if row.variant.startswith("numba") else _recorded(run)
    if recorded is None:
        row.variant += " (launched from Python)"
    elif outputs := flat(recorded.output):
        for a in outputs:
            a.fill(np.nan)
        recorded.replay()
        if len(outputs) == len(expected):  # else what it computes stands in its inputs
            check(row, _numbers(outputs), expected)
    clock(row, run if recorded is None else recorded.replay, how, ceilings, len(works))


def _recorded(run: Callable[[], Any]) -> Recording | None:
    try:
        return Recording(run)
    except GraphError:
        return None


def on_gpu(x: Any) -> Any:
    """Copies of all arrays in lists of lists, laid out in memory as they are."""
    if isinstance(x, list | tuple):
        return [on_gpu(a) for a in x]
    if x is None:
        return None
    axes = np.argsort([-step for step in x.strides], kind="stable")
    copy = require().array(np.ascontiguousarray(x.transpose(axes)))
    return copy.transpose(*np.argsort(axes).tolist()) if x.ndim else copy


def _numbers(arrays: Sequence[Any]) -> list[np.ndarray]:
    return [np.asarray(a) if isinstance(a, float) else a.get() for a in arrays]


# --------------------------------------------------------------------------------------- whole work


def time_whole(case: GpuCase, how: How, ceilings: Ceilings | None) -> list[Row]:
    """A denoising loop or a training step of minigen, in strict float32 and rounded."""
    assert case.case is not None
    loop, expected, rows = case.op == "sample", case.exact(), []
    variants = {"graph of a whole step": _one_graph, "graph of the network": _painters}
    variants["no graph"] = partial(_painters, graph=False)
    for precision in ("fp32", *ROUNDS[:2]):
        for variant, prepare in (variants if loop else {"eager": _training}).items():
            row = Row(case.name, "minigen", variant, precision, *case.counted())
            rows.append(row)
            with noted(row), use_kernels("auto"), use_precision(precision):
                run, answer, per = prepare(**case.case.settings)
                check(row, [answer().get()], expected)
                clock(row, run, how, ceilings, per)
            run = answer = None
            require().get_default_memory_pool().free_all_blocks()
    return rows


Prepared = tuple[Callable[[], Any], Callable[[], Any], int]  # run, its network's answer, steps


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


def _painters(recipe: str, batch: int, steps: int, graph: bool = True) -> Prepared:
    """As the painter samples: the network recorded, the sampler's formula and noise around it.

    It is recorded once, for all pictures to come, whose words are the same arrays.
    """
    config, model = _network(recipe)
    assert config.flow().prediction_type == "x0"
    words = work.batch(recipe, batch)[1]
    given, null = model.read(words), model.read(np.zeros_like(words))
    at_once = Recorded(lambda xt, t, **words: model(Tensor(xt), t, **words).data)
    recorded = lambda xt, t, **words: Tensor(at_once(xt.data, t, **words))  # noqa: E731
    network = recorded if graph else model
    predict = guided_model(network, given, null, config.guidance)
    rng = np.random.default_rng(0)

    def velocity(xt: Any, t: float) -> Any:  # as minigen/models/flow_matching
        return (xt - predict(xt, t).clip(-config.clip, config.clip)) / t

    def run() -> Any:
        start = move(rng.standard_normal((batch, 32, 32, 3), np.float32), "gpu")
        return sample_flow(velocity, start, config.sampler, steps, config.shift, rng)

    return run, lambda: _answer(network, model.read, recipe, batch), steps


def _one_graph(recipe: str, batch: int, steps: int) -> Prepared:
    """One graph for a step: the network, guidance, the sampler and its noise by denoise_step."""
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
        times = flow_times(steps, config.shift, 1.0)
        levels = alpha_bars_from_times(times) if config.sampler in ("ddpm", "ddim") else times
        made = table_of(config.sampler, levels, "x0", guidance=config.guidance, clip=config.clip)
        cupy, self.steps = require(), steps
        self.start, self.step = cupy.asarray(start), cupy.zeros(1, "int32")
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


# ----------------------------------------------------------------------------------------- machine


def device() -> dict[str, str]:
    """What the numbers hold for."""
    cupy = require()
    runtime = cupy.cuda.runtime
    name = runtime.getDeviceProperties(0)["name"]
    driver, cuda = (
        f"{n // 1000}.{n % 1000 // 10}"
        for n in (runtime.driverGetVersion(), runtime.runtimeGetVersion())
    )
    return {
        "GPU": name.decode() if isinstance(name, bytes) else str(name),
        "driver": _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "CUDA of the driver": driver,
        "CUDA": cuda,
        "CuPy": cupy.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "commit": _said("git", "rev-parse", "--short", "HEAD"),
    }


def _said(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"
