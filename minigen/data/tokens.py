"""Pictures as symbols: every block of PH x PW pixels is one of levels^(PH PW) tokens.

A model that gives each token its probability, given those before, gives a picture the product. A
picture has one row of tokens and the row one picture, whatever the size of the blocks, so the
product is the picture's own probability.
"""

import numpy as np

Patch = int | tuple[int, int]  # PH and PW; one number means both


def to_tokens(x: np.ndarray, patch: Patch = 1, levels: int = 2) -> np.ndarray:
    """token = sum over i, j of x[i, j] levels^(i PW + j), i and j within the block.

    Shapes: x (N, H, W, 1), numbers 0 ... levels - 1 of any type -> (N, H / PH, W / PW) int64.
    Raises: ValueError for another shape or for other numbers.

    >>> to_tokens(np.array([[1, 0], [0, 1]]).reshape(1, 2, 2, 1), patch=2)
    array([[[9]]])
    """
    PH, PW = (patch, patch) if isinstance(patch, int) else patch
    if x.ndim != 4 or x.shape[3] != 1 or x.shape[1] % PH or x.shape[2] % PW:
        raise ValueError(
            f"to_tokens: got shape {x.shape}, expected (N, H, W, 1), H and W multiples of {patch}"
        )
    numbers = x.astype(np.int64)
    if x.size and ((numbers < 0) | (numbers >= levels) | (numbers != x)).any():
        raise ValueError(
            f"to_tokens: got numbers from {x.min()} to {x.max()}, expected whole ones from 0 to "
            f"{levels - 1}; binarise() makes black and white of greys"
        )
    N, H, W, _ = x.shape
    blocks = numbers.reshape(N, H // PH, PH, W // PW, PW).transpose(0, 1, 3, 2, 4)
    return blocks.reshape(N, H // PH, W // PW, PH * PW) @ levels ** np.arange(PH * PW)


def from_tokens(tokens: np.ndarray, patch: Patch = 1, levels: int = 2) -> np.ndarray:
    """The inverse of `to_tokens`: (N, H / PH, W / PW) -> (N, H, W, 1) float32."""
    PH, PW = (patch, patch) if isinstance(patch, int) else patch
    N, h, w = tokens.shape
    digits = tokens[..., None] // levels ** np.arange(PH * PW) % levels  # (N, h, w, PH PW)
    x = digits.reshape(N, h, w, PH, PW).transpose(0, 1, 3, 2, 4)
    return x.reshape(N, h * PH, w * PW, 1).astype(np.float32)


def draw_tokens(
    logits: np.ndarray,
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> np.ndarray:
    """A token for each row, with the probabilities softmax(logits / temperature).

    The token at which the sum of the probabilities passes a number drawn evenly from 0 ... 1.

    top_k  only the so many likeliest can be drawn, and those as likely as the last of them

    Shapes: (N, V) -> (N,) int64.
    Raises: ValueError for a temperature that is not above 0, or a top_k outside 1 ... V.
    """
    if not temperature > 0:
        raise ValueError(f"draw_tokens: temperature is {temperature}, expected a number above 0")
    logits = logits.astype(np.float64) / temperature
    if top_k is not None:
        if not 1 <= top_k <= logits.shape[-1]:
            raise ValueError(f"draw_tokens: top_k is {top_k}, expected 1 to {logits.shape[-1]}")
        least = np.partition(logits, -top_k, axis=-1)[:, -top_k, None]  # (N, 1)
        logits = np.where(logits < least, -np.inf, logits)
    sums = np.exp(logits - logits.max(axis=-1, keepdims=True)).cumsum(axis=-1)  # (N, V)
    passed = sums <= rng.random(len(sums))[:, None] * sums[:, -1:]
    return passed.sum(axis=-1)
