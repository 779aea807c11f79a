"""``python -m mmpose_wloss browse``: what a training shows its network."""

import argparse
from pathlib import Path

from .. import register_all_modules
from ..common.checks import whole
from ..common.files import check_config_path


def main(arguments: list[str] | None = None) -> int:
    """Draw a batch of a training, and the hard views of a semi-supervised one."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss browse', description=main.__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add('config', help='config of a top-down training')
    add('--checkpoint', help='of a semi-supervised training, whose network teaches')
    add('--out', default='work_dirs/batch.png', help='the picture; hard views go '
        'beside it')
    add('--count', type=int, default=8, help='images')
    add('--seed', type=int, default=0, help='of the random draws')
    args = parser.parse_args(arguments)
    check_config_path(args.config)
    whole(count=args.count)

    register_all_modules()
    from mmengine.config import Config

    from ..preflight import check_files
    from ..visualization import draw_batch, draw_hard_views

    config = Config.fromfile(args.config)
    check_files(config, ['train'])
    out = Path(args.out)
    if 'hard_views' in config.model:
        # first, as a checkpoint may not fit
        views = out.with_stem(f'{out.stem}_hard_views')
        draw_hard_views(config, views, args.checkpoint, args.count, args.seed)
        print(f'drawn: {views}')
    draw_batch(config, args.out, args.count, args.seed)
    print(f'drawn: {out}')
    return 0
