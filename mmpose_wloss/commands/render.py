"""``python -m mmpose_wloss render {dataset,clip}``: people with known joints."""

import argparse

from annypose import (
    DEFAULT_CLASS_SHARES,
    ClipParameters,
    RenderError,
    RenderParameters,
    render_clip,
    render_dataset,
)

from ..common.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Render the embedded data set, or a clip."""
    parser = argparse.ArgumentParser(prog='mmpose_wloss render',
                                     description='Render people.')
    verbs = parser.add_subparsers(required=True)
    for name, function, add_arguments, what in (
            ('dataset', _render_dataset, _add_dataset_arguments,
             'the embedded data set: people with exact joints, as in COCO'),
            ('clip', _render_clip, _add_clip_arguments,
             'a video of people who move, with boxes and exact joints')):
        verb = verbs.add_parser(
            name, help=what, description=what,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        verb.set_defaults(function=function)
        add_arguments(verb.add_argument)
    args = vars(parser.parse_args(arguments))
    try:
        args.pop('function')(**args)
    except RenderError as error:
        raise UserError(str(error)) from error
    return 0


def _add_common_arguments(add, default) -> None:
    add('--size', type=int, default=default.size, help='width and height')
    add('--seed', type=int, default=default.seed,
        help='everything random comes from it')
    add('--yaw', type=float, default=default.yaw,
        help='largest turn from facing the camera, degrees; 180: all sides')


def _add_dataset_arguments(add) -> None:
    default = RenderParameters()
    add('--out', default='data/annypose', help='folder of the data set')
    add('--train', type=int, default=2000, help='images for training')
    add('--val', type=int, default=400, help='images for validation')
    add('--unlabeled', type=int, default=0, help='images without labels')
    add('--workers', type=int, default=2, help='processes')
    _add_common_arguments(add, default)
    add('--occluders', type=float, default=default.occluders,
        help='probability of a thing in front of the people')
    add('--people', type=float, default=default.people,
        help='probability of a second person')
    add('--class-shares', type=class_shares, metavar='CLASS=SHARE,…',
        default=','.join(f'{k}={v}' for k, v in DEFAULT_CLASS_SHARES.items()),
        help='probability of each class of pose; those not named get 0')


def class_shares(text: str) -> dict[str, float]:
    pairs = [entry.split('=') for entry in text.split(',')]
    return {name.strip(): float(share) for name, share in pairs}


def _render_dataset(out: str, train: int, val: int, unlabeled: int,
                    workers: int, **parameters) -> None:
    summary = render_dataset(
        out, dict(train=train, val=val, unlabeled=unlabeled),
        RenderParameters(**parameters), workers)
    print(f'{summary["rendered"]} images rendered in '
          f'{summary["seconds"]:.1f} s; {out} now holds')
    for split, count in summary['images'].items():
        print(f'  {split:<10} {count:6d} images, {summary["people"][split]:6d} people')
    if summary['class_shares']:
        print('pose classes: ' + ', '.join(
            f'{name} {share:.1%}'
            for name, share in summary['class_shares'].items()))
        print(f'visible joints: {summary["visible_share"]:.1%}')
    print(f'contact sheet: {summary["contact_sheet"]}')


def _add_clip_arguments(add) -> None:
    default = ClipParameters()
    add('--out', default='data/clip',
        help='folder for clip.mp4, boxes.json and joints.json')
    add('--frames', type=int, default=default.frames, help='its length')
    add('--fps', type=float, default=default.fps, help='frames per second')
    add('--people', type=int, default=default.people, help='1 or 2')
    _add_common_arguments(add, default)


def _render_clip(out: str, **parameters) -> None:
    for file in render_clip(out, ClipParameters(**parameters)):
        print(f'written: {file} ({file.stat().st_size / 1000:.0f} kB)')
