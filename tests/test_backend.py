"""Which implementation runs: the reference by default, kernels by name or by "auto"."""

import logging
import os
import subprocess
import sys
import threading
from contextvars import copy_context
from importlib.util import find_spec

import numpy as np
import pytest

import minigen.kernels
from minigen import Tensor, backend, explain, use_kernels, use_precision
from minigen.autograd import grad, primitive
from minigen.backend import KernelError, array_module, as_array, move, select
from minigen.kernels import precision

RUNGS = {
    "slow": """
def supports(x, *, times):
    return None

def launch(x, *, times):
    return x * times + 1000, None
""",
    "fast": """
def supports(x, *, times):
    return None if x.ndim == 1 else f"it takes 1 axis, got {x.ndim}"

def launch(x, *, times):
    return x * times + 2000, lambda g, needs: (g * times + 7 if needs[0] else None,)
""",
    "missing": "import a_package_that_is_not_there",
}


@primitive
def scaled(x, *, times):
    return x * times


@scaled.backward
def scaled_backward(g, y, x, *, times):
    return g * times


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """A folder of kernels for the op `scaled`: two that run and one that lacks its package."""
    folder = tmp_path / "scaled"
    folder.mkdir()
    (folder / "__init__.py").write_text(f"RUNGS = {list(RUNGS)}")
    for name, text in RUNGS.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.setattr(minigen.kernels, "__path__", [*minigen.kernels.__path__, str(tmp_path)])
    backend._load.cache_clear()
    backend._importable.cache_clear()
    backend._order_of.cache_clear()
    backend._said.clear()
    yield tmp_path
    backend._load.cache_clear()
    backend._importable.cache_clear()
    backend._order_of.cache_clear()
    for name in [name for name in sys.modules if name.startswith("minigen.kernels.scaled")]:
        del sys.modules[name]


def x(*shape):
    return Tensor(np.ones(shape or 1, np.float32), requires_grad=True)


def ran(*shape):
    """Which implementation of `scaled` runs on ones of this shape."""
    y = scaled(x(*shape), times=2.0).data.ravel()[0]
    return {0: "reference", 1000: "slow", 2000: "fast"}[y - 2]


# ---------------------------------------------------------------------------------------- choosing


def test_the_reference_is_the_default(kernels):
    assert ran(1) == "reference"


def test_auto_takes_the_fastest_that_can_run(kernels):
    with use_kernels("auto"):
        assert ran(1) == "fast"
        assert ran(1, 1) == "slow"


def test_a_named_kernel_runs_and_the_others_stay_as_they_were(kernels):
    with use_kernels(scaled="slow"):
        assert ran(1) == "slow"
        with use_kernels("reference"):
            assert ran(1) == "reference"
        with use_kernels("auto", scaled="reference"):
            assert ran(1) == "reference"
        assert (x(1) + 1.0).item() == 2


def test_a_block_restores_the_choice_also_after_an_error(kernels):
    with pytest.raises(ZeroDivisionError), use_kernels("auto"):
        raise ZeroDivisionError
    assert ran(1) == "reference"


def test_a_call_holds_from_there_on(kernels):
    def program():
        use_kernels("auto")
        use_kernels(scaled="slow")
        return ran(1)

    assert copy_context().run(program) == "slow"
    assert ran(1) == "reference"


def test_the_choice_is_that_of_the_thread_and_of_copies_of_its_context(kernels):
    found = []
    with use_kernels("auto"):
        inherits = threading.Thread(target=copy_context().run, args=(lambda: found.append(ran(1)),))
        for thread in (inherits, threading.Thread(target=lambda: found.append(ran(1)))):
            thread.start()
            thread.join()
    assert found == ["fast", "reference"]


def test_a_named_kernel_that_cannot_run_raises_and_says_why(kernels):
    with use_kernels(scaled="fast"), pytest.raises(KernelError) as error:
        ran(1, 1)
    assert str(error.value) == (
        "scaled: the kernel 'fast' was asked for and cannot run: it takes 1 axis, got 2"
    )


def test_a_named_kernel_without_its_package_says_which(kernels):
    with use_kernels(scaled="missing"), pytest.raises(KernelError, match="is_not_there is not ins"):
        ran(1)


def test_auto_falls_back_to_the_reference_and_says_so_once(kernels, caplog):
    (kernels / "scaled" / "__init__.py").write_text("RUNGS = ['fast', 'missing']")
    with use_kernels("auto"), caplog.at_level(logging.WARNING, "minigen"):
        assert [ran(1, 1), ran(1, 1)] == ["reference", "reference"]
    assert [record.getMessage() for record in caplog.records] == [
        "scaled runs as reference: missing cannot: a_package_that_is_not_there is not installed; "
        "fast cannot: it takes 1 axis, got 2"
    ]


def test_auto_is_silent_about_ops_without_kernels(kernels, caplog):
    with use_kernels("auto"), caplog.at_level(logging.WARNING, "minigen"):
        assert (x(1) + 1.0).item() == 2
    assert not caplog.records


@pytest.mark.parametrize(
    ("default", "rungs", "message"),
    [
        ("fast", {}, 'got \'fast\', expected "reference", "auto" or a kernel as op=rung'),
        (
            None,
            {"scaled": "quick"},
            "scaled has no kernel 'quick'; it has ['slow', 'fast', 'missing']",
        ),
        (None, {"no_such_op": "fast"}, "no_such_op has no kernel 'fast'; it has []"),
    ],
)
def test_an_unknown_name_is_an_error_that_changes_nothing(kernels, default, rungs, message):
    with pytest.raises(KernelError) as error:
        use_kernels(default, **rungs)
    assert str(error.value) == f"use_kernels: {message}"
    assert ran(1) == "reference"


def test_an_error_inside_a_kernels_own_imports_is_not_taken_for_its_absence(kernels):
    (kernels / "scaled" / "__init__.py").write_text("import another_missing_package")
    with pytest.raises(ModuleNotFoundError, match="another_missing_package"):
        use_kernels(scaled="fast")


# ------------------------------------------------------------------------------- fused backward


def test_a_kernels_own_backward_is_used_for_first_derivatives_only(kernels):
    leaf = x(3)
    with use_kernels(scaled="fast"):
        (first,) = grad(scaled(leaf, times=2.0).sum(), [leaf])
        (differentiable,) = grad(scaled(leaf, times=2.0).sum(), [leaf], create_graph=True)
    np.testing.assert_array_equal(first.data, [9, 9, 9])
    np.testing.assert_array_equal(differentiable.data, [2, 2, 2])


def test_a_kernel_without_a_backward_uses_the_reference_rule(kernels):
    leaf = x(3)
    with use_kernels(scaled="slow"):
        scaled(leaf, times=2.0).sum().backward()
    np.testing.assert_array_equal(leaf.grad.data, [2, 2, 2])


# ----------------------------------------------------------------------------------------- explain


@pytest.mark.parametrize(
    ("choice", "shape", "sentence"),
    [
        ({}, (1,), "scaled runs as reference (numpy): it is the default."),
        ({"default": "reference"}, (1,), "scaled runs as reference (numpy): it was asked for."),
        ({"add": "reference"}, (1,), "scaled runs as reference (numpy): it is the default."),
        ({"scaled": "slow"}, (1,), "scaled runs as slow (numpy): it was asked for by name."),
        (
            {"default": "auto"},
            (1, 1),
            "scaled runs as slow (numpy): it is the fastest that can run; missing cannot: "
            "a_package_that_is_not_there is not installed; fast cannot: it takes 1 axis, got 2.",
        ),
        (
            {"scaled": "fast"},
            (1, 1),
            "scaled: the kernel 'fast' was asked for and cannot run: it takes 1 axis, got 2.",
        ),
    ],
)
def test_explain_says_in_one_sentence_what_runs_and_why(kernels, choice, shape, sentence):
    with use_kernels(**choice):
        assert explain("scaled", x(*shape), times=2.0) == sentence
        assert explain("scaled", x(*shape).data, times=2.0) == sentence


def test_explain_knows_ops_without_kernels():
    with use_kernels("auto"):
        assert explain("add") == "add runs as reference (numpy): no kernel is written for it."


# --------------------------------------------------------------------------------- the environment


def run_python(program, choice):
    settings = os.environ | {"MINIGEN_KERNELS": choice, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60)


PROGRAM = """
import numpy as np, minigen.kernels
minigen.kernels.__path__.append({folder!r})
print(minigen.explain("scaled", np.ones(1), times=2.0))
"""


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("", "scaled runs as reference (numpy): it is the default."),
        ("auto", "scaled runs as fast (numpy): it is the fastest that can run"),
        (" auto, scaled=slow ", "scaled runs as slow (numpy): it was asked for by name."),
        ("fastest", 'MINIGEN_KERNELS: got \'fastest\', expected "reference", "auto" or a kernel'),
    ],
)
def test_the_environment_chooses_from_outside(kernels, choice, expected):
    result = run_python(PROGRAM.format(folder=str(kernels)), choice)
    assert result.stdout.startswith(expected), result.stderr


# --------------------------------------------------------------------------------------- precision


def test_products_are_float32_where_nobody_chose():
    assert precision.current() == "fp32"


def test_a_block_has_its_precision_and_restores_the_one_before():
    with use_precision("bf16"):
        with use_precision("tf32"):
            assert precision.current() == "tf32"
        assert precision.current() == "bf16"
    assert precision.current() == "fp32"


def test_a_call_sets_the_precision_from_there_on():
    def program():
        use_precision("fp16")
        return precision.current()

    assert copy_context().run(program) == "fp16"
    assert precision.current() == "fp32"


@pytest.mark.parametrize("name", ["fp8", "", None])
def test_an_unknown_precision_is_an_error(name):
    with pytest.raises(ValueError, match="expected one of fp32, tf32, bf16, fp16"):
        use_precision(name)
    assert precision.current() == "fp32"


def test_the_environment_chooses_the_precision(monkeypatch):
    monkeypatch.setenv("MINIGEN_PRECISION", "tf32")
    assert precision.current() == "tf32"
    monkeypatch.setenv("MINIGEN_PRECISION", "half")
    with pytest.raises(ValueError, match="MINIGEN_PRECISION: got 'half'"):
        precision.current()


# ------------------------------------------------------------------------------------------ arrays


def test_select_asks_nothing_of_the_reference():
    assert select("no_such_op", (), {}) is None


@pytest.mark.parametrize("value", [1.0, [1.0], None, "text", Tensor(1.0)], ids=repr)
def test_only_arrays_have_an_array_module(value):
    with pytest.raises(TypeError, match="expected a NumPy or CuPy array"):
        array_module(value)


@pytest.mark.parametrize("value", [np.zeros(2), np.float32(1)], ids=repr)
def test_numpy_arrays_and_scalars_belong_to_numpy(value):
    assert array_module(value) is np


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_is_rounded_once_to_the_type_that_is_asked_for(dtype):
    assert as_array(0.1, dtype) == dtype(0.1)


def test_as_array_copies_no_array():
    a = np.zeros(3)
    assert as_array(a) is a
    assert move(a, "cpu") is a


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is installed")
def test_the_gpu_without_cupy_says_what_to_install():
    with pytest.raises(RuntimeError, match=r'pip install "minigen\[cuda12\]"'):
        move(np.zeros(3), "gpu")


@pytest.mark.gpu
@pytest.mark.skipif(find_spec("cupy") is None, reason="needs CuPy and a GPU")
def test_an_array_comes_back_from_the_gpu_as_it_went():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    there = move(a, "gpu")
    assert array_module(there).__name__ == "cupy"
    np.testing.assert_array_equal(move(there, "cpu"), a)
