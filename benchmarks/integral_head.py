"""Time and memory of the integral 3D head against the depth of its volume.

Head, losses and the way back for one batch of features, for each d2; and the
integral of a batch of volumes alone, beside the same formula written with
torch's softmax. Each row is a process of its own, whose peak of memory is the
operating system's figure; on an accelerator it is the allocator's.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
from collections.abc import Callable

import mmpose_wloss
from mmpose_wloss.models.heads import soft_argmax

import numpy as np
import torch
from json_rows import results_file, write_rows
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from tabulate import tabulate
from torch import Tensor
from torch.utils.benchmark import Timer

DEPTHS = (4, 8, 16, 32, 64)
VOLUMES = (32, 17, 64, 64, 64)
JOINTS = 17


def by_softmax(volumes: Tensor, beta: float = 30.) -> Tensor:
    """The integral as its formula is usually written."""
    shares = (beta * volumes).flatten(2).softmax(-1).view_as(volumes)
    places = []
    for dim in (4, 3, 2):
        others = [other for other in (2, 3, 4) if other != dim]
        bins = torch.arange(volumes.shape[dim], device=volumes.device)
        places.append((shares.sum(others) * bins).sum(-1))
    return torch.stack(places, -1)


INTEGRALS = dict(soft_argmax=soft_argmax, softmax=by_softmax)


def head_step(depth: int, batch: int, device: torch.device) -> Callable:
    """Head, losses and the way back, at 256 × 256 pixels of input."""
    torch.manual_seed(0)
    head = MODELS.build(dict(
        type='IntegralPose3DHead', in_channels=256, out_channels=JOINTS,
        deconv_out_channels=None, deconv_kernel_sizes=None,
        decoder=dict(type='IntegralPose3DLabel', input_size=(256, 256),
                     heatmap_size=(64, 64, depth)))).to(device).train()
    features = torch.randn(batch, 256, 64, 64, device=device)
    samples = []
    for _ in range(batch):
        sample = PoseDataSample()
        sample.gt_instance_labels = InstanceData(
            keypoint_labels=torch.rand(1, JOINTS, 3, device=device),
            keypoint_weights=torch.ones(1, JOINTS, device=device))
        samples.append(sample)

    def step() -> None:
        leaf = features.detach().requires_grad_()
        losses = head.loss((leaf, ), samples)
        sum(value for name, value in losses.items()
            if name.startswith('loss_')).backward()

    return step


def integral_step(name: str, device: torch.device) -> Callable:
    volumes = torch.rand(VOLUMES, device=device).requires_grad_()

    def step() -> None:
        volumes.grad = None
        INTEGRALS[name](volumes).sum().backward()

    return step


def memory(device: torch.device) -> float:
    """The peak until now, in MB."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 1e6
    # in kB, on macOS in bytes
    unit = 1e6 if sys.platform == 'darwin' else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def run_row(what: str, name: str, batch: int, rounds: int,
            device: torch.device) -> dict:
    """Seconds of each round and the peak of memory above what was there."""
    init_default_scope('mmpose')
    # what a process loads at its first operations is no part of the figure
    head_step(4, 1, device)()
    step = (head_step(int(name), batch, device) if what == 'head' else
            integral_step(name, device))
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    before = memory(device)
    step()
    peak = memory(device) - before
    timer = Timer('step()', globals=dict(step=step),
                  num_threads=torch.get_num_threads())
    seconds = np.median([timer.timeit(1).median for _ in range(rounds)])
    return dict(seconds=seconds, megabytes=peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--row', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = torch.device(args.device)
    if args.row:
        print(json.dumps(run_row(*args.row, args.batch, args.rounds, device)))
        return

    def row(what: str, name: object) -> dict:
        output = subprocess.run(
            [sys.executable, __file__, '--row', what, str(name), '--batch',
             str(args.batch), '--rounds', str(args.rounds), '--device',
             args.device], check=True, capture_output=True, text=True).stdout
        return json.loads(output.splitlines()[-1])

    heads = {depth: row('head', depth) for depth in DEPTHS}
    first = heads[DEPTHS[0]]
    print(f'Head, losses and the way back, {args.batch} images, volumes of '
          'd2 × 64 × 64:\n')
    print(tabulate(
        [[depth, 1e3 * each['seconds'], each['seconds'] / first['seconds'],
          each['megabytes'], each['megabytes'] / first['megabytes'],
          4e-6 * args.batch * JOINTS * depth * 64 * 64]
         for depth, each in heads.items()],
        ['d2', 'ms', 'over d2 = 4', 'peak, MB', 'over d2 = 4', 'volume, MB'],
        tablefmt='github', floatfmt='.4g'))
    integrals = {name: row('integral', name) for name in INTEGRALS}
    volume = 4e-6 * torch.Size(VOLUMES).numel()
    print(f'\nThe integral of {VOLUMES}, {volume:.0f} MB in float32, and the '
          'way back; volumes held beside it:\n')
    print(tabulate(
        [[name, each['seconds'],
          each['seconds'] / integrals['softmax']['seconds'],
          each['megabytes'], each['megabytes'] / volume]
         for name, each in integrals.items()],
        ['', 's', 'over softmax', 'peak, MB', 'volumes'],
        tablefmt='github', floatfmt='.3g'))
    write_rows(results_file('integral_head', device), dict(
        format=1, heads=heads, integrals=integrals, volumes=VOLUMES,
        batch=args.batch, device=args.device,
        threads=torch.get_num_threads(),
        versions=dict(torch=torch.__version__,
                      python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__)))


if __name__ == '__main__':
    main()
