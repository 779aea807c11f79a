"""Write a checkpoint of the source's hourglass code as a stock checkpoint."""

import argparse
import sys

from mmpose_wloss.commands.convert import convert_checkpoint


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'source', help="checkpoint of the source's training, .pth.tar")
    parser.add_argument('out', help='file to write, .pth')
    parser.add_argument(
        '--config', help='config of the same network, which the checkpoint is '
        'to hold')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        network = convert_checkpoint(args.source, args.out, args.config)
    except (OSError, ValueError, KeyError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f'error: {message}', file=sys.stderr)
        return 1
    print(f'{args.out}: {network}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
