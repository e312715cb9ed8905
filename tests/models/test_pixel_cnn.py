"""PixelCNN: probabilities that sum to 1, no pixel seen too early, none overlooked, fair draws."""

import numpy as np
import pytest
from every_picture import effects, fit, pictures, shaken, shares, squares

from minigen.autograd import no_grad
from minigen.models.autoregressive.pixel_cnn import PixelCNN, PixelCNNConfig, log_prob, loss, sample


def tiny(seed=0, **settings):
    settings = {"channels": 4, "layers": 3, "first_kernel_size": 3, "head": 8} | settings
    return PixelCNN(PixelCNNConfig(**settings), rng=np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("H", "W", "settings"),
    [
        (3, 3, {}),
        (3, 3, {"kernel_size": 5, "first_kernel_size": 7}),
        (4, 2, {"patch": 2}),
        (2, 2, {"levels": 4}),
        (3, 3, {"classes": 3}),
    ],
)
def test_probabilities_of_all_pictures_sum_to_1(H, W, settings):
    x, model = pictures(H, W, settings.get("levels", 2)), shaken(tiny(**settings))
    labels = np.full(len(x), 2) if model.config.classes else None
    assert np.exp(log_prob(model, x, labels).numpy()).sum() == pytest.approx(1, abs=1e-10)


def test_a_pixel_depends_on_each_pixel_before_and_on_no_other():
    """No blind spot: as many layers as rows see all before, to the right above as well."""
    model, places = shaken(tiny(channels=16, layers=5, head=16)), 25
    x = np.random.default_rng(0).integers(0, 2, (5, 5, 1)).astype(np.float64)
    with no_grad():
        found = effects(lambda x: model(x).numpy().reshape(len(x), places, 2), x, places)
    before = np.tri(places, places, -1, bool)
    assert (found[before] > 1e-12).all()
    assert (found[~before] == 0).all()


def test_a_block_depends_on_the_blocks_before_alone():
    model, rng = shaken(tiny(patch=2)), np.random.default_rng(0)
    x = rng.integers(0, 2, (1, 8, 8, 1)).astype(np.float64)
    changed = x.copy()
    changed[:, 2:4, 4:] = 1 - x[:, 2:4, 4:]  # blocks 6 and 7 of 16
    changed[:, 4:] = rng.integers(0, 2, (1, 4, 8, 1))
    first, second = (model(a).numpy().reshape(16, 16) for a in (x, changed))
    np.testing.assert_array_equal(first[:7], second[:7])
    assert (first[7] != second[7]).any()


def test_the_label_changes_the_probability():
    model, x = shaken(tiny(classes=2)), pictures(2, 2)
    zero, one = (log_prob(model, x, np.full(16, k)).numpy() for k in (0, 1))
    assert np.abs(zero - one).max() > 1e-3


@pytest.mark.parametrize("settings", [{}, {"patch": 2}])
def test_pictures_are_drawn_as_often_as_their_probability_says(settings):
    model, every, n = shaken(tiny(**settings), size=0.5), pictures(4, 2), 8_000
    drawn = sample(model, n, np.random.default_rng(0), (4, 2))
    p = np.exp(log_prob(model, every).numpy())
    error = np.abs(shares(drawn, every) - p)
    assert (error <= 4.5 * np.sqrt(p * (1 - p) / n) + 3 / n).all()


def test_rows_that_are_given_are_kept():
    given = np.random.default_rng(0).integers(0, 2, (3, 8, 8, 1)).astype(np.float32)
    seen = []
    settings = {"given": given, "rows": 4, "callback": seen.append}
    drawn = sample(tiny(patch=2), 3, np.random.default_rng(1), (8, 8), **settings)
    np.testing.assert_array_equal(drawn[:, :4], given[:, :4])
    assert (drawn[:, 4:] != given[:, 4:]).any()
    assert seen == [0.75, 1.0]


def test_it_learns_eight_pictures():
    """They are equally likely and nothing else is: log 8 = 2.08 nats is all there is to know."""
    model, x = tiny(channels=16, layers=3, patch=2), squares()
    assert loss(model, x).item() > 30
    assert fit(model, lambda: loss(model, x), steps=200, lr=0.02) < 2.5


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="whole ones from 0 to 1"):
        log_prob(tiny(), np.full((1, 4, 4, 1), -1.0))
    with pytest.raises(ValueError, match="H and W multiples of 2"):
        log_prob(tiny(patch=2), np.zeros((1, 3, 4, 1)))
    with pytest.raises(IndexError, match=r"indices are integers in 0 ... 1"):
        log_prob(tiny(classes=2), np.zeros((1, 4, 4, 1)), np.array([2]))
    with pytest.raises(ValueError, match="rows is 3, expected a multiple of 2"):
        sample(tiny(patch=2), 1, np.random.default_rng(0), (4, 4), rows=3)
    with pytest.raises(ValueError, match="given is None, expected 1 pictures of 2 rows or more"):
        sample(tiny(), 1, np.random.default_rng(0), (4, 4), rows=2)
    with pytest.raises(ValueError, match=r"kernel sizes are \(2, 7\), expected odd ones"):
        PixelCNNConfig(kernel_size=2)


@pytest.mark.parametrize(("classes", "labels"), [(0, [1, 0]), (2, None), (2, [0, 1, 0])])
def test_labels_are_those_of_the_pictures(classes, labels):
    labels = labels and np.array(labels)
    with pytest.raises(ValueError, match="pixel_cnn: got labels"):
        log_prob(tiny(classes=classes), np.zeros((2, 4, 4, 1)), labels)
