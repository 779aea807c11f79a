from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def draw_comparison(panels: dict[str, dict[str, dict[str, Sequence[float]]]],
                    path: str, title: str, xlabel: str) -> None:
    """Draw figures of several configurations, a dot a seed.

    Args:
        panels (dict): For each panel's title, for each configuration, for
            each kind of figure, one value a seed. A panel's configurations
            share a row each, the kinds a colour each; a bar marks the mean.
        path (str): The picture's path; its ending decides the format.
        title (str): Title.
        xlabel (str): What the values are.
    """
    rows = max(len(configurations) for configurations in panels.values())
    figure = Figure(figsize=(5 * len(panels), 1.6 + 0.5 * rows),
                    layout='constrained')
    figure.suptitle(title)
    handles = {}
    for axes, (name, configurations) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(),
            strict=True):
        kinds = list(dict.fromkeys(
            kind for of_one in configurations.values() for kind in of_one))
        for row, of_one in enumerate(configurations.values()):
            for index, kind in enumerate(kinds):
                values = of_one.get(kind, ())
                place = row + 0.5 * ((index + 0.5) / len(kinds) - 0.5)
                dots = axes.scatter(values, [place] * len(values), s=14,
                                    color=f'C{index}', label=kind)
                handles.setdefault(kind, dots)
                if len(values):
                    axes.plot([np.mean(values)] * 2,
                              [place - 0.12, place + 0.12],
                              color=f'C{index}', linewidth=2)
        axes.set(title=name, xlabel=xlabel,
                 yticks=range(len(configurations)))
        axes.set_yticklabels(configurations)
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
    figure.legend(handles.values(), handles, loc='outside lower center',
                  ncols=len(handles), fontsize=8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
