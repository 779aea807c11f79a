from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# percentage of the people whose larger errors would squeeze the others
BEYOND = 0.5


def draw_error_over_density(log_density: np.ndarray, errors: np.ndarray,
                            bins: Mapping[str, tuple], line: Any, title: str,
                            unit: str) -> Figure:
    """Draw the error of each person over the training density of the pose.

    Args:
        log_density, errors (np.ndarray): Finite, in shape [N].
        bins (Mapping[str, tuple]): Of each its lower and upper log density, and
            the :class:`Interval` of its mean error, or ``None``.
        line (ErrorLine, optional): Regression line, drawn with its 95 % band.
        title, unit (str): Title, and the unit of the errors.
    """
    figure = Figure(figsize=(7, 4.4), layout='constrained')
    axes = figure.subplots()
    axes.set(title=title, xlabel='log density under the training poses '
             '(rare on the left, common on the right)',
             ylabel=f'error of a person, {unit}')
    axes.grid(alpha=0.3)
    if not len(errors):
        return figure
    top = 1.05 * max([np.percentile(errors, 100 - BEYOND)] +
                     [error.high or error.value for *_, error in bins.values()
                      if error is not None]) or 1.
    above = int((errors > top).sum())
    margin = 0.02 * np.ptp(log_density) or 1.
    left, right = log_density.min() - margin, log_density.max() + margin
    axes.scatter(log_density, errors, s=5, color='0.45', alpha=0.35,
                 linewidth=0, rasterized=True,
                 label=f'{len(errors)} people' +
                 (f', {above} above the picture' if above else ''))
    for index, (name, (low, high, error)) in enumerate(bins.items()):
        color = f'C{index}'
        low, high = max(low, left), min(high, right)
        if low >= high:
            continue
        axes.axvspan(low, high, color=color, alpha=0.1, linewidth=0)
        # bins may lie in each other, and names of narrow ones side by side
        axes.text((low + high) / 2, top * (0.98 - 0.06 * (index % 3)), name,
                  color=color, ha='center', va='top', weight='bold')
        if error is None:
            continue
        inside = log_density[(log_density >= low) & (log_density < high)]
        axes.hlines(error.value, low, high, color=color)
        axes.errorbar(
            [inside.mean() if len(inside) else (low + high) / 2], [error.value],
            yerr=None if error.low is None else
            [[error.value - error.low], [error.high - error.value]],
            color=color, marker='o', capsize=4, zorder=4)
    if line is not None:
        axes.plot(line.log_density, line.errors, color='black', linewidth=1.2,
                  zorder=3, label=f'slope {line.slope:.3g} per unit')
        if line.band is not None:
            axes.fill_between(line.log_density, *line.band, color='black',
                              alpha=0.2, linewidth=0, zorder=3)
    axes.set(xlim=(left, right), ylim=(0, top))
    figure.legend(loc='outside lower center', ncols=2, fontsize=8)
    return figure


def figure_to_image(figure: Figure, dpi: int = 120) -> np.ndarray:
    """A figure as RGB, uint8 in shape [H, W, 3]."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
