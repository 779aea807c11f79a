"""``python -m mmpose_wloss pose3d CONFIG CHECKPOINT``: 3D poses in images."""

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.config import Config, DictAction
from tabulate import tabulate

from ..apis import Pose3DImageInferencer, predict_images, predict_samples
from ..common.errors import UserError
from ..common.files import list_images, read_json
from ..preflight import check_config_path, check_files


def main(arguments: list[str] | None = None) -> int:
    """Predict 3D poses in images, or beside the truth of a test set.

    Args:
        arguments (list[str], optional): Those of the command line by default.

    Returns:
        int: 0.

    Raises:
        UserError: If there is no prediction.
    """
    args = _parse(arguments)
    check_config_path(args.config)
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options)
    if args.dataset is not None:
        check_files(config, ['test'])
    inferencer = Pose3DImageInferencer(config, args.checkpoint, args.device)
    if args.dataset is not None:
        errors = predict_samples(
            inferencer, args.dataset, args.out, args.kpt_thr)
        print(f'{_table(errors)}\n\ndrawn: {Path(args.out, "sheet.png")}')
        return 0
    images = (list_images(args.image) if Path(args.image).is_dir()
              else [args.image])
    people, failures = predict_images(
        inferencer, images, args.out,
        boxes=args.boxes and read_json(args.boxes),
        camera=args.camera and read_json(args.camera),
        root_depth=args.root_depth, kpt_thr=args.kpt_thr)
    for reason in failures.values():
        print(f'left out: {reason}', file=sys.stderr)
    if not people:
        raise UserError('there is no prediction: no image could be used')
    print(f'{sum(people.values())} people in {len(people)} images'
          f'{f", {len(failures)} left out" if failures else ""}: {args.out}')
    return 0


def _table(errors: list[dict]) -> str:
    """The error of each sample and their mean, as Markdown."""
    names = ('MPJPE', 'P-MPJPE')
    rows = [[Path(error['image']).name, error['id'],
             *(error[name] for name in names)] for error in errors]
    rows.append(['mean', '', *(
        np.mean([error[name] for error in errors]) for name in names)])
    return tabulate(rows, ['image', 'sample', 'MPJPE, mm', 'PA-MPJPE, mm'],
                    tablefmt='github', floatfmt='.1f')


def _parse(arguments: list[str] | None) -> argparse.Namespace:
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
    return args
