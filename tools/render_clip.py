"""Render a video of people who move, with boxes and exact joints."""

import argparse
import sys

from annypose import (
    ClipParameters,
    MissingAnnyError,
    render_clip,
)


def parse_args() -> argparse.Namespace:
    default = ClipParameters()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add('--out', default='data/clip',
        help='folder for clip.mp4, boxes.json and joints.json')
    add('--frames', type=int, default=default.frames, help='its length')
    add('--size', type=int, default=default.size, help='width and height')
    add('--fps', type=float, default=default.fps, help='frames per second')
    add('--people', type=int, default=default.people, help='1 or 2')
    add('--yaw', type=float, default=default.yaw,
        help='largest turn from facing the camera, degrees')
    add('--seed', type=int, default=default.seed,
        help='everything random comes from it')
    return parser.parse_args()


def main() -> int:
    args = vars(parse_args())
    try:
        files = render_clip(args.pop('out'), ClipParameters(**args))
    except KeyboardInterrupt:
        print('\ninterrupted: nothing was written, old files are as they '
              'were', file=sys.stderr)
        return 130
    except (ValueError, OSError, MissingAnnyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for file in files:
        print(f'written: {file} ({file.stat().st_size / 1000:.0f} kB)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
