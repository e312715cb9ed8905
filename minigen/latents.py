"""Walks among the latents of pictures: between two, across four, along an attribute.

    z0, z1 = encode(picture), encode(other)         any model that has a way to a latent and back
    film = decode(interpolate(z0, z1, 9))           (9, H, W, C)
    smiling = decode(z0 + 1.5 * attribute_direction(z_smiling, z_others))

A latent here is an array of any shape: 50 numbers of a VAE, a noise (28, 28, 1) of a flow. What it
is called does not matter, how it is distributed does. Where it is standard normal in D dimensions,
nearly all of it lies close to the sphere of radius sqrt(D), and a straight line cuts through the
empty middle: at its half the norm is down to sqrt(D / 2). `slerp` walks around.

NumPy only. Derivation: docs/derivations/latents.md. Notebook: notebooks/16_latent_walks.ipynb.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np


def lerp(a: np.ndarray, b: np.ndarray, share: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """The straight way: (1 - share) a + share b.

    Shapes: a, b (...), share a number or (K,) -> (...) or (K, ...); the ends come back exactly.
    Raises: ValueError where a and b have different shapes.
    """
    a, b, s = _ends("lerp", a, b, share)
    return _exact_ends((1 - s) * a + s * b, a, b, s)


def slerp(a: np.ndarray, b: np.ndarray, share: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """The way around: on the great circle through both, at an even pace.

        u, w = a / |a|, b / |b|,   angle = 2 atan2(|u - w|, |u + w|)
        slerp = norm (sin((1 - s) angle) u + sin(s angle) w) / sin(angle)
        norm  = (1 - s) |a| + s |b|

    So ends of one norm keep it all the way, and the angle from a grows in proportion to the share.
    A latent is one vector here, whatever its shape.

    Shapes: a, b (...), share a number or (K,) -> (...) or (K, ...); the ends come back exactly.
    Raises: ValueError where the shapes differ, an end is 0, or the ends are opposite, between which
    no way is the shortest.
    Source: Shoemake, Animating Rotation with Quaternion Curves, 1985, section 3.3; for latents
    White, Sampling Generative Networks, 2016, section 2.1, arXiv 1609.04468.
    """
    a, b, s = _ends("slerp", a, b, share)
    norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
    if not norm_a or not norm_b:
        raise ValueError("slerp: an end is 0, which has no direction")
    u, w = a / norm_a, b / norm_b
    angle = 2 * np.arctan2(np.linalg.norm(u - w), np.linalg.norm(u + w))  # exact at 0 and pi too
    if np.pi - angle < 1e-6:
        raise ValueError("slerp: the ends are opposite: no way between them is the shortest")
    if angle < 1e-6:
        direction = (1 - s) * u + s * w  # sin(x) is x
    else:
        direction = (np.sin((1 - s) * angle) * u + np.sin(s * angle) * w) / np.sin(angle)
    return _exact_ends(((1 - s) * norm_a + s * norm_b) * direction, a, b, s)


def interpolate(a: np.ndarray, b: np.ndarray, steps: int, spherical: bool = False) -> np.ndarray:
    """`steps` latents from a to b at an even pace, both ends among them.

    Shapes: a, b (...) -> (steps, ...).
    Raises: ValueError for fewer than 2 steps, and as `slerp`.
    """
    _check_steps("interpolate", steps)
    return (slerp if spherical else lerp)(a, b, np.linspace(0, 1, steps))


def grid_walk(
    corners: Sequence[np.ndarray], rows: int, columns: int, spherical: bool = False
) -> np.ndarray:
    """A sheet of latents between four: top left, top right, bottom left, bottom right.

    The left and the right edge are walked first, then each row from edge to edge.

    Shapes: four of shape (...) -> (rows, columns, ...); the corners come back exactly.
    Raises: ValueError for other than four corners, fewer than 2 rows or columns, and as `slerp`.
    """
    if len(corners) != 4:
        raise ValueError(f"grid_walk: got {len(corners)} corners, expected 4")
    top_left, top_right, bottom_left, bottom_right = corners
    left = interpolate(top_left, bottom_left, rows, spherical)  # (rows, ...)
    right = interpolate(top_right, bottom_right, rows, spherical)
    return np.stack([interpolate(a, b, columns, spherical) for a, b in zip(left, right)])


def quantile_grid(rows: int, columns: int) -> np.ndarray:
    """A sheet of latents of two numbers on which every place is as likely as any other.

    The rows and columns stand at evenly spaced quantiles of the normal distribution, (i + 1/2) / n,
    far apart at the edges where few latents are. The first number grows to the right, the second
    downwards.

    Shapes: -> (rows, columns, 2), float32.
    Raises: ValueError for fewer than 1 row or column.
    Source: Kingma and Welling, Auto-Encoding Variational Bayes, 2013, appendix A, arXiv 1312.6114.
    """
    if rows < 1 or columns < 1:
        raise ValueError(f"quantile_grid: got {rows} x {columns}, expected at least 1 x 1")
    normal = NormalDist()
    x, y = (
        np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)], np.float32)
        for n in (columns, rows)
    )
    return np.stack(np.meshgrid(x, y), axis=-1)


def mix(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Some numbers of one latent and the others of another: a where the mask is True, else b.

    If a and b are independent and standard normal, then so is the mixture, whatever the mask: it is
    one more likely latent. That is not so for half of a plus half of b, which is too short.

    Shapes: a, b (...), mask of any shape that broadcasts to theirs -> (...).
    Raises: ValueError where the shapes differ or the mask is not of True and False.
    Source: the crossover of styles in Karras et al., A Style-Based Generator Architecture, 2018,
    section 3.1, arXiv 1812.04948.
    """
    a, b = np.asarray(a), np.asarray(b)
    mask = np.asarray(mask)
    if a.shape != b.shape:
        raise ValueError(f"mix: a is {a.shape}, b is {b.shape}, expected one shape")
    if mask.dtype != bool:
        raise ValueError(f"mix: the mask is {mask.dtype}, expected bool")
    if np.broadcast_shapes(mask.shape, a.shape) != a.shape:
        raise ValueError(f"mix: the mask is {mask.shape}, the latents are {a.shape}")
    return np.where(mask, a, b)


def attribute_direction(having: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The difference of two means: from latents without an attribute to latents that have it.

    Add it to a latent, once or in part, to give its picture the attribute; subtract it to take it.
    Means over many latents cancel what has nothing to do with the attribute.

    Shapes: having (N, ...), others (M, ...) -> (...).
    Raises: ValueError where there are none, or the shapes of a latent differ.
    Source: Radford, Metz, Chintala, Unsupervised Representation Learning with DCGANs, 2015, section
    6.3.2, arXiv 1511.06434; Larsen et al., Autoencoding beyond pixels, 2015, arXiv 1512.09300.
    """
    having, others = np.asarray(having), np.asarray(others)
    if not len(having) or not len(others) or having.shape[1:] != others.shape[1:]:
        raise ValueError(
            f"attribute_direction: got {having.shape} and {others.shape}, expected one or more "
            "latents of one shape in each"
        )
    return having.mean(axis=0) - others.mean(axis=0)


def analogy(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """What is to c as b is to a: c + (b - a).

    Shapes: (...) each -> (...).
    Raises: ValueError where the shapes differ.
    Source: Radford et al., 2015, section 6.3.2.
    """
    shapes = {np.shape(x) for x in (a, b, c)}
    if len(shapes) > 1:
        raise ValueError(f"analogy: the latents have shapes {sorted(shapes)}, expected one")
    return c + (np.asarray(b) - a)


def with_norm(z: np.ndarray, norm: float | np.ndarray) -> np.ndarray:
    """The same directions at another norm: after arithmetic, back to where latents are.

    Shapes: z (N, ...), norm a number or (N,) -> (N, ...).
    Raises: ValueError for a latent that is 0.
    """
    z = np.asarray(z)
    norms = np.linalg.norm(z.reshape(len(z), -1).astype(np.float64), axis=1)  # (N,)
    if not norms.all():
        raise ValueError("with_norm: a latent is 0, which has no direction")
    factor = np.broadcast_to(norm, norms.shape) / norms
    return (z * factor.reshape(-1, *[1] * (z.ndim - 1))).astype(z.dtype)


# --------------------------------------------------------------------------------------------------


def _ends(name: str, a: np.ndarray, b: np.ndarray, share: object) -> tuple[np.ndarray, ...]:
    """Both ends, and the share with an axis for each of theirs: (...), (...), (K, 1, ..., 1)."""
    a, b = np.asarray(a), np.asarray(b)
    s = np.asarray(share, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"{name}: a is {a.shape}, b is {b.shape}, expected one shape")
    if s.ndim > 1:
        raise ValueError(f"{name}: share is {s.shape}, expected a number or (K,)")
    return a, b, s.reshape(*s.shape, *[1] * a.ndim)


def _exact_ends(way: np.ndarray, a: np.ndarray, b: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The ends without rounding error, all in the type of a and b."""
    dtype = np.result_type(a, b)
    dtype = dtype if np.issubdtype(dtype, np.floating) else np.dtype(np.float64)
    return np.where(s == 0, a, np.where(s == 1, b, way)).astype(dtype)


def _check_steps(name: str, steps: int) -> None:
    if steps < 2:
        raise ValueError(f"{name}: got {steps} steps, expected at least 2, the ends")
