"""Draw docs/images/integral_pose3d.png: what the 3D head makes of an image.

Of a network that benchmarks/integral_pose3d.py has trained:
python docs/draw_integral_pose3d.py \
    configs/demo/efficientnet_lite0_integral3d_annypose.py \
    work_dirs/integral_pose3d/Adaptive_I1_0_*/epoch_6.pth
"""

import sys

from mmpose_wloss.visualization import figure_to_image
from mmpose_wloss.visualization.poses_3d import PoseView, draw_pose_views
from mmpose_wloss.visualization.skeleton import Skeleton

import mmcv
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import load_checkpoint
from mmpose.registry import DATASETS, MODELS
from mmpose.utils import register_all_modules

SAMPLE = 3
SIDE = 3.4  # inches of a panel


def main(config_file: str, checkpoint: str) -> None:
    register_all_modules()
    config = Config.fromfile(config_file)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    model = MODELS.build(config.model).eval()
    load_checkpoint(model, checkpoint, map_location='cpu')
    batch = pseudo_collate([dataset[SAMPLE]])
    model.test_cfg.flip_test = False
    with torch.no_grad():
        inputs = model.data_preprocessor(batch)
        feats = model.extract_feat(inputs['inputs'])
        heatmaps, volume = model.head(feats)
        sample, = model.predict(**inputs)
    image = mmcv.imread(sample.img_path, channel_order='rgb')
    crop = batch['inputs'][0].permute(1, 2, 0).numpy()[..., ::-1]

    view = PoseView.of_sample(image, sample, truth=True,
                              window=sample.gt_instances.bboxes[0])
    poses = figure_to_image(draw_pose_views(
        [view], Skeleton.of_metainfo(dataset.metainfo)), 150)
    figure = Figure(figsize=(5.2 * SIDE, SIDE + 0.2), layout='constrained')
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 3))
    height, width = crop.shape[:2]
    axes[0].imshow(crop)
    axes[0].imshow(heatmaps[0].amax(0), alpha=0.6, cmap='magma',
                   extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    axes[0].set(title='heatmaps', xticks=[], yticks=[])
    nearest, farthest = model.head.decoder.depth_range
    from_above = volume[0].amax((0, 2))
    axes[1].imshow(from_above, cmap='magma', aspect='auto', origin='lower',
                   extent=(-0.5, width - 0.5, nearest, farthest))
    axes[1].set(title='volumes, seen from above', xticks=[],
                xlabel='x', ylabel='depth behind the root, mm')
    axes[2].imshow(poses)
    axes[2].set_axis_off()
    figure.savefig('docs/images/integral_pose3d.png', dpi=80)
    errors = np.linalg.norm(sample.pred_instances.keypoints -
                            sample.gt_instances.lifting_target, axis=-1)
    print(f'sample {SAMPLE}: mean error {errors.mean():.0f} mm')


if __name__ == '__main__':
    main(*sys.argv[1:])
