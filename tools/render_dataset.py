"""Render the embedded data set: people with exact joints, in COCO's layout."""

import argparse
import sys

from annypose import (
    DEFAULT_CLASS_SHARES,
    MissingAnnyError,
    RenderInterrupted,
    RenderParameters,
    render_dataset,
)


def class_shares(text: str) -> dict[str, float]:
    try:
        pairs = [entry.split('=') for entry in text.split(',')]
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        raise argparse.ArgumentTypeError(
            f'expected name=share,name=share, got {text!r}') from None


def parse_args() -> argparse.Namespace:
    default = RenderParameters()
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add('--out', default='data/annypose', help='folder of the data set')
    add('--train', type=int, default=2000, help='images for training')
    add('--val', type=int, default=400, help='images for validation')
    add('--unlabeled', type=int, default=0, help='images without labels')
    add('--size', type=int, default=default.size, help='width and height')
    add('--seed', type=int, default=default.seed,
        help='everything random comes from it')
    add('--workers', type=int, default=2, help='processes')
    add('--yaw', type=float, default=default.yaw,
        help='largest turn from facing the camera, degrees; 180: all sides')
    add('--occluders', type=float, default=default.occluders,
        help='probability of a thing in front of the people')
    add('--people', type=float, default=default.people,
        help='probability of a second person')
    add('--class-shares', type=class_shares,
        default=','.join(f'{k}={v}' for k, v in DEFAULT_CLASS_SHARES.items()),
        help='probability of each class of pose; those not named get 0')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        parameters = RenderParameters(
            seed=args.seed, size=args.size, class_shares=args.class_shares,
            yaw=args.yaw, occluders=args.occluders, people=args.people)
        summary = render_dataset(
            args.out,
            dict(train=args.train, val=args.val, unlabeled=args.unlabeled),
            parameters, args.workers)
    except RenderInterrupted as interruption:
        print(f'\n{interruption}', file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError, MissingAnnyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1

    images, people = summary['images'], summary['people']
    print(f'{summary["rendered"]} images rendered in '
          f'{summary["seconds"]:.1f} s; {args.out} now holds')
    for split, count in images.items():
        print(f'  {split:<10} {count:6d} images, {people[split]:6d} people')
    if summary['class_shares']:
        print('pose classes: ' + ', '.join(
            f'{name} {share:.1%}'
            for name, share in summary['class_shares'].items()))
        print(f'visible joints: {summary["visible_share"]:.1%}')
    print(f'contact sheet: {summary["contact_sheet"]}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
