"""Train on synthetic, test on real: with a nearest-mean classifier on two kinds of pictures."""

import numpy as np
import pytest

from minigen.metrics.synthetic import train_on_synthetic


def examples(n, seed, wrong=0.0, shift=0.0):
    """Grey pictures (n, 2, 2, 1) of brightness 60 + 100 label; a share of the labels is wrong."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = rng.normal(60 + 100 * labels[:, None, None, None] + shift, 40, (n, 2, 2, 1))
    said = np.where(rng.random(n) < wrong, 1 - labels, labels)
    return images.clip(0, 255).astype(np.uint8), said


def nearest_mean(images, labels):
    means = np.array([images[labels == k].mean() for k in range(2)])
    return lambda x: np.abs(x.mean(axis=(1, 2, 3))[:, None] - means).argmin(axis=1)


REAL, TEST = examples(600, 1), examples(1000, 2)


def test_true_pictures_as_synthetic_ones_have_no_gap():
    found = train_on_synthetic(nearest_mean, REAL, REAL, TEST)
    assert found["gap"].value == 0
    synthetic, real, _ = found.values()
    assert synthetic.value == real.value > 0.95
    assert synthetic.of == "1000 test pictures, after training on 600"


def test_wrong_pictures_cost_accuracy():
    found = train_on_synthetic(nearest_mean, examples(400, 3, shift=60), REAL, TEST)
    accuracy = {name: measured.value for name, measured in found.items()}
    assert accuracy["gap"] > 0.05
    synthetic, real = (accuracy[f"accuracy, trained on {kind}"] for kind in ("synthetic", "real"))
    assert accuracy["gap"] == pytest.approx(real - synthetic)


def test_labels_that_are_always_wrong_teach_the_opposite():
    found = train_on_synthetic(nearest_mean, examples(400, 3, wrong=1.0), REAL, TEST)
    assert found["accuracy, trained on synthetic"].value < 0.05


def test_as_many_real_pictures_are_learnt_from_as_synthetic_ones():
    sizes = []

    def fit(images, labels):
        sizes.append(len(images))
        return nearest_mean(images, labels)

    train_on_synthetic(fit, examples(50, 3), REAL, TEST)
    assert sizes == [50, 50]


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ((examples(0, 0), REAL, TEST), "synthetic has 0 pictures"),
        ((REAL, REAL, (TEST[0], TEST[1][:3])), "test has 1000 pictures and 3 labels"),
        ((examples(700, 0), REAL, TEST), "600 real pictures for 700 synthetic ones"),
    ],
)
def test_wrong_sets_are_refused(sets, message):
    with pytest.raises(ValueError, match=message):
        train_on_synthetic(nearest_mean, *sets)
