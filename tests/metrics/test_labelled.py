"""The report of pictures painted by class: numbers beside those of true pictures, and remarks."""

import numpy as np
import pytest

from minigen.autograd import Tensor
from minigen.metrics.labelled import judge_labelled

CLASSES = 5
VOTE = np.random.default_rng(9).standard_normal((4, CLASSES)).astype(np.float32)


def features(x):
    """The means of the four quarters of a picture (N, 4, 4, 1): (N, 4)."""
    return x.reshape(len(x.data), 2, 2, 2, 2).mean(axis=(2, 4)).reshape(len(x.data), 4) * 8


def vote(f):
    return Tensor(f.data @ VOTE)


def pictures(rng, n):
    """Noise (n, 4, 4, 1), and the class that the judge sees."""
    images = rng.integers(0, 256, (n, 4, 4, 1)).astype(np.uint8)
    return images, vote(features(Tensor(images / np.float32(127.5) - 1))).data.argmax(-1)


def report(rng, painted, n_true=4000):
    test, train = pictures(rng, n_true), pictures(rng, 500)[0]
    return judge_labelled(painted, test, train, features, vote, rng)


@pytest.mark.filterwarnings("ignore:fid:UserWarning")
def test_true_pictures_are_as_good_as_true_pictures(rng):
    found = report(rng, pictures(rng, 400))
    value = {name: measured.value for name, measured in found.numbers.items()}
    assert value["label agreement"] == value["label agreement, test pictures"] == 1
    assert 0.2 < value["FID over that floor"] < 5
    for name in ("precision", "recall", "density", "coverage"):
        assert value[name] == pytest.approx(value[f"{name}, real against real"], abs=0.1)
    assert found.numbers["FID"].of == "n = 400, mean over 10 draws of test pictures"
    assert found.pictures["samples"].shape == (4 * 6 - 2, 10 * 6 - 2, 3)
    assert [remark[:8] for remark in found.remarks] == ["n = 400:"]


@pytest.mark.filterwarnings("ignore:fid:UserWarning")
def test_one_picture_again_and_again_is_remarked_upon(rng):
    images, labels = pictures(rng, 400)
    one = np.flatnonzero(labels == 0)[0]
    found = report(rng, (np.full_like(images, images[one]), labels))
    assert found.numbers["coverage"].value < 0.1
    assert any("modes are missing" in remark for remark in found.remarks)


@pytest.mark.filterwarnings("ignore:fid:UserWarning")
def test_grey_from_an_untrained_model_is_remarked_upon(rng):
    labels = np.arange(400) % CLASSES
    grey = rng.integers(120, 130, (400, 4, 4, 1)).astype(np.uint8)
    words = " ".join(report(rng, (grey, labels)).remarks)
    assert "is the model trained?" in words or "train for longer" in words


@pytest.mark.filterwarnings("ignore:fid:UserWarning")
@pytest.mark.parametrize(("n", "distance"), [(4, False), (5, False), (6, True)])
def test_too_few_pictures_have_no_distance(rng, n, distance):
    """5 are more than the 4 features, but without one of them no longer."""
    found = report(rng, pictures(rng, n))
    assert ("FID" in found.numbers) == distance
    said = f"{n} pictures have no distance in 4 features"
    assert any(said in word for word in found.remarks) != distance


def test_copies_of_the_training_set_are_told(rng):
    train = pictures(rng, 500)[0]
    labels = pictures(rng, 4)[1]
    found = judge_labelled((train[:4], labels), pictures(rng, 500), train, features, vote, rng)
    assert found.numbers["memorised"].value == 1


def test_more_painted_than_half_the_test_pictures_are_refused(rng):
    with pytest.raises(ValueError, match=r"6 pictures to compare with 10 test pictures, .* 5"):
        report(rng, pictures(rng, 6), n_true=10)
