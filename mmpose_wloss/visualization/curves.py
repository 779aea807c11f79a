from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure


def draw_curves(curves: dict[str, Sequence[dict[int, float]]], path: str,
                title: str, ylabel: str, xlabel: str = 'epoch') -> None:
    """Draw a figure over time, with the spread over seeds where there is one.

    Args:
        curves (dict): For each name, of each seed the value by epoch.
        path (str): The picture's path; its ending decides the format.
        title (str): Title.
        ylabel (str): What the values are.
        xlabel (str): What the keys are.
    """
    figure = Figure(figsize=(6, 4.4), layout='constrained')
    axes = figure.subplots()
    if len(curves) > 10:  # else the eleventh has the color of the first
        axes.set_prop_cycle(color=colormaps['tab20'].colors)
    for name, seeds in curves.items():
        epochs = sorted(set.intersection(*(set(seed) for seed in seeds)))
        values = np.array([[seed[epoch] for epoch in epochs] for seed in seeds])
        label = name if len(seeds) == 1 else f'{name} ({len(seeds)} seeds)'
        line, = axes.plot(epochs, values.mean(0), marker='o', label=label)
        if len(seeds) > 1:
            axes.fill_between(epochs, values.min(0), values.max(0),
                              color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    figure.legend(loc='outside lower center', ncols=2, fontsize=8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # a legend may be wider than the axes
    figure.savefig(path, dpi=120, bbox_inches='tight')
