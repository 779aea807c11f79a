"""``python -m mmpose_wloss browse``: the easy and hard views of a training."""

import argparse

from .. import register_all_modules
from ..common.files import check_config_path


def main(arguments: list[str] | None = None) -> int:
    """Draw the easy and hard views of a semi-supervised config."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss browse', description=main.__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add('config', help='config with PoseCons, PoseDual or PoseTriple')
    add('--checkpoint', help='of a training with this config')
    add('--out', default='work_dirs/hard_views.png', help='the picture')
    add('--count', type=int, default=8, help='images')
    add('--seed', type=int, default=0, help='of the random draws')
    args = parser.parse_args(arguments)
    check_config_path(args.config)

    register_all_modules()
    from mmengine.config import Config

    from ..preflight import check_files
    from ..visualization import draw_hard_views

    config = Config.fromfile(args.config)
    check_files(config, ['train'])
    draw_hard_views(config, args.out, args.checkpoint, args.count, args.seed)
    print(f'drawn: {args.out}')
    return 0
