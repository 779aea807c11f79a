from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def draw_term_curves(curves: Mapping[str, Sequence[Mapping[str, Mapping]]],
                     figures: Mapping[str, str], terms: Sequence[str],
                     path: str) -> None:
    """Draw figures of the terms of a loss over epochs, as shares of their sum.

    What a term's weight or gradient means is its size beside the other
    terms': a common factor is a learning rate's affair.

    Args:
        curves (Mapping): For each configuration one mapping a seed, from the
            name ``<figure>_<term>`` to values by epoch. Terms that a
            configuration lacks have no curve.
        figures (Mapping[str, str]): Title of each figure, a row of the
            picture.
        terms (Sequence[str]): Names of the terms, a colour each.
        path (str): The picture's path; its ending decides the format.
    """
    picture = Figure(figsize=(2.2 * len(curves) + 1, 2.2 * len(figures) + 0.8),
                     layout='constrained')
    grid = picture.subplots(len(figures), len(curves), squeeze=False,
                            sharex=True, sharey='row')
    handles = {}
    for axes, name in zip(grid[0], curves, strict=True):
        axes.set_title(name, fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel('epoch')
    for row, (figure, title) in zip(grid, figures.items(), strict=True):
        row[0].set_ylabel(f'share of {title}')
        for axes, seeds in zip(row, curves.values(), strict=True):
            axes.set(yscale='log', ylim=(1e-6, 1.5))
            axes.grid(alpha=0.3)
            there = [term for term in terms
                     if all(f'{figure}_{term}' in seed for seed in seeds)]
            if not there:
                continue
            epochs = sorted(seeds[0][f'{figure}_{there[0]}'], key=int)
            values = np.array([[[seed[f'{figure}_{term}'][epoch]
                                 for epoch in epochs] for term in there]
                               for seed in seeds])
            shares = values / values.sum(1, keepdims=True)
            for index, term in enumerate(there):
                color = f'C{terms.index(term)}'
                line, = axes.plot([int(epoch) for epoch in epochs],
                                  shares[:, index].mean(0), color=color)
                axes.fill_between([int(epoch) for epoch in epochs],
                                  shares[:, index].min(0),
                                  shares[:, index].max(0), color=color,
                                  alpha=0.2, linewidth=0)
                handles.setdefault(term, line)
    picture.legend(handles.values(), handles, loc='outside lower center',
                   ncols=len(handles), fontsize=8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=110)
