"""Lists of arrays for kernels that take eight parameters in a launch: adamw, ema, clip_grad_norm.

A kernel for all parameters has to be told where they are. Three ways were thought of:

- A table of addresses in memory. It takes one launch, but an address in a table is a number like
  any other: nobody can check it, no guard stands around what it points to, and where each launch is
  a program of its own, as under a sanitizer, it points to nothing.
- One long array with all parameters in it, as views. One launch again, but then gradients, which
  come from everywhere, are copied into place first, and nobody may replace a parameter's array.
- Arguments, as here: eight arrays of each kind and their sizes stand in the kernel's list of
  parameters. An eighth of the launches of k1, no copy, no rule about memory, and every array is
  checked like that of any other kernel.

Blocks are handed out in order: a block has CHUNK numbers of one array, and finds by counting which.
"""

from minigen.kernels.launch import blocks, only_cuda

SLOTS = 8  # parameters of a launch
CHUNK = 1024  # numbers of a block
THREADS = 256


def refusal(written, read):
    """None, or why these lists of arrays cannot be gone over."""
    if reason := only_cuda(*written, *read):
        return reason
    if all(a.flags.c_contiguous for a in written):
        return None
    return "an array that is written to does not lie in order"


def launches(*lists):
    """For each launch its blocks and its arguments: SLOTS times the arrays of a place and a size.

    A list may be None: the kernel gets pointers to nothing. Slots that are left over have size 0.
    """
    length = max(len(arrays) for arrays in lists if arrays is not None)
    columns = [[None] * length if arrays is None else arrays for arrays in lists]
    rows = [row for row in zip(*columns, strict=True) if row[0].size]
    for i in range(0, len(rows), SLOTS):
        group = rows[i : i + SLOTS]
        arguments = [a for row in group for a in (*row, row[0].size)]
        arguments += ([None] * len(lists) + [0]) * (SLOTS - len(group))
        yield sum(blocks(row[0].size, CHUNK) for row in group), arguments
