"""Pictures of many labels, some at a time: the memory does not grow with their number."""

from collections.abc import Callable

import numpy as np
from tqdm import trange

from minigen.backend import Array, move
from minigen.data.pixels import to_uint8


def paint_labels(
    sample: Callable[..., Array], labels: np.ndarray, no_label: int, batch_size: int = 64
) -> np.ndarray:
    """A picture of each label, with a bar where there are several batches.

    sample    (n=, conditions=, null_conditions=) -> n pictures in [-1, 1]: the `sample` of
              models/diffusion/ddpm.py or models/flow_matching/flow_matching.py, all else given
    no_label  stands for no label, for classifier-free guidance

    Shapes: labels (N,) -> uint8 (N, H, W, C).
    Raises: ValueError for no labels.
    """
    if not len(labels):
        raise ValueError("paint_labels: there are no labels, expected at least one")
    pictures = []
    alone = len(labels) <= batch_size
    for first in trange(0, len(labels), batch_size, desc="drawing", disable=alone):
        part = labels[first : first + batch_size]
        x = sample(
            n=len(part),
            conditions={"labels": part},
            null_conditions={"labels": np.full_like(part, no_label)},
        )
        pictures.append(to_uint8(move(x, "cpu")))
    return np.concatenate(pictures)
