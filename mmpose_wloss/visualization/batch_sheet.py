"""What a training shows its network, before it is run."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from mmpose.structures import PoseDataSample
from torch import Tensor

from ..codecs import pixel_origin
from ..common.configs import components_of_class, without_cache
from ..common.errors import UserError
from ..datasets.transforms.device_targets import draw_device_targets
from ..datasets.transforms.pose_density_weights import multiply_pose_weights
from ..models.wrapped_networks import stock_config


class Target(NamedTuple):
    """What a sample teaches.

    Args:
        joints (np.ndarray): Where its target puts joints, in pixels of the input, in
            shape [K, 2].
        weights (np.ndarray): Their weights, in [K].
        heatmap (np.ndarray, optional): The highest of all joints' heatmaps at each
            pixel, in shape [h, w]; ``None``: the target has no heatmaps.
    """
    joints: np.ndarray
    weights: np.ndarray
    heatmap: np.ndarray | None


def codec_of(config: Config) -> BaseKeypointCodec | None:
    """What encodes the targets of a training, of several levels the last one's."""
    head = stock_config(config).model.get('head') or {}
    decoder = (head.get('head') or head).get('decoder')
    return decoder and KEYPOINT_CODECS.build(
        decoder[-1] if isinstance(decoder, list) else decoder)


def target_of(sample: PoseDataSample, size: tuple[int, int],
              codec: BaseKeypointCodec | None = None) -> Target | None:
    """Read a sample's target: heatmaps, SimCC or coordinates.

    Args:
        sample (PoseDataSample): A sample of a batch.
        size (tuple[int, int]): Width and height of its input.
        codec (BaseKeypointCodec, optional): What encoded it. Without it, joints are
            right to half a pixel of the heatmap, and coordinates run from 0 to 1.

    Returns:
        Target: ``None`` where it has no target of these kinds, as without labels.
    """
    labels = sample.get('gt_instance_labels')
    if labels is None or 'keypoint_weights' not in labels:
        return None
    weights = labels.keypoint_weights.numpy()
    weights = weights.reshape(-1, weights.shape[-1])[-1]  # of several levels
    fields, size = sample.get('gt_fields'), np.array(size)
    if fields is not None and 'heatmaps' in fields:
        heatmaps = fields.heatmaps
        heatmaps = (heatmaps[-1] if isinstance(heatmaps, list) else heatmaps).numpy()
        # with offsets beside: a heatmap and two offsets a joint
        heatmaps = heatmaps[::len(heatmaps) // len(weights)]
        height, width = heatmaps.shape[1:]
        # the middle of a disk where offsets stand beside
        peaks = [np.argwhere(each == each.max()).mean(0)[::-1] for each in heatmaps]
        origin, scale = (
            (pixel_origin(codec), codec.scale_factor) if hasattr(codec, 'scale_factor')
            else (0.5, size / (width, height)))
        joints = (np.stack(peaks) + origin) * scale
        return Target(joints, weights, heatmaps[weights > 0].max(
            0, initial=0.))
    if 'keypoint_x_labels' in labels:
        axes = [labels[f'keypoint_{axis}_labels'][0].numpy() for axis in 'xy']
        joints = np.stack([each.argmax(1) / each.shape[1] for each in axes], 1)
        return Target(joints * size, weights, None)
    if 'keypoint_labels' in labels:
        joints = labels.keypoint_labels[:1].numpy()[..., :2]
        joints = codec.decode(joints)[0] if codec else joints * size
        return Target(joints[0], weights, None)
    return None


def draw_batch(config: Config, path: str, count: int = 8, seed: int = 0) -> None:
    """Draw a batch of a training: crops, joints, weights and heatmaps.

    Labeled people come first, then those without labels. A joint's mark is as large as
    its weight; a person's mean weight stands above.

    Args:
        config (Config): Of any top-down training with heatmaps, SimCC or coordinates.
        path (str): The picture's path.
        count (int): How many people, of those with labels and of those without.
        seed (int): Seed of the order and of the augmentation.

    Raises:
        UserError: If no target of the batch is of these kinds.
    """
    init_default_scope(config.get('default_scope', 'mmpose'))
    loader = dict(config.train_dataloader, num_workers=0, persistent_workers=False,
                  dataset=without_cache(config.train_dataloader.dataset))
    for key in ('prefetch_factor', 'multiprocessing_context'):  # of workers
        loader.pop(key, None)
    set_random_seed(seed)
    batch = next(iter(Runner.build_dataloader(loader, seed=seed)))
    samples = batch['data_samples']
    # as the hooks do
    weighs = [hook.get('weighted', True) for _, hook in components_of_class(
        [*config.get('default_hooks', {}).values(),
         *(config.get('custom_hooks') or [])],
        'PoseDensityHook')]
    multiply_pose_weights(samples, float(any(weighs)))
    draw_device_targets(samples, 'cpu')
    codec = codec_of(config)
    people = [(image, target_of(sample, (image.shape[2], image.shape[1]), codec))
              for image, sample in zip(batch['inputs'], samples, strict=True)]
    labeled = [each for each in people if each[1] is not None][:count]
    if not labeled:
        raise UserError('browse draws heatmaps, SimCC and coordinates, but the batch '
                        f'has none: {sorted(samples[0].keys())}')
    others = [image for image, target in people if target is None][:count]
    columns = max(len(labeled), len(others))
    with_heatmaps = labeled[0][1].heatmap is not None
    names = ['labeled', *['target'] * with_heatmaps, *['without labels'] * bool(others)]
    height, width = labeled[0][0].shape[1:]
    figure = Figure(figsize=(1.5 * columns + 0.5, 1.6 * len(names) * height / width
                             + 0.3), layout='constrained')
    grid = figure.subplots(len(names), columns, squeeze=False)
    for axes in grid.ravel():
        axes.set(xlim=(-.5, width - .5), ylim=(height - .5, -.5), xticks=[], yticks=[])
    for row, name in zip(grid, names, strict=True):
        row[0].set_ylabel(name, fontsize=8)
    for column, (image, target) in enumerate(labeled):
        seen = target.weights > 0
        axes = grid[0][column]
        axes.imshow(pixels(image))
        axes.scatter(*target.joints[seen].T, s=12 * target.weights[seen],
                     color='#00ff66', edgecolor='black', linewidth=0.4)
        mean = target.weights[seen].mean() if seen.any() else 0.
        axes.set_title(f'weight {mean:.2f}', fontsize=8)
        if with_heatmaps:
            grid[1][column].imshow(target.heatmap, cmap='inferno',
                                   extent=(-.5, width - .5, height - .5, -.5))
    for column, image in enumerate(others):
        grid[-1][column].imshow(pixels(image))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def pixels(image: Tensor) -> np.ndarray:
    """An input in BGR from 0 to 255 as RGB, in shape [H, W, 3]."""
    return image.numpy()[::-1].transpose(1, 2, 0).astype(np.uint8)
