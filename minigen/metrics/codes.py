"""Is a vocabulary of codes used, and is the caption read? What a picture in tokens can tell itself.

A codebook has collapsed where a few codes stand for everything: the picture then passes through
fewer bits than it could. A model ignores the text where another picture's caption suits it as well.
"""

from collections.abc import Callable, Mapping

import numpy as np

from minigen.metrics.report import Measured


def perplexity(uses: np.ndarray) -> float:
    """exp(-sum p log p) of the shares p = uses / sum of uses: how many codes, used alike, are worth
    as much.

    Raises: ValueError where nothing is used.

    >>> round(perplexity(np.array([3, 3, 3, 0])), 6)
    3.0
    """
    p = np.asarray(uses, np.float64).reshape(-1)
    if not p.sum() > 0:
        raise ValueError("perplexity: no code is used")
    p = p[p > 0] / p.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def use_of_codes(codes: np.ndarray, K: int) -> tuple[dict[str, Measured], list[str]]:
    """How many of K codes are used, and how evenly; and what looks wrong, in words.

    codes  of pictures, integers below K, of any shape
    """
    uses = np.bincount(codes.reshape(-1), minlength=K)
    used, worth = float((uses > 0).mean()), perplexity(uses)
    numbers = {
        "share of the codes in use": Measured(100 * used, unit="%"),
        "perplexity of the codes": Measured(worth, of=f"{K} codes"),
    }
    remarks = [collapse(worth, K)]
    if used < 0.9 and uses.sum() > 10 * K:
        remarks.append(f"{1 - used:.0%} of the codes are dead: none of these pictures has them")
    return numbers, [text for text in remarks if text]


def collapse(worth: float, K: int) -> str:
    """A remark where the codes are worth less than 3 % of their number, else nothing.

    Little more is no fault: of pictures that are mostly background a few codes are most of all.

    worth  their perplexity
    """
    if worth >= 0.03 * K:
        return ""
    return (
        f"the codebook has collapsed: its {K} codes are worth {worth:.1f}; take fewer --codes, or "
        "give more of them a chance: --anneal-steps of DALL-E, --restart-below of a VQ-VAE"
    )


def diagnose_codes(
    K: int, after: int = 20
) -> Callable[[Mapping[str, float], np.ndarray | None], list[str]]:
    """For a training whose log has a "perplexity": says when the codebook has collapsed.

    after  lines of the log that are not judged: in the beginning every codebook is collapsed
    """
    lines = 0

    def diagnose(numbers: Mapping[str, float], pictures: np.ndarray | None) -> list[str]:
        nonlocal lines
        if "perplexity" not in numbers:
            return []
        lines += 1
        text = collapse(numbers["perplexity"], K) if lines > after else ""
        return [text] if text else []

    return diagnose


def use_of_captions(
    own: np.ndarray, shuffled: np.ndarray, unit: str
) -> tuple[dict[str, Measured], list[str]]:
    """What the caption tells: the loss of pictures with their own captions, and with another's.

    own, shuffled  (N,), of the same pictures, in nats

    The difference is no less than what captions say about their pictures, if the model knows it.
    """
    gain = np.asarray(shuffled, np.float64) - own
    error = float(gain.std(ddof=1)) / len(gain) ** 0.5 if len(gain) > 1 else None
    numbers = {
        "loss with its own caption": Measured(float(np.mean(own)), unit=unit),
        "more with another's caption": Measured(float(gain.mean()), error, unit),
    }
    if error is not None and gain.mean() <= 2 * error:
        return numbers, ["the text is ignored: another's caption suits the pictures as well"]
    return numbers, []
