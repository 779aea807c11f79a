import copy
import random

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import HOOKS

from mmpose_wloss.engine.hooks import ResumableRandomnessHook, SeedSample

CONFIG = 'configs/demo/resnet18_fmse_annypose.py'
EPOCHS = 3


class Interruption(Exception):
    """Stands for a killed process."""


@HOOKS.register_module()
class InterruptingHook(Hook):
    """Stop in the middle of an epoch."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1 and batch_idx == 1:
            raise Interruption


@HOOKS.register_module()
class DrawingHook(Hook):
    """Draw in the main process, as a dropout does."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for image in data_batch['inputs']:
            image += torch.randint(0, 20, image.shape, dtype=image.dtype)


@pytest.fixture
def config(coco_root, request):
    root = request.config.rootpath
    config = Config.fromfile(str(root / CONFIG))
    init_default_scope('mmpose')
    config.train_cfg = dict(by_epoch=True, max_epochs=EPOCHS)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.test_cfg = config.test_dataloader = config.test_evaluator = None
    config.train_dataloader.batch_size = 2
    config.train_dataloader.dataset.update(
        data_root=str(coco_root), data_prefix=dict(img='train2017/'),
        ann_file='annotations/person_keypoints_train2017.json')
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    config.default_hooks.pop('visualization')
    config.custom_hooks = [dict(type='ResumableRandomnessHook'),
                           dict(type='DrawingHook')]
    config.log_level = 'ERROR'
    return config


def train(config, work_dir, workers=0, persistent=False, **changes):
    config = copy.deepcopy(config)
    config.work_dir = str(work_dir)
    config.experiment_name = work_dir.name + str(random.random())
    config.train_dataloader.update(
        num_workers=workers, persistent_workers=persistent)
    config.update(changes)
    runner = Runner.from_cfg(config)
    runner.train()
    return {name: value.clone() for name, value in
            runner.model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize('workers, persistent', [(0, False), (2, True)])
def test_an_interrupted_training_ends_the_same(config, tmp_path, workers,
                                               persistent):
    whole = train(config, tmp_path / 'whole', workers, persistent)
    with pytest.raises(Interruption):
        train(config, tmp_path / 'parts', workers, persistent,
              custom_hooks=[*config.custom_hooks,
                            dict(type='InterruptingHook')])
    parts = train(config, tmp_path / 'parts', workers, persistent, resume=True)
    assert same(whole, parts)


def test_a_training_without_a_seed_resumes_with_its_own(config, tmp_path):
    config.randomness = dict(seed=None)
    with pytest.raises(Interruption):
        train(config, tmp_path / 'parts',
              custom_hooks=[*config.custom_hooks,
                            dict(type='InterruptingHook')])
    checkpoint = torch.load(tmp_path / 'parts' / 'epoch_1.pth')
    parts = train(config, tmp_path / 'parts', resume=True)
    whole = train(config, tmp_path / 'whole',
                  randomness=dict(seed=checkpoint['meta']['seed']))
    assert same(whole, parts)


def test_workers_do_not_change_the_result(config, tmp_path):
    results = [train(config, tmp_path / f'{workers}{persistent}', workers,
                     persistent)
               for workers, persistent in ((0, False), (1, True), (2, False))]
    assert same(results[0], results[1])
    assert same(results[0], results[2])


def test_seeds_and_epochs_differ(config, tmp_path):
    first = train(config, tmp_path / 'first')
    other = train(config, tmp_path / 'other', randomness=dict(seed=1))
    assert not same(first, other)


def test_a_sample_draws_by_seed_epoch_and_index():
    epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def draw(seed, index):
        SeedSample(seed, epoch)(dict(sample_idx=index))
        return np.random.rand(), random.random()

    first = draw(0, 0)
    assert draw(0, 0) == first
    assert draw(1, 0) != first
    assert draw(0, 1) != first
    epoch.fill_(1)
    assert draw(0, 0) != first


def test_iteration_based_loops_keep_their_stream(config, tmp_path):
    config.train_cfg = dict(by_epoch=False, max_iters=4)
    config.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    config.param_scheduler = []
    config.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=2, by_epoch=False)
    seen = []

    @HOOKS.register_module(force=True)
    class RecordingHook(Hook):

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            seen.append(data_batch['data_samples'][0].img_id)

    config.custom_hooks = [dict(type='ResumableRandomnessHook'),
                           dict(type='RecordingHook')]
    train(config, tmp_path / 'whole')
    whole, seen[:] = list(seen), []
    checkpoint = str(tmp_path / 'whole' / 'iter_2.pth')
    # its own seed comes from the checkpoint, though the config says another
    train(config, tmp_path / 'resumed', resume=True, load_from=checkpoint,
          randomness=dict(seed=7))
    assert seen == whole[2:]


def test_registered():
    assert HOOKS.get('ResumableRandomnessHook') is ResumableRandomnessHook
