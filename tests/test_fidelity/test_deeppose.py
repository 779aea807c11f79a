"""The recipes of weighted DeepPose hold the original code's numbers.

JindongJiang/WeightedLoss_DeepPose_PyTorch (0d9d83c): humanpose_train.py,
humanpose_data.py and humanpose_net.py.
"""

from functools import cache
from pathlib import Path

from mmpose_wloss.common.config_text import without_scope
from mmpose_wloss.pose_density.pose_density import MODES

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, HOOKS, MODELS, TRANSFORMS

CONFIGS = Path(__file__).parents[2] / 'configs'
recipes = pytest.mark.parametrize('name', ['wloss', 'wloss_original'])


@cache
def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / f'deeppose_vgg16_{name}_lsp.py')


@recipes
def test_schedule(name):
    config = load(name)
    assert config.train_cfg.max_epochs == 1500
    assert config.train_dataloader.batch_size == 45
    assert without_scope(config.optim_wrapper.optimizer) == dict(
        type='SGD', lr=2e-3, momentum=0.9, weight_decay=1e-4)
    # 2e-3 · 0.8^(epoch // 150)
    assert [without_scope(each) for each in config.param_scheduler] == [dict(
        type='StepLR', begin=0, end=1500, step_size=150, gamma=0.8, by_epoch=True)]


@recipes
def test_weights_count_from_the_first_epoch(name):
    config = load(name)
    init_default_scope('mmpose')
    hook = HOOKS.build(config.default_hooks.pose_density)
    assert (hook.weighted, hook.begin, hook.ramp) == (True, 0, 0)
    options = {**MODES['source'], **{
        key: value for key, value in config.pose_density.items() if key in MODES[
            'source']}}
    assert config.pose_density.mode == 'source'
    assert (options['components'], options['kernel'], options['bandwidth']) == (
        10, 'exponential', 0.6)
    assert (options['alpha'], options['clip'], options['mean_one']) == (1., None, False)
    step, = (step for step in config.train_dataloader.dataset.pipeline
             if step.type == 'PoseDensityWeights')
    assert step.file == config.pose_density.file


@recipes
def test_images(name):
    config = load(name)
    steps = [without_scope(step) for step in config.train_dataloader.dataset.pipeline]
    kinds = [step['type'] for step in steps]
    assert kinds == ['LoadImage', 'GetBBoxCenterScale', 'TopdownResize', 'RandomHSV',
                     'GenerateTarget', 'PoseDensityWeights', 'PackPoseInputs']
    assert steps[1]['padding'] == 1. and steps[2]['input_size'] == (224, 224)
    hsv = TRANSFORMS.build(steps[3])
    assert (hsv.hue, hsv.saturation, hsv.value) == ((0.8, 1.2), (0.8, 1.2), (-25., 25.))
    assert hsv.wrap_hue == (name == 'wloss')
    preprocessor = config.model.data_preprocessor
    # of ImageNet
    assert np.allclose(preprocessor.mean, np.multiply(255, [0.485, 0.456, 0.406]))
    assert np.allclose(preprocessor.std, np.multiply(255, [0.229, 0.224, 0.225]))
    assert preprocessor.bgr_to_rgb
    assert not config.model.test_cfg.flip_test


@recipes
def test_network(name):
    init_default_scope('mmpose')
    model = load(name).model
    with torch.device('meta'):
        built = MODELS.build(model)
    # torchvision's vgg16_bn with 28 outputs
    layers = [tuple(each.weight.shape) for each in built.modules()
              if isinstance(each, torch.nn.Linear)]
    assert layers == [(4096, 25_088), (4096, 4096), (28, 4096)]
    assert sum(isinstance(each, torch.nn.BatchNorm2d) for each in built.modules()) == 13
    assert [each.p for each in built.modules()
            if isinstance(each, torch.nn.Dropout)] == [0.5, 0.5]
    assert type(built.head.loss_module).__name__ == 'MaskedMSELoss'
    assert built.head.loss_module.loss_weight == 1.
    anew = name == 'wloss_original'
    assert (model.neck.init_cfg == [], model.head.get('init_cfg') == []) == (anew, anew)
    assert model.backbone.init_cfg.type == 'Pretrained'
    if anew:
        head = MODELS.build(model.head)
        head.init_weights()
        # as PyTorch draws it: U(-1, 1) / √4096
        assert float(head.fc.weight.detach().std()) == pytest.approx(
            1 / 64 / 3**0.5, rel=0.02)


@recipes
def test_split(name):
    for mode, split in (('train', 'train'), ('val', 'test'), ('test', 'test')):
        dataset = load(name)[f'{mode}_dataloader'].dataset
        lsp = DATASETS.build(dict(dataset, lazy_init=True, pipeline=[]))
        assert (lsp.split, lsp.protocol, lsp.train_size) == (split, 'random', 9000)
        assert bool(lsp.order_file) == (name == 'wloss_original')
        # occluded joints of LSP have a place there
        assert lsp.use_occluded and lsp.bbox == 'image'


@recipes
def test_the_original_test_loss_is_reported(name):
    for evaluator in (load(name).val_evaluator, load(name).test_evaluator):
        assert 'CoordinateMSE' in [metric.type for metric in evaluator]
