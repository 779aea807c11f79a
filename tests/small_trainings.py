"""Short trainings: begun, killed, resumed and compared."""

import copy
import itertools
import os

from mmpose_wloss.compat.process_groups import end_process_groups

import pytest
import torch
import torch.multiprocessing
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.registry import HOOKS

NUMBERS = itertools.count()


class Killed(Exception):
    """Stands for a killed process."""


@HOOKS.register_module()
class KillingHook(Hook):
    """Stop in the middle of the second epoch, or before an iteration."""

    def __init__(self, iteration=None):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if (runner.iter == self.iteration if self.iteration else
                runner.epoch == 1 and batch_idx == 1):
            raise Killed


def train(config, work_dir, workers=0, hooks=(), **changes):
    """Train by a changed copy of a config."""
    config = copy.deepcopy(config)
    config.work_dir = str(work_dir)
    # MMEngine keeps visualizers and logs by their names; seeds repeat random ones
    config.experiment_name = f'training {next(NUMBERS)}'
    config.visualizer = None
    config.train_dataloader.update(
        num_workers=workers, persistent_workers=workers > 0)
    config.update(changes)
    config.custom_hooks = [*config.custom_hooks, *hooks]
    runner = Runner.from_cfg(config)
    try:
        runner.train()
    finally:
        if workers:
            # as garbage they would be waited for, 5 s each time
            runner.train_dataloader._iterator._shutdown_workers()
    return runner


def shortened(config, root, hook):
    """A semi-supervised config for two epochs on the data of ``coco_root``."""
    config.train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=2)
    loader = config.train_dataloader
    loader.batch_size = loader.sampler.batch_size = 4
    parts = [(dataset, 'train2017') for dataset in loader.dataset.datasets]
    for (dataset, _), count in zip(parts, (3, 6), strict=True):
        dataset.indices = count
    for loader in (config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        parts.append((loader.dataset, 'val2017'))
    for dataset, folder in parts:
        dataset.pop('bbox_file', None)
        dataset.update(data_root=str(root), data_prefix=dict(img=f'{folder}/'),
                       ann_file=f'annotations/person_keypoints_{folder}.json')
    config.default_hooks.logger.interval = 1
    config.default_hooks.pop('visualization')
    config.custom_hooks = [dict(type='ResumableRandomnessHook'), dict(type=hook)]
    config.log_level = 'ERROR'
    return config


def without_validation(config):
    config.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    return config


def train_and_kill(config, work_dir, workers=0, **changes):
    """Begin a training that does not end its second epoch."""
    with pytest.raises(Killed):
        train(config, work_dir, workers, [dict(type='KillingHook')], **changes)


def weights(runner):
    return {name: value.clone() for name, value in
            runner.model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first)


def in_two_processes(function, port, *arguments):
    """Call a function as each of two ranks, which need not import all anew."""
    torch.multiprocessing.start_processes(
        _run_rank, (function, port, arguments), nprocs=2, start_method='fork')


def _run_rank(rank, function, port, arguments):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2',
                      MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.distributed.init_process_group('gloo')
    function(*arguments)
    end_process_groups()
