"""Weights that set in when they should, on losses that weigh by them."""

import copy
import dataclasses
import json
from pathlib import Path

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import collect_poses, fit_pose_density
from mmpose_wloss.engine.hooks import PoseDensityHook
from mmpose_wloss.engine.hooks.pose_density_hook import check_linear
from mmpose_wloss.pose_density import PoseDensityArtifact

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, HOOKS, MODELS
from small_trainings import in_two_processes, same, train, train_and_kill, weights

DEMO = Path(__file__).parents[3] / 'configs' / 'demo'
ANNOTATIONS = 'annotations/person_keypoints_train2017.json'


@HOOKS.register_module()
class WitnessingHook(Hook):
    """Note what the model sees."""

    priority = 'VERY_LOW'

    def before_train(self, runner):
        runner.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        runner.seen += [
            (runner.iter, sample.metainfo['id'],
             sample.gt_instance_labels.keypoint_weights)
            for sample in data_batch['data_samples']]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpose')


@pytest.fixture(scope='module')
def artifact(coco_root, tmp_path_factory):
    init_default_scope('mmpose')
    poses = collect_poses(DATASETS.build(dict(
        type='CocoDataset', data_root=str(coco_root), ann_file=ANNOTATIONS,
        data_prefix=dict(img='train2017/'))))
    file = str(tmp_path_factory.mktemp('density') / 'density.npz')
    fit_pose_density(poses, components=2).save(file)
    return PoseDensityArtifact.load(file)


def unvalidated(config):
    """A config that trains alone."""
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator', 'test_cfg',
                'test_dataloader', 'test_evaluator'):
        config[key] = None
    config.default_hooks.pop('visualization')
    config.log_level = 'ERROR'
    return config


@pytest.fixture
def use(coco_root, artifact):
    def use(name):
        """One of the demo's configs, on six people in three batches."""
        config = unvalidated(
            Config.fromfile(DEMO / f'{name}_wloss_annypose.py'))
        config.train_cfg = dict(by_epoch=True, max_epochs=1)
        config.train_dataloader.batch_size = 2
        config.train_dataloader.dataset.update(
            data_root=str(coco_root), data_prefix=dict(img='train2017/'),
            ann_file=ANNOTATIONS)
        use_file(config, artifact.path)
        config.default_hooks.checkpoint = dict(type='CheckpointHook',
                                               interval=1)
        config.custom_hooks = [dict(type='ResumableRandomnessHook'),
                               dict(type='WitnessingHook')]
        return config
    return use


@pytest.fixture
def config(use):
    return use('deeppose_resnet18')


def with_hook(config, **hook):
    config = copy.deepcopy(config)
    config.default_hooks.pose_density.update(hook)
    return config


def logged(runner, name):
    return runner.message_hub.log_scalars[f'train/{name}'].data[0]


def use_file(config, file):
    for step in config.train_dataloader.dataset.pipeline:
        if step.type == 'PoseDensityWeights':
            step.file = file


def without_weights(pipeline):
    return [step for step in pipeline if step.type != 'PoseDensityWeights']


def stock(config):
    config = copy.deepcopy(config)
    dataset = config.train_dataloader.dataset
    dataset.pipeline = without_weights(dataset.pipeline)
    config.default_hooks.pop('pose_density')
    return config


@pytest.mark.parametrize('name', ['deeppose_resnet18', 'resnet18'])
def test_the_unweighted_twin_is_the_stock_training(name, use, tmp_path):
    config = use(name)
    twin, weighted, plain = (
        weights(train(each, tmp_path / str(index))) for index, each in
        enumerate((with_hook(config, weighted=False), config, stock(config))))
    assert same(plain, twin) and not same(plain, weighted)


@pytest.mark.parametrize('hook, strengths, workers', [
    (dict(begin=1), [0.] * 3 + [1.] * 3, 0),
    (dict(begin=1, ramp=1), [0.] * 4 + [1 / 3, 2 / 3], 0),
    # by iterations
    (dict(begin=2, ramp=2), [0.] * 3 + [0.5, 1., 1.], 1),
])
def test_weights_set_in(config, artifact, tmp_path, hook, strengths, workers):
    config.train_cfg.max_epochs = 2
    if workers == 1:
        config.train_cfg = dict(by_epoch=False, max_iters=6)
        config.train_dataloader.sampler = dict(type='InfiniteSampler')
    runner = train(with_hook(config, **hook), tmp_path, workers)
    weight_of = artifact.by_id()
    assert len(runner.seen) == 12
    for step, identity, seen in runner.seen:
        expected = 1 + strengths[step] * (weight_of[identity] - 1)
        assert seen.max().item() in (0, pytest.approx(expected, rel=1e-5))


def test_an_interrupted_training_ends_the_same(config, tmp_path):
    config = with_hook(config, begin=0.5, ramp=1.5)
    config.train_cfg.max_epochs = 2
    whole = train(config, tmp_path / 'whole', 1)
    train_and_kill(config, tmp_path / 'killed', 1)
    resumed = train(config, tmp_path / 'killed', 1, resume=True)
    assert same(weights(whole), weights(resumed))


def test_a_training_without_the_hook_says_so(config, tmp_path):
    config.default_hooks.pop('pose_density')
    config.custom_hooks = []
    with pytest.raises(UserError, match="type='PoseDensityHook'"):
        train(config, tmp_path)
    assert not list(tmp_path.rglob('*.pth'))


def test_the_log_says_what_weights_do(config, artifact, tmp_path):
    config.train_cfg.max_epochs = 2
    runner = train(with_hook(config, interval=3), tmp_path)
    # an epoch is three iterations
    assert logged(runner, 'pose_density/effective_sample_size') == (
        pytest.approx([artifact.effective_sample_size] * 2))
    losses = logged(runner, 'loss_kpt').reshape(2, 3).mean(1)
    weighted = logged(runner, 'pose_density/weighted')
    assert weighted == pytest.approx(losses, rel=1e-5)
    assert logged(runner, 'pose_density/unweighted') != (
        pytest.approx(weighted, rel=1e-3))


def test_the_unweighted_loss_is_the_loss_without_weights(config, tmp_path):
    # of the first step, before the networks part
    config.train_dataloader.batch_size = 6
    runner = train(with_hook(config, interval=1), tmp_path / 'weighted')
    unweighted = logged(runner, 'pose_density/unweighted')
    plain = logged(train(stock(config), tmp_path / 'stock'), 'loss_kpt')
    assert unweighted[0] == pytest.approx(plain[0], rel=1e-5)


HEATMAPS, POINTS = (4, 3, 8, 6), (4, 3, 2)
IGNORED, WRAP = 'use_target_weight=True', 'InstanceWeightedLoss'


def wrapped(**loss):
    return dict(type='InstanceWeightedLoss', loss=loss)


@pytest.mark.parametrize('loss, shape, message', [
    (dict(type='KeypointMSELoss', use_target_weight=True), HEATMAPS, None),
    (dict(type='FocalHeatmapLoss', use_target_weight=True), HEATMAPS, None),
    (dict(type='AdaptiveWingLoss', use_target_weight=True), HEATMAPS, WRAP),
    (dict(type='KeypointOHKMMSELoss', use_target_weight=True, topk=2),
     HEATMAPS, WRAP),
    (dict(type='CombinedTargetMSELoss', use_target_weight=True),
     (4, 9, 8, 6), WRAP),
    (wrapped(type='CombinedTargetMSELoss', use_target_weight=True),
     (4, 9, 8, 6), None),
    (dict(type='KLDiscretLoss', use_target_weight=True), (4, 3, 8), None),
    (dict(type='L1Loss', use_target_weight=True), POINTS, None),
    (dict(type='L1Loss', use_target_weight=False), POINTS, IGNORED),
    (dict(type='MSELoss', use_target_weight=True), POINTS, WRAP),
    (dict(type='SmoothL1Loss', use_target_weight=True), POINTS, WRAP),
    (wrapped(type='SmoothL1Loss', use_target_weight=True), POINTS, None),
    (dict(type='WingLoss', use_target_weight=True), POINTS, WRAP),
    (dict(type='SoftWingLoss', use_target_weight=True), POINTS, WRAP),
], ids=lambda each: each['type'] if isinstance(each, dict) else '')
def test_losses_are_linear_or_refused(loss, shape, message):
    module = MODELS.build(loss)
    target = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    weights = torch.ones(4, 3, *[1] * (shape == POINTS))
    output = torch.full(shape, 0.5)
    if loss['type'] == 'KLDiscretLoss':
        output, target = (output, output), (target, target)

    def of_weights(weights):
        return module(output, target, weights)

    if message is None:
        check_linear('loss', of_weights, weights)
    else:
        with pytest.raises(UserError, match=message):
            check_linear('loss', of_weights, weights)


@HOOKS.register_module()
class HidingHook(Hook):
    """Let no joint be visible."""

    priority = 'LOW'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for sample in data_batch['data_samples']:
            sample.gt_instance_labels.keypoint_weights *= 0


def test_batches_in_which_nobody_is_visible(use, tmp_path):
    config = with_hook(use('resnet18'), interval=1)
    runner = train(config, tmp_path, hooks=[dict(type='HidingHook')])
    for name in ('weighted', 'unweighted'):
        assert logged(runner, f'pose_density/{name}').tolist() == [0.] * 3


def test_a_loss_with_its_weights_elsewhere(config, tmp_path):
    # output, sigma, target, weights; and it may be below 0
    config.model.head.update(
        type='RLEHead', loss=dict(type='RLELoss', use_target_weight=True),
        decoder=dict(type='RegressionLabel', input_size=(64, 64)))
    runner = train(with_hook(config, interval=1), tmp_path)
    assert logged(runner, 'pose_density/weighted') == pytest.approx(
        logged(runner, 'loss_kpt'), rel=1e-4)


def test_stages_of_a_network_are_summed(use, tmp_path):
    config = use('resnet18')
    codec = dict(type='MSRAHeatmap', input_size=(64, 64),
                 heatmap_size=(8, 8), sigma=1.)
    config.model.backbone = dict(type='CPM', in_channels=3, out_channels=17,
                                 feat_channels=8, num_stages=2)
    config.model.head = dict(
        type='CPMHead', in_channels=17, out_channels=17, num_stages=2,
        deconv_out_channels=None, final_layer=None, decoder=codec,
        loss=dict(type='KeypointMSELoss', use_target_weight=True))
    for step in config.train_dataloader.dataset.pipeline:
        if step.type == 'GenerateTarget':
            step.encoder = codec
    runner = train(with_hook(config, interval=1), tmp_path)
    assert logged(runner, 'pose_density/weighted') == pytest.approx(
        logged(runner, 'loss_kpt'), rel=1e-5)


def test_both_stages_of_a_pipeline_weigh(config, artifact, tmp_path):
    pipeline = config.train_dataloader.dataset.pipeline
    config.train_cfg.max_epochs = 2
    config.custom_hooks.append(dict(
        type='mmdet.PipelineSwitchHook', switch_epoch=1,
        switch_pipeline=without_weights(pipeline)))
    with pytest.raises(UserError, match='switch_pipeline'):
        train(config, tmp_path)
    config.custom_hooks[-1]['switch_pipeline'] = pipeline
    runner = train(config, tmp_path)
    weight_of = artifact.by_id()
    assert all(seen.max().item() in (0, pytest.approx(weight_of[identity]))
               for _, identity, seen in runner.seen)


def test_batches_without_a_weighted_sample(config, artifact, tmp_path):
    dataset = config.train_dataloader.dataset
    *dataset.pipeline, pack = dataset.pipeline
    plain = copy.deepcopy(dataset)
    plain.pipeline = without_weights(plain.pipeline)
    config.train_dataloader.dataset = dict(
        type='CombinedDataset', metainfo=dict(
            from_file='configs/_base_/datasets/coco.py'),
        datasets=[dataset, plain], pipeline=[pack])
    config.train_dataloader.batch_size = 1
    runner = train(config, tmp_path)
    plain = [seen.max().item() == 1 for _, _, seen in runner.seen
             if seen.any()]
    assert any(plain) and not all(plain)
    assert {identity for _, identity, _ in runner.seen} == set(
        artifact.by_id())


def test_with_unlabeled_images(coco_root, artifact, tmp_path):
    config = unvalidated(
        Config.fromfile(DEMO / 'posedual_resnet18_annypose.py'))
    both = config.train_dataloader.dataset
    for dataset in both.datasets:
        dataset.update(data_root=str(coco_root), ann_file=ANNOTATIONS,
                       data_prefix=dict(img='train2017/'), indices=6)
    # on unlabeled samples it does nothing
    both.pipeline = [dict(type='PoseDensityWeights', file=artifact.path),
                     *both.pipeline]
    config.train_cfg = dict(by_epoch=True, max_epochs=1)
    config.train_dataloader.update(batch_size=4)
    config.train_dataloader.sampler.batch_size = 4
    config.default_hooks.pose_density = dict(type='PoseDensityHook',
                                             interval=1)
    runner = train(config, tmp_path)
    for network, name in enumerate(('first', 'second')):
        weighted = logged(runner, f'pose_density/weighted{network}')
        # a half of the loss, on a half of the batch
        assert weighted == pytest.approx(
            4 * logged(runner, f'{name}.loss_kpt'), rel=1e-4)
        assert weighted != pytest.approx(
            logged(runner, f'pose_density/unweighted{network}'), rel=1e-3)


def test_bfloat16(use, tmp_path):
    config = use('resnet18')
    config.optim_wrapper.type = 'Bfloat16OptimWrapper'
    config.model.train_cfg = dict(compute_acc=False)
    runner = train(with_hook(config, interval=3), tmp_path)
    assert logged(runner, 'pose_density/unweighted')[0] > 0


@pytest.mark.parametrize('change, message', [
    (dict(annotation_digest='0' * 64), 'train2017.json'),
    (dict(joint_names=('nose', 'tail')), 'nose, tail')])
def test_weights_of_other_data_are_refused(config, artifact, tmp_path, change,
                                           message):
    file = str(tmp_path / 'other.npz')
    dataclasses.replace(artifact, **change).save(file)
    use_file(config, file)
    with pytest.raises(UserError, match=message):
        train(config, tmp_path)


def test_trainings_that_weights_would_not_count_in(config, tmp_path):
    dataset, head = config.train_dataloader.dataset, config.model.head.to_dict()
    square = dict(type='SmoothL1Loss', use_target_weight=True)
    visibility = dict(type='BCELoss', use_target_weight=True)
    for changed, pipeline, message in (
            (dict(head, loss=square), dataset.pipeline, WRAP),
            (dict(type='VisPredictHead', pose_cfg=head, loss=visibility),
             dataset.pipeline, 'VisPredictHead'),
            (head, without_weights(dataset.pipeline), 'no PoseDensityWeights')):
        config.model.head, dataset.pipeline = changed, pipeline
        with pytest.raises(UserError, match=message):
            train(config, tmp_path)


@pytest.mark.parametrize('wrong', [
    dict(begin=-1), dict(ramp=-1), dict(interval=0)])
def test_wrong_arguments(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        PoseDensityHook(**wrong)


def test_several_processes(config, tmp_path, free_port):
    config.train_dataloader.batch_size = 1
    config.custom_hooks = []
    config.update(launcher='pytorch', model_wrapper_cfg=dict(
        type='MMDistributedDataParallel', device_ids=None))
    config = with_hook(config, interval=1, ramp=1)
    in_two_processes(train, free_port, config, tmp_path)
    scalars = next(tmp_path.rglob('scalars.json')).read_text().splitlines()
    assert json.loads(scalars[-1])['pose_density/effective_sample_size'] > 0
    assert (tmp_path / 'epoch_1.pth').exists()
