"""Write a network of PoseCons, PoseDual or FastPoseDistiller.

It is written as a plain stock checkpoint.
"""

import argparse
import sys

from mmpose_wloss.models.wrapped_networks import PLACES, export_network


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', help='checkpoint of the training')
    parser.add_argument(
        '--network', choices=list(PLACES),
        help='which one (default: the student, or the first); ema is the '
        'average of the first, where the teacher is an averaged model')
    parser.add_argument('--out', required=True,
                        help='file to write, .pth; its config goes beside it')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        checkpoint, config = export_network(
            args.checkpoint, args.network, args.out)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f'error: {message}', file=sys.stderr)
        return 1
    print(f'checkpoint: {checkpoint}\nconfig:     {config}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
