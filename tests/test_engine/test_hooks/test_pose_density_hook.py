"""Weights that set in when they should, on losses that weigh by them."""

import copy
import json
import os
import random
import subprocess
import sys
from pathlib import Path

from mmpose_wloss.datasets import collect_poses, fit_pose_density
from mmpose_wloss.engine.hooks import PoseDensityHook

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.datasets.datasets import CocoDataset
from mmpose.registry import DATASETS, HOOKS

ROOT = Path(__file__).parents[3]
DEMO = ROOT / 'configs' / 'demo'


class Stopped(Exception):
    """Stands for a killed process."""


@HOOKS.register_module()
class WitnessingHook(Hook):
    """Note what the model sees, and stop where asked to."""

    priority = 'VERY_LOW'
    stop_at = None

    def before_train(self, runner):
        runner.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.stop_at:
            raise Stopped
        runner.seen += [
            (runner.iter, sample.metainfo['id'],
             sample.gt_instance_labels.keypoint_weights.max().item())
            for sample in data_batch['data_samples']]


@pytest.fixture(scope='module')
def artefact(coco_root, tmp_path_factory):
    init_default_scope('mmpose')
    poses = collect_poses(DATASETS.build(dict(
        type='CocoDataset', data_root=str(coco_root),
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'))))
    artefact = fit_pose_density(poses, components=2)
    file = str(tmp_path_factory.mktemp('density') / 'density.npz')
    artefact.save(file)
    return type(artefact).load(file)


def use(config, coco_root, file):
    """Six people in three batches, validated never."""
    config.train_cfg = dict(by_epoch=True, max_epochs=3)
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg',
                'test_dataloader', 'test_evaluator'):
        config[key] = None
    config.train_dataloader.batch_size = 2
    config.train_dataloader.dataset.update(
        data_root=str(coco_root), data_prefix=dict(img='train2017/'),
        ann_file='annotations/person_keypoints_train2017.json')
    for step in config.train_dataloader.dataset.pipeline:
        if step.type == 'PoseDensityWeights':
            step.file = file
    config.default_hooks.pop('visualization')
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    config.custom_hooks = [dict(type='ResumableRandomnessHook'),
                           dict(type='WitnessingHook')]
    config.log_level = 'ERROR'
    return config


@pytest.fixture
def config(coco_root, artefact):
    init_default_scope('mmpose')
    return use(Config.fromfile(DEMO / 'deeppose_resnet18_wloss_annypose.py'),
               coco_root, artefact.path)


def train(config, work_dir, workers=0, persistent=False, **hook):
    config = copy.deepcopy(config)
    config.work_dir = str(work_dir)
    config.experiment_name = work_dir.name + str(random.random())
    config.train_dataloader.update(
        num_workers=workers, persistent_workers=persistent)
    if 'pose_density' in config.default_hooks:
        config.default_hooks.pose_density.update(hook)
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def state(runner):
    return {name: value.clone()
            for name, value in runner.model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first)


def without_weights(config):
    config = copy.deepcopy(config)
    dataset = config.train_dataloader.dataset
    dataset.pipeline = [step for step in dataset.pipeline
                        if step.type != 'PoseDensityWeights']
    config.default_hooks.pop('pose_density')
    return config


@pytest.mark.parametrize('name', ['deeppose_resnet18', 'resnet18'])
def test_the_unweighted_twin_is_the_stock_training(name, coco_root, artefact,
                                                   tmp_path):
    init_default_scope('mmpose')
    config = use(Config.fromfile(DEMO / f'{name}_wloss_annypose.py'),
                 coco_root, artefact.path)
    stock = state(train(without_weights(config), tmp_path / 'stock'))
    twin = state(train(config, tmp_path / 'twin', weighted=False))
    weighted = state(train(config, tmp_path / 'weighted'))
    assert same(stock, twin) and not same(stock, weighted)


@pytest.mark.parametrize('hook, expected, workers', [
    (dict(), [1.] * 9, 0),
    (dict(weighted=False), [0.] * 9, 0),
    (dict(begin=1), [0.] * 3 + [1.] * 6, 0),
    (dict(begin=1, ramp=1), [0.] * 4 + [1 / 3, 2 / 3] + [1.] * 3, 2),
])
def test_weights_set_in(config, artefact, tmp_path, hook, expected, workers):
    runner = train(config, tmp_path, workers, workers > 0, **hook)
    weights = artefact.by_id()
    assert len(runner.seen) == 18
    for step, identity, seen in runner.seen:
        if seen == 0:  # no joint within the input
            continue
        assert seen == pytest.approx(
            1 + expected[step] * (weights[identity] - 1), rel=1e-5)


def test_weights_set_in_by_iterations(config, artefact, tmp_path):
    config.train_cfg = dict(by_epoch=False, max_iters=6)
    config.default_hooks.checkpoint.by_epoch = False
    config.train_dataloader.sampler = dict(type='InfiniteSampler')
    runner = train(config, tmp_path, begin=2, ramp=2)
    weights = artefact.by_id()
    strengths = [0., 0., 0., 0.5, 1., 1.]
    for step, identity, seen in runner.seen:
        assert seen in (0, pytest.approx(
            1 + strengths[step] * (weights[identity] - 1), rel=1e-5))


@pytest.mark.parametrize('workers', [0, 2])
def test_an_interrupted_training_ends_the_same(config, tmp_path, monkeypatch,
                                               workers):
    hook = dict(begin=1, ramp=1.5)
    whole = state(train(config, tmp_path / 'whole', workers, workers > 0,
                        **hook))
    monkeypatch.setattr(WitnessingHook, 'stop_at', 5)
    with pytest.raises(Stopped):
        train(config, tmp_path / 'stopped', workers, workers > 0, **hook)
    monkeypatch.setattr(WitnessingHook, 'stop_at', None)
    config.resume = True
    resumed = train(config, tmp_path / 'stopped', workers, workers > 0, **hook)
    assert same(whole, state(resumed))


def test_the_log_says_what_weights_do(config, artefact, tmp_path):
    runner = train(config, tmp_path, interval=3)
    scalars = runner.message_hub.log_scalars
    figures = {name: scalars[f'train/pose_density/{name}'].data[0]
               for name in ('effective_sample_size', 'weighted', 'unweighted')}
    assert all(len(figure) == 3 for figure in figures.values())
    # an epoch is three iterations
    torch.testing.assert_close(
        torch.tensor(figures['effective_sample_size']),
        torch.full((3, ), artefact.effective_sample_size), check_dtype=False)
    losses = scalars['train/loss_kpt'].data[0].reshape(3, 3).mean(1)
    assert figures['weighted'] == pytest.approx(losses, rel=1e-5)
    twin = train(config, tmp_path / 'twin', interval=3, weighted=False)
    scalars = twin.message_hub.log_scalars
    weighted, unweighted = (
        scalars[f'train/pose_density/{name}'].data[0]
        for name in ('weighted', 'unweighted'))
    assert weighted == pytest.approx(unweighted, rel=1e-6)
    assert figures['unweighted'] != pytest.approx(figures['weighted'],
                                                  rel=1e-3)


def test_the_unweighted_loss_is_the_loss_without_weights(config, tmp_path):
    # of the first step, before the networks part
    config.train_cfg.max_epochs = 1
    config.train_dataloader.batch_size = 6
    runner = train(config, tmp_path / 'weighted', interval=1)
    scalars = runner.message_hub.log_scalars
    unweighted = scalars['train/pose_density/unweighted'].data[0][0]
    stock = train(without_weights(config), tmp_path / 'stock')
    assert unweighted == pytest.approx(
        stock.message_hub.log_scalars['train/loss_kpt'].data[0][0], rel=1e-5)


@pytest.mark.parametrize('loss, message', [
    (dict(type='MSELoss', use_target_weight=True), '4 times the loss'),
    (dict(type='SmoothL1Loss', use_target_weight=True),
     'InstanceWeightedLoss'),
    (dict(type='L1Loss', use_target_weight=False), 'use_target_weight=True'),
])
def test_losses_that_do_not_weigh_linearly_are_refused(config, tmp_path, loss,
                                                       message):
    config.model.head.loss = loss
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path)
    assert not (tmp_path / 'epoch_1.pth').exists()


@pytest.mark.parametrize('loss', [
    dict(type='L1Loss', use_target_weight=True),
    dict(type='InstanceWeightedLoss',
         loss=dict(type='SmoothL1Loss', use_target_weight=True)),
])
def test_losses_that_weigh_linearly(config, tmp_path, loss):
    config.model.head.loss = loss
    config.train_cfg.max_epochs = 1
    train(config, tmp_path)


def test_a_combined_target_is_refused_or_wrapped(coco_root, artefact,
                                                 tmp_path):
    init_default_scope('mmpose')
    config = use(Config.fromfile(DEMO / 'resnet18_wloss_annypose.py'),
                 coco_root, artefact.path)
    config.train_cfg.max_epochs = 1
    codec = dict(type='UDPHeatmap', input_size=(64, 64), heatmap_size=(32, 32),
                 heatmap_type='combined')
    combined = dict(type='CombinedTargetMSELoss', use_target_weight=True)
    config.model.head.update(loss=combined, decoder=codec,
                             out_channels=3 * 17)
    config.model.train_cfg = dict(compute_acc=False)
    for step in config.train_dataloader.dataset.pipeline:
        if step.type == 'GenerateTarget':
            step.encoder = codec
    with pytest.raises(ValueError, match="type='CombinedTargetMSELoss'"):
        train(config, tmp_path / 'refused')
    config.model.head.loss = dict(type='InstanceWeightedLoss', loss=combined)
    train(config, tmp_path / 'wrapped')


def test_a_loss_with_its_weights_elsewhere(config, tmp_path):
    # output, sigma, target, weights; and it may be below 0
    config.model.head.update(type='RLEHead', loss=dict(
        type='RLELoss', use_target_weight=True))
    config.model.head.decoder = dict(type='RegressionLabel',
                                     input_size=(64, 64))
    runner = train(config, tmp_path, interval=3)
    scalars = runner.message_hub.log_scalars
    losses = scalars['train/loss_kpt'].data[0].reshape(3, 3).mean(1)
    weighted = scalars['train/pose_density/weighted'].data[0]
    assert weighted == pytest.approx(losses, rel=1e-4)


def test_a_head_that_learns_the_weights_is_refused(config, tmp_path):
    config.model.head = dict(
        type='VisPredictHead', pose_cfg=config.model.head,
        loss=dict(type='BCELoss', use_target_weight=True))
    with pytest.raises(TypeError, match='visibilities'):
        train(config, tmp_path)


def test_stages_of_a_network_are_summed(coco_root, artefact, tmp_path):
    init_default_scope('mmpose')
    config = use(Config.fromfile(DEMO / 'resnet18_wloss_annypose.py'),
                 coco_root, artefact.path)
    config.train_cfg.max_epochs = 1
    config.model.backbone = dict(type='CPM', in_channels=3, out_channels=17,
                                 feat_channels=8, num_stages=2)
    config.model.head = dict(
        type='CPMHead', in_channels=17, out_channels=17, num_stages=2,
        deconv_out_channels=None, final_layer=None,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=dict(type='MSRAHeatmap', input_size=(64, 64),
                     heatmap_size=(8, 8), sigma=1.))
    for step in config.train_dataloader.dataset.pipeline:
        if step.type == 'GenerateTarget':
            step.encoder = config.model.head.decoder
    runner = train(config, tmp_path, interval=1)
    scalars = runner.message_hub.log_scalars
    assert scalars['train/pose_density/weighted'].data[0] == pytest.approx(
        scalars['train/loss_kpt'].data[0], rel=1e-5)


def test_both_stages_of_a_pipeline_weigh(config, artefact, tmp_path):
    pipeline = config.train_dataloader.dataset.pipeline
    config.custom_hooks.append(dict(
        type='mmpose_wloss_SwitchHook', switch_pipeline=[
            step for step in pipeline if step.type != 'PoseDensityWeights']))

    @HOOKS.register_module(name='mmpose_wloss_SwitchHook', force=True)
    class SwitchHook(Hook):

        def __init__(self, switch_pipeline):
            self.switch_pipeline = switch_pipeline

    with pytest.raises(ValueError, match='weighs by nothing'):
        train(config, tmp_path)
    config.custom_hooks[-1]['switch_pipeline'] = pipeline
    config.train_cfg.max_epochs = 1
    train(config, tmp_path)


def test_batches_without_a_weighted_sample(config, artefact, tmp_path):
    dataset = config.train_dataloader.dataset
    *dataset.pipeline, pack = dataset.pipeline
    plain = copy.deepcopy(dataset)
    plain.pipeline = [step for step in plain.pipeline
                      if step.type != 'PoseDensityWeights']
    config.train_dataloader.dataset = dict(
        type='CombinedDataset', metainfo=dict(
            from_file='configs/_base_/datasets/coco.py'),
        datasets=[dataset, plain], pipeline=[pack])
    config.train_dataloader.batch_size = 1
    config.train_cfg.max_epochs = 1
    runner = train(config, tmp_path)
    weights = artefact.by_id()
    plain = [seen == pytest.approx(1) for _, _, seen in runner.seen if seen]
    assert any(plain) and not all(plain)
    assert {identity for _, identity, _ in runner.seen} == set(weights)


def test_a_loss_that_is_never_called_with_the_weights(config, tmp_path,
                                                      monkeypatch):
    monkeypatch.setattr(PoseDensityHook, '_factors_of', lambda *_: None)
    warned = []
    monkeypatch.setattr(MMLogger, 'warning',
                        lambda _, text, *__: warned.append(text))
    config.train_cfg.max_epochs = 1
    train(config, tmp_path, interval=3)
    assert any('cannot tell whether pose weights count' in text
               for text in warned)


def test_bfloat16(config, coco_root, artefact, tmp_path):
    config = use(Config.fromfile(DEMO / 'resnet18_wloss_annypose.py'),
                 coco_root, artefact.path)
    config.optim_wrapper.type = 'Bfloat16OptimWrapper'
    config.model.train_cfg = dict(compute_acc=False)
    config.train_cfg.max_epochs = 1
    runner = train(config, tmp_path, interval=3)
    assert runner.message_hub.get_scalar(
        'train/pose_density/unweighted').current() > 0


def test_other_annotations_are_refused(config, coco_root, artefact, tmp_path):
    file = 'annotations/person_keypoints_train2017.json'
    content = json.loads((coco_root / file).read_text())
    content['info'] = 'another'
    other = tmp_path / 'other.json'
    other.write_text(json.dumps(content))
    config.train_dataloader.dataset.ann_file = str(other)
    with pytest.raises(ValueError, match='other.json'):
        train(config, tmp_path / 'work')


def test_other_joints_are_refused(config, monkeypatch, tmp_path):
    info = CocoDataset._load_metainfo

    def renamed(metainfo=None):
        metainfo = info(metainfo)
        names = metainfo['keypoint_id2name']
        names[0], names[1] = names[1], names[0]
        return metainfo

    monkeypatch.setattr(CocoDataset, '_load_metainfo',
                        staticmethod(renamed))
    with pytest.raises(ValueError, match='the data set coco in training has '
                       'left_eye, nose'):
        train(config, tmp_path)


def test_what_is_missing_is_named(config, tmp_path):
    pipeline = config.train_dataloader.dataset.pipeline
    pipeline[-1] = dict(type='PackPoseInputs', meta_keys=('id', ))
    with pytest.raises(KeyError, match='meta_keys of PackPoseInputs'):
        train(config, tmp_path)
    config.train_dataloader.dataset.pipeline = [
        step for step in pipeline if step['type'] != 'PoseDensityWeights']
    with pytest.raises(ValueError, match='no PoseDensityWeights'):
        train(config, tmp_path)
    for wrong in (dict(begin=-1), dict(ramp=-1), dict(interval=0)):
        with pytest.raises(ValueError, match='at least'):
            PoseDensityHook(**wrong)


@pytest.mark.parametrize('place', ['labelled', 'all'])
def test_with_unlabelled_images(coco_root, artefact, tmp_path, place):
    config = Config.fromfile(DEMO / 'posedual_resnet18_annypose.py')
    init_default_scope('mmpose')
    both = config.train_dataloader.dataset
    for dataset in both.datasets:
        dataset.update(
            data_root=str(coco_root), data_prefix=dict(img='train2017/'),
            ann_file='annotations/person_keypoints_train2017.json', indices=6)
    step = dict(type='PoseDensityWeights', file=artefact.path)
    if place == 'labelled':
        both.datasets[0].pipeline = [*both.datasets[0].pipeline, step]
    else:  # on unlabelled samples it does nothing
        both.pipeline = [step, *both.pipeline]
    config.train_cfg = dict(by_epoch=True, max_epochs=1)
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg',
                'test_dataloader', 'test_evaluator'):
        config[key] = None
    config.train_dataloader.update(batch_size=4)
    config.train_dataloader.sampler.batch_size = 4
    config.default_hooks.pop('visualization')
    config.default_hooks.pose_density = dict(type='PoseDensityHook',
                                             interval=1)
    config.log_level = 'ERROR'
    runner = train(config, tmp_path)
    scalars = runner.message_hub.log_scalars
    for network, name in enumerate(('first', 'second')):
        weighted, unweighted = (
            scalars[f'train/pose_density/{kind}{network}'].data[0]
            for kind in ('weighted', 'unweighted'))
        # a half of the loss, on a half of the batch
        assert weighted == pytest.approx(
            4 * scalars[f'train/{name}.loss_kpt'].data[0], rel=1e-4)
        assert unweighted != pytest.approx(weighted, rel=1e-3)


def test_several_processes(config, artefact, tmp_path, free_port):
    config = copy.deepcopy(config)
    config.train_cfg.max_epochs = 1
    config.train_dataloader.batch_size = 1
    config.custom_hooks = []
    config.default_hooks.pose_density.update(interval=1, ramp=1)
    config.dump(str(tmp_path / 'config.py'))
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2',
         f'--master_port={free_port}', ROOT / 'tools' / 'train.py', 'config.py',
         '--launcher', 'pytorch', '--work-dir', 'work'],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT)))
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / 'work' / 'epoch_1.pth').exists()
