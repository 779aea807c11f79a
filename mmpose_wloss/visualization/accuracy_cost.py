from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter


class ModelPoint(NamedTuple):
    """What a model reaches and what it costs; ``nan`` is not drawn.

    Speeds in PyTorch and as an ONNX file are images per second, ``gmacs`` 1e9
    multiply-adds for an image.
    """

    name: str
    accuracy: float
    gmacs: float = nan
    pytorch: float = nan
    onnx: float = nan


def draw_accuracy_cost(points: Sequence[ModelPoint], path: str, ylabel: str) -> None:
    """Draw accuracy over operations and over speed, both on log scales.

    Args:
        points (Sequence[ModelPoint]): The models.
        path (str): The picture's path; its ending decides the format.
        ylabel (str): What the accuracy is.
    """
    figure = Figure(figsize=(9, 4.2), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True)
    for index, point in enumerate(points):
        color = f'C{index % 10}'
        left.plot(point.gmacs, point.accuracy, 'o', color=color, label=point.name)
        right.plot(point.pytorch, point.accuracy, 'o', color=color)
        right.plot([point.pytorch, point.onnx], 2 * [point.accuracy],
                   color=color, linewidth=.8, alpha=.5)
        right.plot(point.onnx, point.accuracy, 's', color=color,
                   markerfacecolor='white')
    right.plot([], [], 'o', color='gray', label='PyTorch')
    right.plot([], [], 's', color='gray', markerfacecolor='white', label='ONNX')
    right.legend()
    _log_scale(left, 'GMACs for an image')
    _log_scale(right, 'images per second on this machine')
    left.set_ylabel(ylabel)
    figure.legend(*left.get_legend_handles_labels(),
                  loc='outside lower center', ncols=min(len(points), 3),
                  fontsize=9)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _log_scale(axes: Axes, label: str) -> None:
    """A log scale that is readable also where it covers no power of 10."""
    axes.set(xscale='log', xlabel=label)
    axes.margins(x=.2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1., 2., 5.)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
