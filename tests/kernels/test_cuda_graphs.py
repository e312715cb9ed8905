"""Recordings of launches, on a CuPy without a GPU that records in earnest; see fake_cupy.py."""

import numpy as np
import pytest

from minigen import Tensor, use_kernels
from minigen.autograd import no_grad
from minigen.backend import explain, recorded, use_precision
from minigen.kernels.errors import GraphError
from minigen.kernels.graph import KEPT, Recorded, Recording
from minigen.kernels.precision import current
from minigen.ops import conv2d, group_norm, linear, scaled_dot_product_attention, silu


def numbers(xp, *shape, seed=0):
    return xp.asarray(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def layers(xp):
    """Our kernels and elementwise operations, in a row: (x, w, t) -> array."""
    mix, shift = numbers(xp, 8, 8, seed=1), numbers(xp, 8, seed=2)

    def function(x, t, *, w):
        h = silu(conv2d(Tensor(x), Tensor(w), padding=1)) * t[:, None, None, None]
        h = group_norm(h, 2) + h
        tokens = linear(h.reshape(len(x), -1, 8), Tensor(mix), Tensor(shift))
        return scaled_dot_product_attention(tokens, tokens, tokens).data

    return function


def check(xp):
    """A recording gives what the function gives, for other numbers of the same shapes."""
    function, w = layers(xp), numbers(xp, 3, 3, 2, 8, seed=3)
    with use_kernels("auto"), no_grad():
        recorded = Recorded(function)
        for seed in range(3):
            x, t = numbers(xp, 2, 4, 4, 2, seed=seed), numbers(xp, 2, seed=seed)
            expected = function(x, t, w=w).get()
            np.testing.assert_array_equal(recorded(x, t, w=w).get(), expected)
    assert len(recorded.recordings) == 1


def test_a_recording_gives_what_the_function_gives(fake_cupy):
    check(fake_cupy)


@pytest.mark.gpu
def test_a_recording_gives_what_the_function_gives_on_the_gpu(real_cupy):
    check(real_cupy)


def test_the_function_runs_to_warm_up_and_once_to_be_recorded(fake_cupy):
    runs = []

    def function(x):
        runs.append(x)
        return x * 2

    recorded = Recorded(function)
    for seed in range(5):
        x = numbers(fake_cupy, 3, seed=seed)
        np.testing.assert_array_equal(recorded(x).get(), x.get() * 2)
    assert len(runs) == 3
    _, recording = next(iter(recorded.recordings.values()))
    assert recording.graph.launches == 5


def test_each_shape_and_each_value_that_is_no_array_has_a_recording(fake_cupy):
    recorded = Recorded(lambda x, *, by, plus: x * by + plus)
    for n, by, plus in [(1, 2, 0), (4, 2, 0), (4, 3, 0), (4, 3, 1), (1, 5, 0)]:
        y = recorded(fake_cupy.ones(n, "f"), by=fake_cupy.asarray(np.full(1, by, "f")), plus=plus)
        np.testing.assert_array_equal(y.get(), [by + plus] * n)
    assert len(recorded.recordings) == 3


def test_what_was_chosen_is_part_of_a_recording(fake_cupy):
    """One in strict float32 must not answer where bf16, or another kernel, was asked for."""
    ran = []

    def function(x):
        ran.append((explain("silu", x).split()[3], current()))
        return silu(Tensor(x)).data

    asked, x = recorded(function), fake_cupy.ones(2, "f")
    for kernels in ("auto", "reference", "auto"):
        for precision in ("fp32", "bf16", "fp32"):
            with use_kernels(kernels), use_precision(precision), no_grad():
                asked(x)
    chosen = [(rung, p) for rung in ("k1_elementwise", "reference") for p in ("fp32", "bf16")]
    assert ran == [one for one in chosen for _ in range(3)]  # two to warm up, one recorded


def test_an_array_with_a_name_may_change_or_be_another(fake_cupy):
    recorded, by = Recorded(lambda x, *, by: x * by), fake_cupy.ones(1, "f")
    x = fake_cupy.ones(2, "f")
    recorded(x, by=by)
    by[...] = 5.0
    np.testing.assert_array_equal(recorded(x, by=by).get(), [5, 5])
    np.testing.assert_array_equal(recorded(x, by=by + 1).get(), [6, 6])
    assert len(recorded.recordings) == 1


def test_the_recordings_used_last_are_kept(fake_cupy):
    runs = []
    recorded = Recorded(lambda x: (runs.append(len(x)), x + 1)[1])
    for n in (1, 2, 3, 4, 1, 5, 1):
        recorded(fake_cupy.ones(n, "f"))
    assert len(recorded.recordings) == KEPT == 4
    assert runs.count(1) == 3  # two to warm up, one recorded: it was never dropped
    recorded(fake_cupy.ones(2, "f"))
    assert runs.count(2) == 6  # the one that was not used for longest was


def test_a_result_is_not_overwritten_by_the_next(fake_cupy):
    recorded = Recorded(lambda x: x + 1)
    first = recorded(fake_cupy.zeros(2, "f"))
    recorded(fake_cupy.ones(2, "f"))
    np.testing.assert_array_equal(first.get(), [1, 1])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda cupy: lambda x: x @ x, "NotImplementedError: calling cuBLAS"),
        (lambda cupy: lambda x: x * float(x.sum()), "cudaErrorStreamCaptureUnsupported"),
        (lambda cupy: lambda x: x + cupy.asarray(np.ones(2, "f")), "8 bytes are copied from the"),
        (lambda cupy: lambda x: x[9], "IndexError"),
    ],
    ids=["cuBLAS", "a number is looked at", "a copy from the host", "another error"],
)
def test_what_cannot_be_recorded_is_told_and_ends_the_recording(fake_cupy, function, message):
    ran = []

    def work():
        ran.append(1)
        return function(fake_cupy)(x) if len(ran) > 2 else x

    x = fake_cupy.ones((2, 2), "f")
    with pytest.raises(GraphError, match=message):
        Recording(work)
    assert float(x.sum()) == 4  # the stream is no longer captured
    assert fake_cupy.asarray(np.ones(3, "f")).size == 3  # and NumPy's arrays may come in again


def test_a_number_of_python_stays_what_it_was(fake_cupy):
    level = [2.0]
    x = fake_cupy.ones(1, "f")
    recording = Recording(lambda: x * level[0])
    level[0] = 3.0
    assert recording.replay().item() == 2


@pytest.mark.gpu
def test_cublas_cannot_be_recorded_on_the_gpu(real_cupy):
    a = real_cupy.ones((4, 4), "float32")
    with pytest.raises(GraphError, match="cuBLAS"):
        Recording(lambda: a @ a)
    assert float((a @ a).sum()) == 64


@pytest.mark.gpu
def test_a_copy_from_the_host_cannot_be_recorded_on_the_gpu(real_cupy):
    a = real_cupy.ones(4, "float32")
    with pytest.raises(GraphError, match="copied from the host"):
        Recording(lambda: a + real_cupy.asarray(np.ones(4, "float32")))


@pytest.mark.gpu
def test_others_never_get_the_memory_of_a_recording_on_the_gpu(real_cupy):
    x = real_cupy.ones(1 << 16, "float32")
    recording = Recording(lambda: (x * 2 + 1) * 3)
    junk = [real_cupy.full(1 << 16, i, "float32") for i in range(20)]
    np.testing.assert_array_equal(recording.replay().get(), 9)
    assert [float(a[0]) for a in junk] == list(range(20))
