"""``python -m mmpose_wloss subset``: a labeled part and an unlabeled rest."""

import argparse

from .. import register_all_modules
from ..common.files import existing_file


def main(arguments: list[str] | None = None) -> int:
    """Split an annotation file into a labeled part and an unlabeled rest."""
    parser = argparse.ArgumentParser(prog='mmpose_wloss subset',
                                     description=main.__doc__)
    add = parser.add_argument
    add('ann_file', help="annotation file in COCO's format")
    add('--count', type=int, required=True, help='labeled instances')
    add('--seed', type=int,
        help='draw them with this seed; default: take the first ones')
    add('--stratify', metavar='KEY',
        help='draw with the shares that the values of this key of the annotations '
        'have in the whole, e.g. num_keypoints')
    add('--out', metavar='DIR',
        help='folder of the two files; default: that of the annotation file')
    args = parser.parse_args(arguments)
    existing_file(args.ann_file, 'annotation file')

    register_all_modules()
    from ..datasets import make_subset

    print(f'reading {args.ann_file} and dividing it', flush=True)
    summary = make_subset(args.ann_file, args.count, args.out, args.seed, args.stratify)
    for part in ('labeled', 'unlabeled'):
        print('{0:<10}{instances:8d} people in {images:7d} images: {file}'.format(
            part, **summary[part]))
    if 'strata' in summary:
        print(f'{args.stratify}: people in all, labeled, share of each')
        for value, instances, labeled in map(dict.values, summary['strata']):
            print(f'  {value:<28}{instances:8d}{labeled:8d}'
                  f'{instances / summary["instances"]:8.1%}{labeled / args.count:8.1%}')
    return 0
