"""``python -m mmpose_wloss convert``: checkpoints of original codes."""

import argparse

from .. import register_all_modules
from ..common.files import check_config_path, check_spares, existing_file


def main(arguments: list[str] | None = None) -> int:
    """Convert a checkpoint."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss convert', description='Write a checkpoint of the '
        'original hourglass code as a stock checkpoint, or one of the original '
        'PoseCons, PoseDual, MultiAugs or SSPCM as one of this package.')
    add = parser.add_argument
    add('source', help='checkpoint of the original training, .pth.tar')
    add('out', help='file to write, .pth')
    add('--config', help='config of the same network, which the checkpoint is to hold')
    args = parser.parse_args(arguments)
    existing_file(args.source, 'checkpoint')
    check_spares([args.out], [args.source])
    if args.config is not None:
        check_config_path(args.config)

    register_all_modules()
    from ..apis import original_hourglass, original_posedual
    from ..apis.original_checkpoint import read_original

    if original_posedual.is_posedual(read_original(args.source)['state_dict']):
        written = original_posedual.convert_checkpoint(
            args.source, args.out, args.config)
    else:
        network = original_hourglass.convert_checkpoint(
            args.source, args.out, args.config)
        written = f'{network}, to be read by the codec {original_hourglass.CODEC}'
    print(f'{args.out}: {written}')
    return 0
