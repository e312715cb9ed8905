"""What goes wrong between a generator and a discriminator, in words, while they are trained.

    train(..., diagnose=partial(diagnose, real=some_true_pictures))

In an ordinary training the loss says how well it goes. Here two losses pull at each other, both may
look fine while the pictures are all the same one, and what one looks for is known:

    D wins             it is nearly always right: its loss is near 0, and G learns slowly or nothing
    G is saturated     no gradient reaches it, or its last tanh has no slope any more
    mode collapse      few modes, or pictures that are nearly copies of each other
    checkerboard       every other pixel is brighter, at the same places in every picture
    inverted colours   the mean picture is the negative of the true one

Every function returns a sentence, or None where all is well. The sentences hold no numbers: the
training loop prints each once. Thresholds are far from what true pictures have, each of which is
compared with the same measure of true pictures.
"""

from collections.abc import Mapping

import numpy as np

from minigen.data.pixels import to_float

SURE = 0.02  # mean probability of being wrong, at which D wins
NO_GRADIENT = 1e-3  # norm of G's gradient
PERIOD = 2  # pixels from one bright one to the next in a checkerboard


def diagnose(
    numbers: Mapping[str, float], pictures: np.ndarray | None, real: np.ndarray | None = None
) -> list[str]:
    """What looks wrong: of the numbers that are there, and of pictures beside true ones.

    numbers    D_real and D_fake, the mean probability of being real that D gives to true and made
               pictures; G_grad_norm; modes and modes_of, how many were found of how many
    pictures   uint8 (N, H, W, 3), or None; a single picture, as a plot is, is not looked at
    real       true ones, uint8 (M, H, W, 1 or 3); as many as `pictures` or more
    """
    said: list[str | None] = []
    if {"D_real", "D_fake"} <= numbers.keys():
        said.append(discriminator_wins(numbers["D_real"], numbers["D_fake"]))
    if "G_grad_norm" in numbers:
        said.append(generator_gets_nothing(numbers["G_grad_norm"]))
    if {"modes", "modes_of"} <= numbers.keys():
        said.append(few_modes(numbers["modes"], numbers["modes_of"]))
    if pictures is not None and pictures.ndim == 4 and real is not None:
        x, y = to_float(pictures[..., : real.shape[-1]]), to_float(real)
        said += [look(x, y) for look in (saturated, alike, checkerboard, inverted)]
    return [text for text in said if text]


# ----------------------------------------------------------------------------------------- numbers


def discriminator_wins(on_real: float, on_fake: float) -> str | None:
    """D gives true ones nearly 1 and fakes nearly 0."""
    if 1 - on_real < SURE and on_fake < SURE:
        return (
            "D wins: it is nearly always right, its loss near 0, and G hardly learns what would be "
            "better; give G the non-saturating loss, D a smaller learning rate or a penalty on its "
            "slope, or take the loss wgan_gp"
        )
    return None


def generator_gets_nothing(grad_norm: float) -> str | None:
    """The gradient that reaches G is nearly 0."""
    if grad_norm < NO_GRADIENT:
        return (
            "G is saturated: next to no gradient reaches it; the minimax loss is flat where D is "
            "sure, the non-saturating one is not"
        )
    return None


def few_modes(found: float, of: float) -> str | None:
    """Less than two in three of the modes that can be counted are met."""
    if 3 * found < 2 * of:
        return (
            "mode collapse: few modes are met, the others are missing; show D several at once "
            "(--pack), or take the loss wgan_gp"
        )
    return None


# --------------------------------------------------------- pictures, float (N, H, W, C) in [-1, 1]


def saturated(pictures: np.ndarray, real: np.ndarray) -> str | None:
    """Nearly all pixels stand at -1 or 1, where tanh has no slope, and in true pictures not."""

    def mild(x: np.ndarray) -> float:
        """Share of pixels between the extremes."""
        return float((np.abs(x) < 0.99).mean())

    if mild(pictures) < 0.2 * mild(real):
        return (
            "G is saturated: nearly all its pixels are black or white, where tanh has no slope; "
            "take a smaller learning rate"
        )
    return None


def alike(pictures: np.ndarray, real: np.ndarray) -> str | None:
    """The nearest other picture is at less than a quarter of the squared distance of true ones."""
    n = min(len(pictures), len(real))
    if n > 2 and _nearest(pictures[:n]) < 0.25 * _nearest(real[:n]):
        return (
            "mode collapse: the pictures have little diversity, each has another one nearly like "
            "it; show D several at once (--pack), take the loss wgan_gp, or a smaller learning rate"
        )
    return None


def _nearest(x: np.ndarray) -> float:
    """The median over pictures of the squared distance to the nearest other one."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    squares = (flat * flat).sum(axis=1)
    distances = squares[:, None] + squares - 2 * flat @ flat.T
    np.fill_diagonal(distances, np.inf)
    return float(np.median(distances.min(axis=1).clip(0)))


def checkerboard(pictures: np.ndarray, real: np.ndarray) -> str | None:
    """A pattern of period 2 at the same places in all pictures, of more than a grey level."""
    (share, size), (expected, _) = regular_part(pictures), regular_part(real)
    if size > 2 / 255 and share > 0.05 + 3 * expected:
        return (
            "checkerboard: every other pixel is brighter in every picture; let G grow by resizing "
            "and convolving, or take transposed convolutions with a filter that is a multiple of "
            "the stride"
        )
    return None


def regular_part(x: np.ndarray) -> tuple[float, float]:
    """How much of the fine structure stands at the same places modulo 2 in all pictures.

        h = x - (mean of the 3 x 3 pixels around),   m_ij = mean of h over pixels (i, j) modulo 2
        share = mean m^2 / mean h^2,   size = sqrt(mean m^2)

    Of independent structure the share is near 0, of a checkerboard 1.

    Shapes: (N, H, W, C) -> (share, size in the unit of x).
    """
    around = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2)).mean(axis=(-2, -1))
    h = (x[:, 1:-1, 1:-1] - around).astype(np.float64)
    m = [h[:, i::PERIOD, j::PERIOD].mean() for i in range(PERIOD) for j in range(PERIOD)]
    regular, whole = float(np.mean(np.square(m))), float((h * h).mean())
    return regular / whole if whole else 0.0, regular**0.5


def inverted(pictures: np.ndarray, real: np.ndarray) -> str | None:
    """The mean picture, about mid-grey, points against the true one: cosine below -1/2."""
    a, b = pictures.mean(axis=0).ravel(), real.mean(axis=0).ravel()
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if float(a @ b) < -0.5 * lengths:
        return (
            "inverted colours: the mean picture is the negative of the true one; nothing but D "
            "tells G which is which, so begin anew with another seed or a smaller learning rate"
        )
    return None
