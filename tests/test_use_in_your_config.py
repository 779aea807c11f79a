"""The three lines of docs/use_in_your_config.md, on stock configs."""

import math

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import MODELS

BODY = 'mmpose::body_2d_keypoint'
COCO = f'{BODY}/topdown_heatmap/coco'
FACE = 'mmpose::face_2d_keypoint/topdown_heatmap/wflw'
LOSS = "dict(loss=dict(type='FocusMSELoss'))"
MEGVII_LOSS = ("dict(loss=dict(_delete_=True, type='FocusMSELoss', "
               'use_target_weight=True, heatmap_max=255.))')
STOCK_CONFIGS = {
    'top-down heatmap': (f'{COCO}/td-hm_res50_8xb64-210e_coco-256x192', LOSS),
    'UDP': (f'{COCO}/td-hm_hrnet-w32_udp-8xb64-210e_coco-256x192', LOSS),
    'hourglass': (f'{COCO}/td-hm_hourglass52_8xb32-210e_coco-256x256', LOSS),
    'CPM': (f'{COCO}/td-hm_cpm_8xb64-210e_coco-256x192', LOSS),
    'MSPN': (f'{COCO}/td-hm_mspn50_8xb32-210e_coco-256x192', MEGVII_LOSS),
    'associative embedding':
    (f'{BODY}/associative_embedding/coco/'
     'ae_hrnet-w32_8xb24-300e_coco-512x512',
     "dict(keypoint_loss=dict(type='FocusMSELoss'))"),
    'DEKR': (f'{BODY}/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512',
             "dict(heatmap_loss=dict(type='FocusMSELoss'))"),
    'face': (f'{FACE}/td-hm_hrnetv2-w18_8xb64-60e_wflw-256x256', LOSS),
}


def associative_embedding_pipeline(codec) -> list:
    """MMPose ships this config for inference, with an empty pipeline."""
    return [
        dict(type='LoadImage'),
        dict(type='BottomupRandomAffine', input_size=codec.input_size),
        dict(type='GenerateTarget', encoder=codec),
        dict(type='BottomupGetHeatmapMask'),
        dict(type='PackPoseInputs')
    ]


def pack_keypoint_indices(sample) -> None:
    """What MMPose's PackPoseInputs does not pack for the tags' loss."""
    indices = np.zeros((1, 17, 2), dtype=np.int64)
    indices[..., 0] = np.arange(17)
    indices[..., 1] = 1
    sample.gt_instance_labels.keypoint_indices = torch.from_numpy(indices)


@pytest.mark.parametrize('family', STOCK_CONFIGS)
def test_three_lines_train_a_stock_config(family, tmp_path, coco_root,
                                          wflw_root):
    stock, head = STOCK_CONFIGS[family]
    file = tmp_path / 'mine.py'
    file.write_text(f"_base_ = '{stock}.py'\n"
                    "custom_imports = dict(imports=['mmpose_wloss'])\n"
                    f'model = dict(head={head})\n')
    config = Config.fromfile(file)
    config.model.backbone.init_cfg = None
    loader = config.train_dataloader
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    if family == 'associative embedding':
        loader.dataset.pipeline = associative_embedding_pipeline(config.codec)
    loader.dataset.data_root = str(wflw_root if family == 'face' else coco_root)
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    if family == 'associative embedding':
        for sample in batch['data_samples']:
            pack_keypoint_indices(sample)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    name = 'loss/heatmap' if family == 'DEKR' else 'loss_kpt'
    losses['loss_kpt'] = losses[name]
    assert math.isfinite(losses['loss_kpt']) and losses['loss_kpt'] > 0
    losses['loss_kpt'].backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all()
               for parameter in model.parameters())
