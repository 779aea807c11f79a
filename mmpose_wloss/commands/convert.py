"""``python -m mmpose_wloss convert``: checkpoints of the original hourglass code."""

import argparse

from .. import register_all_modules
from ..common.files import check_config_path, existing_file


def main(arguments: list[str] | None = None) -> int:
    """Convert a checkpoint."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss convert', description='Write a checkpoint of the '
        'original hourglass code as a stock checkpoint.')
    add = parser.add_argument
    add('source', help='checkpoint of the original training, .pth.tar')
    add('out', help='file to write, .pth')
    add('--config', help='config of the same network, which the checkpoint is to hold')
    args = parser.parse_args(arguments)
    existing_file(args.source, 'checkpoint')
    if args.config is not None:
        check_config_path(args.config)

    register_all_modules()
    from ..apis.original_hourglass import CODEC, convert_checkpoint

    network = convert_checkpoint(args.source, args.out, args.config)
    print(f'{args.out}: {network}, to be read by the codec {CODEC}')
    return 0
