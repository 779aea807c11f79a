"""Predict 3D poses in images, or beside the truth of a test set."""

import argparse
import sys
from pathlib import Path

from mmpose_wloss.apis import (
    Pose3DImageInferencer,
    TruthSheet,
    image_files,
    predict_images,
    read_json,
)
from mmpose_wloss.preflight import (
    MissingFile,
    check_config_path,
    check_data_files,
)

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config with an IntegralPose3DHead')
    parser.add_argument('checkpoint', help='of a training with this config')
    parser.add_argument('image', nargs='?',
                        help='an image or a folder of images')
    parser.add_argument(
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
    parser.add_argument('--out', default='work_dirs/infer_pose3d',
                        help='folder to write (default: %(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a '
                        'GPU, if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        metavar='KEY=VALUE', help='keys of the config to '
                        'change')
    args = parser.parse_args()
    if (args.image is None) == (args.dataset is None):
        parser.error('give either an image or folder, or --dataset N')
    given = [f"--{name.replace('_', '-')}"
             for name in ('boxes', 'camera', 'root_depth')
             if getattr(args, name) is not None]
    if args.dataset is not None and given:
        parser.error(f'{" and ".join(given)} cannot go with --dataset: the '
                     'samples of a test set have theirs')
    return args


def show_samples(args: argparse.Namespace,
                 inferencer: Pose3DImageInferencer) -> None:
    sheet = TruthSheet(inferencer, args.dataset)
    picture = sheet.write(args.out, args.kpt_thr)
    print(f'{sheet.table()}\n\ndrawn: {picture}')


def show_images(args: argparse.Namespace,
                inferencer: Pose3DImageInferencer) -> None:
    images = (image_files(args.image) if Path(args.image).is_dir()
              else [args.image])
    predictions = predict_images(
        inferencer, images, args.out,
        boxes=None if args.boxes is None else read_json(args.boxes),
        camera=None if args.camera is None else read_json(args.camera),
        root_depth=args.root_depth, kpt_thr=args.kpt_thr)
    for reason in predictions.failures.values():
        print(f'left out: {reason}', file=sys.stderr)
    if not predictions.images:
        raise ValueError('there is no prediction: '
                         f'{len(images)} of {len(images)} images failed')
    failed = len(predictions.failures)
    print(f'{predictions.people} people in {predictions.images} images'
          f'{f", {failed} left out" if failed else ""}: {args.out}')


def main() -> int:
    args = parse_args()
    try:
        check_config_path(args.config)
        config = Config.fromfile(args.config)
        config.merge_from_dict(args.cfg_options or {})
        if args.dataset is not None:
            check_data_files(config, ['test'])
        inferencer = Pose3DImageInferencer(
            config, args.checkpoint, args.device)
        (show_samples if args.image is None else show_images)(args, inferencer)
    except (OSError, ValueError, MissingFile) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
