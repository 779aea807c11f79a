"""Heatmaps grow narrower with the epochs, whoever draws them."""

import math
from pathlib import Path

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.engine.hooks import SigmaDecayHook
from mmpose_wloss.engine.hooks.sigma_decay_hook import encoders_of
from mmpose_wloss.recipes import device_targets

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmpose.registry import HOOKS
from small_trainings import (
    in_two_processes,
    train,
    train_and_kill,
    without_validation,
)

DEMO = Path(__file__).parents[3] / 'configs' / 'demo'
SIGMA, DECAY = 2., 0.8


@HOOKS.register_module()
class SigmasSeenHook(Hook):
    """Measures the sigma of the heatmaps that the network is taught."""

    # after DeviceTargetsHook
    priority = 'VERY_LOW'

    def __init__(self):
        self.sigmas = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for sample in data_batch['data_samples']:
            heatmaps = sample.gt_fields.heatmaps.flatten(1)
            heatmap = heatmaps[heatmaps.amax(1) == 1][0]
            # beside a peak of 1, at a distance of 1
            beside = float(heatmap[heatmap < 1].max())
            self.sigmas.append((runner.epoch, (-2 * math.log(beside))**-0.5))


@pytest.fixture
def config(coco_root) -> Config:
    init_default_scope('mmpose')
    config = without_validation(Config.fromfile(DEMO / 'resnet18_mse_annypose.py'))
    config.train_cfg.max_epochs = 3
    config.model.backbone.update(stem_channels=8, base_channels=8)
    config.model.head.update(in_channels=64, deconv_out_channels=(8, 8, 8, 8))
    codec = dict(type='HourglassHeatmap', input_size=(64, 64), heatmap_size=(32, 32),
                 sigma=SIGMA)
    config.model.head.decoder = codec
    config.train_dataloader.batch_size = 2
    dataset = config.train_dataloader.dataset
    dataset.pipeline[-2].encoder = codec
    dataset.update(data_root=str(coco_root), data_prefix=dict(img='train2017/'),
                   indices=4, ann_file='annotations/person_keypoints_train2017.json')
    config.custom_hooks = [
        dict(type='ResumableRandomnessHook'),
        dict(type='SigmaDecayHook', decay=DECAY), dict(type='SigmasSeenHook')]
    config.log_level = 'ERROR'
    return config


def seen(runner) -> list:
    return next(hook.sigmas for hook in runner.hooks
                if isinstance(hook, SigmasSeenHook))


def check(sigmas, epochs=range(3), each=4):
    assert [epoch for epoch, _ in sigmas] == [
        epoch for epoch in epochs for _ in range(each)]
    for epoch, sigma in sigmas:
        assert sigma == pytest.approx(SIGMA * DECAY**(epoch + 1), rel=1e-4)


@pytest.mark.parametrize('workers', [0, 2])
def test_every_epoch_has_its_sigma(config, tmp_path, workers):
    # which begins workers anew in each epoch
    config.custom_hooks = [hook for hook in config.custom_hooks
                           if hook.type != 'ResumableRandomnessHook']
    runner = train(config, tmp_path, workers)
    check(seen(runner))
    logged = runner.message_hub.get_scalar('train/sigma').data[0]
    assert logged[-1] == pytest.approx(SIGMA * DECAY**3)
    # the codec is what it was, for a next training
    assert [codec.sigma for codec in encoders_of(
        runner.train_dataloader.dataset)] == [SIGMA]


def test_targets_on_the_device_have_it(config, tmp_path):
    check(seen(train(device_targets(config), tmp_path, 1)))


def test_data_sets_within_others(config, tmp_path):
    dataset = config.train_dataloader.dataset
    config.train_dataloader.dataset = dict(
        type='CombinedDataset', datasets=[dataset, dataset],
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'))
    check(seen(train(config, tmp_path, 1)), each=8)


def test_a_resumed_training_goes_on_with_it(config, tmp_path):
    train_and_kill(config, tmp_path, 1)
    check(seen(train(config, tmp_path, 1, resume=True)), range(1, 3))


def train_one_rank(config, folder):
    torch.save(seen(train(config, folder, 1)), folder / f'rank{get_rank()}.pth')


def test_two_processes_have_the_same(config, tmp_path, free_port):
    config.update(launcher='pytorch', model_wrapper_cfg=dict(
        type='MMDistributedDataParallel', device_ids=None))
    in_two_processes(train_one_rank, free_port, config, tmp_path)
    for rank in range(2):
        check(torch.load(tmp_path / f'rank{rank}.pth'), each=2)


def test_what_cannot_decay_is_refused(config, tmp_path):
    for decay in (0, 1.1, float('nan')):
        with pytest.raises(UserError, match='decay'):
            SigmaDecayHook(decay)
    loop = config.train_cfg
    config.train_cfg = dict(by_epoch=False, max_iters=2)
    with pytest.raises(UserError, match='IterBasedTrainLoop'):
        train(config, tmp_path, param_scheduler=[])
    config.train_cfg = loop
    with pytest.raises(UserError, match='PipelineSwitch'):
        train(config, tmp_path, hooks=[dict(
            type='mmdet.PipelineSwitchHook', switch_epoch=1,
            switch_pipeline=config.train_dataloader.dataset.pipeline)])
    config.train_dataloader.dataset.pipeline[-2].encoder = dict(
        type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(32, 32), sigma=2)
    with pytest.raises(UserError, match='MSRAHeatmap'):
        train(config, tmp_path)
