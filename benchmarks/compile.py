"""What MMEngine's ``compile=True`` makes of a training step.

A recipe's whole step (preprocessing, losses, the way back, optimizer), as it
is and compiled, in turn; a ratio is the median over rounds, with its
quartiles. Each row is a process of its own with an empty cache of the
compiler, and is written as it ends. Without --rows those that are missing are
measured.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter

import mmpose_wloss

import torch
from json_rows import write_rows
from loss_overhead import measure
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs
from semi_step import RESULTS, ROOT, ratios, text
from tabulate import tabulate
from torch._dynamo.utils import counters

FILE = RESULTS / 'compile.json'
# config: the part of a batch that is labeled
ROWS = {
    'resnet50_fmse_coco': 1.,
    'hrnet_fmse_coco': 1.,
    'posedual_res18_coco1k': 0.5,
    'hourglass_mobile_s2_fpd_mpii': 1.,
    'integral3d_i1_d16_h36m': 1.,
}
# batches that differ, one after the other
BATCHES = 4
WARM_UP = 8


def without_downloads(config: dict) -> None:
    """Take out the weights that a training would start from."""
    if (config.get('init_cfg') or {}).get('type') == 'Pretrained':
        config.pop('init_cfg')
    for value in config.values():
        if isinstance(value, dict):
            without_downloads(value)


class Bench:
    """A recipe's model and optimizer with batches, on a device.

    Args:
        name (str): Of the config.
        batch (int): Number of images.
        device (torch.device): Where to run.
    """

    def __init__(self, name: str, batch: int, device: torch.device):
        config = Config.fromfile(str(ROOT / 'configs' / f'{name}.py'))
        without_downloads(config.model)
        with tempfile.NamedTemporaryFile(suffix='.pth') as file:
            if 'teacher_checkpoint' in config.model:
                # its weights do not matter here
                torch.save(MODELS.build(config.model.teacher).state_dict(),
                           file.name)
                config.model.teacher_checkpoint = file.name
            self.model = MODELS.build(config.model)
            self.model.init_weights()
        self.model.to(device).train()
        self.optimizer = build_optim_wrapper(self.model, config.optim_wrapper)
        part = config.model.get('network') or config.model.get('student')
        self.head = (part or config.model).head
        self.batches = itertools.cycle(
            [self.make_batch(batch, ROWS[name]) for _ in range(BATCHES)])
        self.compiled = torch.compile(self.model.train_step)

    def make_batch(self, size: int, labeled: float) -> dict:
        """A batch as a data loader gives it, of noise."""
        joints, codec = self.head.out_channels, self.head.decoder
        data = get_packed_inputs(
            size, num_keypoints=joints, img_shape=codec.input_size[::-1],
            input_size=codec.input_size, heatmap_size=codec.heatmap_size[:2])
        data['inputs'] = [torch.randint_like(image, 256)
                          for image in data['inputs']]
        for index, sample in enumerate(data['data_samples']):
            sample.set_metainfo(dict(labeled=index < labeled * size))
            sample.gt_instance_labels = InstanceData(
                keypoint_weights=(torch.rand(1, joints) < 0.8).float())
            if not sample.labeled:
                del sample.gt_fields
            elif self.head.type == 'IntegralPose3DHead':
                sample.gt_instance_labels.keypoint_labels = torch.rand(
                    1, joints, 3)
        return data

    def step(self, train_step) -> None:
        """A training step with a learning rate of its own, as schedules do."""
        for group in self.optimizer.optimizer.param_groups:
            group['lr'] *= 0.999
        train_step(next(self.batches), self.optimizer)

    def warm_up(self) -> float:
        """Seconds of the steps until one compiles nothing any more."""
        start = time.perf_counter()
        for _ in range(WARM_UP):
            before, seconds = frames(), time.perf_counter() - start
            self.step(self.compiled)
            if frames() == before:
                return seconds
        raise SystemExit(f'it still compiles after {WARM_UP} steps')


def frames() -> int:
    """How many pieces of code were compiled until now."""
    return counters['frames']['ok']


def run_row(name: str, batch: int, rounds: int, device: torch.device) -> dict:
    """A row of the table."""
    init_default_scope('mmpose')
    torch.manual_seed(0)
    bench = Bench(name, batch, device)
    bench.step(bench.model.train_step)
    start_up = bench.warm_up()
    breaks = Counter()
    for reason, count in counters['graph_break'].items():
        breaks[reason.split('\n')[0]] += count
    graphs, before = counters['stats']['unique_graphs'], frames()
    seconds = measure(dict(
        eager=lambda: bench.step(bench.model.train_step),
        compiled=lambda: bench.step(bench.compiled)), rounds, device, name)
    return dict(
        milliseconds={what: 1e3 * statistics.median(values)
                      for what, values in seconds.items()},
        over_eager=ratios(seconds['compiled'], seconds['eager']),
        start_up=start_up, graphs=graphs, breaks=breaks,
        recompiled=frames() - before, batch=batch, rounds=rounds,
        device=str(device), threads=torch.get_num_threads(),
        versions=dict(torch=torch.__version__,
                      python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rows', nargs='*', choices=ROWS)
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--batch', type=int, default=4, help='images')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--row', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.row:
        print(json.dumps(run_row(args.row, args.batch, args.rounds,
                                 torch.device(args.device))))
        return

    rows = json.loads(FILE.read_text())['rows'] if FILE.exists() else {}
    for name in args.rows or [name for name in ROWS if name not in rows]:
        with tempfile.TemporaryDirectory() as cache:
            output = subprocess.run(
                [sys.executable, __file__, '--row', name,
                 '--batch', str(args.batch), '--rounds', str(args.rounds),
                 '--device', args.device],
                env=dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache),
                check=True, stdout=subprocess.PIPE, text=True).stdout
        rows[name] = json.loads(output.splitlines()[-1])
        write_rows(FILE, dict(format=1, rows=rows))
    print(tabulate(
        [[name, *(f'{row["milliseconds"][what]:.0f}'
                  for what in ('eager', 'compiled')),
          text(row['over_eager']), f'{row["start_up"]:.0f}', row['graphs'],
          sum(row['breaks'].values()), row['recompiled']]
         for name in ROWS if (row := rows.get(name))],
        ['config', 'eager, ms', 'compiled, ms', 'compiled over eager',
         'start-up, s', 'graphs', 'breaks', 'compiled later'],
        tablefmt='github'))


if __name__ == '__main__':
    main()
