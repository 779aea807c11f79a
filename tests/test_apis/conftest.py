from pathlib import Path

from mmpose_wloss.apis import TopdownPredictor
from mmpose_wloss.apis.video_files import VideoWriter

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'


@pytest.fixture(scope='session')
def topdown_config(tmp_path_factory):
    """The demo's 2D config, with its flip test and without its data."""
    config = Config.fromfile(DEMO / 'resnet18_mse_annypose.py')
    config.test_dataloader.dataset.data_root = str(tmp_path_factory.mktemp('nothing'))
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
def predictor(topdown_config, topdown_checkpoint):
    return TopdownPredictor(topdown_config, topdown_checkpoint, device='cpu',
                            batch_size=4)


@pytest.fixture(scope='session')
def onnx_file(topdown_config, topdown_checkpoint, tmp_path_factory):
    for name in ('onnxruntime', 'onnx'):
        pytest.importorskip(name, reason=f'{name} is not installed')
    from mmpose_wloss.deploy import export_onnx
    from mmpose_wloss.models.wrapped_networks import load_network
    file = str(tmp_path_factory.mktemp('onnx') / 'tiny.onnx')
    export_onnx(*load_network(topdown_config, topdown_checkpoint), file)
    return file


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
