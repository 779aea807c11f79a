"""``python -m mmpose_wloss density``: fit, inspect, compare densities, rank people."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from .. import register_all_modules
from ..common.checks import whole
from ..common.configs import change_config
from ..common.errors import UserError
from ..common.files import check_config_path, existing_file
from .arguments import KeyValues, check_device

FOLDER = Path('work_dirs', 'pose_density')
SOURCE = ('a config (.py), of which the training data set is taken, or an '
          'annotation file')


def main(arguments: list[str] | None = None) -> int:
    """Fit, inspect or compare densities of poses, or rank people by one."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss density',
        description='Weights of training poses by their density.')
    commands = parser.add_subparsers(dest='command', required=True)
    changes = dict(nargs='+', action=KeyValues, default={},
                   metavar='KEY=VALUE')

    of_source = argparse.ArgumentParser(add_help=False)
    add = of_source.add_argument_group('of a config').add_argument
    add('--dataset', metavar='KEY', help='which training data set, e.g. '
        'train_dataloader.dataset.datasets.0')
    add('--cfg-options', help='changes of the config', **changes)
    add = of_source.add_argument_group('of an annotation file').add_argument
    add('--dataset-type', default='CocoDataset',
        help='class of the data set; default: CocoDataset')
    add('--data-root', default='', help='folder of the images')
    add('--img-prefix', default='', help='their folder in --data-root')

    def add_command(name: str, run: Callable, text: str, parents=()):
        command = commands.add_parser(name, help=text, parents=parents)
        command.set_defaults(run=run)
        return command.add_argument

    add = add_command('fit', run_fit, 'fit a density to the poses of a data '
                      'set, and write it with their weights', [of_source])
    add('source', help=SOURCE)
    add('--out', help='the file, .npz; default: pose_density.file of the '
        f'config, else {FOLDER}/NAME_OF_THE_SOURCE.npz')
    add('--options', help='mode and options of PoseDensity, before those of '
        'pose_density in the config, e.g. mode=source bandwidth=0.2 '
        'clip=0.1,10', **changes)
    add('--device', default='cpu',
        help='where densities are computed; default: cpu')
    add('--force', action='store_true',
        help='write weights with which a handful carries the training')
    add('--no-pictures', action='store_true',
        help='draw no pictures beside the file')

    add = add_command('inspect', run_inspect, 'describe and draw a density',
                      [of_source])
    add('file', help='file of a density')
    add('--source', help=f'{SOURCE}: draw its poses too')
    add('--out', metavar='DIR', help='folder of the pictures; '
        "default: beside the file, with the file's name")

    add = add_command('compare', run_compare,
                      'compare two densities of the same annotations')
    add('files', nargs=2, metavar='FILE', help='file of a density')
    add('--out', help='the picture; default: beside the first file')
    add('--count', type=int, default=10,
        help='how many of the largest disagreements to list; default: 10')

    add = add_command('rank', run_rank, 'rank unlabeled people: whose predicted poses '
                      'are rare under the labeled ones, or uncertain')
    add('config', help='config of a top-down 2D pose estimator')
    add('checkpoint', help='its checkpoint')
    add('file', help='file of the density of the labeled poses')
    add('--images', required=True, metavar='DIR', help='folder of the images; without '
        'boxes each whole image is a person')
    add('--ann-file', default='', help="boxes in COCO's format, or the images that "
        '--bbox-file has boxes of')
    add('--bbox-file', help="a detector's boxes in COCO's format of results")
    add('--by', default='both', choices=('both', 'rarity', 'uncertainty'),
        help='what asks for a label (default: %(default)s)')
    add('--count', type=int, default=100,
        help='how many are to be labeled (default: %(default)s)')
    add('--out', default=str(FOLDER / 'rank'), metavar='DIR',
        help='folder to write (default: %(default)s)')
    add('--kpt-thr', type=float, default=0.1, help='a joint with a lower score is '
        'missing in a predicted pose (default: %(default)s)')
    add('--network', metavar='NAME', help='which network of the checkpoint of a '
        'training with several: first, second, ema, student …')
    add('--batch-size', type=int, default=16,
        help='people in the network at once (default: %(default)s)')
    add('--no-flip', action='store_true',
        help='leave out the flip test, which halves the time')
    add('--device', help='such as cpu or cuda:0 (default: a GPU, if there is one)')
    add('--cfg-options', help='changes of the config', **changes)

    args = parser.parse_args(arguments)
    if args.command == 'rank':
        check_config_path(args.config)
    if source := getattr(args, 'source', None):
        if source.endswith('.py'):
            check_config_path(source)
        else:
            existing_file(source, 'annotation file')

    register_all_modules()
    args.run(args)
    return 0


def run_fit(args: argparse.Namespace) -> None:
    """Fit a density, write it and draw it."""
    from ..datasets.pose_sources import read_poses
    from ..datasets.poses import fit_pose_density
    from ..pose_density import PoseDensity
    from ..pose_density.summary import summarize
    from ..visualization.pose_density_pictures import draw_pictures

    source = _source(args)
    out = Path(args.out or source.file or FOLDER / f'{Path(args.source).stem}.npz')
    options = {**source.options, **args.options}
    # what can be wrong is found before poses are read
    PoseDensity(**options)
    if out.suffix != '.npz':
        raise UserError(f'out must end in .npz, but it is {out}')
    check_device(args.device)
    print(f'fitting to {source.key}', flush=True)
    poses = read_poses(source)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always', UserWarning)
        artifact = fit_pose_density(poses, device=args.device, progress=True,
                                    **options)
    for each in caught:
        warn(each.message)
    print(summarize(artifact))
    if artifact.is_carried_by_few() and not args.force:
        raise UserError(f'{out} is not written: {artifact.doubt()}. Or write '
                        'it anyway by --force')
    if artifact.doubt():
        warn(artifact.doubt())
    artifact.save(out)
    print(f'written: {out}')
    others = [file for file in source.trained_on
              if Path(file).absolute() != out.absolute()]
    if others:
        warn(f'but a training with {args.source} reads {", ".join(others)}')
    if not args.no_pictures:
        draw_pictures(artifact, out.with_suffix(''), poses)


def run_inspect(args: argparse.Namespace) -> None:
    """Describe and draw a density."""
    from ..datasets.pose_sources import read_poses
    from ..pose_density import PoseDensityArtifact
    from ..pose_density.summary import summarize
    from ..visualization.pose_density_pictures import draw_pictures

    artifact = PoseDensityArtifact.load(args.file)
    print(summarize(artifact))
    if artifact.doubt():
        warn(artifact.doubt())
    poses = None
    if args.source:
        poses = read_poses(_source(args))
        artifact.check_annotations(poses.files)
    draw_pictures(artifact, Path(args.out or Path(args.file).with_suffix('')),
                  poses)


def run_compare(args: argparse.Namespace) -> None:
    """Compare two densities, in figures and in a picture."""
    from ..pose_density import PoseDensityArtifact
    from ..pose_density.summary import compare, summarize_comparison
    from ..visualization.pose_density_figures import draw_density_comparison
    from ..visualization.pose_density_pictures import save_figure

    whole(count=args.count)
    first, second = (PoseDensityArtifact.load(file) for file in args.files)
    comparison = compare(first, second)
    print(summarize_comparison(comparison, args.count))
    if first.annotation_digest != second.annotation_digest:
        print('note: they were computed from different annotation files: '
              f'{", ".join(first.annotation_files)} and '
              f'{", ".join(second.annotation_files)}')
    paths = [Path(file).with_suffix('') for file in args.files]
    names = [path.name for path in paths]
    if names[0] == names[1]:
        names = list(map(str, paths))
    out = args.out or paths[0].with_name(
        f'{paths[0].name}_and_{paths[1].name}.png')
    save_figure(draw_density_comparison(
        comparison.log_density, comparison.weights, names), Path(out))


def run_rank(args: argparse.Namespace) -> None:
    """Rank unlabeled people, and write who is to be labeled next."""
    import numpy as np

    from ..apis import TopdownPredictor
    from ..apis.pose_ranking import labeled_category, rank_people, write_ranking
    from ..datasets import UnlabeledPoseDataset
    from ..models.wrapped_networks import read_config
    from ..pose_density import PoseDensityArtifact
    from ..preflight import named_metainfo

    check_device(args.device)
    whole(count=args.count)
    artifact = PoseDensityArtifact.load(args.file)
    config = read_config(args.config, args.checkpoint)
    change_config(config, args.cfg_options)
    predictor = TopdownPredictor(
        config, args.checkpoint, device=args.device, batch_size=args.batch_size,
        network=args.network, flip_test=not args.no_flip)
    people = UnlabeledPoseDataset(
        args.ann_file, args.bbox_file, data_prefix=dict(img=args.images),
        metainfo=named_metainfo(config.test_dataloader.dataset))
    ranking = rank_people(predictor, artifact, people, args.by, args.kpt_thr)
    draws = write_ranking(ranking, artifact, args.images, args.out, args.count,
                          labeled_category(config, predictor.joints))
    known = ~np.isnan(ranking.log_density)
    rare = np.quantile(artifact.held_out[~np.isnan(artifact.held_out)], 0.1)
    print(f'{len(known)} people in {args.images}: '
          f'{(ranking.log_density[known] < rare).sum()} are as rare as the rarest '
          f'tenth of {artifact.dataset_name}, {(~known).sum()} show too few joints; '
          f'mean confidence {ranking.confidence.mean():.3f}')
    if known.mean() < 0.5:
        warn('most people count as neither rare nor common: they show too few joints '
             f'with a score of at least --kpt-thr {args.kpt_thr:g}. Lower it')
    files = ['ranking.csv', f'to_label.json (the first {args.count})', 'people.json']
    if draws.is_carried_by_few():
        warn(f'draws.npz is not written: {draws.doubt()}')
    else:
        files.append('draws.npz')
    print(f'written: {", ".join(files)} in {args.out}')


def warn(message: object) -> None:
    print(f'warning: {message}', file=sys.stderr)


def _source(args: argparse.Namespace):
    from ..datasets.pose_sources import annotation_source, config_source

    if args.source.endswith('.py'):
        return config_source(args.source, args.dataset, args.cfg_options)
    return annotation_source(args.source, args.dataset_type,
                             os.path.join(args.data_root, args.img_prefix))
