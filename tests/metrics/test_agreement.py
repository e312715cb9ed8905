"""Label agreement counts the pictures in which the classifier sees the label."""

import numpy as np
import pytest

from minigen.autograd import Tensor
from minigen.metrics.agreement import accuracy, classify


def brightness(x: Tensor) -> Tensor:
    """Network of "dark" and "bright"."""
    mean = x.mean(axis=(1, 2, 3))
    return Tensor(np.stack([-mean.data, mean.data], axis=1))


def pictures(*levels):
    return np.stack([np.full((4, 4, 1), level, np.uint8) for level in levels])


def test_the_largest_logit_is_the_class():
    assert classify(brightness, pictures(0, 255, 100, 200)).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "share"), [([0, 1, 0, 1], 1.0), ([1, 1, 0, 1], 0.75), ([1, 0, 1, 0], 0.0)]
)
def test_accuracy_is_the_share_of_agreement(labels, share):
    assert accuracy(brightness, pictures(0, 255, 100, 200), np.array(labels)) == share


def test_batches_do_not_change_the_classes():
    x = pictures(*range(0, 250, 7))
    assert np.array_equal(classify(brightness, x, batch_size=5), classify(brightness, x))


@pytest.mark.parametrize(("n", "labels"), [(0, 0), (3, 2)])
def test_unequal_numbers_are_refused(n, labels):
    with pytest.raises(ValueError, match=f"{n} pictures for {labels} labels"):
        accuracy(
            brightness,
            pictures(*range(n)) if n else np.zeros((0, 4, 4, 1), np.uint8),
            np.zeros(labels),
        )
