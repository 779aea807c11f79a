"""Every recipe runs and differs from its stock parent only where it says."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import MODELS

CONFIGS = Path(__file__).parents[1] / 'configs'
RECIPES = sorted(CONFIGS.rglob('*.py'))
STOCK = 'mmpose::body_2d_keypoint/topdown_heatmap'
# the losses have arguments of their own beside the stock ones
FMSE = dict(type='FocusMSELoss', gamma=1., delta=1., use_target_weight=True)
WAHR = dict(type='WeightAdaptiveMSELoss', gamma=0.01, use_target_weight=True)
HWL = dict(type='HeatmapWeightingMSELoss', function='linear',
           use_target_weight=True)
PARENTS = {
    'hrnet_fmse_coco': ('coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192', FMSE),
    'hrnet_wahr_coco': ('coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192', WAHR),
    'hrnet_hwl_coco': ('coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192', HWL),
    'hourglass_fmse_coco':
    ('coco/td-hm_hourglass52_8xb32-210e_coco-256x256', FMSE),
    'resnet50_fmse_coco': ('coco/td-hm_res50_8xb64-210e_coco-256x192', FMSE),
    'hrnet_fmse_mpii': ('mpii/td-hm_hrnet-w32_8xb64-210e_mpii-256x256', FMSE),
    'hourglass_fmse_mpii':
    ('mpii/td-hm_hourglass52_8xb64-210e_mpii-256x256', FMSE),
}


def differences(config: dict, parent: dict, prefix='') -> set:
    """Keys, joined by dots, whose values differ."""
    found = set()
    for key in set(config) | set(parent):
        ours, stock = config.get(key), parent.get(key)
        if isinstance(ours, dict) and isinstance(stock, dict):
            found |= differences(ours, stock, f'{prefix}{key}.')
        elif ours != stock:
            found.add(f'{prefix}{key}')
    return found


@pytest.mark.parametrize('name', PARENTS)
def test_only_the_loss_differs_from_the_stock_parent(name, tmp_path):
    stock, loss = PARENTS[name]
    (tmp_path / 'stock.py').write_text(f"_base_ = '{STOCK}/{stock}.py'\n")
    parent = Config.fromfile(tmp_path / 'stock.py').to_dict()
    config = Config.fromfile(CONFIGS / f'{name}.py').to_dict()
    assert {key.rsplit('.', 1)[0] if 'loss' in key else key
            for key in differences(config, parent)} == {
                'custom_imports', 'model.head.loss'}
    assert config['model']['head']['loss'] == loss


def test_the_demo_configs_differ_in_the_loss_alone():
    mse, focal = (
        Config.fromfile(CONFIGS / 'demo' / f'resnet18_{name}_annypose.py')
        for name in ('mse', 'fmse'))
    assert differences(focal.to_dict(), mse.to_dict()) == {
        'model.head.loss.type', 'model.head.loss.gamma',
        'model.head.loss.delta'}


def test_every_recipe_is_tested():
    demo = {'resnet18_mse_annypose', 'resnet18_fmse_annypose'}
    assert {recipe.stem for recipe in RECIPES} == set(PARENTS) | demo


def use_generated_data(config: Config, coco_root: Path, mpii_root: Path):
    """Point a config to the generated data and away from the network."""
    root = mpii_root if 'mpii' in str(config.data_root) else coco_root
    for mode in ('train', 'val'):
        loader = config[f'{mode}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        dataset = loader.dataset
        dataset.data_root = str(root)
        if 'annypose' in config.data_root:
            dataset.ann_file = f'annotations/person_keypoints_{mode}2017.json'
            dataset.data_prefix = dict(img=f'{mode}2017/')
        if 'bbox_file' in dataset:
            dataset.bbox_file = None
        if 'headbox_file' in dataset:
            dataset.headbox_file = str(
                root / 'annotations' / 'mpii_gt_val.mat')
    config.model.backbone.init_cfg = None


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains_and_predicts(recipe, coco_root, mpii_root):
    config = Config.fromfile(recipe)
    use_generated_data(config, coco_root, mpii_root)
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3))

    batch = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))
    losses = model.train().train_step(batch, optimizer)
    assert math.isfinite(losses['loss_kpt']) and losses['loss_kpt'] > 0
    assert all(parameter.grad is None or parameter.grad.isfinite().all()
               for parameter in model.parameters())

    batch = next(iter(Runner.build_dataloader(config.val_dataloader, seed=0)))
    with torch.no_grad():
        results = model.eval().val_step(batch)
    keypoints = config.model.head.out_channels
    assert [result.pred_instances.keypoints.shape for result in results] == (
        2 * [(1, keypoints, 2)])
