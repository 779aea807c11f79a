"""Draw docs/images/loss_balancers.png: two tasks of scales 1 : 100.

Prints the table of docs/loss_balancers.md, too. The toy problem of GradNorm's paper
(section 4), smaller: both tasks are ``scale * tanh((base + own) x)`` of the same
inputs, and share a trunk.
"""

from pathlib import Path

import mmpose_wloss  # noqa: F401

import numpy as np
import torch
from matplotlib.figure import Figure
from mmpose.registry import MODELS
from tabulate import tabulate
from torch import Tensor, nn

SCALES = dict(small=1., large=100.)
BALANCERS = {
    'equal weights': dict(type='ManualBalancer',
                          ratios=dict(small=1., large=1.), reduction='mean'),
    'adaptive': dict(type='AdaptiveBalancer', reduction='mean'),
    'GradNorm, α = 0.12': dict(type='GradNormBalancer', alpha=0.12),
    'the same, first_batch': dict(
        type='GradNormBalancer', alpha=0.12, weights='first_batch'),
    'dynamic task priority': dict(type='DynamicTaskPriorityBalancer'),
    'uncertainty': dict(type='UncertaintyBalancer', log_variance='first_batch'),
}


def train(balancer: dict, steps: int, seed: int = 0) -> dict[str, list[float]]:
    """Train the toy network with a balancer.

    Args:
        balancer (dict): Its config.
        steps (int): Number of steps.
        seed (int): Of the tasks, the network and the inputs.

    Returns:
        dict: By step, each task's weight, norm of its balanced gradient with
        respect to the trunk's output, loss, and error beside its scale.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float = 1.) -> Tensor:
        return std * torch.randn(shape, generator=generator)

    base = normal(20, 10, std=0.3)
    tasks = {name: base + normal(20, 10, std=0.1) for name in SCALES}
    trunk = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64),
                          nn.ReLU())
    heads = nn.ModuleDict({name: nn.Linear(64, 10) for name in SCALES})
    for layer in (*trunk, *heads.values()):
        if isinstance(layer, nn.Linear):
            layer.weight.data = normal(*layer.weight.shape,
                                       std=layer.in_features**-0.5)
            layer.bias.data.zero_()
    module = MODELS.build(dict(balancer, grad_norm_interval=1),
                          default_args=dict(terms=list(SCALES)))
    optimizer = torch.optim.Adam(
        [dict(params=[*trunk.parameters(), *heads.parameters()]),
         dict(params=list(module.parameters()), lr=1e-2)], lr=2e-3)
    history = {}
    for _ in range(steps):
        inputs = normal(100, 20)
        features = trunk(inputs)
        terms = {name: (heads[name](features),
                        scale * (inputs @ tasks[name]).tanh(), None)
                 for name, scale in SCALES.items()}
        result = module(terms, shared=features)
        optimizer.zero_grad()
        sum(result[f'loss_{name}'] for name in SCALES).backward()
        optimizer.step()
        for name, scale in SCALES.items():
            result[f'error_{name}'] = result[f'raw_{name}'].sqrt() / scale
        for key, value in result.items():
            history.setdefault(key, []).append(value.item())
    return history


def row_of(histories: list[dict[str, list[float]]]) -> list[str]:
    """Ratio of gradients and errors over the last 50 steps of each seed."""

    def last(name: str) -> np.ndarray:
        return np.array([history[name][-50:] for history in histories]).mean(1)

    ratio = last('grad_norm_large') / last('grad_norm_small')
    return [f'{ratio.mean():.3g} ± {ratio.std(ddof=1):.2g}', *(
        f'{error.mean():.3f} ± {error.std(ddof=1):.3f}'
        for error in (last(f'error_{task}') for task in SCALES))]


def main() -> None:
    figure = Figure(figsize=(13, 5), layout='constrained')
    axes = figure.subplots(2, len(BALANCERS), sharex=True, sharey='row')
    rows = []
    for column, (title, config) in zip(axes.T, BALANCERS.items(), strict=True):
        histories = [train(config, 1500, seed) for seed in range(3)]
        for row, figure_name in zip(column, ('weight', 'grad_norm'),
                                    strict=True):
            for task, scale in SCALES.items():
                row.semilogy(histories[0][f'{figure_name}_{task}'],
                             label=f'scale {scale:.0f}', linewidth=0.8)
            row.grid(alpha=0.3)
        column[0].set_title(title)
        column[1].set_xlabel('step')
        rows.append([title, *row_of(histories)])
    print(tabulate(rows, ['balancer', 'gradient large : small', 'error, small',
                          'error, large'], tablefmt='github', disable_numparse=True))
    axes[0, 0].set_ylabel('weight')
    axes[1, 0].set_ylabel('norm of the balanced gradient')
    axes[0, 0].legend(fontsize='small')
    path = Path(__file__).parent / 'images' / 'loss_balancers.png'
    figure.savefig(path, dpi=80)
    print(path)


if __name__ == '__main__':
    main()
