"""``python -m mmpose_wloss pose3d CONFIG CHECKPOINT``: 3D poses in images."""

import argparse

from .. import register_all_modules
from ..common.checks import whole
from ..common.configs import change_config
from ..common.files import check_config_path
from .arguments import KeyValues, check_device


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
                        help='an image, or a folder of images and of folders')
    source.add_argument(
        '--dataset', type=int, metavar='N',
        help="take the first N samples of the config's test set, and draw "
        'their truth beside the prediction')
    parser.add_argument(
        '--boxes', metavar='JSON',
        help='file with the boxes of people, [[left, top, right, bottom], …] '
        'in pixels, or {image in the folder: boxes, …}, [] without people. Without it '
        "the whole image is one person's box")
    parser.add_argument(
        '--camera', metavar='JSON',
        help='file with the camera, {"f": [fx, fy], "c": [cx, cy]} in pixels, '
        'and k, p of a lens that distorts, or {image in the folder: camera, …}')
    parser.add_argument('--root-depth', type=float, metavar='MM',
                        help="distance of people's root joints from the "
                        'camera, in mm; goes with --camera')
    parser.add_argument('--kpt-thr', type=float, default=0.,
                        help='draw no joints with a lower score (default: 0)')
    parser.add_argument('--out', default='work_dirs/pose3d',
                        help='folder to write (default: %(default)s)')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a '
                        'GPU, if there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=KeyValues,
                        default={}, metavar='KEY=VALUE',
                        help='keys of the config to change')
    args = parser.parse_args(arguments)
    for name in ('boxes', 'camera', 'root_depth'):
        if args.dataset is not None and getattr(args, name) is not None:
            parser.error(f'--{name.replace("_", "-")} cannot go with '
                         '--dataset: the samples of a test set have theirs')
    check_config_path(args.config)
    if args.dataset is not None:
        whole(dataset=args.dataset)

    register_all_modules()
    from mmengine.config import Config

    from ..apis import Pose3DImageInferencer
    from ..apis.pose3d_predictions import predict_images, predict_samples
    from ..preflight import check_files

    check_device(args.device)
    config = Config.fromfile(args.config)
    change_config(config, args.cfg_options)
    if args.dataset is not None:
        check_files(config, ['test'])
    inferencer = Pose3DImageInferencer(config, args.checkpoint, args.device)
    if args.dataset is None:
        print(predict_images(inferencer, args.image, args.out, args.boxes, args.camera,
                             args.root_depth, args.kpt_thr))
    else:
        print(predict_samples(inferencer, args.dataset, args.out, args.kpt_thr))
    return 0
