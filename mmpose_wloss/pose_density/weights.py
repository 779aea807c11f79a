"""From log densities to weights of the poses."""

from collections.abc import Callable, Sequence

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


def repeat_factors(log_density: np.ndarray, alpha: float = 0.5,
                   threshold: float = 0.5) -> np.ndarray:
    r"""Weights :math:`\max(1, (t / p)^\alpha)`: only what is rare weighs more.

    Those of `LVIS <https://arxiv.org/abs/1908.03195>`_ (section 4.2 and appendix),
    with the density in the place of a category's frequency.

    Args:
        log_density (np.ndarray): :math:`\log p` in shape [N], finite.
        alpha (float): ½ in the paper.
        threshold (float): :math:`t` is the density that this share of the poses is
            below, in [0, 1].
    """
    log_density = np.asarray(log_density, np.float64)
    start = np.quantile(log_density, threshold)
    return np.exp((alpha * (start - log_density)).clip(0, 700))


def dense_weights(log_density: np.ndarray, alpha: float = 1.,
                  epsilon: float = 1e-6) -> np.ndarray:
    r"""Weights :math:`\max(1 - \alpha p', \epsilon)`, DenseWeight.

    From `Steininger et al. 2021 <https://doi.org/10.1007/s10994-021-06023-5>`_,
    equation 4, where :math:`p'` is the density scaled to [0, 1].

    Args:
        log_density (np.ndarray): :math:`\log p` in shape [N], finite.
        alpha (float): 0 makes all weights equal; from 1 on the densest have
            :math:`\epsilon`.
        epsilon (float): Smallest weight, in (0, 1].
    """
    log_density = np.asarray(log_density, np.float64)
    density = np.exp(log_density - log_density.max())
    spread = density.max() - density.min()
    scaled = (density - density.min()) / (spread or 1.)
    return np.maximum(1 - alpha * scaled, epsilon)


def effective_number_weights(log_neighbors: np.ndarray, alpha: float = 1.,
                             beta: float = 0.999) -> np.ndarray:
    r"""Weights :math:`E_n^{-\alpha}`, :math:`E_n = (1 - \beta^n) / (1 - \beta)`.

    The effective number of samples of `Cui et al. 2019
    <https://arxiv.org/abs/1901.05555>`_, equation 2. A pose is alike to its neighbors
    by degrees, so :math:`n` is 1 for itself and the sum of the kernel's values for the
    others, in place of the samples of a class.

    Args:
        log_neighbors (np.ndarray): Logarithm of these sums, in shape [N], finite.
        alpha (float): 1 in the paper.
        beta (float): In [0, 1): 0 makes all weights equal, near 1 they are
            :math:`n^{-\alpha}`.
    """
    count = 1 + np.exp(np.asarray(log_neighbors, np.float64).clip(-700, 700))
    # of 1 for beta = 0, and exact for one near 1
    number = -np.expm1(count * np.log(beta)) / (1 - beta) if beta else 1. + 0 * count
    return number**-alpha


# by name, with the options that each has beside alpha
WEIGHTINGS = {
    'inverse': (median_frequency_weights, ('clip', )),
    'repeat_factor': (repeat_factors, ('threshold', )),
    'denseweight': (dense_weights, ('epsilon', )),
    'effective_number': (effective_number_weights, ('beta', )),
}


def temper_to(weigh: Callable[[float], np.ndarray], alpha: float,
              min_ess: float) -> float:
    """The largest tempering in [0, ``alpha``] that keeps a sample size.

    Args:
        weigh (Callable): Weights in shape [N] by their tempering.
        alpha (float): Largest tempering.
        min_ess (float): Smallest :func:`effective_sample_size`, in [0, 1).
    """
    def excess(tempering: float) -> float:
        return effective_sample_size(weigh(tempering)) - min_ess

    if excess(alpha) >= 0:
        return alpha
    tempering = brentq(excess, 0, alpha, xtol=1e-6 * alpha)
    # the root may lie a rounding beyond
    return tempering if excess(tempering) >= 0 else max(
        0., tempering - 2e-6 * alpha)
