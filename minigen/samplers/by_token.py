"""Tokens one after the other, each drawn with the probabilities that a network gives it.

    l     = logits of the token after x_1 ... x_{i-1}, with the prompt and without
    l_i   = l_without + scale (l_with - l_without)                                             (1)
    x_i   ~ softmax(l_i / temperature), among the top_k likeliest

In words of probabilities (1) draws from p(x_i | prompt)^scale p(x_i)^(1 - scale), normalised at
each token: what the prompt makes likelier becomes likelier still.

Source: Gafni et al., Make-A-Scene, 2022, section 3.4, arXiv 2203.13131; Yu et al., Parti, 2022,
section 2.2, arXiv 2206.10789.
"""

from collections.abc import Callable

import numpy as np

from minigen.autograd import no_grad
from minigen.backend import Array, move
from minigen.data.tokens import draw_tokens

NextLogits = Callable[[np.ndarray], Array]  # tokens so far (M, i) -> logits (M, V)


def draw_in_turn(
    next_logits: NextLogits,
    n: int,
    places: int,
    rng: np.random.Generator,
    *,
    guidance_scale: float = 1.0,
    temperature: float = 1.0,
    top_k: int | None = None,
    callback: Callable[[float], None] | None = None,
) -> np.ndarray:
    """`n` rows of tokens, from the first place to the last.

    next_logits     of the place after those that are given. At a guidance_scale other than 1 it is
                    given 2 n rows, the n twice: it answers for those with the prompt, then without
    guidance_scale  0 ignores the prompt, 1 is the conditional model, more obeys with less variety
    temperature     below 1: likelier tokens, less varied
    callback        (share of the places that is drawn)

    Shapes: -> (n, places) int64.
    Raises: ValueError where next_logits gives another number of rows, and as draw_tokens does.
    """
    tokens = np.zeros((n, places), np.int64)
    guided = guidance_scale != 1
    with no_grad():
        for i in range(places):
            before = tokens[:, :i]
            logits = move(
                next_logits(np.concatenate([before, before]) if guided else before), "cpu"
            )
            if len(logits) != (1 + guided) * n:
                raise ValueError(
                    f"draw_in_turn: logits of {len(logits)} rows, expected {(1 + guided) * n}"
                )
            if guided:
                logits = guided_logits(logits, guidance_scale)
            tokens[:, i] = draw_tokens(logits, rng, temperature, top_k)
            if callback:
                callback((i + 1) / places)
    return tokens


def guided_logits(both: np.ndarray, scale: float) -> np.ndarray:
    """Eq. 1, for logits of N rows with the prompt, below them those without: (2 N, V) -> (N, V)."""
    with_prompt, without = np.split(both, 2)
    return without + scale * (with_prompt - without)


def doubled(words: np.ndarray, guidance_scale: float) -> np.ndarray:
    """The prompts, and at a scale other than 1 as many empty ones below them.

    Shapes: words (N, L) -> (N, L) or (2 N, L).
    """
    return words if guidance_scale == 1 else np.concatenate([words, np.zeros_like(words)])
