"""Weights of training poses by their density: fit, inspect and compare."""

import argparse
import sys
import warnings
from pathlib import Path

from mmpose_wloss.commands.density import (
    FOLDER,
    doubts,
    draw_comparison_of,
    draw_pictures,
    fit,
    read_poses,
    source_of,
)
from mmpose_wloss.pose_density import PoseDensityArtefact
from mmpose_wloss.pose_density.summary import (
    compare,
    summarize,
    summarize_comparison,
)

from mmengine.config import DictAction
from tqdm import tqdm

SOURCE = ('a config (.py), of which the training data set is taken, or an '
          'annotation file')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)

    command = commands.add_parser('fit', help='fit a density to the poses of a '
                                  'data set, and write it with their weights')
    command.add_argument('source', help=SOURCE)
    add = command.add_argument
    add('--out', help='the file, .npz; default: pose_density.file of the '
        f'config, else {FOLDER}/NAME_OF_THE_SOURCE.npz')
    add('--options', nargs='+', action=DictAction, default={},
        metavar='KEY=VALUE',
        help='mode and options of PoseDensity, before those of pose_density in '
        'the config, e.g. mode=source bandwidth=0.2 clip=0.1,10')
    add('--device', default='cpu',
        help='where densities are computed; default: cpu')
    add('--force', action='store_true',
        help='write weights with which a handful carries the training')
    add('--no-pictures', action='store_true',
        help='draw no pictures beside the file')
    add_source_options(command)

    command = commands.add_parser('inspect', help='describe and draw a density')
    command.add_argument('file', help='file of a density')
    command.add_argument('--source', help=f'{SOURCE}: draw its poses too')
    command.add_argument('--out', metavar='DIR', help='folder of the pictures; '
                         "default: beside the file, with the file's name")
    add_source_options(command)

    command = commands.add_parser(
        'compare', help='compare two densities of the same annotations')
    add = command.add_argument
    add('files', nargs=2, metavar='FILE', help='file of a density')
    add('--out', help='the picture; default: beside the first file')
    add('--count', type=int, default=10,
        help='how many of the largest disagreements to list; default: 10')
    return parser.parse_args()


def add_source_options(command: argparse.ArgumentParser) -> None:
    of_config = command.add_argument_group('of a config')
    of_config.add_argument('--dataset', metavar='KEY', help='which training '
                           'data set, e.g. train_dataloader.dataset.datasets.0')
    of_config.add_argument('--cfg-options', nargs='+', action=DictAction,
                           default={}, metavar='KEY=VALUE',
                           help='changes of the config')
    of_file = command.add_argument_group('of an annotation file')
    of_file.add_argument('--dataset-type', default='CocoDataset',
                         help='class of the data set; default: CocoDataset')
    of_file.add_argument('--data-root', default='',
                         help='folder of the images')
    of_file.add_argument('--img-prefix', default='',
                         help='their folder in --data-root')


def warn(message: str) -> None:
    print(f'warning: {message}', file=sys.stderr)


def read_bar(indices):
    return tqdm(indices, desc='reading poses', unit=' poses')


def source_from(args: argparse.Namespace, path: str):
    return source_of(path, args.dataset, args.cfg_options, args.dataset_type,
                     args.data_root, args.img_prefix)


def show_pictures(pictures) -> None:
    for path, note in pictures:
        if path is not None:
            print(f'drawn: {path}')
        if note is not None:
            print(f'note: {note}')


def run_fit(args: argparse.Namespace) -> int:
    source = source_from(args, args.source)
    out = args.out or source.out
    print(f'fitting to {source.key}', flush=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always', UserWarning)
        artefact, poses = fit(source, out, args.options, args.device, read_bar)
    for each in caught:
        warn(each.message)
    print(summarize(artefact))
    doubt = doubts(artefact)
    if artefact.is_carried_by_few() and not args.force:
        raise ValueError(f'{out} is not written: {doubt}. Or write it anyway '
                         'by --force')
    if doubt:
        warn(doubt)
    artefact.save(out)
    print(f'written: {out}')
    others = [file for file in source.trained_on
              if Path(file).absolute() != Path(out).absolute()]
    if others:
        warn(f'but a training with {args.source} reads {", ".join(others)}')
    if not args.no_pictures:
        show_pictures(draw_pictures(
            artefact, str(Path(out).with_suffix('')), poses))
    return 0


def run_inspect(args: argparse.Namespace) -> int:
    artefact = PoseDensityArtefact.load(args.file)
    print(summarize(artefact))
    if doubts(artefact):
        warn(doubts(artefact))
    poses = None
    if args.source:
        poses = read_poses(source_from(args, args.source), read_bar)
        artefact.check_annotations(poses.files)
    folder = args.out or str(Path(args.file).with_suffix(''))
    show_pictures(draw_pictures(artefact, folder, poses))
    return 0


def run_compare(args: argparse.Namespace) -> int:
    first, second = (PoseDensityArtefact.load(file) for file in args.files)
    comparison = compare(first, second)
    print(summarize_comparison(comparison, args.count))
    if first.annotation_digest != second.annotation_digest:
        print('note: they were computed from different annotation files: '
              f'{", ".join(first.annotation_files)} and '
              f'{", ".join(second.annotation_files)}')
    print(f'drawn: {draw_comparison_of(args.files, comparison, args.out)}')
    return 0


def main() -> int:
    args = parse_args()
    try:
        return dict(fit=run_fit, inspect=run_inspect,
                    compare=run_compare)[args.command](args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
