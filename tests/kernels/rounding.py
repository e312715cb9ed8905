"""Numbers as tensor cores take them, by NumPy."""

import numpy as np

ROUNDED = ("fp16", "bf16", "tf32")
CUT = {"bf16": 16, "tf32": 13}  # bits of a float32 that are cut off


def rounded(a, precision):
    """float32 `a` rounded to nearest, as float32: a tie to even, in tf32 away from zero."""
    if precision == "fp32":
        return a
    if precision == "fp16":
        return a.astype(np.float16).astype(np.float32)
    cut = CUT[precision]
    below = (a.view(np.uint32) >> cut << cut).view(np.float32)  # nearer to zero
    above = ((a.view(np.uint32) >> cut) + 1 << cut).view(np.float32)
    to_below, to_above = abs(a.astype(float) - below), abs(above - a.astype(float))
    is_odd = a.view(np.uint32) >> cut & 1 == 1
    up_at_tie = is_odd if precision == "bf16" else True
    return np.where((to_above < to_below) | (to_above == to_below) & up_at_tie, above, below)


def choices(rungs):
    """(rung, precision): those on tensor cores in each of theirs, all others in float32."""
    return [(r, p) for r in rungs for p in (ROUNDED if r.endswith("mma") else ("fp32",))]
