"""Compare models: parameters, operations, accuracy, size and speed."""

import argparse
import sys
import warnings

from mmpose_wloss.commands.compare import (
    ModelComparison,
    parse_candidates,
)

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'models', nargs='+', metavar='CONFIG:CHECKPOINT',
        help='config and checkpoint of a model; of a training with several '
        'networks, the student or the first')
    parser.add_argument(
        '--name', action='append', help='what to call a model, for each in '
        "their order. Default: the config's name")
    parser.add_argument(
        '--out', default='work_dirs/compare_models',
        help='folder for table, figures and picture, and for what is known '
        'already. Default: %(default)s')
    parser.add_argument(
        '--seconds', type=float, default=5.,
        help='how long to measure each speed. Default: %(default)s')
    parser.add_argument(
        '--batch-size', type=int, default=1,
        help='images at a time when speed is measured. Default: %(default)s')
    parser.add_argument(
        '--no-onnx', action='store_true', help='export and measure no ONNX')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={},
        help='keys of all configs to change, key=value')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    warnings.filterwarnings('ignore', 'Use the existing "bbox_center"')
    try:
        comparison = ModelComparison(
            parse_candidates(args.models, args.name), args.out,
            args.cfg_options, args.seconds, args.batch_size,
            onnx=not args.no_onnx)
        comparison.run()
        files = comparison.write()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f'error: {message}', file=sys.stderr)
        return 1
    print(comparison.table())
    for what, file in files.items():
        print(f'{what + ":":9}{file}', file=sys.stderr)
    return 0


if __name__ == '__main__':
    sys.exit(main())
