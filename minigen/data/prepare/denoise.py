"""Step 3: take noise away by non-local means.

A pixel is replaced by a mean of pixels whose *surroundings* look like its own, wherever they are
near: with the patches P of 5 x 5 pixels ::

    weight(p, q) = exp(-max(|P_p - P_q|^2 - 2 sigma^2, 0) / h^2)
    clean(p)     = sum_q weight(p, q) pixel(q) / sum_q weight(p, q)

An edge is averaged along itself and stays sharp. How strong the noise is, sigma, is estimated from
the finest wavelet coefficients, most of which are noise only; a picture that has hardly any stays
as it is.

Source: A. Buades, B. Coll and J.-M. Morel, A non-local algorithm for image denoising, 2005;
D. Donoho and I. Johnstone, Ideal spatial adaptation by wavelet shrinkage, 1994 (sigma).
"""

from __future__ import annotations

import numpy as np

HARDLY = 2.0  # grey levels of noise that nobody sees


def noise_of(picture: np.ndarray) -> float:
    """The estimated sigma of the noise, grey levels of 255; picture (H, W, 3) uint8.

    It is the median of |d| / 0.6745 over the diagonal differences of 2 x 2 pixels,
    d = (a - b - c + d) / 2, in which flat and sloping surfaces cancel.
    """
    x = picture.astype(np.float32)
    x = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
    diagonal = (x[::2, ::2] - x[::2, 1::2] - x[1::2, ::2] + x[1::2, 1::2]) / 2
    return float(np.median(abs(diagonal)) / 0.6745) if diagonal.size else 0.0


def denoise(picture: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """A picture (H, W, 3) uint8 without its noise, and what was done."""
    sigma = noise_of(picture)
    if sigma < HARDLY:
        return picture, []
    from skimage.restoration import denoise_nl_means

    clean = denoise_nl_means(
        picture.astype(np.float32) / 255,
        patch_size=5,
        patch_distance=5,
        h=0.7 * sigma / 255,
        sigma=sigma / 255,
        fast_mode=True,
        channel_axis=-1,
    )
    return np.rint(255 * np.clip(clean, 0, 1)).astype(np.uint8), [f"noise of {sigma:.0f} removed"]
