"""Whole trainings of PoseCons and PoseDual on generated data."""

import copy
import json
import os
import random
import subprocess
import sys
from pathlib import Path

from mmpose_wloss.engine.hooks import DualNetworkHook
from mmpose_wloss.models.wrapped_networks import network_state

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.apis import init_model
from mmpose.registry import HOOKS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'demo' / 'posedual_resnet18_annypose.py'
EMA = dict(type='ExponentialMovingAverage', momentum=0.1)


class Killed(Exception):
    """Stands for a killed process."""


@HOOKS.register_module()
class KillingHook(Hook):
    """Stop in the middle of an epoch."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1 and batch_idx == 1:
            raise Killed


@pytest.fixture
def config(coco_root) -> Config:
    init_default_scope('mmpose')
    config = Config.fromfile(CONFIG)
    config.train_cfg = dict(by_epoch=True, max_epochs=2, val_interval=2)
    config.train_dataloader.update(batch_size=4)
    config.train_dataloader.sampler.batch_size = 4
    for dataset in config.train_dataloader.dataset.datasets:
        dataset.update(
            data_root=str(coco_root), data_prefix=dict(img='train2017/'),
            ann_file='annotations/person_keypoints_train2017.json', indices=6)
    config.train_dataloader.dataset.datasets[0].indices = 3
    for loader in (config.val_dataloader, config.test_dataloader):
        loader.dataset.update(
            data_root=str(coco_root), data_prefix=dict(img='val2017/'),
            ann_file='annotations/person_keypoints_val2017.json')
    config.val_evaluator.metrics = config.test_evaluator.metrics = [
        dict(type='PCKAccuracy', thr=0.2)]
    network = config.model.network
    network.backbone.update(stem_channels=8, base_channels=8)
    network.head.update(in_channels=64, deconv_out_channels=(8, 8, 8, 8))
    config.default_hooks.logger.interval = 1
    config.default_hooks.pop('visualization')
    config.custom_hooks = [dict(type='ResumableRandomnessHook'),
                           dict(type='DualNetworkHook')]
    config.log_level = 'ERROR'
    return config


def train(config, work_dir, workers=0, **changes):
    config = copy.deepcopy(config)
    config.work_dir = str(work_dir)
    config.experiment_name = work_dir.name + str(random.random())
    config.train_dataloader.update(
        num_workers=workers, persistent_workers=workers > 0)
    config.update(changes)
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def weights(runner):
    return {name: value.clone() for name, value in
            runner.model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize('workers, teacher', [(0, 'train'), (2, EMA)])
def test_an_interrupted_training_ends_the_same(config, tmp_path, workers,
                                               teacher):
    config.model.teacher = teacher
    expected = weights(train(config, tmp_path / 'whole', workers))
    killing = [*config.custom_hooks, dict(type='KillingHook')]
    with pytest.raises(Killed):
        train(config, tmp_path / 'part', workers, custom_hooks=killing)
    resumed = weights(train(config, tmp_path / 'part', workers, resume=True))
    assert same(resumed, expected)
    other = weights(train(config, tmp_path / 'other', workers,
                          randomness=dict(seed=1)))
    assert not same(other, expected)


def test_networks_are_written_at_the_end(config, tmp_path):
    config.model.teacher = EMA
    config.model.test_cfg = dict(predict_with='ema_first')
    config.default_hooks.checkpoint.update(save_best='PCK', rule='greater')
    runner = train(config, tmp_path)
    # resumed after its end, it knows the best as before
    best = json.loads((tmp_path / 'networks.json').read_text())['best']
    train(config, tmp_path, resume=True)
    assert json.loads(
        (tmp_path / 'networks.json').read_text())['best'] == best
    summary = json.loads((tmp_path / 'networks.json').read_text())
    names = ['first', 'second', 'ema_first', 'ema_second']
    assert list(summary['checkpoints']) == names
    assert summary['metric'] == 'PCK'
    assert summary['best'] == max(names, key=summary['values'].get)
    assert not list(tmp_path.glob('*.partial'))
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
    assert {f'train/{name}.{figure}_{part}' for name in ('first', 'second')
            for figure in ('peak', 'confident')
            for part in ('labeled', 'unlabeled')} <= logged


def test_networks_beside_an_ema_hook(config, tmp_path):
    """What is written is what a checkpoint holds: the averages."""
    config.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    train(config, tmp_path)
    whole = torch.load(tmp_path / 'epoch_2.pth')
    part = torch.load(tmp_path / 'first.pth')
    assert same(part['state_dict'],
                network_state(whole['state_dict'], 'first'))


def test_an_iteration_based_training_ends_the_same(config, tmp_path):
    """With workers: in the training process, hard views are drawn."""
    config.train_cfg = dict(by_epoch=False, max_iters=5, val_interval=100)
    config.default_hooks.checkpoint.update(
        interval=2, by_epoch=False, max_keep_ckpts=-1)
    config.param_scheduler = None
    expected = weights(train(config, tmp_path / 'whole', 1))
    for file in (tmp_path / 'whole').glob('iter_[45].pth'):
        file.unlink()
    last = tmp_path / 'whole' / 'last_checkpoint'
    last.write_text(str(tmp_path / 'whole' / 'iter_2.pth'))
    resumed = weights(train(config, tmp_path / 'whole', 1, resume=True))
    assert same(resumed, expected)


def test_resuming_from_another_network(config, tmp_path):
    config.train_cfg.max_epochs = 1
    train(config, tmp_path)
    config.train_cfg.max_epochs = 2
    config.model.network.head.deconv_out_channels = (8, 8, 8, 12)
    with pytest.raises(ValueError, match='(?s)of another model.*head.*another '
                       'work_dir') as error:
        train(config, tmp_path, resume=True)
    assert '(8, 12, 4, 4) in the model' in str(error.value)
    # as a start, what fits is loaded as ever
    train(config, tmp_path / 'new', load_from=str(tmp_path / 'epoch_1.pth'))


def test_resuming_a_posecons_as_a_posedual(config, tmp_path):
    config.model.type = 'PoseCons'
    config.train_cfg.max_epochs = 1
    train(config, tmp_path)
    config.model.type = 'PoseDual'
    config.train_cfg.max_epochs = 2
    with pytest.raises(ValueError, match='(?s)networks.second.*absent in the '
                       'checkpoint'):
        train(config, tmp_path, resume=True)


def test_a_sampler_of_another_batch_size(config, tmp_path):
    config.train_dataloader.sampler.batch_size = 2
    with pytest.raises(ValueError, match='batch_size is 4.*batches of 2'):
        train(config, tmp_path)


def test_bfloat16_and_channels_last(config, tmp_path):
    config.model.channels_last = True
    config.optim_wrapper.type = 'Bfloat16OptimWrapper'
    runner = train(config, tmp_path)
    assert all(value.isfinite().all() for value in weights(runner).values())
    assert (tmp_path / 'first.pth').exists()


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
    runner = train(config, tmp_path, val_cfg=None, val_dataloader=None,
                   val_evaluator=None)
    logged = runner.message_hub.get_scalar('train/consistency_weight').data[0]
    assert np.allclose(logged, 3 * np.array(expected), atol=1e-4)


class FakeRunner:
    """As much of a runner as a look at the log needs."""

    def __init__(self, **peaks):
        self.messages = []
        self.logger = self
        self.iter = 99
        self.train_loop = type('Loop', (), dict(stop_training=False))()
        self.message_hub = type('Hub', (), dict(log_scalars={
            f'train/{name}': HistoryBuffer([value] * 100, [1] * 100)
            for name, value in peaks.items()}))()

    def warning(self, message):
        self.messages.append(message)


def look(labeled, unlabeled, **arguments):
    hook = DualNetworkHook(**arguments)
    hook.model = type('Model', (), dict(networks=['first', 'second']))()
    runner = FakeRunner(**{
        'first.peak_labeled': labeled, 'first.peak_unlabeled': unlabeled,
        'second.peak_labeled': .8, 'second.peak_unlabeled': .8})
    for _ in range(3):
        hook.after_train_iter(runner, 0)
    return runner


def test_a_collapse_is_reported_once():
    runner = look(.7, .1)
    assert len(runner.messages) == 1
    assert "'first' collapses" in runner.messages[0]
    assert '0.700' in runner.messages[0] and '0.100' in runner.messages[0]
    assert not runner.train_loop.stop_training


def test_a_collapse_can_stop_the_training():
    assert look(.7, .1, on_collapse='stop').train_loop.stop_training
    assert not look(.7, .6, on_collapse='stop').train_loop.stop_training


@pytest.mark.parametrize('labeled, unlabeled, arguments', [
    (.7, .5, {}), (.1, .01, {}), (.7, .1, dict(collapse_ratio=0.)),
    (.7, .1, dict(interval=7))])
def test_no_collapse(labeled, unlabeled, arguments):
    assert look(labeled, unlabeled, **arguments).messages == []


@pytest.mark.parametrize('arguments, message', [
    (dict(ramp='cosine'), "'cosine'"), (dict(ramp='linear'), 'ramp_length'),
    (dict(collapse_ratio=1.), 'collapse_ratio'),
    (dict(on_collapse='raise'), "'raise'"), (dict(rule='max'), "'max'")])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DualNetworkHook(**arguments)


def test_a_model_without_networks(config, tmp_path):
    config.model = config.model.network
    config.val_evaluator = config.val_evaluator.metrics
    with pytest.raises(TypeError, match='TopdownPoseEstimator'):
        train(config, tmp_path)


def test_two_processes(config, tmp_path, free_port):
    """Networks equal on both ranks, each with samples of its own."""
    config.custom_hooks = [*config.custom_hooks, dict(type='WitnessHook')]
    config.custom_imports = dict(
        imports=['mmpose_wloss', 'witness'], allow_failed_imports=False)
    config.dump(tmp_path / 'config.py')
    (tmp_path / 'witness.py').write_text('''
import json
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmpose.registry import HOOKS

@HOOKS.register_module()
class WitnessHook(Hook):
    def before_train(self, runner):
        self.seen = []
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append([(sample.metainfo['labeled'], sample.metainfo['id'])
                          for sample in data_batch['data_samples']])
    def after_train(self, runner):
        torch.save(dict(seen=self.seen, parameters=dict(
            runner.model.module.named_parameters())), f'rank{get_rank()}.pth')
''')
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2',
         f'--master_port={free_port}', ROOT / 'tools' / 'train.py', 'config.py',
         '--launcher', 'pytorch', '--work-dir', 'work'],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(tmp_path)))
    assert done.returncode == 0, done.stdout[-3000:]
    first, second = (torch.load(tmp_path / f'rank{rank}.pth')
                     for rank in range(2))
    assert same(first['parameters'], second['parameters'])
    assert len(first['seen']) == len(second['seen']) == 4
    for one, other in zip(first['seen'], second['seen'], strict=True):
        assert [labeled for labeled, _ in one] == [True, True, False, False]
        assert not {i for kind, i in one if not kind} & {
            i for kind, i in other if not kind}
    assert (tmp_path / 'work' / 'networks.json').exists()
