"""From log densities to weights of the poses."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from ..common.errors import UserError


def effective_sample_size(weights: np.ndarray) -> float:
    r"""Kish's effective sample size over the number of samples, 1/N to 1.

    Args:
        weights (np.ndarray): At least 0, in shape [N]; the result is
            :math:`(\sum w)^2 / (N \sum w^2)`.
    """
    weights = np.asarray(weights, np.float64)
    # overflows neither for large weights nor for small ones
    scaled = weights / weights.max()
    return float(scaled.sum()**2 / (len(scaled) * (scaled**2).sum()))


def median_frequency_weights(log_density: np.ndarray, alpha: float = 1.,
                             clip: Sequence[float] | None = None
                             ) -> np.ndarray:
    r"""Weights :math:`(\mathrm{median}(p) / p)^\alpha`.

    Args:
        log_density (np.ndarray): :math:`\log p` in shape [N], finite.
        alpha (float): 0 makes all weights equal, 1 is the original code's.
        clip (Sequence[float], optional): Smallest and largest weight.
    """
    log_density = np.asarray(log_density, np.float64)
    ordered = np.sort(log_density)
    middle = [(len(ordered) - 1) // 2, len(ordered) // 2]
    # the mean of the two in the middle, taken without leaving the logarithms
    log_median = np.logaddexp(*ordered[middle]) - np.log(2)
    logarithms = alpha * (log_median - log_density)
    if clip is not None:
        if not 0 < clip[0] <= 1 <= clip[1]:
            raise UserError('clip must hold a smallest weight in (0, 1] and a '
                            f'largest of at least 1, but it is {clip!r}')
        logarithms = logarithms.clip(*np.log(clip))
    # a weight of inf would be followed by a loss of NaN
    return np.exp(logarithms.clip(-700, 700))


def temper_to(log_density: np.ndarray, alpha: float,
              clip: Sequence[float] | None, min_ess: float) -> float:
    """The largest tempering in [0, ``alpha``] that keeps a sample size.

    Args:
        log_density (np.ndarray): In shape [N], finite.
        alpha (float): Largest tempering.
        clip (Sequence[float], optional): Smallest and largest weight.
        min_ess (float): Smallest :func:`effective_sample_size`, in [0, 1).
    """
    def excess(tempering: float) -> float:
        weights = median_frequency_weights(log_density, tempering, clip)
        return effective_sample_size(weights) - min_ess

    if excess(alpha) >= 0:
        return alpha
    tempering = brentq(excess, 0, alpha, xtol=1e-6 * alpha)
    # the root may lie a rounding beyond
    return tempering if excess(tempering) >= 0 else max(
        0., tempering - 2e-6 * alpha)
