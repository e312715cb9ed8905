"""CUDA kernels on the CPU: the same .cu files, built by g++, on NumPy arrays.

    from minigen.kernels.cpu import run

    y = run("matmul/k3_shared_tile", a, b)              a rung of a ladder, on NumPy arrays
    y = run("matmul/k3_shared_tile", a, b, seed=3)      blocks and threads in another order
    y = run("matmul/k3_shared_tile", a, b, sanitize="thread")     look for races on the way

A thread of the kernel is a fiber, a barrier a switch to the next one: schedule.h. That makes a
kernel something to step through in a debugger, and a race something that is found on any laptop. It
says nothing about speed.

    build.py      .cu -> shared library or program
    runner.py     launches
    cuda_cpu.h    the language, for g++; schedule.h threads and barriers; fibers.h; numbers.h
    main.cpp      a kernel as a program, for the sanitizers
"""

from minigen.kernels.cpu.build import CompileError, NoCompilerError
from minigen.kernels.cpu.runner import EmulationError, emulated, run

__all__ = ["CompileError", "EmulationError", "NoCompilerError", "emulated", "run"]
