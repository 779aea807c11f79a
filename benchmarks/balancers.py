"""What balancing losses costs a training step beside fixed weights.

A whole step (forward, loss, backward, Adam) of the demo's 3D network with its
five terms, with each balancer in its head, and with gradients of each term that
torchjd aggregates. Rounds go over all in turn, every
other one backwards; a ratio is the median over rounds of balancer over fixed
weights, with its quartiles.
"""

import argparse
import os
import platform
import statistics
from pathlib import Path

import mmpose_wloss
from mmpose_wloss.engine.optim_wrappers import JacobianOptimWrapper
from mmpose_wloss.models.heads.integral_pose3d_head import TERMS

import torch
from json_rows import results_file, write_rows
from loss_overhead import measure
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from tabulate import tabulate
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/demo/integral3d_i1_d16_annypose.py'
FIXED = dict(type='ManualBalancer', ratios=dict.fromkeys(TERMS, 1.))
BALANCERS = {
    'fixed weights': FIXED,
    # the same once more: what noise makes of it
    'fixed weights again': FIXED,
    'adaptive': dict(type='AdaptiveBalancer'),
    'GradNorm': dict(type='GradNormBalancer'),
    'dynamic task priority': dict(type='DynamicTaskPriorityBalancer'),
    'uncertainty': dict(type='UncertaintyBalancer',
                        log_variance='first_batch'),
    **{name: dict(type='TorchJDBalancer', scalarizer=name)
       for name in ('DWA', 'FAMO', 'IMTLL')},
}
# with fixed weights
AGGREGATORS = ('UPGrad', 'PCGrad')


def make_batch(config: Config, batch: int) -> dict:
    """Random images and joints, as the data loader gives them."""
    torch.manual_seed(0)
    width, height = config.codec.input_size
    joints = config.model.head.out_channels
    samples = []
    for _ in range(batch):
        sample = PoseDataSample()
        sample.gt_instance_labels = InstanceData(
            keypoint_labels=torch.rand(1, joints, 3),
            keypoint_weights=(torch.rand(1, joints) < 0.9).float())
        samples.append(sample)
    images = torch.randint(0, 255, (batch, 3, height, width),
                           dtype=torch.uint8)
    return dict(inputs=list(images), data_samples=samples)


def steps(batch: int, device: torch.device) -> dict:
    """A training step with each balancer, by its name."""
    config = Config.fromfile(str(ROOT / CONFIG))
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model)
    balancers = nn.ModuleDict({
        name: MODELS.build(balancer, default_args=dict(terms=TERMS))
        for name, balancer in BALANCERS.items()})
    model.to(device).train()
    balancers.to(device)
    data = make_batch(config, batch)

    def step(balancer: nn.Module, wrapper: type = OptimWrapper, **arguments):
        # each with its own statistics, over the same network
        optimizer = wrapper(torch.optim.Adam(
            [*model.parameters(), *balancer.parameters()], 1e-4), **arguments)

        def function() -> None:
            model.head.balancer = balancer
            model.train_step(data, optimizer)
        return function

    return {
        **{name: step(balancer) for name, balancer in balancers.items()},
        **{name: step(balancers['fixed weights'], JacobianOptimWrapper,
                      aggregator=name) for name in AGGREGATORS}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=100)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    init_default_scope('mmpose')
    device = torch.device(args.device)
    load = os.getloadavg()[0]
    seconds = measure(steps(args.batch, device), args.rounds, device,
                      'training steps')

    rows, result = [], {}
    for name, ours in seconds.items():
        ratios = [each / fixed for each, fixed in
                  zip(ours, seconds['fixed weights'], strict=True)]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        milliseconds = 1e3 * statistics.median(ours)
        fastest = min(ours) / min(seconds['fixed weights'])
        rows.append([name, f'{milliseconds:.1f}',
                     f'{ratio:.3f} ({low:.3f} … {high:.3f})',
                     f'{fastest:.3f}'])
        result[name] = dict(milliseconds=milliseconds, ratio=ratio,
                            quartiles=[low, high], ratio_of_fastest=fastest)
    print(tabulate(rows, ['balancer', 'step, ms', 'over fixed weights',
                          'fastest over fastest'], tablefmt='github'))
    write_rows(results_file('balancers', device), dict(
        format=1, balancers=result, config=CONFIG, batch=args.batch,
        rounds=args.rounds, device=args.device,
        threads=torch.get_num_threads(), load_before=round(load, 2),
        versions=dict(torch=torch.__version__, python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__)))


if __name__ == '__main__':
    main()
