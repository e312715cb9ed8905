"""A running mean by descent is the running mean, also of a batch in parts."""

import numpy as np
import pytest
from close import assert_close

from minigen import Tensor
from minigen.nn import Module, Parameter
from minigen.optim.running_mean import RunningMean, follow
from minigen.train.data_parallel import parallel_backward


class Mean(Module):
    def __init__(self):
        self.p = Parameter(np.array([3.0, -1.0]))


def loss(model, x, rng):
    return Tensor(x).mean() + follow(model.p, x.mean(axis=0))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_descent_is_the_running_mean(workers, rng):
    model, expected = Mean(), np.array([3.0, -1.0])
    optimizer = RunningMean(model.named_parameters(), decay=0.8)
    for n in range(40):
        x = rng.standard_normal((7, 2))
        optimizer.zero_grad()
        parallel_backward(loss, model, x, rng, workers)
        optimizer.step()
        d = min(0.8, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * x.mean(axis=0)
    assert_close(model.p.data, expected, terms=40)


def test_the_term_changes_no_loss():
    p = Parameter(np.array([5.0, 6.0]))
    assert follow(p, np.array([1.0, 2.0])).item() == 0


def test_a_schedule_does_not_change_the_rate():
    model = Mean()
    optimizer = RunningMean(model.named_parameters(), decay=0.5)
    optimizer.lr = 1e-9
    follow(model.p, np.zeros(2)).backward()
    optimizer.step()
    assert_close(model.p.data, 0.1 * np.array([3.0, -1.0]), terms=4)


def test_a_decay_of_one_is_refused():
    with pytest.raises(ValueError, match="decay is 1, expected"):
        RunningMean(Mean().named_parameters(), decay=1)
