from pathlib import Path

from mmpose_wloss.apis import Pose3DImageInferencer
from mmpose_wloss.apis.video_files import VideoWriter

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'


@pytest.fixture(scope='session')
def config(coco_root):
    """The demo's 3D config on generated data, without a flip test."""
    config = Config.fromfile(DEMO / 'integral3d_i1_d8_annypose.py')
    config.test_dataloader.dataset.update(
        data_root=str(coco_root), data_prefix=dict(img='val2017/'),
        ann_file='annotations/person_keypoints_val2017.json')
    config.model.test_cfg.flip_test = False
    return config


@pytest.fixture(scope='session')
def config_file(config, tmp_path_factory):
    file = tmp_path_factory.mktemp('config') / 'd8.py'
    config.dump(file)
    return str(file)


@pytest.fixture(scope='session')
def checkpoint(config, tmp_path_factory):
    """Random weights, as a training saves them."""
    file = tmp_path_factory.mktemp('checkpoint') / 'epoch_1.pth'
    with DefaultScope.overwrite_default_scope('mmpose'), \
            torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS.build(config.model)
        model.init_weights()
        # joints at different places
        for layer in (model.head.final_layer, model.head.volume_layer):
            torch.nn.init.normal_(layer.weight)
        for module in model.head.modules():
            if isinstance(module, torch.nn.ConvTranspose2d):
                torch.nn.init.normal_(module.weight, std=0.1)
    torch.save(dict(meta=dict(), state_dict=model.state_dict()), file)
    return str(file)


@pytest.fixture(scope='session')
def inferencer(config, checkpoint):
    return Pose3DImageInferencer(config, checkpoint, 'cpu')


@pytest.fixture(scope='session')
def images(coco_root):
    return sorted(str(file) for file in (coco_root / 'val2017').iterdir())


@pytest.fixture(scope='session')
def topdown_config(tmp_path_factory):
    """The demo's 2D config, with its flip test and without its data."""
    config = Config.fromfile(DEMO / 'resnet18_mse_annypose.py')
    config.test_dataloader.dataset.data_root = str(
        tmp_path_factory.mktemp('nothing'))
    # refining by the logarithm, as UDP does, blows up rounding where heatmaps
    # are of random weights
    config.model.head.decoder = dict(
        type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(32, 32),
        sigma=1.5)
    return config


@pytest.fixture(scope='session')
def topdown_checkpoint(topdown_config, tmp_path_factory):
    """Random weights that see the image."""
    file = tmp_path_factory.mktemp('topdown') / 'epoch_1.pth'
    with DefaultScope.overwrite_default_scope('mmpose'), \
            torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS.build(topdown_config.model)
        model.init_weights()
        for module in model.head.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
                torch.nn.init.normal_(module.weight, std=0.1)
    torch.save(dict(meta=dict(), state_dict=model.state_dict()), file)
    return str(file)


@pytest.fixture(scope='session')
def video(tmp_path_factory):
    """Ten frames, 96×128, 12 a second: noise, and a square that moves."""
    file = tmp_path_factory.mktemp('video') / 'square.mp4'
    noise = np.random.default_rng(0).integers(0, 90, (96, 128, 3), np.uint8)
    writer = VideoWriter(str(file), 12., (128, 96))
    for number in range(10):
        frame = noise.copy()
        frame[20:60, 8 * number:8 * number + 30] = (220, 180, 140)
        writer.write(frame)
    writer.close()
    return str(file)
