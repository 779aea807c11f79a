"""The line of error over log density, and how sure it is."""

import dataclasses

import numpy as np

from .bootstrap import PERCENTILES, Interval, bootstrap_sums


@dataclasses.dataclass(frozen=True, eq=False)
class ErrorLine:
    """Least-squares line with the lines of all resamples.

    Attributes:
        slope (Interval): Change of the error per unit of log density.
        center (float): Log density around which the lines are written.
        height (float): The line's error at the center.
        resampled (np.ndarray, optional): Slope and height of each resample,
            in shape [2, R]; ``None`` where there is too little to draw from.
    """
    slope: Interval
    center: float
    height: float
    resampled: np.ndarray | None = None

    def at(self, log_density: np.ndarray) -> np.ndarray:
        """The line's error at log densities in shape [M], in the same shape."""
        return self.height + self.slope.value * (log_density - self.center)

    def band(self, log_density: np.ndarray) -> np.ndarray | None:
        """Lower and upper bound [2, M] of 95 % at log densities [M]."""
        if self.resampled is None:
            return None
        slopes, heights = self.resampled
        lines = heights[:, None] + np.outer(slopes, log_density - self.center)
        return np.percentile(lines, PERCENTILES, axis=0)


def fit_error_line(log_density: np.ndarray, errors: np.ndarray,
                   clusters: np.ndarray, resamples: int = 1000,
                   seed: int = 0) -> ErrorLine | None:
    r"""Least-squares line of error over log density with its interval.

    .. math::
        b = \frac{\sum_i (x_i - \bar x)(e_i - \bar e)}
        {\sum_i (x_i - \bar x)^2}

    over people with log density x and error e. The 95 % interval is that of
    the percentiles of b over resamples of whole images, as of
    :func:`bootstrap_sums`.

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
    center, height = float(np.mean(log_density)), float(np.mean(errors))
    # around the means, so that large coordinates cost no digits
    x, y = log_density - center, errors - height
    slope = float((x @ y) / (x @ x))
    if len(np.unique(clusters)) < 3:
        return ErrorLine(Interval(slope), center, height)

    count, sum_x, sum_y, sum_xx, sum_xy = bootstrap_sums(
        [np.ones_like(x), x, y, x * x, x * y], clusters, resamples, seed)
    variance = sum_xx - sum_x**2 / count
    # one image drawn again and again has no slope
    kept = variance > 1e-12 * (x @ x)
    slopes = (sum_xy - sum_x * sum_y / count)[kept] / variance[kept]
    heights = height + (sum_y[kept] - slopes * sum_x[kept]) / count[kept]
    bounds = np.percentile(slopes, PERCENTILES).tolist()
    return ErrorLine(Interval(slope, *bounds), center, height,
                     np.stack([slopes, heights]))
