"""What is measured: ops at the shapes of the recipes' networks, and whole work.

A case names an op, its inputs and its settings; ours.py and torch_side.py say how each side runs
it. Inputs follow from the case alone, so both sides get the same numbers.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shape = tuple[int, ...]
FLOAT = 4  # bytes of a float32
HEADS, HEAD_WIDTH = 4, 32

# (N, H, W, C) -> O: the convolutions of U-Nets of course size
CONVOLUTIONS = (
    ((64, 32, 32, 32), 32),
    ((64, 32, 32, 32), 64),
    ((64, 32, 32, 64), 64),
    ((64, 16, 16, 64), 64),
    ((64, 16, 16, 64), 128),
    ((64, 16, 16, 128), 128),
    ((64, 8, 8, 64), 64),
    ((64, 8, 8, 128), 128),
)
# x, kernel_size, O, stride, padding
OTHER_CONVOLUTIONS = (
    ((64, 16, 16, 128), 1, 64, 1, 0),
    ((64, 32, 32, 32), 4, 64, 2, 1),
    ((64, 32, 32, 3), 7, 32, 1, 3),
)


@dataclass(frozen=True)
class Case:
    """One thing that is measured.

    op        the primitive whose rungs are compared; for whole work its own name
    kind      "op", "backward" (of an op), "whole" or "memory"
    arrays    a letter for each input: p a picture (N, H, W, C), f a filter (KH, KW, C, O),
              l a matrix (in, out), h heads (N, A, L, DH) as a view of (N, L, A, DH),
              . anything that PyTorch stores as we do
    result    the letter of the output
    flops     of products and convolutions, multiplications and additions; None elsewhere
    bytes     inputs and outputs, each once; None for whole work
    """

    name: str
    op: str
    kind: str
    shapes: tuple[Shape, ...] = ()
    arrays: str = ""
    result: str = "."
    settings: Mapping[str, Any] = field(default_factory=dict)
    flops: float | None = None
    bytes: float | None = None

    @property
    def in_layouts(self) -> bool:
        """Whether PyTorch has two layouts of it."""
        return "p" in self.arrays or self.op in ("train", "sample")

    def inputs(self) -> list[np.ndarray]:
        """float32 arrays, the same in every process."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [rng.standard_normal(shape, np.float32) for shape in self.shapes]

    def upstream(self, shape: Shape) -> np.ndarray:
        """The gradient of the output that a backward case starts from."""
        rng = np.random.default_rng(1 + zlib.crc32(self.name.encode()))
        return rng.standard_normal(shape, np.float32)


def listed(quick: bool = False) -> list[Case]:
    """All cases; `quick` has batches of 4 in the place of 64, to see that everything runs."""
    N = 4 if quick else 64
    return [*_convolutions(N), *_norms(N), *_attention(N), *_others(N), *_whole(N)]


def size(*shapes: Shape) -> int:
    """Numbers in all arrays together."""
    return sum(map(math.prod, shapes))


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))


# --------------------------------------------------------------------------------------------- ops


def _convolutions(N: int) -> Iterator[Case]:
    all_of = [(x, 3, O, 1, 1) for x, O in CONVOLUTIONS] + list(OTHER_CONVOLUTIONS)
    for op in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"):
        for (_, H, W, C), K, O, stride, padding in all_of:
            x, w = (N, H, W, C), (K, K, C, O)
            steps: dict[str, Any] = {"stride": stride, "padding": padding}
            y = (N, *((n + 2 * padding - K) // stride + 1 for n in (H, W)), O)
            how: dict[str, tuple[Any, str, str, dict[str, Any]]] = {
                "conv2d": ((x, w), "pf", "p", steps),
                "conv2d_input_grad": ((y, w), "pf", "p", {**steps, "size": (H, W)}),
                "conv2d_weight_grad": ((y, x), "pp", "f", {**steps, "kernel_size": (K, K)}),
            }
            shapes, arrays, result, settings = how[op]
            step = f" stride {stride}" if stride > 1 else ""
            yield Case(
                name=f"{op} {_text(x)} * {_text(w)}{step}",
                op=op,
                kind="op",
                shapes=shapes,
                arrays=arrays,
                result=result,
                settings=settings,
                flops=2 * math.prod(y) * K * K * C,
                bytes=FLOAT * size(x, w, y),
            )
    for (_, H, W, C), O in CONVOLUTIONS:  # both gradients, as a training step wants them
        x, w, y = (N, H, W, C), (3, 3, C, O), (N, H, W, O)
        yield Case(
            name=f"conv2d {_text(x)} * {_text(w)} backward",
            op="conv2d",
            kind="backward",
            shapes=(x, w),
            arrays="pf",
            result="p",
            settings={"stride": 1, "padding": 1},
            flops=4 * math.prod(y) * 9 * C,
            bytes=FLOAT * (2 * size(x, w) + size(y)),
        )


def _both(
    op: str, shapes: tuple[Shape, ...], arrays: str, y: Shape, flops: float = 0, **settings: Any
) -> Iterator[Case]:
    """An op forward and backward; products are done twice on the way back."""
    name = f"{op} {_text(shapes[0])}"
    if op == "linear":
        name += f" -> {y[-1]}"
    elif op == "scaled_dot_product_attention":
        name = f"attention N {y[0]}, heads {y[1]}, L = S = {y[2]}, width {y[3]}"
    common: dict[str, Any] = {"op": op, "shapes": shapes, "arrays": arrays, "settings": settings}
    common["result"] = "p" if arrays[0] == "p" else "."
    back = 2.5 if op == "scaled_dot_product_attention" else 2  # the weights are computed again
    yield Case(name=name, kind="op", flops=flops or None, bytes=FLOAT * size(*shapes, y), **common)
    yield Case(
        name=f"{name} backward",
        kind="backward",
        flops=back * flops or None,
        bytes=FLOAT * (2 * size(*shapes) + size(y)),
        **common,
    )


def _norms(N: int) -> Iterator[Case]:
    for H, C in ((32, 32), (16, 64), (16, 128), (8, 96), (8, 192), (4, 128)):
        x = (N, H, H, C)
        yield from _both("group_norm_silu", (x, (C,), (C,)), "p..", x, num_groups=8, eps=1e-5)
    for tokens in ((N, 64, 96), (N, 16, 128), (N, 14, 128)):
        C = tokens[-1]
        yield from _both("layer_norm", (tokens, (C,), (C,)), "...", tokens, eps=1e-5)
    for scores in ((N, HEADS, 64, 64), (N // 4, HEADS, 256, 256)):
        yield from _both("softmax", (scores,), ".", scores, axis=-1)


def _attention(N: int) -> Iterator[Case]:
    for n, S in ((N, 64), (N // 4, 256)):
        q = (n, HEADS, S, HEAD_WIDTH)
        flops = 4 * math.prod(q) * S
        yield from _both("scaled_dot_product_attention", (q, q, q), "hhh", q, flops)


def _others(N: int) -> Iterator[Case]:
    for x, O in (((N, 16, 16, 128), 64), ((N, 64, 96), 96), ((N, 14, 128), 512), ((N, 1792), 512)):
        y, C = (*x[:-1], O), x[-1]
        yield from _both("linear", (x, (C, O), (O,)), ".l.", y, 2 * math.prod(y) * C)
    x = (N, 16, 16, 64)
    yield from _both("silu", (x,), ".", x)
    yield from _both("gelu", ((N, 14, 512),), ".", (N, 14, 512), approximate="tanh")
    x = (N, 32, 32, 64)
    half = (N, 16, 16, 64)
    window: dict[str, Any] = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}
    yield from _both("max_pool2d", (x,), "p", half, **window)
    yield from _both("avg_pool2d", (x,), "p", half, **window)
    yield from _both("upsample_nearest", (half,), "p", x, scale_factor=2)


# -------------------------------------------------------------------------------------- whole work


def _whole(N: int) -> Iterator[Case]:
    """Steps of the recipes; the settings say of which, and how many pictures."""
    yield Case("AdamW step, scenes", "adamw", "whole", settings={"recipe": "scenes"})
    for recipe in ("scenes", "fashion_ddpm"):
        settings = {"recipe": recipe, "batch": N}
        yield Case(f"training step, {recipe}, batch {N}", "train", "whole", settings=settings)
    for n in (1, N):
        settings = {"recipe": "scenes", "batch": n}
        yield Case(f"sampling step, scenes, batch {n}", "sample", "whole", settings=settings)
    yield Case(
        f"peak memory of a training step, scenes, batch {N}",
        "train",
        "memory",
        settings={"recipe": "scenes", "batch": N},
    )
