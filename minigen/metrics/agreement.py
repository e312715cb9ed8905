"""Label agreement: does a classifier see in a painted picture what was asked for?"""

from collections.abc import Callable

import numpy as np

from minigen.autograd import Tensor, no_grad
from minigen.data.pixels import to_float
from minigen.parallel import parallel_map

Network = Callable[[Tensor], Tensor]  # pictures (N, H, W, C) in [-1, 1] -> (N, K)


def outputs(network: Network, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """What a network says of every picture: a classifier's logits, or its features.

    Shapes: uint8 (N, H, W, C) -> float32 (N, K).
    Raises: ValueError for no pictures.
    """
    if not len(images):
        raise ValueError("outputs: there are no pictures")
    parts = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
    with no_grad():
        return np.concatenate(
            parallel_map(lambda part: network(Tensor(to_float(part))).data, parts)
        )


def classify(model: Network, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """The most likely class of each picture.

    Shapes: uint8 (N, H, W, C) -> int64 (N,).
    """
    return outputs(model, images, batch_size).argmax(-1)


def accuracy(model: Network, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of pictures in which the classifier sees the label: of true pictures its accuracy, of
    pictures painted for the label the painter's agreement.

    Raises: ValueError for no pictures, or as many labels as there are not.
    """
    if len(images) != len(labels) or not len(images):
        raise ValueError(f"accuracy: {len(images)} pictures for {len(labels)} labels")
    return float((classify(model, images) == labels).mean())
