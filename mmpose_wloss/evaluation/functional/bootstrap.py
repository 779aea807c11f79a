"""Intervals by drawing the evaluated images again."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# both percentiles of a 95 % interval
PERCENTILES = (2.5, 97.5)


class Interval(NamedTuple):
    """A value with its 95 % interval, if there was enough to draw from."""
    value: float
    low: float | None = None
    high: float | None = None

    def __format__(self, spec: str) -> str:
        """The value and its bounds, each in the format of a number."""
        value, *bounds = (format(number, spec) for number in self
                          if number is not None)
        return f'{value} [{", ".join(bounds)}]' if bounds else value


def bootstrap_sums(columns: Sequence[np.ndarray], clusters: np.ndarray,
                   resamples: int, seed: int) -> np.ndarray:
    """Sums of columns when whole clusters are drawn again with replacement.

    Args:
        columns (Sequence[np.ndarray]): What is summed, each in shape [N].
        clusters (np.ndarray): The cluster of each row, in shape [N]: people in
            one image share its light, its size and often their pose.
        resamples (int): How many times all clusters are drawn.
        seed (int): Seed of the draws.

    Returns:
        np.ndarray: In shape [len(columns), resamples].
    """
    _, index = np.unique(clusters, return_inverse=True)
    totals = np.stack([np.bincount(index, column) for column in columns])
    count = totals.shape[1]
    rng = np.random.default_rng(seed)
    return np.stack([totals[:, rng.integers(count, size=count)].sum(1)
                     for _ in range(resamples)], 1)


def mean_with_interval(values: np.ndarray, clusters: np.ndarray,
                       resamples: int = 1000, seed: int = 0
                       ) -> Interval | None:
    """Mean of values [N] and its 95 % interval by :func:`bootstrap_sums`.

    Returns:
        Interval | None: Without bounds where there is one cluster; ``None``
        where there is no value.
    """
    if not len(values):
        return None
    mean = float(np.mean(values))
    if len(np.unique(clusters)) < 2:
        return Interval(mean)
    sums, counts = bootstrap_sums([values, np.ones(len(values))], clusters,
                                  resamples, seed)
    return Interval(mean, *np.percentile(sums / counts, PERCENTILES).tolist())
