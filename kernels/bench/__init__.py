"""The benchmark: every rung, whole training and sampling steps, and PyTorch on the same cores.

    minigen bench --ops conv2d --rungs --against torch

It measures everything, so unlike the other folders here it may import all of minigen.

    cases.py        what is measured: ops and their shapes, whole steps
    work.py         what both sides have in common: the networks, their inputs, memory
    ours.py         how minigen runs a case
    torch_side.py   how PyTorch runs it
    torch_unet.py   the networks of the recipes as a user of PyTorch writes them, and their weights
    child.py        a process of one side
    measure.py      two such processes that take turns
    report.py       the table, docs/benchmarks.md, its chart
    flops.py        what an op has to compute, from its shapes
    profile.py      where the time of a training step goes: minigen bench --profile RECIPE
    gpu_cases.py    what is measured on a GPU, and what it has to do at least
    gpu.py          how it is timed, and how minigen runs it
    gpu_torch.py    how PyTorch runs it
    gpu_report.py   the table, kernels/README.md, the roofline: minigen bench --device cuda
    tune.py         the fastest rung for each shape on this machine: minigen bench --tune
"""
