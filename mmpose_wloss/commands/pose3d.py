"""``python -m mmpose_wloss pose3d CONFIG CHECKPOINT``: 3D poses in images."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DefaultScope
from mmpose.evaluation.functional import keypoint_mpjpe
from mmpose.registry import DATASETS
from tabulate import tabulate
from tqdm import tqdm

from ..apis import Pose3DImageInferencer
from ..common import checks
from ..common.errors import UserError
from ..common.files import list_images, read_json, write_whole
from ..preflight import check_config_path, check_files
from ..visualization.poses_3d import PoseView, draw_pose_views
from ..visualization.skeleton import Skeleton

BATCH = 32
# heading and alignment by the error's name
ERRORS = {'MPJPE': ('MPJPE, mm', 'none'),
          'P-MPJPE': ('PA-MPJPE, mm', 'procrustes')}


def main(arguments: list[str] | None = None) -> int:
    """Predict 3D poses in images, or beside the truth of a test set.

    Raises:
        UserError: If there is no prediction, if boxes or cameras are of images
            that are not there, or if a test set has no 3D truth.
    """
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss pose3d', description='Predict 3D poses in images, '
        'or beside the truth of a test set.')
    parser.add_argument('config', help='config with an IntegralPose3DHead')
    parser.add_argument('checkpoint', help='of a training with this config')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('image', nargs='?',
                        help='an image or a folder of images')
    source.add_argument(
        '--dataset', type=int, metavar='N',
        help="take the first N samples of the config's test set, and draw "
        'their truth beside the prediction')
    parser.add_argument(
        '--boxes', metavar='JSON',
        help='file with the boxes of people, [[left, top, right, bottom], …] '
        'in pixels, or {image name: boxes, …}, [] without people. Without it '
        "the whole image is one person's box")
    parser.add_argument(
        '--camera', metavar='JSON',
        help='file with the camera, {"f": [fx, fy], "c": [cx, cy]} in pixels, '
        'and k, p of a lens that distorts, or {image name: camera, …}')
    parser.add_argument('--root-depth', type=float, metavar='MM',
                        help="distance of people's root joints from the "
                        'camera, in mm; goes with --camera')
    parser.add_argument('--kpt-thr', type=float, default=0.,
                        help='draw no joints with a lower score (default: 0)')
    parser.add_argument('--out', default='work_dirs/pose3d',
                        help='folder to write (default: %(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a '
                        'GPU, if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        default={}, metavar='KEY=VALUE',
                        help='keys of the config to change')
    args = parser.parse_args(arguments)
    for name in ('boxes', 'camera', 'root_depth'):
        if args.dataset is not None and getattr(args, name) is not None:
            parser.error(f'--{name.replace("_", "-")} cannot go with '
                         '--dataset: the samples of a test set have theirs')
    check_config_path(args.config)
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options)
    if args.dataset is not None:
        checks.whole(dataset=args.dataset)
        check_files(config, ['test'])
    inferencer = Pose3DImageInferencer(config, args.checkpoint, args.device)
    (_predict_images if args.dataset is None else _predict_samples)(
        inferencer, args)
    return 0


def _predict_images(inferencer: Pose3DImageInferencer,
                    args: argparse.Namespace) -> None:
    """Write a JSON file and a picture of each image."""
    images = [str(image) for image in (
        list_images(args.image) if Path(args.image).is_dir()
        else [args.image])]
    boxes, camera = (path and read_json(path)
                     for path in (args.boxes, args.camera))
    names = {Path(image).name for image in images}
    for file, given in ((args.boxes, boxes), (args.camera, camera)):
        if _is_by_name(given) and set(given) - names:
            raise UserError(f'{file} has {min(set(given) - names)}, but there '
                            f'is no such image: the first is {min(names)}')
    people, failures = [], 0
    for image in tqdm(images):
        try:
            result, = inferencer(
                [image], return_vis=True, draw_bbox=True,
                kpt_thr=args.kpt_thr, pred_out_dir=f'{args.out}/predictions',
                bboxes=None if boxes is None else [
                    _of_image(boxes, image, args.boxes)],
                camera=_of_image(camera, image, args.camera),
                root_depth=args.root_depth)
        except (OSError, UserError) as error:
            print(f'left out: {error}', file=sys.stderr)
            failures += 1
            continue
        people.append(len(result['predictions'][0]))
        mmcv.imwrite(
            mmcv.rgb2bgr(result['visualization'][0]),
            f'{args.out}/visualizations/{Path(image).stem}.png')
    if not people:
        raise UserError('there is no prediction: no image could be used')
    print(f'{sum(people)} people in {len(people)} images'
          f'{f", {failures} left out" if failures else ""}: {args.out}')


def _is_by_name(given) -> bool:
    """Whether it is a dict by image; that of a camera has its parameters."""
    return isinstance(given, Mapping) and not {'f', 'c'} & set(given)


def _of_image(given, image: str, file: str):
    if not _is_by_name(given):
        return given
    name = Path(image).name
    if given.get(name) is None:
        raise UserError(f'there is no entry for {name} in {file}')
    return given[name]


def _predict_samples(inferencer: Pose3DImageInferencer,
                     args: argparse.Namespace) -> None:
    """Write errors of the first samples of a test set, and draw them."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = DATASETS.build(inferencer.cfg.test_dataloader.dataset)
    samples = []
    indices = range(min(args.dataset, len(dataset)))
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
            mmcv.imread(image, channel_order='rgb'), sample, args.kpt_thr,
            truth=True, window=truth.bboxes[0],
            caption=f"MPJPE {figures['MPJPE']:.0f}, "
            f"PA {figures['P-MPJPE']:.0f} mm"))
    write_whole(Path(args.out, 'errors.json'),
                json.dumps(dict(format=1, samples=errors), indent=1) + '\n')
    sheet = Path(args.out, 'sheet.png')
    draw_pose_views(views, Skeleton.of_metainfo(dataset.metainfo),
                    columns=1 if len(views) < 4 else 2).savefig(sheet, dpi=80)
    rows = [[Path(error['image']).name, error['id'],
             *(error[name] for name in ERRORS)] for error in errors]
    rows.append(['mean', '', *(
        np.mean([error[name] for error in errors]) for name in ERRORS)])
    print(tabulate(
        rows, ['image', 'sample', *(heading for heading, _ in ERRORS.values())],
        tablefmt='github', floatfmt='.1f'))
    print(f'\ndrawn: {sheet}')
