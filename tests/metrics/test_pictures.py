"""The report of pictures without labels is that of labelled ones without what labels tell."""

import numpy as np
import pytest
from close import assert_close

from minigen.autograd import Tensor
from minigen.metrics.labelled import judge_labelled
from minigen.metrics.pictures import judge_pictures


def features(x):
    """The means of the four quarters of a picture (N, 4, 4, 1): (N, 4)."""
    return x.reshape(len(x.data), 2, 2, 2, 2).mean(axis=(2, 4)).reshape(len(x.data), 4) * 8


def pictures(rng, n):
    return rng.integers(0, 256, (n, 4, 4, 1)).astype(np.uint8)


@pytest.mark.filterwarnings("ignore:fid:UserWarning")
def test_it_says_what_the_labelled_report_says_but_for_labels(rng):
    images, test, train = (pictures(rng, n) for n in (100, 400, 300))
    labels = np.arange(100) % 5

    def vote(f):
        return Tensor(f.data[:, [0, 1, 2, 3, 0]])

    some = judge_pictures(images, test, train, features, np.random.default_rng(1))
    every = judge_labelled(
        (images, labels), (test, np.zeros(400)), train, features, vote, np.random.default_rng(1)
    )
    assert [*every.numbers][2:] == [*some.numbers]
    assert all(every.numbers[name] == measured for name, measured in some.numbers.items())
    assert_close(every.pictures["nearest"].astype(float), some.pictures["nearest"].astype(float))
    assert set(some.remarks) <= set(every.remarks)


def test_more_painted_than_half_the_test_pictures_are_refused(rng):
    with pytest.raises(ValueError, match=r"6 pictures to compare with 10 test pictures, .* 5"):
        judge_pictures(pictures(rng, 6), pictures(rng, 10), pictures(rng, 9), features, rng)
