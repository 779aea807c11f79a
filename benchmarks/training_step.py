"""What a training step takes in float32 as it is, and what makes it faster.

A row is a recipe with one setting: a whole step (preprocessing, losses, the way
back, optimizer), beside the same recipe in float32. A recipe's settings are
processes that step in turn, every other round backwards, so that each has its
own memory and compiler; a ratio is the median over rounds, with its quartiles.
All see the same batches and draw the same numbers: how far the losses of the
last round over all batches lie apart is what a setting changes. A recipe's rows
are written as it ends; those that are there are not measured again.
"""

import argparse
import contextlib
import itertools
import json
import logging
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from inspect import signature

import mmpose_wloss
from mmpose_wloss.compat.freed_memory import keep_freed_memory
from mmpose_wloss.engine.hooks.channels_last_hook import with_channels_last

import torch
from json_rows import results_file, write_rows
from loss_overhead import measure, synchronize
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs
from semi_step import ROOT, ratios, text
from tabulate import tabulate
from torch._dynamo.utils import counters

# config: the part of a batch that is labeled
RECIPES = {
    'hrnet_fmse_coco': 1.,
    'deeppose_res50_wloss_coco': 1.,
    'posedual_res18_coco1k': 0.5,
    'hourglass_mobile_s2_fpd_mpii': 1.,
    'integral3d_i1_d16_h36m': 1.,
}
PLAIN = 'float32'
SETTINGS = {
    'kept memory': ['kept_memory'],
    'channels_last': ['channels_last'],
    'fused': ['fused'],
    'bfloat16': ['bfloat16'],
    'all but bfloat16': ['kept_memory', 'channels_last', 'fused'],
    'all': ['kept_memory', 'channels_last', 'fused', 'bfloat16'],
    'compile': ['compile'],
}
# batches that differ, one after the other; the first round warms up
BATCHES = 4


def without_downloads(config: dict) -> None:
    """Take out the weights that a training would start from."""
    if (config.get('init_cfg') or {}).get('type') == 'Pretrained':
        config.pop('init_cfg')
    config.pop('init_cfgs', None)
    for value in config.values():
        if isinstance(value, dict):
            without_downloads(value)


def has_fused(config: Config) -> bool:
    """Whether the optimizer of a recipe has a fused step."""
    optimizer = getattr(torch.optim, config.optim_wrapper.optimizer.type)
    return 'fused' in signature(optimizer).parameters


class Bench:
    """A recipe's model and optimizer with batches, on a device.

    Args:
        name (str): Of the config.
        parts (list[str]): What makes it faster.
        batch (int): Number of images.
        device (torch.device): Where to run.
    """

    def __init__(self, name: str, parts: list[str], batch: int,
                 device: torch.device):
        config = Config.fromfile(str(ROOT / 'configs' / f'{name}.py'))
        without_downloads(config.model)
        if 'bfloat16' in parts:
            config.optim_wrapper.type = 'Bfloat16OptimWrapper'
        if 'fused' in parts and has_fused(config):
            config.optim_wrapper.optimizer.fused = True
        with tempfile.NamedTemporaryFile(suffix='.pth') as file:
            if 'teacher_checkpoint' in config.model:
                # its weights do not matter here
                torch.save(MODELS.build(config.model.teacher).state_dict(),
                           file.name)
                config.model.teacher_checkpoint = file.name
            self.model = MODELS.build(config.model)
            self.model.init_weights()
        self.model.to(device).train()
        if 'channels_last' in parts:
            if config.model.type == 'PoseDual':
                # set by its option, it would draw other weights
                self.model.channels_last = True
                self.model.to(memory_format=torch.channels_last)
            else:
                self.model.data_preprocessor.register_forward_hook(
                    with_channels_last)
        self.optimizer = build_optim_wrapper(self.model, config.optim_wrapper)
        part = config.model.get('network') or config.model.get('student')
        self.head = (part or config.model).head
        self.batches = itertools.cycle(
            [self.make_batch(batch, RECIPES[name]) for _ in range(BATCHES)])
        self.train_step = (torch.compile(self.model.train_step)
                           if 'compile' in parts else self.model.train_step)
        self.device = device

    def make_batch(self, size: int, labeled: float) -> dict:
        """A batch as a data loader gives it, of noise."""
        codec = self.head.decoder
        joints = self.head.get('out_channels') or self.head.num_joints
        width, height = codec.input_size
        axes = 3 if self.head.type == 'IntegralPose3DHead' else 2
        data = get_packed_inputs(
            size, num_keypoints=joints, img_shape=(height, width),
            input_size=codec.input_size, heatmap_size=codec.get(
                'heatmap_size', (width // 4, height // 4))[:2])
        data['inputs'] = [torch.randint_like(image, 256)
                          for image in data['inputs']]
        for index, sample in enumerate(data['data_samples']):
            sample.set_metainfo(dict(labeled=index < labeled * size))
            sample.gt_instance_labels = InstanceData(
                keypoint_weights=(torch.rand(1, joints) < 0.8).float())
            if sample.labeled:
                sample.gt_instance_labels.keypoint_labels = torch.rand(
                    1, joints, axes)
            else:
                del sample.gt_fields
        return data

    def step(self) -> float:
        """A training step, whose learning rate is its own as schedules do."""
        for group in self.optimizer.optimizer.param_groups:
            group['lr'] *= 0.999
        losses = self.train_step(next(self.batches), self.optimizer)
        synchronize(self.device)
        return losses['loss'].item()


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def serve(name: str, setting: str, batch: int, device: torch.device) -> None:
    """Step whenever a line comes, and say what it took at the end."""
    parts = SETTINGS.get(setting, [])
    kept = 'kept_memory' in parts and keep_freed_memory()
    logging.disable(logging.INFO)
    init_default_scope('mmpose')
    torch.manual_seed(0)
    bench = Bench(name, parts, batch, device)
    start = time.perf_counter()
    losses = [bench.step() for _ in range(BATCHES)]
    figures = dict(kept_memory=kept, start_up=time.perf_counter() - start)
    compiled, faults = counters['frames']['ok'], page_faults()
    print('ready', flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        losses.append(bench.step())
        print('done', time.process_time() - start, flush=True)
    steps = len(losses) - BATCHES
    figures |= dict(faults=(page_faults() - faults) / steps,
                    peak_mb=resource.getrusage(
                        resource.RUSAGE_SELF).ru_maxrss / 1024,
                    losses=losses)
    if device.type == 'cuda':
        figures['peak_mb'] = torch.cuda.max_memory_allocated(device) / 2**20
    if compiled:
        breaks = Counter()
        for reason, count in counters['graph_break'].items():
            breaks[reason.split('\n')[0]] += count
        figures |= dict(graphs=counters['stats']['unique_graphs'], breaks=breaks,
                        recompiled=counters['frames']['ok'] - compiled)
    print(json.dumps(figures))


class Process:
    """A process that serves steps of a recipe with a setting."""

    def __init__(self, name: str, setting: str, cache: str,
                 args: argparse.Namespace):
        self.process = subprocess.Popen(
            [sys.executable, __file__, '--serve', name, setting, '--batch',
             str(args.batch), '--device', args.device],
            env=dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.processor_seconds = []

    def wait_for(self, word: str) -> str:
        """Read until a line begins with this word, and give the rest."""
        for line in self.process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        raise ChildProcessError(f'{self.process.args} ended')

    def step(self) -> None:
        """Let it step once."""
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        self.processor_seconds.append(float(self.wait_for('done')))

    def end(self) -> dict:
        """Let it end, and take its figures."""
        self.process.stdin.close()
        figures = json.loads(self.process.stdout.read().splitlines()[-1])
        self.process.wait()
        return figures

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def run_recipe(name: str, settings: list[str], args: argparse.Namespace
               ) -> dict:
    """Rows of a recipe, by setting."""
    with contextlib.ExitStack() as stack:
        processes = {}
        for each in (PLAIN, *settings):
            cache = stack.enter_context(tempfile.TemporaryDirectory())
            processes[each] = Process(name, each, cache, args)
            stack.callback(processes[each].kill)
        for process in processes.values():
            process.wait_for('ready')
        seconds = measure(
            {each: process.step for each, process in processes.items()},
            args.rounds, torch.device('cpu'), name)
        figures = {each: process.end() for each, process in processes.items()}
    losses = {each: sum(values.pop('losses')[-BATCHES:])
              for each, values in figures.items()}
    return {setting: dict(
        milliseconds={each: 1e3 * statistics.median(seconds[each])
                      for each in (PLAIN, setting)},
        over_float32=ratios(seconds[setting], seconds[PLAIN]),
        processor_over_float32=ratios(*(
            processes[each].processor_seconds[1:] for each in (setting, PLAIN))),
        loss_difference=abs(losses[setting] / losses[PLAIN] - 1),
        figures={each: figures[each] for each in (PLAIN, setting)},
        batch=args.batch, rounds=args.rounds, steps=args.rounds + 1 + BATCHES,
        device=args.device, threads=torch.get_num_threads(),
        versions=dict(torch=torch.__version__,
                      python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__))
            for setting in settings}


def fits(setting: str, name: str, device: str) -> bool:
    """Whether a recipe can have a setting."""
    if setting == 'fused':
        return has_fused(Config.fromfile(str(ROOT / 'configs' / f'{name}.py')))
    return setting != 'kept memory' or device == 'cpu'


def print_rows(rows: dict) -> None:
    print(tabulate(
        [[name, setting, f'{row["milliseconds"][PLAIN]:.0f}',
          f'{row["milliseconds"][setting]:.0f}',
          text(row['over_float32']),
          text(row['processor_over_float32']),
          f'{100 * row["loss_difference"]:.2g} %',
          *(f'{figures[PLAIN][what]:.0f} → {figures[setting][what]:.0f}'
            for what in ('peak_mb', 'faults'))]
         for name in RECIPES for setting in SETTINGS
         if (row := rows.get(name, {}).get(setting))
         for figures in [row['figures']]],
        ['config', 'setting', 'float32, ms', 'with it, ms', 'over float32',
         'in processor time', 'loss differs', 'peak, MB', 'page faults a step'],
        tablefmt='github'), '\n')
    print(tabulate(
        [[name, f'{figures["start_up"]:.0f}', figures['graphs'],
          sum(figures['breaks'].values()), figures['recompiled']]
         for name in RECIPES if 'compile' in rows.get(name, {})
         for figures in [rows[name]['compile']['figures']['compile']]],
        ['compiled config', 'start-up, s', 'graphs', 'breaks',
         'compiled later'], tablefmt='github'))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--recipes', nargs='*', choices=RECIPES)
    parser.add_argument('--settings', nargs='*', choices=SETTINGS)
    parser.add_argument('--again', action='store_true',
                        help='measure rows that are there, too')
    parser.add_argument('--rounds', type=int, default=11)
    parser.add_argument('--batch', type=int, default=4, help='images')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--minutes', type=float, default=float('inf'),
                        help='start no more recipes after so long')
    parser.add_argument('--serve', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    device = torch.device(args.device)
    if args.serve:
        serve(*args.serve, args.batch, device)
        return

    file = results_file('training_step', device)
    rows = json.loads(file.read_text())['rows'] if file.exists() else {}
    deadline = time.monotonic() + 60 * args.minutes
    for name in args.recipes or RECIPES:
        settings = [each for each in args.settings or SETTINGS
                    if fits(each, name, device.type) and (
                        args.again or each not in rows.get(name, {}))]
        if settings and time.monotonic() < deadline:
            rows.setdefault(name, {}).update(run_recipe(name, settings, args))
            write_rows(file, dict(format=1, rows=rows), levels=3)
    print_rows(rows)


if __name__ == '__main__':
    main()
