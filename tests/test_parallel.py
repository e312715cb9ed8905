"""Threads that share a batch: the same numbers as one thread, and no error is lost."""

import threading

import numpy as np
import pytest
from close import assert_close

from minigen import nn
from minigen.autograd import Tensor, no_grad
from minigen.parallel import in_parts, one_blas_thread, parallel_map, size_of, split
from minigen.train.data_parallel import check_parallel, parallel_backward


def mse(model, batch, rng):
    x, y = batch
    error = model(Tensor(x)) - y
    return (error * error).mean(), {"largest": np.abs(error.data).max()}


def example(n=7, seed=0):
    rng = np.random.default_rng(seed)
    model = nn.Sequential(nn.Linear(3, 5, rng=rng), nn.Linear(5, 2, rng=rng)).astype(np.float64)
    return model, (rng.standard_normal((n, 3)), rng.standard_normal((n, 2)))


@pytest.mark.parametrize("workers", [2, 3, 7, 20])
def test_the_gradient_of_the_parts_is_that_of_the_batch(workers):
    model, batch = example()
    loss, _ = mse(model, batch, None)
    loss.backward()
    whole = [p.grad.data for p in model.parameters()]
    model.zero_grad()
    value, extra = parallel_backward(mse, model, batch, np.random.default_rng(0), workers)
    assert value == pytest.approx(loss.item())
    assert set(extra) == {"largest"}
    for p, g in zip(model.parameters(), whole):
        assert_close(p.grad.data, g)


def test_the_parts_draw_from_generators_that_the_seed_decides():
    def noisy(model, batch, rng):
        return model(Tensor(rng.standard_normal((2, 3)))).sum()

    model, batch = example()
    values = [
        parallel_backward(noisy, model, batch, np.random.default_rng(s), 2) for s in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize(("n", "parts"), [(7, 2), (8, 4), (3, 5), (1, 2)])
def test_split_covers_the_batch_in_order(n, parts):
    pieces = split((np.arange(n), list(range(n))), parts)
    assert np.array_equal(np.concatenate([a for a, _ in pieces]), np.arange(n))
    assert [i for _, b in pieces for i in b] == list(range(n))
    assert max(map(size_of, pieces)) - min(map(size_of, pieces)) <= 1


@pytest.mark.parametrize("n", [1, 2, 9, 20])
def test_a_model_in_parts_is_the_model(n):
    model, (x, _) = example(n)
    whole = model(Tensor(x)).data
    in_pieces = in_parts(lambda x, t, scale: model(x) * scale[:, None], size=4, least=2)
    with no_grad():
        assert_close(in_pieces(Tensor(x), np.zeros(n), scale=np.ones(n)).data, whole)


def test_parts_know_that_no_graph_is_wanted():
    model, (x, _) = example()
    seen = []

    def watch(x, t):
        y = model(x)
        seen.append(y.requires_grad)
        return y

    with no_grad():
        in_parts(watch, least=0)(Tensor(x), np.zeros(len(x)))
    assert seen == [False, False]


def test_an_error_in_a_thread_reaches_the_caller_after_all_are_done():
    done = []

    def work(i):
        if i == 0:
            raise KeyError("lost?")
        done.append(i)

    with pytest.raises(KeyError, match="lost"):
        parallel_map(work, [0, 1, 2])
    assert sorted(done) == [1, 2]


def test_results_keep_the_order_of_the_arguments():
    with one_blas_thread():
        results = parallel_map(lambda i: (i, threading.current_thread().name), range(8))
    assert [i for i, _ in results] == list(range(8))
    here = threading.current_thread().name  # works along
    assert all(name == here or name.startswith("minigen") for _, name in results)


def test_models_that_change_while_computing_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="workers=1"):
        check_parallel(nn.Sequential(nn.Dropout(0.1, rng=rng)))
    with pytest.raises(ValueError, match="workers=1"):
        check_parallel(nn.Sequential(nn.BatchNorm2d(3)))
    check_parallel(nn.Sequential(nn.Dropout(0.0, rng=rng), nn.GroupNorm(1, 2)))
