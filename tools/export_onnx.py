"""Write a network as an ONNX file, checked against PyTorch."""

import argparse
import sys

from mmpose_wloss.deploy.onnx_report import export_and_report
from mmpose_wloss.models.wrapped_networks import PLACES

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the training')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('--out', required=True, help='file to write, .onnx')
    parser.add_argument(
        '--network', choices=list(PLACES),
        help='which network of a training that has several')
    parser.add_argument(
        '--images', help='folder of images to check and to calibrate with; '
        'without it, the test set is to check and the training set to '
        'calibrate with')
    parser.add_argument(
        '--int8', action='store_true',
        help='also write it in 8-bit integers, as FILE_int8.onnx')
    parser.add_argument('--calibration', type=int, default=200, metavar='N',
                        help='images to calibrate with (default: 200)')
    parser.add_argument(
        '--evaluate', action='store_true',
        help='evaluate PyTorch and each file on the test set')
    parser.add_argument('--seconds', type=float, default=2.,
                        help='how long to measure each speed (default: 2)')
    parser.add_argument('--threads', type=int, default=0,
                        help='threads of each; 0: as many as there are cores')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        default={}, help='changes of the config, key=value')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        report = export_and_report(**vars(args))
    except (OSError, ImportError, ValueError, KeyError, TypeError,
            RuntimeError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f'error: {message}', file=sys.stderr)
        return 1
    print(report)
    return 0


if __name__ == '__main__':
    sys.exit(main())
