"""Split an annotation file into a labelled part and an unlabelled rest."""

import argparse
import sys

from mmpose_wloss.datasets import make_subset


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('ann_file', help="annotation file in COCO's format")
    add('--count', type=int, required=True, help='labelled instances')
    add('--seed', type=int,
        help='draw them with this seed; default: take the first ones')
    add('--stratify', metavar='KEY',
        help='draw with the shares that the values of this key of the '
        'annotations have in the whole, e.g. num_keypoints')
    add('--out', metavar='DIR',
        help='folder of the two files; default: that of the annotation file')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        print(f'reading {args.ann_file} and dividing it', flush=True)
        summary = make_subset(args.ann_file, args.count, args.out, args.seed,
                              args.stratify)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1

    for part in ('labeled', 'unlabeled'):
        of_part = summary[part]
        print(f'{part:<10}{of_part["instances"]:8d} people in '
              f'{of_part["images"]:7d} images: {of_part["file"]}')
    if 'strata' in summary:
        print(f'{args.stratify}: people in all, labelled, share of each')
        for stratum in summary['strata']:
            print(f'  {stratum["value"]:<28}{stratum["instances"]:8d}'
                  f'{stratum["labeled"]:8d}'
                  f'{stratum["instances"] / summary["instances"]:8.1%}'
                  f'{stratum["labeled"] / args.count:8.1%}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
