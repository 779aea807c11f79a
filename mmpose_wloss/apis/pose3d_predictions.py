"""3D poses in images, or beside the truth of a test set, as files."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmpose.evaluation.functional import keypoint_mpjpe
from mmpose.registry import DATASETS
from tabulate import tabulate
from tqdm import tqdm

from ..common.errors import UserError
from ..common.files import check_written_once, list_images, read_json, write_whole
from ..visualization.poses_3d import PoseView, draw_pose_views
from ..visualization.skeleton import Skeleton
from .pose3d_image_inferencer import Pose3DImageInferencer

BATCH = 32
# heading and alignment by the error's name
ERRORS = {'MPJPE': ('MPJPE, mm', 'none'),
          'P-MPJPE': ('PA-MPJPE, mm', 'procrustes')}


def predict_images(inferencer: Pose3DImageInferencer, source: str, out: str,
                   boxes_file: str | None = None, camera_file: str | None = None,
                   root_depth: float | None = None, kpt_thr: float = 0.) -> str:
    """Write a JSON file and a picture of each image.

    Args:
        inferencer (Pose3DImageInferencer): What predicts.
        source (str): An image, or a folder of images and of folders; earlier
            pictures in ``out`` do not count.
        out (str): Folder to write.
        boxes_file (str, optional): JSON file of the boxes of people in pixels, of all
            images or by their paths in the folder; ``None``: each whole image is one.
        camera_file (str, optional): JSON file of the camera, likewise.
        root_depth (float, optional): Distance of root joints from the camera, mm.
        kpt_thr (float): Joints with a lower score are not drawn.

    Returns:
        str: How many people there are in how many images.

    Raises:
        UserError: If there is no prediction, if images differ in the suffix alone, or
            if boxes or cameras are of images that are not there.
    """
    if Path(source).is_dir():
        drawn = Path(out, 'visualizations').resolve()
        images = {image.relative_to(source).as_posix(): image
                  for image in list_images(source)
                  if drawn not in image.resolve().parents}
    else:
        images = {Path(source).name: Path(source)}
    check_written_once(images.values(), [Path(name).with_suffix('.json')
                                         for name in images])
    boxes, camera = (path and read_json(path) for path in (boxes_file, camera_file))
    names = images.keys()
    for file, given in ((boxes_file, boxes), (camera_file, camera)):
        if _is_by_name(given) and set(given) - names:
            raise UserError(f'{file} has {min(set(given) - names)}, but there '
                            f'is no such image: the first is {min(names)}')
    people, failures = [], 0
    for name, image in tqdm(images.items()):
        try:
            result, = inferencer(
                [image], return_vis=True, draw_bbox=True, kpt_thr=kpt_thr,
                pred_out_dir=str(Path(out, 'predictions', name).parent),
                bboxes=None if boxes is None else [
                    _of_image(boxes, name, boxes_file)],
                camera=_of_image(camera, name, camera_file),
                root_depth=root_depth)
        except (OSError, UserError) as error:
            print(f'left out: {error}', file=sys.stderr)
            failures += 1
            continue
        people.append(len(result['predictions'][0]))
        mmcv.imwrite(
            mmcv.rgb2bgr(result['visualization'][0]),
            str(Path(out, 'visualizations', name).with_suffix('.png')))
    if not people:
        raise UserError('there is no prediction: no image could be used')
    return (f'{sum(people)} people in {len(people)} images'
            f'{f", {failures} left out" if failures else ""}: {out}')


def _is_by_name(given) -> bool:
    """Whether it is a dict by image; that of a camera has its parameters."""
    return isinstance(given, Mapping) and not {'f', 'c'} & set(given)


def _of_image(given, name: str, file: str):
    if not _is_by_name(given):
        return given
    if given.get(name) is None:
        raise UserError(f'there is no entry for {name} in {file}')
    return given[name]


def predict_samples(inferencer: Pose3DImageInferencer, count: int, out: str,
                    kpt_thr: float = 0.) -> str:
    """Write errors of the first samples of a test set, and draw them.

    Args:
        inferencer (Pose3DImageInferencer): What predicts, and whose config has the
            test set.
        count (int): How many samples, at most.
        out (str): Folder to write.
        kpt_thr (float): Joints with a lower score are not drawn.

    Returns:
        str: A table of the errors in mm.

    Raises:
        UserError: If the samples have no 3D truth.
    """
    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = DATASETS.build(inferencer.cfg.test_dataloader.dataset)
    samples = []
    indices = range(min(count, len(dataset)))
    for start in tqdm(indices[::BATCH]):
        batch = inferencer.collate_fn(
            [dataset[index] for index in indices[start:start + BATCH]])
        with torch.no_grad():
            samples += inferencer.model.test_step(batch)
    if 'lifting_target' not in samples[0].gt_instances:
        raise UserError(
            f'samples of {type(dataset).__name__} have no 3D truth: pack it '
            'with PackPose3DInputs')
    errors, views = [], []
    for sample in samples:
        truth, image = sample.gt_instances, str(sample.metainfo['img_path'])
        figures = {name: float(keypoint_mpjpe(
            sample.pred_instances.keypoints, truth.lifting_target,
            np.asarray(truth.lifting_target_visible) > 0, alignment))
            for name, (_, alignment) in ERRORS.items()}
        errors.append(dict(image=image, id=sample.metainfo['id'], **figures))
        views.append(PoseView.of_sample(
            mmcv.imread(image, channel_order='rgb'), sample, kpt_thr,
            truth=True, window=truth.bboxes[0],
            caption=f"MPJPE {figures['MPJPE']:.0f}, "
            f"PA {figures['P-MPJPE']:.0f} mm"))
    write_whole(Path(out, 'errors.json'),
                json.dumps(dict(format=1, samples=errors), indent=1) + '\n')
    sheet = Path(out, 'sheet.png')
    draw_pose_views(views, Skeleton.of_metainfo(dataset.metainfo),
                    columns=1 if len(views) < 4 else 2).savefig(sheet, dpi=80)
    rows = [[Path(error['image']).name, error['id'],
             *(error[name] for name in ERRORS)] for error in errors]
    rows.append(['mean', '', *(
        np.mean([error[name] for error in errors]) for name in ERRORS)])
    table = tabulate(
        rows, ['image', 'sample', *(heading for heading, _ in ERRORS.values())],
        tablefmt='github', floatfmt='.1f')
    return f'{table}\n\ndrawn: {sheet}'
