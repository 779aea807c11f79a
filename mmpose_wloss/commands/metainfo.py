"""``python -m mmpose_wloss metainfo``: what MMPose asks to know of your joints."""

import argparse
from pathlib import Path

from .. import register_all_modules
from ..common.errors import UserError
from ..common.files import existing_file, write_whole


def main(arguments: list[str] | None = None) -> int:
    """Write the metainfo of the joints of an annotation file, to read and edit."""
    parser = argparse.ArgumentParser(prog='mmpose_wloss metainfo',
                                     description=main.__doc__)
    add = parser.add_argument
    add('ann_file', help="annotation file in COCO's format")
    add('--out', required=True, help='file to write, .py')
    add('--category', metavar='NAME',
        help='which category, where several have keypoints')
    add('--sigma', type=float, default=0.05, help="of all joints, for COCO's metric "
        '(default: %(default)s)')
    add('--force', action='store_true', help='overwrite the file')
    args = parser.parse_args(arguments)
    existing_file(args.ann_file, 'annotation file')
    out = Path(args.out)
    if out.suffix != '.py':
        raise UserError(f'--out must end in .py, but it is {out}')
    if out.exists() and not args.force:
        raise UserError(f'{out} exists already. Add --force to overwrite it')

    register_all_modules()
    from ..datasets.metainfo import metainfo_text, read_metainfo

    metainfo, annotations = read_metainfo(args.ann_file, args.category, args.sigma)
    write_whole(out, metainfo_text(metainfo))
    joints = metainfo['keypoint_info'].values()
    pairs = [f'{one["name"]} and {one["swap"]}' for one in joints
             if one['swap'] and one['name'] < one['swap']]
    print(f'{len(annotations)} of {metainfo["dataset_name"]!r}, with {len(joints)} '
          f'joints and {len(metainfo["skeleton_info"])} links; a mirror swaps '
          f'{", ".join(pairs) or "none"}')
    for key in ('bbox', 'area'):
        lacking = sum(not one.get(key) for one in annotations)
        if lacking:
            print(f'note: {lacking} have no {key!r}, which ' + (
                'MMPose wants: it leaves them out' if key == 'bbox' else
                'CocoMetric wants, unless use_area=False'))
    print(f'{out} is written. Read it, then name it in the data sets of your config:\n'
          f"  metainfo=dict(from_file='{out}')")
    return 0
