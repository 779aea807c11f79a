"""What weighting by pose density costs a training.

Compares, in alternating rounds of one run, the loading of a sample with and
without ``PoseDensityWeights``, and a training step with ``PoseDensityHook`` in
its dearest state (a ramp, the losses watched) and without. Uses the demo's
network on the embedded data set.
"""

import argparse
import platform
import tempfile
import time
from pathlib import Path

from mmpose_wloss.datasets import collect_poses, fit_pose_density
from mmpose_wloss.datasets.transforms.pose_density_weights import (
    multiply_pose_weights,
)
from mmpose_wloss.engine.hooks import PoseDensityHook

import numpy as np
import torch
from json_rows import write_rows
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import DATASETS
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'pose_weights_step.json'
CONFIG = 'configs/demo/resnet18_wloss_annypose.py'


def make_runner(folder: str) -> Runner:
    config = Config.fromfile(str(ROOT / CONFIG))
    init_default_scope('mmpose')
    dataset = config.train_dataloader.dataset
    dataset.data_root = str(ROOT / dataset.data_root)
    file = f'{folder}/weights.npz'
    fit_pose_density(collect_poses(DATASETS.build(
        dict(dataset, pipeline=[])))).save(file)
    for step in dataset.pipeline:
        if step.type == 'PoseDensityWeights':
            step.file = file
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg',
                'test_dataloader', 'test_evaluator'):
        config[key] = None
    config.default_hooks.pop('pose_density')
    config.work_dir, config.log_level = folder, 'ERROR'
    return Runner.from_cfg(config)


def alternate(first, second, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of both in each round, whoever begins."""
    seconds = np.empty((2, rounds))
    for index in range(rounds):
        order = [(0, first), (1, second)]
        for place, function in order if index % 2 else order[::-1]:
            start = time.perf_counter()
            function()
            seconds[place, index] = time.perf_counter() - start
    return seconds[0], seconds[1]


def loading(dataset, rounds: int, samples: int) -> tuple:
    whole = dataset.pipeline.transforms
    without = [step for step in whole
               if type(step).__name__ != 'PoseDensityWeights']

    def load(steps: list) -> None:
        dataset.pipeline.transforms = steps
        for index in range(samples):
            dataset[index]

    seconds = alternate(lambda: load(whole), lambda: load(without), rounds)
    dataset.pipeline.transforms = whole
    return seconds


def stepping(runner: Runner, rounds: int, steps: int) -> tuple:
    hook = PoseDensityHook(ramp=1e6, interval=steps)
    wrapper = runner.optim_wrapper
    batch = next(iter(runner.train_dataloader))
    runner.train_loop._iter = 1
    hook.before_train(runner)

    def train(hooked: bool) -> None:
        for loss in hook.losses:
            loss.begin({})  # with which nothing is summed
        for index in range(steps):
            data = dict(inputs=batch['inputs'], data_samples=[
                sample.clone() for sample in batch['data_samples']])
            if hooked:
                hook.before_train_iter(runner, index, data)
            else:
                multiply_pose_weights(data['data_samples'])
            runner.model.train_step(data, wrapper)
            if hooked:
                hook.after_train_iter(runner, index, data)

    train(True)
    return alternate(lambda: train(True), lambda: train(False), rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=12)
    parser.add_argument('--samples', type=int, default=200)
    parser.add_argument('--steps', type=int, default=10)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        runner = make_runner(folder)
        runner.model.train()
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        for name, count, seconds in (
                ('loading a sample', args.samples,
                 loading(runner.train_dataloader.dataset, args.rounds,
                         args.samples)),
                ('a step, batch 32', args.steps,
                 stepping(runner, args.rounds, args.steps))):
            ratios = seconds[0] / seconds[1]
            rows.append(dict(
                what=name,
                milliseconds_without=1e3 * np.median(seconds[1]) / count,
                ratio=np.median(ratios),
                low=np.quantile(ratios, 0.25), high=np.quantile(ratios, 0.75)))
    print(tabulate(rows, 'keys', tablefmt='github', floatfmt='.4g'))
    write_rows(RESULTS, dict(
        rounds=args.rounds, threads=torch.get_num_threads(),
        torch=torch.__version__, python=platform.python_version(),
        rows=rows))


if __name__ == '__main__':
    main()
