"""``python -m mmpose_wloss recipe``: write a config of this package."""

import argparse
import difflib
import os
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .. import register_all_modules
from ..common.errors import MissingFile, UserError
from ..common.files import check_config_path, list_images, write_whole
from .arguments import KeyValues

if TYPE_CHECKING:
    from mmengine.config import Config

TRAIN = 'python -m mmpose_wloss train {}'
FIT = 'python -m mmpose_wloss density fit {}'
RECIPES = dict(semi='semi_supervised', distill='distill', weigh='weigh_poses',
               draw='draw_rare_poses',
               balance='balance')


def load_base(base: str) -> 'Config':
    """Load a config by its path or its stock name, ``'mmpose::…'``.

    Raises:
        MissingFile: If there is no such config.
    """
    import mmpose
    from mmengine.config import Config

    if '::' not in base:
        check_config_path(base)
        base = os.path.abspath(base)
    try:
        # as a config would that has it as its base
        return Config.fromstring(f'_base_ = {base!r}\n', '.py')
    except (OSError, ValueError) as error:
        if '::' not in base:
            raise
        stock = Path(mmpose.__file__).parent / '.mim' / 'configs'
        known = {file.name: file for file in stock.rglob('*.py')}
        near = difflib.get_close_matches(Path(base).name, known, n=3)
        raise MissingFile(f'there is no stock config {base}' + ''.join(
            f'\n  near it: mmpose::{known[name].relative_to(stock)}'
            for name in near)) from error


def text_over(config: 'Config', base: str, folder: str | Path = '.') -> str:
    """A config as a file in a folder that inherits its base."""
    from ..common.config_text import config_text

    name = base if '::' in base else os.path.relpath(base, folder)
    return f'_base_ = {name!r}\n\n' + config_text(config, load_base(base))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the arguments of :func:`main`."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('base', help="path of a config, or its stock name, "
                        "'mmpose::…'")
    common.add_argument('--out', required=True, help='file to write')
    common.add_argument('--force', action='store_true',
                        help='overwrite the file')
    common.add_argument('--device-targets', action='store_true',
                        help='draw targets on the device, not in the workers')
    common.add_argument('--cache', choices=['disk', 'ram'],
                        help="read people's crops instead of images")
    common.add_argument('--options', nargs='+', action=KeyValues, default={},
                        help='other arguments of the recipe, '
                        'key=value, also key.of.dict=value')
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument('--boxes', help='boxes of a detector in the images of '
                      '--images, an annotation file')
    data.add_argument('--image-folder', help='where the images of an '
                      'annotation file are, if not beside the labeled ones')
    data.add_argument('--labels', help='annotation file of the labeled subset')
    data.add_argument('--batch-size', type=int,
                      help='labeled and unlabeled images together. Default: '
                      'as many as in a batch of the base')

    parser = argparse.ArgumentParser(
        prog='mmpose_wloss recipe', description='Turn a config into one that '
        'trains with this package: a few lines over it, to read and edit.')
    verbs = parser.add_subparsers(dest='recipe', required=True)
    semi = verbs.add_parser('semi', parents=[common, data],
                            help='learn from unlabeled images, too')
    semi.add_argument('--method', default='PoseDual',
                      choices=['PoseDual', 'PoseCons', 'PoseTriple'], help='two '
                      'networks that teach each other (default), one that teaches '
                      'itself, or two and a third that learns where they agree')
    distill = verbs.add_parser('distill', parents=[common, data],
                               help='learn from a trained network')
    distill.add_argument('--teacher', required=True,
                         help='its config, a path or a stock name')
    distill.add_argument('--checkpoint', help='its weights, if they are not in '
                         "MMPose's model zoo")
    for one in (semi, distill):
        one.add_argument('--images', required=one is semi, help='a folder of '
                         'images of one person each, or an annotation file')
    weigh = verbs.add_parser('weigh', parents=[common],
                             help='weigh rare poses up')
    draw = verbs.add_parser('draw', parents=[common],
                            help='show rare poses more often')
    for one in (weigh, draw):
        one.add_argument('--file', help='the pose density, .npz, which is fitted next')
    focus = verbs.add_parser('focus', parents=[common],
                             help='weigh joints up against the background')
    focus.add_argument('--loss', default='FocusMSELoss', help='FocusMSELoss '
                       '(default), WeightAdaptiveMSELoss or '
                       'HeatmapWeightingMSELoss')
    balancer = verbs.add_parser('balance', parents=[common],
                                help='balance the losses of a head')
    balancer.add_argument('--balancer', default='UncertaintyBalancer', help='that '
                          '(default), or GradNormBalancer, AdaptiveBalancer, '
                          'ManualBalancer or DynamicTaskPriorityBalancer')
    balancer.add_argument('--terms', nargs='+', help='names of the losses')
    return parser.parse_args(arguments)


def made(args: argparse.Namespace) -> 'Config':
    """The config that the arguments of :func:`parse` ask for."""
    from mmengine.config import Config

    from .. import recipes

    given = {key: value for key, value in vars(args).items()
             if value is not None and key not in (
                 'base', 'out', 'force', 'device_targets', 'cache')}
    recipe, nested = given.pop('recipe'), Config()
    nested.merge_from_dict(given.pop('options'))
    options = nested.to_dict()
    if isinstance(changes := options.get('balancer'), dict) and 'balancer' in given:
        options['balancer'] = {'type': given['balancer'], **changes}
    boxes, folder = given.pop('boxes', None), given.pop('image_folder', None)
    if boxes or folder:
        if 'images' not in given:
            raise UserError('--boxes and --image-folder are of --images, which is '
                            'missing')
        if not given['images'].endswith('.json'):
            raise UserError('--boxes and --image-folder are of an annotation file, but '
                            f'--images is {given["images"]}: name a .json that lists '
                            'the images')
        given['images'] = dict(ann_file=given['images'])
        if boxes:
            given['images']['bbox_file'] = boxes
        if folder:
            given['images'] |= dict(data_root='', data_prefix=dict(img=folder))
    base = load_base(args.base)
    if args.device_targets:
        base = recipes.device_targets(base)
    if recipe == 'focus':
        cfg = recipes.focus_heatmaps(base, dict(type=args.loss, **options))
    else:
        cfg = getattr(recipes, RECIPES[recipe])(base, **{**given, **options})
    return recipes.cache_crops(cfg, args.cache) if args.cache else cfg


def main(arguments: list[str] | None = None) -> int:
    """Write a config, and print the commands that train it.

    Args:
        arguments (list[str], optional): Those of the command line by default.

    Returns:
        int: 0.
    """
    args = parse(arguments)
    out = Path(args.out)
    if out.suffix != '.py':
        raise UserError(f'--out must end in .py, but it is {out}')
    if out.exists() and not args.force:
        raise UserError(f'{out} exists already. Add --force to overwrite it')
    if '::' not in args.base:
        check_config_path(args.base)

    register_all_modules()
    from mmengine.config import Config

    from ..preflight import check_components, check_files

    base = load_base(args.base)
    if any(out.resolve() == Path(line).resolve()
           for line in base.text.splitlines() if line.endswith('.py')):
        raise UserError(f'{out} is what {args.base} consists of: give another '
                        '--out')
    given = sys.argv[2:] if arguments is None else arguments
    command = shlex.join(['python', '-m', 'mmpose_wloss', 'recipe', *given])
    cfg = made(args)
    notes = differences_to_know(cfg, base)
    write_whole(out, ''.join(f'# {line}\n' for line in [command, *notes]) +
                text_over(cfg, args.base, out.parent))
    print(*notes, f'{out} is written. Read it, then run', sep='\n')
    for line in [*([FIT] if args.recipe in ('weigh', 'draw') else []), TRAIN]:
        print(f'  {line.format(out)}')
    cfg = Config.fromfile(out)
    checks = [partial(check_components, cfg),
              partial(check_files, cfg, ['train', 'val'])]
    images = getattr(args, 'images', None)
    if images and Path(images).is_dir():
        checks.append(partial(list_images, images))
    for check in checks:
        try:
            check()
        except UserError as error:
            print(f'Before it can train: {error}')
    return 0


def differences_to_know(cfg: 'Config', base: 'Config') -> list[str]:
    """What a recipe changes beside what it is for, a line each."""
    before, after = ([str(getattr(hook['type'], '__name__', hook['type'])
                          ).rpartition('.')[2]
                      for hook in one.get('custom_hooks') or []]
                     for one in (base, cfg))
    gone = [name for name in before if name not in after]
    lines = [f'left out of the base: {", ".join(gone)}'] if gone else []
    if cfg.get('labeled'):
        loader = cfg.train_dataloader
        shares = loader.sampler.get('source_ratio')
        if shares:
            count = loader.batch_size * shares[0] / sum(shares)
            lines.append(
                f'a batch holds {loader.batch_size} images, {count:g} of them '
                f'labeled ({base.train_dataloader.batch_size} in the base); an '
                'epoch ends when the larger data set was seen once')
    return lines
