"""Draw the easy and hard views of a semi-supervised config."""

import argparse
import sys

from mmpose_wloss.preflight import (
    MissingFile,
    check_config_path,
    check_data_files,
)
from mmpose_wloss.visualization import draw_hard_views

from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='config with PoseCons or PoseDual')
    parser.add_argument('--checkpoint', help='of a training with this config')
    parser.add_argument('--out', default='work_dirs/hard_views.png',
                        help='the picture')
    parser.add_argument('--count', type=int, default=8, help='images')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        check_config_path(args.config)
        config = Config.fromfile(args.config)
        check_data_files(config, ['train'])
        draw_hard_views(config, args.out, args.checkpoint, args.count,
                        args.seed)
    except (OSError, ValueError, MissingFile) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'drawn: {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
