"""Whole trainings of PoseCons and its kin on generated data."""

import json
import time
from pathlib import Path

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.engine.hooks import DualNetworkHook
from mmpose_wloss.models.wrapped_networks import network_state

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.registry import HOOKS
from small_trainings import (
    in_two_processes,
    same,
    shortened,
    train,
    train_and_kill,
    weights,
    without_validation,
)
from torch.multiprocessing import ProcessRaisedException

ROOT = Path(__file__).parents[2]
EMA = dict(type='ExponentialMovingAverage', momentum=0.1)


@pytest.fixture
def config(coco_root) -> Config:
    init_default_scope('mmpose')
    config = shortened(Config.fromfile(
        ROOT / 'configs' / 'demo' / 'posedual_resnet18_annypose.py'), coco_root,
        'DualNetworkHook')
    config.val_evaluator.metrics = config.test_evaluator.metrics = [
        dict(type='PCKAccuracy', thr=0.2)]
    network = config.model.network
    network.backbone.update(stem_channels=8, base_channels=8)
    network.head.update(in_channels=64, deconv_out_channels=(8, 8, 8, 8))
    return config


@pytest.mark.parametrize('kind, workers, teacher', [
    ('PoseDual', 0, 'train'), ('PoseDual', 1, EMA), ('PoseTriple', 0, 'train')])
def test_an_interrupted_training_ends_the_same(config, tmp_path, kind, workers,
                                               teacher):
    config.model.update(type=kind, teacher=teacher)
    expected = weights(train(config, tmp_path / 'whole', workers))
    train_and_kill(config, tmp_path / 'part', workers)
    resumed = weights(train(config, tmp_path / 'part', workers, resume=True))
    assert same(resumed, expected)
    # which what the networks were after the first epoch has a part in
    assert expected.get('rounds', 2) == 2


def test_a_training_on_frames_ends_the_same(config, tmp_path):
    """Clips stay together and are augmented alike, before and after a resume."""
    frames = config.train_dataloader.dataset.datasets[1]
    frames.update(ann_file='', clip_length=2)
    frames.pop('filter_cfg', None)
    config.model.temporal_loss = dict(
        type='TemporalSmoothnessLoss', epsilon=0., loss_weight=.1)
    config = without_validation(config)
    whole = train(config, tmp_path / 'whole', 1)
    train_and_kill(config, tmp_path / 'part', 1)
    resumed = train(config, tmp_path / 'part', 1, resume=True)
    assert same(weights(resumed), weights(whole))
    logged = whole.message_hub.get_scalar('train/first.loss_temporal').data[0]
    assert len(logged) == whole.iter and (logged > 0).any()


def test_an_iteration_based_training_ends_the_same(config, tmp_path, monkeypatch):
    """With workers: in the training process, hard views are drawn."""
    # MMEngine rests for 2 s between two passes over the data
    monkeypatch.setattr(time, 'sleep', lambda seconds: None)
    config = without_validation(config)
    config.train_cfg = dict(by_epoch=False, max_iters=4)
    config.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=2, by_epoch=False)
    config.param_scheduler = None
    expected = weights(train(config, tmp_path / 'whole', 1))
    resumed = weights(train(config, tmp_path / 'other', 1, resume=True,
                            load_from=str(tmp_path / 'whole' / 'iter_2.pth')))
    assert same(resumed, expected)


@pytest.mark.parametrize('kind, networks', [
    ('PoseDual', ['first', 'second']), ('PoseTriple', ['first', 'second', 'third'])])
def test_networks_are_written_at_the_end(config, tmp_path, kind, networks):
    config.model.update(type=kind, teacher=EMA)
    config.model.test_cfg = dict(predict_with='ema_first')
    config.default_hooks.checkpoint.update(save_best='PCK', rule='greater')
    runner = train(config, tmp_path)
    summary = json.loads((tmp_path / 'networks.json').read_text())
    names = [*networks, *(f'ema_{name}' for name in networks)]
    assert list(summary['checkpoints']) == names
    assert summary['metric'] == 'PCK'
    assert summary['best'] == max(names, key=summary['values'].get)
    for name in names:
        # strictly into the stock config
        model = init_model(str(tmp_path / summary['config']), None, 'cpu')
        checkpoint = torch.load(tmp_path / f'{name}.pth')
        model.load_state_dict(checkpoint['state_dict'], strict=True)
        assert same(model.state_dict(), network_state(
            runner.model.state_dict(), name))
        assert checkpoint['meta']['dataset_meta']['num_keypoints'] == 17
    assert type(model).__name__ == 'TopdownPoseEstimator'
    # what validation and training report goes to the log, under each name
    logged = set(runner.message_hub.log_scalars)
    assert {f'val/{name}/PCK' for name in (*names, 'ensemble')} <= logged
    assert 'val/PCK' in logged
    assert {f'train/{name}.{figure}_{part}' for name in networks
            for figure in ('peak', 'confident')
            for part in ('labeled', 'unlabeled')} <= logged
    # resumed after its end, it knows the best as before
    train(config, tmp_path, resume=True)
    assert json.loads((tmp_path / 'networks.json').read_text()) == summary


def test_hardness_is_logged_and_changes_no_training(config, tmp_path):
    config = without_validation(config)
    ends = []
    for interval in (0, 2):
        hook, = (hook for hook in config.custom_hooks
                 if hook.type == 'DualNetworkHook')
        hook.hardness_interval = interval
        runner = train(config, tmp_path / str(interval))
        ends.append(weights(runner))
        logged = runner.message_hub.log_scalars
        for name in ('first', 'second'):
            counts = logged.get(f'train/{name}.hardness')
            assert (counts is None) if interval == 0 else (
                len(counts.data[0]) == runner.iter // 2 > 0)
    assert same(*ends)


def test_networks_beside_an_ema_hook(config, tmp_path):
    """What is written is what a checkpoint holds: the averages."""
    train(without_validation(config), tmp_path,
          hooks=[dict(type='EMAHook', momentum=0.1)])
    whole = torch.load(tmp_path / 'epoch_2.pth')
    part = torch.load(tmp_path / 'first.pth')
    assert same(part['state_dict'], network_state(whole['state_dict'], 'first'))


@pytest.mark.parametrize('before, after, message', [
    (dict(type='PoseDual'),
     dict(network=dict(head=dict(deconv_out_channels=(8, 8, 8, 12)))),
     r'(?s)head.*\(8, 12, 4, 4\)'),
    (dict(type='PoseCons'), dict(type='PoseDual'), r'networks\.second'),
])
def test_resuming_from_another_network(config, tmp_path, before, after, message):
    config = without_validation(config)
    config.train_cfg.max_epochs = 1
    config.merge_from_dict(dict(model=before))
    train(config, tmp_path)
    config.train_cfg.max_epochs = 2
    config.merge_from_dict(dict(model=after))
    with pytest.raises(UserError, match=message):
        train(config, tmp_path, resume=True)
    # as a start, what fits is loaded as ever
    train(config, tmp_path / 'new', load_from=str(tmp_path / 'epoch_1.pth'))


@pytest.mark.parametrize('change, message', [
    (lambda config: config.train_dataloader.sampler.update(batch_size=2),
     'batch_size is 4.* 2'),
    (lambda config: setattr(config, 'model', config.model.network),
     'DualNetworkHook.*TopdownPoseEstimator'),
    (lambda config: config.custom_hooks.pop(), r'PoseDual.*DualNetworkHook'),
], ids=['batch sizes', 'no networks', 'no hook'])
def test_parts_that_do_not_fit(config, tmp_path, change, message):
    change(without_validation(config))
    with pytest.raises(UserError, match=message):
        train(config, tmp_path)


def test_bfloat16_and_channels_last(config, tmp_path):
    config.model.channels_last = True
    config.optim_wrapper.type = 'Bfloat16OptimWrapper'
    runner = train(config, tmp_path)
    assert all(value.isfinite().all() for value in weights(runner).values())


# each epoch is one pass over 6 people, of which a batch holds 2
@pytest.mark.parametrize('ramp, expected', [
    (dict(), [1] * 6),
    (dict(ramp='linear', ramp_length=1), [0, 1 / 3, 2 / 3, 1, 1, 1]),
    (dict(ramp='sigmoid', ramp_length=2),
     [np.exp(-5 * (1 - step / 6)**2) for step in range(6)]),
])
def test_ramps_of_the_consistency_weight(config, tmp_path, ramp, expected):
    config.custom_hooks = [dict(type='DualNetworkHook', **ramp)]
    config.model.consistency_weight = 3.
    runner = train(without_validation(config), tmp_path)
    logged = runner.message_hub.get_scalar('train/consistency_weight').data[0]
    assert np.allclose(logged, 3 * np.array(expected), atol=1e-4)


def test_a_resumed_ramp_goes_by_epochs(config, tmp_path):
    """Of two iterations, as with more processes, after one of three."""
    config.custom_hooks = [dict(type='DualNetworkHook', ramp='linear', ramp_length=2)]
    train(without_validation(config), tmp_path / 'first')
    loader = config.train_dataloader
    loader.batch_size = loader.sampler.batch_size = 8
    runner = train(config, tmp_path / 'resumed', resume=True,
                   load_from=str(tmp_path / 'first' / 'epoch_1.pth'))
    logged = runner.message_hub.get_scalar('train/consistency_weight').data[0]
    assert np.allclose(logged[-2:], [1 / 2, 3 / 4])


class FakeRunner:
    """As much of a runner as the watch needs."""

    def __init__(self, **peaks):
        self.messages = []
        self.logger = self
        self.iter = 99
        self.train_loop = type('Loop', (), dict(stop_training=False))()
        self.train_dataloader = range(7)
        self.message_hub = type('Hub', (), dict(log_scalars={
            f'train/{name}': HistoryBuffer([value] * 100, [1] * 100)
            for name, value in peaks.items()}))()

    def warning(self, message):
        self.messages.append(message)


@pytest.mark.parametrize('labeled, unlabeled, arguments, collapses', [
    (.7, .1, {}, True), (.7, .1, dict(on_collapse='stop'), True),
    (.7, .6, dict(on_collapse='stop'), False), (.1, .01, {}, False),
    (.7, .1, dict(collapse_ratio=0.), False), (.7, .1, dict(interval=7), False)])
def test_a_collapse_is_reported_once(labeled, unlabeled, arguments, collapses):
    hook = DualNetworkHook(**arguments)
    hook.model = type('Model', (), dict(networks=['first', 'second']))()
    runner = FakeRunner(**{
        'first.peak_labeled': labeled, 'first.peak_unlabeled': unlabeled,
        'second.peak_labeled': .8, 'second.peak_unlabeled': .8})
    for _ in range(3):
        hook.after_train_iter(runner, 0)
    assert len(runner.messages) == collapses
    assert all("'first'" in message for message in runner.messages)
    assert runner.train_loop.stop_training == (
        collapses and 'on_collapse' in arguments)


@pytest.mark.parametrize('arguments, message', [
    (dict(ramp='cosine'), "'cosine'"), (dict(ramp='linear'), 'ramp_length'),
    (dict(collapse_ratio=1.), 'collapse_ratio'), (dict(interval=0), 'interval'),
    (dict(hardness_interval=-1), 'hardness_interval'),
    (dict(on_collapse='raise'), "'raise'"), (dict(rule='max'), "'max'")])
def test_wrong_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        DualNetworkHook(**arguments)


@HOOKS.register_module()
class WitnessHook(Hook):
    """Keep what a rank sees and what it learns."""

    def before_train(self, runner):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append([(sample.metainfo['labeled'], sample.metainfo['id'])
                          for sample in data_batch['data_samples']])

    def after_train(self, runner):
        parameters = dict(runner.model.module.named_parameters())
        torch.save(dict(seen=self.seen, parameters=parameters),
                   Path(runner.work_dir, f'rank{get_rank()}.pth'))


@pytest.mark.parametrize('kind', ['PoseDual', 'PoseTriple'])
def test_two_processes(config, tmp_path, free_port, kind):
    """Networks equal on both ranks, each with samples of its own."""
    config = without_validation(config)
    config.model.type = kind
    config.update(launcher='pytorch', model_wrapper_cfg=dict(
        type='MMDistributedDataParallel', device_ids=None))
    hook, = (hook for hook in config.custom_hooks if hook.type == 'DualNetworkHook')
    hook.hardness_interval = 1
    config.custom_hooks.append(dict(type='WitnessHook'))
    in_two_processes(train, free_port, config, tmp_path)
    first, second = (torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2))
    assert same(first['parameters'], second['parameters'])
    assert len(first['seen']) == len(second['seen']) == 4
    for one, other in zip(first['seen'], second['seen'], strict=True):
        assert [labeled for labeled, _ in one] == [True, True, False, False]
        assert not {i for kind, i in one if not kind} & {
            i for kind, i in other if not kind}
    assert (tmp_path / 'networks.json').exists()


def test_two_processes_without_the_hook(config, tmp_path, free_port):
    config = without_validation(config)
    config.update(launcher='pytorch', custom_hooks=[], model_wrapper_cfg=dict(
        type='MMDistributedDataParallel', device_ids=None))
    with pytest.raises(ProcessRaisedException, match='DualNetworkHook'):
        in_two_processes(train, free_port, config, tmp_path)
