"""How near a translated picture comes to the true one, beside three ways that need no network.

    L1         mean over pixels and channels of |made - true|, of pictures in [-1, 1]
    features   sqrt(mean (f(made) - f(true))^2) over the numbers of a network's maps

L1 asks for every pixel, and prefers a grey mean to a bold guess. Maps of a network tell whether
surfaces and edges are alike, and forgive a little (Zhang et al., 2018, arXiv 1801.03924, whose
weights of the maps are learnt from people; here all count alike).

A translation that is worth a training is nearer than

    the input                as it came
    the mean                 of all training pictures, pixel by pixel; under the lines of the input
                             where that is grey
    the nearest              the true picture of that training picture whose input is nearest;
                             and the same under the lines of the input
"""

from collections.abc import Callable, Mapping

import numpy as np

from minigen.metrics.neighbours import nearest
from minigen.metrics.report import Measured, Report, mean_of

Features = Callable[[np.ndarray], np.ndarray]  # (N, H, W, 3) in [-1, 1] -> (N, numbers)
Pairs = tuple[np.ndarray, np.ndarray]  # inputs (N, H, W, 1 or 3), true ones (N, H, W, 3)


def guesses(inputs: np.ndarray, train: Pairs) -> dict[str, np.ndarray]:
    """What needs no network, by name: float (N, H, W, 3) each, in [-1, 1]."""
    known, true = train
    places, _ = nearest(inputs.reshape(len(inputs), -1), known.reshape(len(known), -1))
    found = true[places[:, 0]]
    mean = np.broadcast_to(true.mean(axis=0), found.shape)
    if inputs.shape[-1] == 3:
        return {"input": inputs, "mean": mean, "nearest": found}
    return {
        "input": inputs.repeat(3, axis=-1),
        "mean": np.minimum(mean, inputs),  # the darker one: lines are dark
        "nearest": found,
        "nearest, under the lines": np.minimum(found, inputs),
    }


def judge_pairs(
    made: np.ndarray, test: Pairs, train: Pairs, features: Mapping[str, Features]
) -> Report:
    """L1 and the distance by each of `features`, of what was made and of every guess.

    Shapes: made (N, H, W, 3) float in [-1, 1], of test[0]; test and train are pairs.
    Raises: ValueError where made and true pictures have other shapes.
    """
    inputs, true = test
    if made.shape != true.shape:
        raise ValueError(f"judge_pairs: {made.shape} were made, true ones are {true.shape}")
    known = {name: of(true) for name, of in features.items()}
    numbers: dict[str, Measured] = {}
    remarks = []
    found = {"": made, **guesses(inputs, train)}
    for measure in ("L1", *features):
        for name, pictures in found.items():
            if measure == "L1":
                distance = np.abs(pictures - true)
            else:
                distance = np.square(features[measure](pictures) - known[measure])
            each = distance.reshape(len(true), -1).mean(axis=1, dtype=np.float64)
            each = each if measure == "L1" else np.sqrt(each)
            title = f"{measure}, {name}" if name else measure
            numbers[title] = mean_of(each, of=f"{len(true)} pairs")
        own, *others = (numbers[f"{measure}, {name}" if name else measure] for name in found)
        best = min(others, key=float)
        numbers[f"{measure} over the best guess"] = Measured(own.value / best.value)
        if own.value >= best.value:
            remarks.append(f"by {measure} a guess without a network is nearer: train for longer")
    return Report(numbers, {}, tuple(remarks))
