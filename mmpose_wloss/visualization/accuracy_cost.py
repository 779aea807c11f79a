from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter


class ModelPoint(NamedTuple):
    """What a model reaches and what it costs.

    Args:
        name (str): Its name.
        accuracy (float): The figure that it is judged by.
        gmacs (float): Multiply-adds for an image, in 1e9.
        pytorch (float): Images per second in PyTorch.
        onnx (float, optional): Images per second of its ONNX file. Defaults
            to ``None``.
    """

    name: str
    accuracy: float
    gmacs: float
    pytorch: float
    onnx: float | None = None


def draw_accuracy_cost(points: Sequence[ModelPoint], path: str,
                       ylabel: str) -> None:
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
        left.plot(point.gmacs, point.accuracy, 'o', color=color,
                  label=point.name)
        right.plot(point.pytorch, point.accuracy, 'o', color=color)
        if point.onnx is not None:
            right.plot([point.pytorch, point.onnx], 2 * [point.accuracy],
                       color=color, linewidth=.8, alpha=.5)
            right.plot(point.onnx, point.accuracy, 's', color=color,
                       markerfacecolor='white')
    left.set(xlabel='GMACs for an image', ylabel=ylabel)
    right.set(xlabel='images per second on this machine')
    speeds = [speed for point in points for speed in (
        point.pytorch, point.onnx) if speed is not None]
    _log_scale(left, [point.gmacs for point in points])
    _log_scale(right, speeds)
    if any(point.onnx is not None for point in points):
        right.plot([], [], 'o', color='gray', label='PyTorch')
        right.plot([], [], 's', color='gray', markerfacecolor='white',
                   label='ONNX')
        right.legend()
    figure.legend(*left.get_legend_handles_labels(),
                  loc='outside lower center', ncols=min(len(points), 3),
                  fontsize=9)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _log_scale(axes: Axes, values: Sequence[float]) -> None:
    """A log scale that is readable also where it covers no power of 10."""
    axes.set_xscale('log')
    axes.set_xlim(min(values) / 1.5, max(values) * 1.5)
    axes.xaxis.set_major_locator(LogLocator(subs=(1., 2., 5.)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
