"""Figures of studies, over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from paired import Difference


def draw_comparison(panels: dict[str, dict[str, dict[str, Sequence[float]]]],
                    path: str, title: str, xlabel: str) -> None:
    """Draw figures of several configurations, a dot a seed.

    Args:
        panels (dict): For each panel's title, for each configuration, for
            each kind of figure, one value a seed. A panel's configurations
            share a row each, the kinds a color each; a bar marks the mean.
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
    _save(figure, handles, path)


def draw_differences(differences: Sequence[tuple[str, str, str, Difference]],
                     path: str | Path, title: str) -> None:
    """Draw differences with their 95 % intervals, a line each.

    Args:
        differences (Sequence): What is compared, with what, in which figure, and the
            difference, as of ``Study.differences``. Without one nothing is drawn.
        path (str or Path): The picture's path; its ending decides the format.
        title (str): Title.
    """
    if not differences:
        return
    figure = Figure(figsize=(9, 1.2 + 0.25 * len(differences)), layout='constrained')
    axes = figure.subplots()
    for place, (*_, each) in enumerate(differences):
        color = 'C0' if each.significant else 'gray'
        if each.pairs > 1:
            axes.plot([each.low, each.high], [place, place], color=color)
        axes.plot(each.mean, place, 'o', color=color)
    axes.axvline(0, color='black', linewidth=0.8)
    axes.set(title=title, yticks=range(len(differences)),
             xlabel='difference, with its 95 % interval (gray: it holds 0)')
    axes.set_yticklabels([f'{name} − {baseline} ({in_what})'
                          for name, baseline, in_what, _ in differences], fontsize=8)
    axes.set_ylim(len(differences) - 0.2, -0.8)
    axes.locator_params('x', nbins=6)
    axes.grid(alpha=0.3)
    _save(figure, {}, str(path))
    print(f'drawn: {path}')


def draw_term_curves(curves: Mapping[str, Sequence[Mapping[str, Mapping]]],
                     figures: Mapping[str, str], terms: Sequence[str],
                     path: str) -> None:
    """Draw figures of the terms of a loss over epochs, as shares of their sum.

    A term's weight or gradient means something beside those of the other
    terms; a common factor belongs to the learning rate.

    Args:
        curves (Mapping): For each configuration one mapping a seed, from the
            name ``<figure>_<term>`` to values by epoch. Terms that a
            configuration lacks have no curve.
        figures (Mapping[str, str]): Title of each figure, a row of the
            picture.
        terms (Sequence[str]): Names of the terms, a color each.
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
            epochs = [int(epoch) for epoch in epochs]
            for index, term in enumerate(there):
                color, of_term = f'C{terms.index(term)}', shares[:, index]
                line, = axes.plot(epochs, of_term.mean(0), color=color)
                axes.fill_between(epochs, of_term.min(0), of_term.max(0),
                                  color=color, alpha=0.2, linewidth=0)
                handles.setdefault(term, line)
    _save(picture, handles, path)


def _save(figure: Figure, handles: dict, path: str) -> None:
    if handles:
        figure.legend(handles.values(), handles, loc='outside lower center',
                      ncols=len(handles), fontsize=8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
