"""``python -m mmpose_wloss export``: a network out of a checkpoint."""

import argparse
from pathlib import Path

from .. import register_all_modules
from ..common.checks import whole
from ..common.configs import change_config
from ..common.errors import UserError
from ..common.files import check_config_path
from .arguments import KeyValues

COMPARED_IMAGES = 100


def main(arguments: list[str] | None = None) -> int:
    """Write a network, and tell how far an ONNX file is from PyTorch.

    Args:
        arguments (list[str], optional): Those of the command line by default.

    Returns:
        int: 0.
    """
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss export', description='Write a network as a stock '
        'checkpoint with its config, or as an ONNX file, checked against '
        'PyTorch.')
    parser.add_argument(
        'config', nargs='?', help='config of the training; without it, the '
        'one that the checkpoint holds')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('--out', required=True,
                        help='file to write, .pth or .onnx')
    parser.add_argument(
        '--network', metavar='NAME', help='which network of a training that has '
        'several: first, second, third, student, or the average of one: ema_first, '
        'also ema, ema_second, ema_third; without it, the student or the first')
    parser.add_argument(
        '--images', help='folder of images, also in its folders, to check and to '
        'calibrate with; without it, the test set is to check and the training set '
        'to calibrate with')
    parser.add_argument(
        '--int8', action='store_true',
        help='also write 8-bit integers, as OUT_int8.onnx')
    parser.add_argument('--calibration', type=int, default=200, metavar='N',
                        help='images to calibrate with (default: 200)')
    parser.add_argument('--cfg-options', nargs='+', action=KeyValues,
                        default={}, help='changes of the config, key=value')
    args = parser.parse_args(arguments)
    suffix = Path(args.out).suffix
    if suffix not in ('.pth', '.onnx'):
        raise UserError(f'--out must end in .pth or .onnx, but it is {args.out}')
    if suffix == '.pth' and (args.int8 or args.images):
        raise UserError('--int8 and --images are for ONNX files, but --out is '
                        f'{args.out}: end it in .onnx, or leave them out')
    whole(1, calibration=args.calibration)
    if args.config is not None:
        check_config_path(args.config)

    register_all_modules()
    from ..models.wrapped_networks import export_network, read_config

    config = read_config(args.config, args.checkpoint)
    change_config(config, args.cfg_options)
    if suffix == '.onnx':
        _export_onnx(config, args)
    else:
        for file in export_network(config, args.checkpoint, args.out,
                                   args.network):
            print(file)
    return 0


def _export_onnx(given, args: argparse.Namespace) -> None:
    from ..deploy import export_onnx, quantize_onnx
    from ..deploy.images import network_images
    from ..deploy.quantization import joint_distance
    from ..models.wrapped_networks import load_network

    model, config = load_network(given, args.checkpoint, args.network)
    if args.int8:
        # the stock config has no training set
        config.train_dataloader = given.get('train_dataloader')
        calibration, calibrated_on = network_images(
            config, model, args.calibration, args.images, 'train')
    export = export_onnx(model, config, args.out, args.images)
    print(f'{export.file}: differs from PyTorch by {export.difference:.1e} '
          f'on {export.images} images ({export.source})')
    if args.int8:
        file = quantize_onnx(
            export.file, export.file.with_stem(f'{export.file.stem}_int8'),
            calibration)
        images, source = network_images(config, model, COMPARED_IMAGES,
                                        args.images)
        print(f'{file}: calibrated on {len(calibration)} images '
              f'({calibrated_on}); half of the joints are at most '
              f'{joint_distance(model, file, images):.2f} pixels of the input '
              f'away from those of PyTorch on {len(images)} images ({source})')
