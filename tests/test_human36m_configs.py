"""The recipes of the integral 3D curriculum are the source's."""

from pathlib import Path

from mmpose_wloss.visualization.pose3d_image_visualizer import (
    Pose3DImageVisualizer,
)

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS, VISUALIZERS

CONFIGS = Path(__file__).parents[1] / 'configs'
FIRST = 'integral3d_h1_d4_h36m'
TERMS = ('heatmap2d', 'heatmap3d', 'joint2d_from_volume', 'depth_from_volume',
         'joint2d_from_heatmap')
# d2, mode, learning rate, initialisation, ratio of the volume, and whether it
# starts from a network with fewer bins of depth
STAGES = {
    FIRST: (4, 'H1', 2.5e-5, 0.01, None, False),
    'integral3d_i1_d8_h36m': (8, 'I1', 2.5e-5, 0.01, None, True),
    'integral3d_manual_d8_h36m': (8, 'manual', 5e-6, 0.01, 0.1, False),
    'integral3d_i1_d16_h36m': (16, 'I1', 2.5e-5, 0.002, None, True),
    'integral3d_manual_d16_h36m': (16, 'manual', 5e-6, 0.002, 0.3, False),
    'integral3d_i1_d32_h36m': (32, 'I1', 2.5e-5, 0.002, None, True),
    'integral3d_i1_d64_h36m': (64, 'I1', 2.5e-5, 0.002, None, True),
    'integral3d_manual_d64_h36m': (64, 'manual', 5e-6, 0.002, 0.08, False),
}


def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / f'{name}.py')


@pytest.mark.parametrize('name', STAGES)
def test_a_stage_is_the_sources(name):
    depth, mode, rate, std, ratio, grows = STAGES[name]
    config = load(name)
    head = config.model.head
    assert config.codec.heatmap_size == (64, 64, depth)
    assert head.decoder == config.codec
    assert config.optim_wrapper.optimizer == dict(type='RMSprop', lr=rate)
    assert head.mode == mode
    assert head.heatmap2_init_std == std
    assert head.get('depth_growth') == ('random' if grows else None)
    if ratio is None:
        assert 'balancer' not in head
    else:
        assert head.balancer == dict(
            type='ManualBalancer', loss_weight=0.5,
            ratios=dict(dict.fromkeys(TERMS, 1.), heatmap3d=ratio))


@pytest.mark.parametrize('name', [*STAGES, 'integral3d_i1_d64_res50_h36m'])
def test_data_and_metrics_are_the_same_everywhere(name, tmp_path):
    init_default_scope('mmpose')
    config, first = load(name), load(FIRST)
    for mode in ('train', 'val', 'test'):
        dataset = config[f'{mode}_dataloader'].dataset
        assert dataset == first[f'{mode}_dataloader'].dataset
        assert dataset.split == ('train' if mode == 'train' else 'test')
        # boxes of the annotation are padded already
        box, = (step for step in dataset.pipeline
                if step.type == 'GetBBoxCenterScale')
        assert box.padding == 1
    assert [metric.mode for metric in config.val_evaluator] == [
        'mpjpe', 'p-mpjpe']
    checkpoint = config.default_hooks.checkpoint
    assert (checkpoint.save_best, checkpoint.rule) == ('MPJPE', 'less')
    visualizer = VISUALIZERS.build(
        dict(config.visualizer, save_dir=str(tmp_path)))
    assert isinstance(visualizer, Pose3DImageVisualizer)


def test_the_stages_are_of_one_network():
    first = load(FIRST).model
    for name in STAGES:
        model = load(name).model
        assert model.backbone == first.backbone
        assert model.head.stage2 == first.head.stage2


@pytest.mark.parametrize('name', STAGES)
def test_the_head_of_a_stage_has_its_terms_and_its_depth(name):
    init_default_scope('mmpose')
    depth, mode, *_ = STAGES[name]
    head = MODELS.build(load(name).model.head)
    assert head.volume_layer.out_channels == 17 * depth
    assert tuple(head.terms) == (TERMS[:2] if mode == 'H1' else TERMS)


def test_the_baseline_starts_with_all_of_its_depth():
    config = load('integral3d_i1_d64_res50_h36m')
    head = config.model.head
    assert config.model.backbone.init_cfg.checkpoint == 'torchvision://resnet50'
    assert head.decoder.heatmap_size == (64, 64, 64)
    assert head.stage2 is None and 'depth_growth' not in head
    assert config.optim_wrapper.optimizer == dict(type='Adam', lr=1e-3)
    assert config.train_cfg.max_epochs == config.param_scheduler[-1].end == 20
