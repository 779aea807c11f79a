"""What the losses cost beside the stock one, alone and in a training step.

Rounds go over all losses in turn, so that what else the machine does meets all
of them; a ratio is the median over rounds of loss over stock, with its
quartiles.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import mmpose_wloss

import torch
from json_rows import results_file, write_rows
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs
from tabulate import tabulate
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (64, 17, 64, 48)
LOSSES = {
    'MSE (stock)': dict(type='KeypointMSELoss'),
    'focal MSE γ=1 δ=1': dict(type='FocusMSELoss', gamma=1., delta=1.),
    'focal MSE γ=1 δ=1 normalized':
    dict(type='FocusMSELoss', gamma=1., delta=1., normalize=True),
    'focal MSE γ=2 δ=1': dict(type='FocusMSELoss', gamma=2., delta=1.),
    'focal MSE γ=1.5 δ=0.5': dict(type='FocusMSELoss', gamma=1.5, delta=0.5),
    'WAHR': dict(type='WeightAdaptiveMSELoss'),
    'HWL linear': dict(type='HeatmapWeightingMSELoss', function='linear'),
    'HWL power': dict(type='HeatmapWeightingMSELoss', function='power'),
    'HWL exponential':
    dict(type='HeatmapWeightingMSELoss', function='exponential'),
    'Rank & Sort': dict(type='RankSortLoss'),
    'expected OKS': dict(type='ExpectedOKSLoss',
                         sigmas='configs/_base_/datasets/coco.py'),
}
# cpu counts this process's own work, for a machine that has more to do
CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)


def synchronize(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def measure(functions: dict, rounds: int, device: torch.device,
            description: str, clock: Callable = time.perf_counter) -> dict:
    """Seconds of each function in each round, after one round to warm up.

    Every other round goes backwards, so that none always follows the same. On a
    busy machine, ``time.process_time`` counts less of what others do.
    """
    seconds = {name: [] for name in functions}
    for number in tqdm(range(rounds + 1), desc=description):
        order = list(functions.items())
        for name, function in order[::-1] if number % 2 else order:
            synchronize(device)
            start = clock()
            function()
            synchronize(device)
            seconds[name].append(clock() - start)
    return {name: values[1:] for name, values in seconds.items()}


def alone(rounds: int, device: torch.device) -> dict:
    """Forward and backward of each loss."""
    target = torch.rand(SHAPE, device=device)**20
    output = (target + 0.1 * torch.randn_like(target)).requires_grad_()
    weights = torch.ones(SHAPE[:2], device=device)

    def step(loss):
        def function():
            output.grad = None
            loss(output, target, weights).backward()
        return function

    return measure({name: step(MODELS.build(dict(config, use_target_weight=True)))
                    for name, config in LOSSES.items()},
                   rounds, device, 'losses alone')


def training_step(rounds: int, batch: int, device: torch.device) -> dict:
    """A whole training step of HRNet-W32, with each loss in its head."""
    config = Config.fromfile(str(ROOT / 'configs' / 'hrnet_fmse_coco.py'))
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model).to(device).train()
    optimizer = OptimWrapper(torch.optim.Adam(model.parameters(), 5e-4))
    data = get_packed_inputs(batch, num_keypoints=17, input_size=(192, 256),
                             heatmap_size=(48, 64))

    def step(loss):
        def function():
            model.head.loss_module = loss
            model.train_step(data, optimizer)
        return function

    return measure({name: step(MODELS.build(dict(config, use_target_weight=True)))
                    for name, config in LOSSES.items()},
                   rounds, device, 'training steps')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=150)
    parser.add_argument('--step-rounds', type=int, default=20)
    parser.add_argument('--batch', type=int, default=2,
                        help='images in a training step')
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    init_default_scope('mmpose')
    device = torch.device(args.device)
    torch.manual_seed(0)
    parts = dict(alone=alone(args.rounds, device),
                 step=training_step(args.step_rounds, args.batch, device))

    rows, result = [], {}
    for name in LOSSES:
        row = [name]
        for part, seconds in parts.items():
            stock = seconds['MSE (stock)']
            ratios = [ours / theirs for ours, theirs in
                      zip(seconds[name], stock, strict=True)]
            low, ratio, high = statistics.quantiles(ratios, n=4)
            milliseconds = 1e3 * statistics.median(seconds[name])
            row += [f'{milliseconds:.1f}',
                    f'{ratio:.3f} ({low:.3f} … {high:.3f})']
            result.setdefault(name, {})[part] = dict(
                milliseconds=milliseconds, ratio=ratio, quartiles=[low, high])
        rows.append(row)
    print(tabulate(rows, ['loss', 'alone, ms', 'over stock', 'step, ms',
                          'over stock'], tablefmt='github'))
    write_rows(results_file('loss_overhead', device), dict(
        format=1, losses=result, shape=SHAPE, batch=args.batch,
        device=args.device, threads=torch.get_num_threads(),
        versions=dict(torch=torch.__version__, python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__)))


if __name__ == '__main__':
    main()
