"""Heatmap losses in heads of stock configs, as docs/use_in_your_config.md says."""

import math

from mmpose_wloss.commands.recipe import load_base
from mmpose_wloss.recipes import focus_heatmaps

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import MODELS
from small_networks import shrink_images

BODY = 'mmpose::body_2d_keypoint'
COCO = f'{BODY}/topdown_heatmap/coco/td-hm'
EMBEDDING = (f'{BODY}/associative_embedding/coco/'
             'ae_hrnet-w32_8xb24-300e_coco-512x512.py')
STOCK = [
    f'{COCO}_res50_8xb64-210e_coco-256x192.py',
    f'{COCO}_hrnet-w32_udp-8xb64-210e_coco-256x192.py',
    f'{COCO}_hourglass52_8xb32-210e_coco-256x256.py',
    f'{COCO}_cpm_8xb64-210e_coco-256x192.py',
    f'{COCO}_mspn50_8xb32-210e_coco-256x192.py',
    EMBEDDING,
    f'{BODY}/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py',
    'mmpose::face_2d_keypoint/topdown_heatmap/wflw/'
    'td-hm_hrnetv2-w18_8xb64-60e_wflw-256x256.py',
]


def complete_associative_embedding(config) -> None:
    """MMPose ships this config for inference, with an empty pipeline."""
    config.train_dataloader.dataset.pipeline = [
        dict(type='LoadImage'),
        dict(type='BottomupRandomAffine', input_size=config.codec.input_size),
        dict(type='GenerateTarget', encoder=config.codec),
        dict(type='BottomupGetHeatmapMask'), dict(type='PackPoseInputs')]


def pack_keypoint_indices(sample) -> None:
    """What MMPose's PackPoseInputs does not pack for the tags' loss."""
    indices = np.zeros((1, 17, 2), dtype=np.int64)
    indices[..., 0] = np.arange(17)
    indices[..., 1] = 1
    sample.gt_instance_labels.keypoint_indices = torch.from_numpy(indices)


@pytest.mark.parametrize('stock', STOCK, ids=lambda name: name.split('/')[-1])
def test_a_stock_config_trains_with_a_heatmap_loss(stock, coco_root, wflw_root):
    config = focus_heatmaps(load_base(stock))
    config.model.backbone.init_cfg = None
    if stock == EMBEDDING:
        complete_associative_embedding(config)
    shrink_images(config)
    loader = config.train_dataloader
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    loader.dataset.data_root = str(wflw_root if 'wflw' in stock else coco_root)
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    if stock == EMBEDDING:
        for sample in batch['data_samples']:
            pack_keypoint_indices(sample)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    loss = losses['loss/heatmap' if 'dekr' in stock else 'loss_kpt']
    assert math.isfinite(loss) and loss > 0
    loss.backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all()
               for parameter in model.parameters())
