"""Label agreement: does a classifier see in a painted picture what was asked for?"""

from collections.abc import Callable

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.data.pixels import to_float

Logits = Callable[[Tensor], Tensor]  # pictures (N, H, W, C) in [-1, 1] -> (N, classes)


def classify(model: Logits, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """The most likely class of each picture.

    Shapes: uint8 (N, H, W, C) -> int64 (N,).
    """
    with no_grad():
        parts = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
        votes = [model(Tensor(to_float(part))).data.argmax(-1) for part in parts]
    return np.concatenate(votes or [np.zeros(0, np.int64)])


def accuracy(model: Logits, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of pictures in which the classifier sees the label: of true pictures its accuracy, of
    pictures painted for the label the painter's agreement.

    Raises: ValueError for no pictures, or as many labels as there are not.
    """
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"accuracy: {len(images)} pictures for {len(labels)} labels")
    return float((classify(model, images) == labels).mean())
