"""3D poses of images and of samples with a truth, as files to look at."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmpose.evaluation.functional import keypoint_mpjpe
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample
from tqdm import tqdm

from ..common import checks
from ..common.errors import UserError
from ..common.files import write_whole
from ..visualization.poses_3d import PoseView, draw_pose_views
from ..visualization.skeleton import Skeleton
from .pose3d_image_inferencer import Pose3DImageInferencer

BATCH = 32


def predict_images(inferencer: Pose3DImageInferencer, images: Sequence[str],
                   out: str, boxes: Mapping | Sequence | None = None,
                   camera: Mapping | None = None,
                   root_depth: float | None = None,
                   kpt_thr: float = 0.
                   ) -> tuple[dict[str, int], dict[str, str]]:
    """Predict on images, and write a JSON file and a picture of each.

    Args:
        inferencer (Pose3DImageInferencer): The model.
        images (Sequence[str]): Paths.
        out (str): JSON files go into ``predictions/`` of this folder,
            pictures into ``visualizations/``.
        boxes (Mapping | Sequence, optional): Boxes of every image, or those of
            each by its name. An image without an entry fails.
        camera (Mapping, optional): The camera of every image, or that of each
            by its name.
        root_depth (float, optional): Depth of all roots in mm.
        kpt_thr (float): Joints with a lower score are not drawn.

    Returns:
        tuple[dict]: By image how many people are in it, and by image that has
        no prediction why.

    Raises:
        UserError: If boxes or cameras are given for images that are not there.
    """
    names = {Path(image).name for image in images}
    for what, given in (('boxes', boxes), ('cameras', camera)):
        unknown = set(given) - names if _by_name(given) else ()
        if unknown:
            raise UserError(f'there are {what} for {min(unknown)}, but no such '
                            f'image: the first of {len(names)} is {min(names)}')
    people, failures = {}, {}
    for image in tqdm(images, unit='image', desc='predicting'):
        image, name = str(image), Path(image).name
        try:
            result, = inferencer(
                [image], return_vis=True, draw_bbox=True,
                kpt_thr=kpt_thr, pred_out_dir=f'{out}/predictions',
                bboxes=None if boxes is None else [
                    _of_image(boxes, name, 'boxes')],
                camera=_of_image(camera, name, 'camera'),
                root_depth=root_depth)
        except (OSError, UserError) as error:
            failures[image] = str(error)
            continue
        people[image] = len(result['predictions'][0])
        mmcv.imwrite(
            mmcv.rgb2bgr(result['visualization'][0]),
            f'{out}/visualizations/{Path(image).stem}.png')
    return people, failures


def _by_name(given) -> bool:
    """Whether it is a dict by image; that of a camera has its parameters."""
    return isinstance(given, Mapping) and not {'f', 'c'} & set(given)


def _of_image(given, name: str, what: str):
    if not _by_name(given):
        return given
    if given.get(name) is None:
        raise UserError(
            f'there is no entry for {name} in {what}: give one for every image '
            'or below the name of each; boxes may be an empty list')
    return given[name]


def predict_samples(inferencer: Pose3DImageInferencer, count: int, out: str,
                    kpt_thr: float = 0.) -> list[dict]:
    """Predict the first samples of a test set, beside their truth.

    Args:
        inferencer (Pose3DImageInferencer): The model, and the config whose
            ``test_dataloader`` has the samples.
        count (int): How many samples.
        out (str): ``sheet.png`` and ``errors.json`` go into this folder.
        kpt_thr (float): Joints with a lower score are not drawn.

    Returns:
        list[dict]: Of each sample ``image``, ``id``, ``MPJPE`` and
        ``P-MPJPE`` in mm.

    Raises:
        UserError: If count is below 1, or if the samples have no 3D truth.
    """
    checks.whole(count=count)
    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = DATASETS.build(inferencer.cfg.test_dataloader.dataset)
    samples = []
    indices = range(min(count, len(dataset)))
    for start in tqdm(indices[::BATCH], unit='batch', desc='predicting'):
        batch = inferencer.collate_fn(
            [dataset[index] for index in indices[start:start + BATCH]])
        with torch.no_grad():
            samples += inferencer.model.test_step(batch)
    if 'lifting_target' not in samples[0].gt_instances:
        raise UserError(
            f'the samples of {type(dataset).__name__} in test_dataloader have '
            'no 3D truth: take a data set with 3D poses and pack them with '
            'PackPose3DInputs')
    errors = [_errors(sample) for sample in samples]
    views = [PoseView.of_sample(
        mmcv.imread(error['image'], channel_order='rgb'), sample, kpt_thr,
        truth=True, window=sample.gt_instances.bboxes[0],
        caption=f"MPJPE {error['MPJPE']:.0f}, PA {error['P-MPJPE']:.0f} mm")
        for sample, error in zip(samples, errors, strict=True)]
    write_whole(Path(out, 'errors.json'),
                json.dumps(dict(format=1, samples=errors), indent=1) + '\n')
    draw_pose_views(
        views, Skeleton.of_metainfo(dataset.metainfo),
        columns=1 if len(views) < 4 else 2).savefig(
            Path(out, 'sheet.png'), dpi=80)
    return errors


def _errors(sample: PoseDataSample) -> dict:
    truth = sample.gt_instances
    visible = np.asarray(truth.lifting_target_visible) > 0
    return dict(
        image=str(sample.metainfo['img_path']), id=sample.metainfo['id'],
        **{name: float(keypoint_mpjpe(
            sample.pred_instances.keypoints, truth.lifting_target, visible,
            alignment))
           for name, alignment in (('MPJPE', 'none'),
                                   ('P-MPJPE', 'procrustes'))})
