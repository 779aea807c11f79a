"""The line of error over log density, and how sure it is."""

from typing import NamedTuple

import numpy as np

from .bootstrap import PERCENTILES, Interval, bootstrap_sums

POINTS = 200


class ErrorLine(NamedTuple):
    """Least-squares line, and points of it for a picture.

    Attributes:
        slope (Interval): Change of the error per unit of log density.
        log_density (np.ndarray): From the least to the greatest, in shape [M].
        errors (np.ndarray): The line's error there, in shape [M].
        band (np.ndarray, optional): Bounds of its 95 % interval there, in shape
            [2, M]; ``None`` where there is too little to draw from.
    """
    slope: Interval
    log_density: np.ndarray
    errors: np.ndarray
    band: np.ndarray | None = None


def fit_error_line(log_density: np.ndarray, errors: np.ndarray,
                   clusters: np.ndarray, resamples: int = 1000,
                   seed: int = 0) -> ErrorLine | None:
    r"""Least-squares line of error over log density with its interval.

    .. math::
        b = \frac{\sum_i (x_i - \bar x)(e_i - \bar e)}
        {\sum_i (x_i - \bar x)^2}

    over people with log density x and error e, and the percentiles of b over
    resamples of whole images (:func:`bootstrap_sums`).

    Args:
        log_density (np.ndarray): Finite, in shape [N].
        errors (np.ndarray): Finite, in shape [N].
        clusters (np.ndarray): The image of each, in shape [N].
        resamples (int): How many resamples.
        seed (int): Seed of the draws.

    Returns:
        ErrorLine | None: ``None`` where fewer than three people, or people
        of one density, leave the slope open.

    Example:
        >>> import numpy as np
        >>> x = np.arange(5.)
        >>> fit_error_line(x, 8 - 2 * x, clusters=x).slope.value
        -2.0
    """
    if len(log_density) < 3 or np.ptp(log_density) == 0:
        return None
    center, height = np.mean(log_density), np.mean(errors)
    # around the means, so that large coordinates cost no digits
    x, y = log_density - center, errors - height
    slope = float((x @ y) / (x @ x))
    points = np.linspace(x.min(), x.max(), POINTS)
    line = ErrorLine(Interval(slope), center + points, height + slope * points)
    if len(np.unique(clusters)) < 3:
        return line
    count, sum_x, sum_y, sum_xx, sum_xy = bootstrap_sums(
        [np.ones_like(x), x, y, x * x, x * y], clusters, resamples, seed)
    variance = sum_xx - sum_x**2 / count
    # one image drawn again and again has no slope
    kept = variance > 1e-12 * (x @ x)
    slopes = (sum_xy - sum_x * sum_y / count)[kept] / variance[kept]
    heights = height + (sum_y[kept] - slopes * sum_x[kept]) / count[kept]
    return line._replace(
        slope=Interval(slope, *np.percentile(slopes, PERCENTILES).tolist()),
        band=np.percentile(heights[:, None] + np.outer(slopes, points),
                           PERCENTILES, axis=0))
