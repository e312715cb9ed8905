"""minigen doctor: it tells all and gets to its end on any machine."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minigen.cli import main
from minigen.kernels import gpu


def test_the_doctor_tells_all_and_ends_well(capsys, monkeypatch):
    monkeypatch.setenv("MINIGEN_DATA", "/nowhere")
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    titles = [line for line in text.splitlines() if not line.startswith(" ")]
    assert titles == [
        *("system:", "packages:", "BLAS:", "GPU:", "kernels:", "CUDA kernels:", "data:", "weights:")
    ]
    assert f"numpy          {np.__version__}" in text
    assert "conv2d runs as " in text
    assert "conv2d would run as k" in text
    assert "precision fp32" in text
    assert "NVRTC" in text
    assert "g++" in text
    assert "MINIGEN_DATA is /nowhere, which is no folder" in text
    assert "could not be told" not in text


def test_the_doctor_survives_a_broken_gpu(capsys, monkeypatch):
    class Broken:
        __version__, __spec__ = "0", None

        def __getattr__(self, name):
            raise RuntimeError("cudaErrorInsufficientDriver")

    monkeypatch.setitem(sys.modules, "cupy", Broken())
    gpu.require.cache_clear()
    assert main(["doctor"]) == 0
    assert "no usable GPU: cudaErrorInsufficientDriver" in capsys.readouterr().out


def test_the_doctor_tells_of_a_gpu_and_what_runs_on_it(capsys, fake_cupy, monkeypatch):
    monkeypatch.setenv("MINIGEN_PRECISION", "bf16")
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "a GPU that is none, 64 GiB, compute capability 9.0" in text
    assert "CuPy computes" in text
    assert "our kernels compute" in text
    assert "matmul runs as k6_mma (cupy, bf16): it is the fastest that can run." in text
    assert "could not be told" not in text


def test_the_doctor_without_cupy_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    gpu.require.cache_clear()
    assert main(["doctor"]) == 0
    assert 'CuPy is not installed: pip install "minigen[cuda12]"' in capsys.readouterr().out


@pytest.mark.gpu
def test_the_doctor_tries_the_real_gpu(real_cupy, capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "CuPy computes" in text
    assert "our kernels compute" in text


def test_the_doctor_survives_a_kernel_that_is_none():
    command = [sys.executable, "-m", "minigen", "doctor"]
    chosen = os.environ | {"MINIGEN_KERNELS": "nonsense"}
    done = subprocess.run(command, capture_output=True, text=True, env=chosen)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert "nonsense" in done.stdout + done.stderr
