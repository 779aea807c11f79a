"""Trainings that draw their targets learn what stock ones learn."""

from pathlib import Path

from mmpose_wloss.models.wrapped_networks import stock_config
from mmpose_wloss.preflight import add_hooks
from mmpose_wloss.recipes import device_targets

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from small_trainings import (
    in_two_processes,
    shortened,
    train,
    weights,
    without_validation,
)

DEMO = Path(__file__).parents[3] / 'configs' / 'demo'


@pytest.fixture
def config(coco_root) -> Config:
    """Mixed batches of PoseDual."""
    init_default_scope('mmpose')
    config = without_validation(shortened(Config.fromfile(
        DEMO / 'posedual_resnet18_annypose.py'), coco_root, 'DualNetworkHook'))
    network = config.model.network
    network.backbone.update(stem_channels=8, base_channels=8)
    network.head.update(in_channels=64, deconv_out_channels=(8, 8, 8, 8))
    return config


def test_a_training_learns_the_same(config, tmp_path):
    expected = weights(train(config, tmp_path / 'stock', 1))
    drawn = train(device_targets(config), tmp_path / 'drawn', 1)
    for name, value in weights(drawn).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)
    # MMPose alone can run what it exports
    exported = stock_config(drawn.cfg)
    assert 'custom_imports' not in exported
    assert 'DeviceTargetsHook' not in exported.pretty_text
    init_model(exported, str(tmp_path / 'drawn' / 'first.pth'), 'cpu')


def test_two_processes_draw_their_own(config, tmp_path, free_port):
    config.update(launcher='pytorch', model_wrapper_cfg=dict(
        type='MMDistributedDataParallel', device_ids=None))
    drawn = []
    for name, each in (('stock', config), ('drawn', device_targets(config))):
        in_two_processes(train, free_port, each, tmp_path / name)
        drawn.append(torch.load(tmp_path / name / 'epoch_2.pth')['state_dict'])
    torch.testing.assert_close(*drawn, rtol=1e-3, atol=1e-4)


def test_the_hook_is_added_to_a_training(config):
    config = device_targets(config)
    config.custom_hooks = []
    add_hooks(config)
    assert 'DeviceTargetsHook' in [hook.type for hook in config.custom_hooks]
