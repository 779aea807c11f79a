"""Differences between two configurations whose rows are pairs, seed by seed."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats


class Difference(NamedTuple):
    """A mean difference over pairs, and the interval that it is known to.

    Args:
        mean (float): The mean; not a number without a pair.
        low, high (float): The 95 % interval of the mean by Student's t, infinite with
            fewer than two pairs.
        pairs (int): The number of pairs.
    """

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def significant(self) -> bool:
        """Whether 0 is outside of the interval."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        interval = (f' [{self.low:+.3f}, {self.high:+.3f}]' if self.pairs > 1 else '')
        return f'{self.mean:+.3f}{interval}'


def difference(ours: Mapping[int, float], others: Mapping[int, float]) -> Difference:
    """The mean of ours minus the others' over the seeds that both have.

    Args:
        ours, others (Mapping[int, float]): A figure by seed.
    """
    each = np.array([ours[seed] - others[seed] for seed in ours if seed in others])
    if len(each) < 2:
        mean = float(each[0]) if len(each) else float('nan')
        return Difference(mean, -np.inf, np.inf, len(each))
    half = stats.t.ppf(0.975, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5
    return Difference(float(each.mean()), float(each.mean() - half),
                      float(each.mean() + half), len(each))
