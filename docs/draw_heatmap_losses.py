"""Draw docs/images/heatmap_losses.png: what each loss makes of a pixel."""

from pathlib import Path

from mmpose_wloss.models.losses import (
    focus_mse_loss,
    heatmap_weighting_mse_loss,
    weight_adaptive_mse_loss,
)

import torch
from matplotlib.figure import Figure

LOSSES = {
    'MSE': lambda p, y: focus_mse_loss(p, y, gamma=0.),
    'focal γ=1 δ=1 = HWL linear':
    lambda p, y: focus_mse_loss(p, y, gamma=1., delta=1.),
    'focal γ=2 δ=1': lambda p, y: focus_mse_loss(p, y, gamma=2., delta=1.),
    'focal γ=2 δ=0.1': lambda p, y: focus_mse_loss(p, y, gamma=2., delta=0.1),
    'HWL exponential':
    lambda p, y: heatmap_weighting_mse_loss(p, y, function='exponential'),
    'WAHR': weight_adaptive_mse_loss,
}


def each_pixel(loss, output: torch.Tensor, target: torch.Tensor) -> list:
    """The loss of each pixel alone."""
    return [loss(p.view(1, 1, 1, 1), y.view(1, 1, 1, 1)).item()
            for p, y in zip(output, target, strict=True)]


def main() -> None:
    figure = Figure(figsize=(9, 3.4), layout='constrained')
    left, right = figure.subplots(1, 2)
    target = torch.linspace(0, 1, 101)
    error = 0.2
    output = torch.linspace(0, 1, 101)
    joint = torch.ones_like(output)
    for name, loss in LOSSES.items():
        weight = [value / error**2
                  for value in each_pixel(loss, target - error, target)]
        left.plot(target, weight, label=name)
        right.plot(output, each_pixel(loss, output, joint), label=name)
    left.set(title=f'weight of a pixel whose output is {error} too low',
             xlabel='target', ylabel='weight of the squared error')
    right.set(title="loss at a joint's center (target 1)", xlabel='output',
              ylabel='loss')
    left.legend(fontsize='small')
    for axes in (left, right):
        axes.grid(alpha=0.3)
    path = Path(__file__).parent / 'images' / 'heatmap_losses.png'
    figure.savefig(path, dpi=110)
    print(path)


if __name__ == '__main__':
    main()
