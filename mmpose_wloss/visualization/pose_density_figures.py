from collections.abc import Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from .skeleton import Skeleton

BINS = ('rare tenth', 'middle', 'common half')
COLORS = ('tab:red', 'tab:orange', 'tab:green')
# a few far off would squeeze all others
BEYOND = 0.1
DEVIATIONS = 2


def draw_density_histogram(log_density: np.ndarray, weights: np.ndarray,
                           title: str) -> Figure:
    """Draw how dense poses are, and what that makes them weigh.

    Args:
        log_density (np.ndarray): In shape [N]; NaN is left out.
        weights (np.ndarray): In shape [N].
        title (str): Title.
    """
    known = ~np.isnan(log_density)
    log_density, weights = log_density[known], weights[known]
    figure = Figure(figsize=(7, 4.2), layout='constrained')
    axes = figure.subplots()
    left, right = np.percentile(log_density, (BEYOND, 100))
    margin = 0.02 * (right - left) or 1.
    left, right = left - margin, right + margin
    below = int((log_density < left).sum())
    bounds = [left, *np.percentile(log_density, (10, 50)).clip(left), right]
    for name, color, low, high in zip(BINS, COLORS, bounds[:-1], bounds[1:],
                                      strict=True):
        axes.axvspan(low, high, color=color, alpha=0.13, linewidth=0,
                     label=name)
    bins = int(np.clip(2 * len(log_density)**0.5, 10, 60))
    axes.hist(log_density, bins=bins, range=(left, right), color='0.55')
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=title, xlim=(left, right), ylabel='poses',
             xlabel='log density (rare on the left, common on the right)' + (
                 f'; further left: {below}' if below else ''))
    of_weights = axes.twinx()
    order = np.argsort(log_density, kind='stable')[below:]
    of_weights.plot(log_density[order], weights[order], color='tab:blue',
                    linewidth=2)
    of_weights.set_ylabel('weight', color='tab:blue')
    low, high = weights[order].min(), weights[order].max()
    if high > 3 * low:
        of_weights.set_yscale('log')
        _tick(of_weights.yaxis, low, high)
    of_weights.tick_params(axis='y', colors='tab:blue')
    figure.legend(loc='outside lower center', ncols=3, fontsize=8)
    return figure


def _tick(axis: Axis, low: float, high: float) -> None:
    """Name a few numbers on a logarithmic axis."""
    digits = (1, 2, 5) if high < 1000 * low else (1,)
    decades = range(int(np.floor(np.log10(low))),
                    int(np.ceil(np.log10(high))) + 1)
    axis.set_major_locator(FixedLocator(
        [digit * 10.**decade for decade in decades for digit in digits
         if 0.99 * low <= digit * 10.**decade <= 1.01 * high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter('{x:g}')


def draw_pose_axes(mean: np.ndarray, axes: np.ndarray, shares: np.ndarray,
                   skeleton: Skeleton, count: int = 6) -> Figure:
    """Draw the mean pose, and the mean two standard deviations along axes.

    Args:
        mean (np.ndarray): In shape [K, 2].
        axes (np.ndarray): One standard deviation along each, [D, K, 2].
        shares (np.ndarray): Share of the variance of each, in shape [D].
        skeleton (Skeleton): Of these joints.
        count (int): How many axes at most.
    """
    count = min(count, len(axes))
    signs = (-DEVIATIONS, DEVIATIONS)
    moved = np.stack([mean + sign * axes[:count] for sign in signs])
    everything = np.concatenate([moved, np.broadcast_to(mean, moved.shape)], 2)
    low, high = everything.min((0, 2)), everything.max((0, 2))
    # what little an axis moves is to be seen too; the mean gives the scale
    centers, sides = (low + high) / 2, 0.55 * (high - low).max(1)
    figure = Figure(figsize=(1.55 * count + 0.4, 3.9), layout='constrained')
    grid = figure.subplots(2, count, squeeze=False)
    for row, sign, poses in zip(grid, signs, moved, strict=True):
        for index, (cell, pose) in enumerate(zip(row, poses, strict=True)):
            skeleton.draw(cell, mean, color='0.8', width=1, size=3)
            skeleton.draw(cell, pose, width=2, size=10, zorder=3)
            if sign < 0:
                cell.set_title(f'axis {index + 1}\n{shares[index]:.1%}',
                               fontsize=9)
            (x, y), side = centers[index], sides[index]
            cell.set(xlim=(x - side, x + side), ylim=(y + side, y - side),
                     xticks=[], yticks=[], aspect='equal')
        row[0].set_ylabel(f'{sign:+d} standard deviations'.replace('-', '−'),
                          fontsize=9)
    figure.suptitle('mean pose (gray) and poses along the first axes, with '
                    'their share of the variance', fontsize=10)
    return figure


def draw_density_comparison(log_density: np.ndarray, weights: np.ndarray,
                            names: Sequence[str]) -> Figure:
    """Draw the densities and weights of two pose densities, pose by pose.

    Args:
        log_density (np.ndarray): Of both, in shape [2, N]; NaN is left out.
        weights (np.ndarray): Of both, in shape [2, N].
        names (Sequence[str]): Their names.
    """
    figure = Figure(figsize=(9, 4.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    log_density = log_density[:, ~np.isnan(log_density).any(0)]
    style = dict(s=6, alpha=0.3, linewidth=0, color='tab:blue',
                 rasterized=True)
    left.scatter(*log_density, **style)
    for pair, draw in zip(log_density, (left.axvline, left.axhline),
                          strict=True):
        draw(np.percentile(pair, 10), color='tab:red', linewidth=0.8)
    left.set_title('log density; red: bounds of the rarest tenths',
                   fontsize=10)
    right.scatter(*weights, **style)
    right.set_title('weight', fontsize=10)
    low, high = weights.min(), weights.max()
    if high > 3 * low:
        right.set(xscale='log', yscale='log')
        for axis in (right.xaxis, right.yaxis):
            _tick(axis, low, high)
    right.plot([low, high], [low, high], color='0.5', linewidth=0.8, zorder=0)
    for each in (left, right):
        each.set(xlabel=names[0], ylabel=names[1])
        each.grid(alpha=0.3)
    return figure
