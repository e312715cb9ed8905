"""minigen doctor: it tells all and gets to its end on any machine."""

import os
import subprocess
import sys

import numpy as np

from minigen.cli import main


def test_the_doctor_tells_all_and_ends_well(capsys, monkeypatch):
    monkeypatch.setenv("MINIGEN_DATA", "/nowhere")
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    titles = [line for line in text.splitlines() if not line.startswith(" ")]
    assert titles == ["system:", "packages:", "BLAS:", "GPU:", "kernels:", "data:", "weights:"]
    assert f"numpy          {np.__version__}" in text
    assert "conv2d runs as " in text
    assert "MINIGEN_DATA is /nowhere, which is no folder" in text
    assert "could not be told" not in text


def test_the_doctor_survives_a_broken_gpu(capsys, monkeypatch):
    class Broken:
        __version__, __spec__ = "0", None

        def __getattr__(self, name):
            raise RuntimeError("cudaErrorInsufficientDriver")

    monkeypatch.setitem(sys.modules, "cupy", Broken())
    assert main(["doctor"]) == 0
    assert "no usable GPU: cudaErrorInsufficientDriver" in capsys.readouterr().out


def test_the_doctor_survives_a_kernel_that_is_none():
    command = [sys.executable, "-m", "minigen", "doctor"]
    chosen = os.environ | {"MINIGEN_KERNELS": "nonsense"}
    done = subprocess.run(command, capture_output=True, text=True, env=chosen)
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert "nonsense" in done.stdout + done.stderr
