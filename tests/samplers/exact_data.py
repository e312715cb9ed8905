"""Data whose denoiser and noisy distributions are known exactly: mixtures of Gaussians on the line.

For x = a x0 + b eps every component stays a Gaussian, N(a m, a^2 s^2 + b^2), and the mean of x0
given x is the mean over them of m + a s^2 / (a^2 s^2 + b^2) (x - a m), by their share in x.
"""

import math
from dataclasses import dataclass

import numpy as np

from minigen.samplers import in_flow
from minigen.schedules import prediction_target


@dataclass(frozen=True)
class Mixture:
    weights: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    def _components(self, x, a, b):
        m, s = np.array(self.means, x.dtype), np.array(self.stds, x.dtype)
        variance = a * a * s * s + b * b
        return m, s, variance, x[..., None] - a * m

    def denoise(self, x, a, b):
        m, s, variance, d = self._components(x, a, b)
        log_share = np.log(np.array(self.weights, x.dtype) / np.sqrt(variance)) - d * d / (
            2 * variance
        )
        share = np.exp(log_share - log_share.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        return (share * (m + a * s * s / variance * d)).sum(-1)

    def velocity(self, xt, t):
        return in_flow(self.denoise)(xt, t)

    def cdf(self, x, a=1.0, b=0.0):
        """P(a x0 + b eps <= x)."""
        _, _, variance, d = self._components(x, a, b)
        phi = 0.5 * (1 + np.vectorize(math.erf)(d / np.sqrt(2 * variance)))
        return phi @ np.array(self.weights)

    @property
    def mean(self):
        return float(np.dot(self.weights, self.means))

    @property
    def variance(self):
        second = np.square(self.means) + np.square(self.stds)
        return float(np.dot(self.weights, second) - self.mean**2)


GAUSSIAN = Mixture((1.0,), (0.6,), (0.4,))
TWO_PEAKS = Mixture((0.3, 0.7), (-0.8, 0.5), (0.15, 0.2))


def predictor(data, alpha_bars, prediction_type):
    """The best possible DDPM network for `data`: (xt, t) -> prediction."""

    def predict(xt, t):
        a, b = math.sqrt(alpha_bars[t]), math.sqrt(1 - alpha_bars[t])
        x0 = data.denoise(xt, a, b)
        return prediction_target(x0, (xt - a * x0) / b, float(alpha_bars[t]), prediction_type)

    return predict
