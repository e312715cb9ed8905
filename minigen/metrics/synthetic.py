"""Train on synthetic, test on real: are the pictures good enough to learn from?

A classifier is trained on the pictures of a model, with the labels they were asked for, and tested
on true pictures. Beside it stands the same classifier trained on as many true pictures. Wrong
labels, missing kinds and strange pictures all cost accuracy; the gap between both is their price.

Source: Esteban, Hyland, Ratsch, Real-valued (Medical) Time Series Generation with Recurrent
Conditional GANs, 2017, section 5.2, arXiv 1706.02633; of pictures Ravuri and Vinyals,
Classification Accuracy Score, 2019, arXiv 1905.10887.
"""

from collections.abc import Callable

import numpy as np

from minigen.metrics.report import Measured, mean_of

Examples = tuple[np.ndarray, np.ndarray]  # pictures uint8 (N, H, W, C), labels (N,)
Classify = Callable[[np.ndarray], np.ndarray]  # pictures -> labels (N,)
Fit = Callable[[np.ndarray, np.ndarray], Classify]  # trains a new classifier


def train_on_synthetic(
    fit: Fit, synthetic: Examples, real: Examples, test: Examples
) -> dict[str, Measured]:
    """The accuracy on true test pictures after training on synthetic and on real ones, and the gap.

    fit        (pictures, labels) -> a classifier trained on them, the same way each time
    synthetic  pictures of the model, and the labels they were asked for
    real       training pictures; of more than there are synthetic ones, the first as many
    test       pictures that neither has seen

    The error of the gap is that of a difference on the same test pictures; other seeds of `fit`
    would add to it.

    Raises: ValueError where a set is empty, has not one label a picture, or real is smaller than
    synthetic.
    """
    sets = {"synthetic": synthetic, "real": real, "test": test}
    for name, (images, labels) in sets.items():
        if not len(images) or len(images) != len(labels):
            raise ValueError(
                f"train_on_synthetic: {name} has {len(images)} pictures and {len(labels)} labels"
            )
    n = len(synthetic[0])
    if len(real[0]) < n:
        raise ValueError(f"train_on_synthetic: {len(real[0])} real pictures for {n} synthetic ones")
    images, labels = test
    by_synthetic = fit(*synthetic)(images) == labels
    by_real = fit(real[0][:n], real[1][:n])(images) == labels
    of = f"{len(labels)} test pictures, after training on {n}"
    return {
        "accuracy, trained on synthetic": mean_of(by_synthetic, of=of),
        "accuracy, trained on real": mean_of(by_real, of=of),
        "gap": mean_of(by_real.astype(float) - by_synthetic, of=of),
    }
