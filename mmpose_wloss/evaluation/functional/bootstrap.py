"""Intervals by drawing the evaluated images again."""

from typing import NamedTuple

import numpy as np

# both percentiles of a 95 % interval
PERCENTILES = (2.5, 97.5)


class Interval(NamedTuple):
    """A value with the bounds of its 95 % interval.

    Args:
        value (float): The value.
        low (float, optional): Lower bound, ``None`` where there is too little
            to draw from.
        high (float, optional): Upper bound.
    """
    value: float
    low: float | None = None
    high: float | None = None


def bootstrap_totals(rows: np.ndarray, clusters: np.ndarray, resamples: int,
                     seed: int) -> np.ndarray:
    """Totals of rows when whole clusters are drawn again with replacement.

    Args:
        rows (np.ndarray): What is summed, in shape [N, S].
        clusters (np.ndarray): The cluster of each row, in shape [N]. People
            in one image share its light, its size and often their pose, so
            they are drawn together.
        resamples (int): How many times all clusters are drawn, at least 1.
        seed (int): Seed of a generator of its own.

    Returns:
        np.ndarray: In shape [resamples, S].
    """
    _, index = np.unique(clusters, return_inverse=True)
    totals = np.zeros((index.max() + 1, rows.shape[1]))
    np.add.at(totals, index, rows)
    rng = np.random.default_rng(seed)
    count = len(totals)
    return np.stack([totals[rng.integers(count, size=count)].sum(0)
                     for _ in range(resamples)])


def mean_with_interval(values: np.ndarray, clusters: np.ndarray,
                       resamples: int = 1000, seed: int = 0
                       ) -> Interval | None:
    """Mean and its 95 % bootstrap interval.

    Args:
        values (np.ndarray): In shape [N].
        clusters (np.ndarray): As of :func:`bootstrap_totals`.
        resamples (int): As of :func:`bootstrap_totals`. Defaults to 1000.
        seed (int): As of :func:`bootstrap_totals`. Defaults to 0.

    Returns:
        Interval | None: Without bounds where there is one cluster; ``None``
        where there is no value.
    """
    if not len(values):
        return None
    mean = float(np.mean(values))
    if len(np.unique(clusters)) < 2:
        return Interval(mean)
    totals = bootstrap_totals(
        np.stack([np.ones(len(values)), values - mean], 1), clusters,
        resamples, seed)
    low, high = np.percentile(totals[:, 1] / totals[:, 0], PERCENTILES) + mean
    return Interval(mean, float(low), float(high))
