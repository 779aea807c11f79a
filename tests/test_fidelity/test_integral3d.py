"""The recipes of integral 3D pose hold the original code's numbers.

Training prototxts and READMEs of strawberryfg/int-3dhuman-I1 (8a44fc2) and
strawberryfg/c2f-3dhm-human-caffe (65da294).
"""

from functools import cache
from math import floor
from pathlib import Path

from mmpose_wloss.models.heads.integral_pose3d_head import TERMS

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import KEYPOINT_CODECS, MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
# d2, batch, iterations, learning rate, deviation of the volume layer, and the
# terms' weights, or how many pairs balance themselves
STAGES = {
    'h1_d4': (4, 3, 160_533, 2.5e-5, 0.01, 2),
    'i1_d8': (8, 2, 265_747 - 160_533, 2.5e-5, 0.01, 5),
    'manual_d8': (8, 2, 350_433 - 265_747, 5e-6, None, (1, 0.1, 1, 1)),
    'i1_d16': (16, 2, 434_657 - 350_433, 2.5e-5, 0.002, 4),
    'manual_d16': (16, 2, 526_322 - 434_657, 5e-6, None, (1, 0.3, 1, 1)),
    'i1_d32': (32, 2, 567_946 - 526_322, 2.5e-5, 0.002, 4),
    'i1_d64': (64, 2, 600_890 - 567_946, 2.5e-5, 0.002, 4),
    'manual_d64': (64, 2, 671_782 - 600_890, 5e-6, None, (1, 0.08, 1, 1)),
    'c2f_d2': (2, 3, 560_000 / 4, 2.5e-5, 0.01, (1, 0.3)),
    'c2f_d4': (4, 3, 560_000 / 4, 2.5e-5, 0.01, (1, 0.3)),
    'c2f_d8': (8, 3, 560_000 / 4, 2.5e-5, 0.01, (1, 0.1)),
    'c2f_d16': (16, 3, 560_000 / 4, 2.5e-5, 0.01, (1, 0.03)),
    'c2f_d32': (32, 3, 640_000 - 560_000, 2.5e-5, 0.001, (1, 0.03)),
    'c2f_d64': (64, 2, 720_929 - 640_000, 2.5e-5, 0.0003, (1, 0.03)),
}
stages = pytest.mark.parametrize('name', STAGES)


@cache
def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / f'integral3d_{name}_h36m.py')


@stages
def test_batches_iterations_and_learning_rates(name):
    config = load(name)
    _, batch, iterations, rate, *_ = STAGES[name]
    loader = config.train_dataloader
    assert loader.batch_size == batch
    assert loader.sampler.type == 'DrawSampler'
    assert loader.sampler.num_samples * config.train_cfg.max_epochs == (
        pytest.approx(iterations * batch, abs=config.train_cfg.max_epochs * batch))
    # what Caffe's RMSProp has by default
    assert config.optim_wrapper.optimizer == dict(
        type='RMSprop', lr=rate, alpha=0.99, eps=1e-8)
    assert config.optim_wrapper.paramwise_cfg == dict(bias_lr_mult=2.)
    schedulers = config.get('param_scheduler', [])
    if name == 'c2f_d64':
        # the solver's step at 650,000 of all iterations
        schedule, = schedulers
        assert (schedule.milestones, schedule.gamma, schedule.by_epoch) == (
            [650_000 - 640_000], 0.2, False)
    else:
        assert not schedulers


@stages
def test_terms_and_their_weights(name):
    init_default_scope('mmpose')
    head = MODELS.build(load(name).model.head)
    *_, std, weights = STAGES[name]
    if isinstance(weights, int):
        assert head.terms == TERMS[:weights]
        assert type(head.balancer).__name__ == 'AdaptiveBalancer'
    else:
        assert dict(zip(head.terms, head.balancer.ratios[0].tolist(), strict=True)
                    ) == pytest.approx(dict(zip(TERMS, weights, strict=False)))
        assert head.balancer.loss_weight == 0.5
    if std is not None:
        assert head.heatmap2_init_std == std
    # a stage of another d2 than the one before draws its volume layer
    grows = std is not None and name != 'h1_d4'
    assert head.depth_growth == ('random' if grows else None)
    # integrals from 0 to 1, of the heatmaps above a threshold
    if set(head.terms) - set(TERMS[:2]):
        assert head.unit.tolist() == [1, 1, 1]
        assert head.threshold2d == 0.003
        assert head.beta == 30


@stages
def test_volumes_and_their_gaussians(name):
    codec = KEYPOINT_CODECS.build(load(name).codec)
    depth = STAGES[name][0]
    assert codec.input_size == (256, 256)
    assert codec.heatmap_size == (64, 64, depth)
    assert codec.sigma == 2 and codec.nearest_bin
    assert codec.depth_range == (-1005.185902, 980.8599)
    bins = 2 * floor((6 * 2 * depth / 64 + 1) / 2) + 1
    assert codec.depth_sigma == pytest.approx(bins / 6)


@stages
def test_inputs_and_augmentation(name):
    config = load(name)
    dataset, model = config.train_dataloader.dataset, config.model
    assert model.head.out_channels == 16 and dataset.left_out == ['spine']
    # S1, S5, S6, S7, S8 and S9, S11
    assert [(each.split, each.protocol) for each in (
        dataset, config.test_dataloader.dataset)] == [('train', 1), ('test', 1)]
    assert model.data_preprocessor == dict(
        type='PoseDataPreprocessor', mean=[128.] * 3, std=[256.] * 3)
    steps = {step.type: step for step in dataset.pipeline}
    # crops of 224 pixels are resized by 1 / (0.005 * 224), to 200 of 256
    assert steps['GetBBoxCenterScale'].padding == 256 / 200
    random = dict(steps['UniformBBoxTransform'])
    assert random == dict(
        type='UniformBBoxTransform', shift_prob=0., scale_factor=(0.7, 1.3),
        rotate_factor=40., rotate_prob=1.)
    # of RandomFlip's probability, 0.5 is the default
    assert dict(steps['RandomFlip']) == dict(type='RandomFlip', direction='horizontal')
