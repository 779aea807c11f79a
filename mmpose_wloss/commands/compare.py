"""``python -m mmpose_wloss compare``: what models reach and what they cost."""

import argparse
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from .. import register_all_modules
from ..common.errors import UserError
from ..common.files import check_config_path, existing_checkpoint
from .arguments import KeyValues


def parse_models(pairs: Sequence[str], names: Sequence[str] | None = None
                 ) -> list[tuple[str, str, str]]:
    """Models from ``CONFIG.py:CHECKPOINT`` of each, and perhaps their names.

    By default they have the configs' names, with the checkpoints' where several
    have one config.

    Returns:
        list[tuple[str, str, str]]: Name, config and checkpoint of each.

    Raises:
        MissingFile: If there is no such config or checkpoint.
        UserError: If one is no pair, or names are missing or alike.
    """
    files = []
    for pair in pairs:
        match = re.fullmatch(r'(.+\.py):(.+)', pair)
        if not match:
            raise UserError(f'a model must be CONFIG.py:CHECKPOINT, but it is {pair}')
        config, checkpoint = match.groups()
        check_config_path(config)
        existing_checkpoint(checkpoint)
        files.append((config, checkpoint))
    stems = [Path(config).stem for config, _ in files]
    names = names or [
        stem if stems.count(stem) == 1 else
        f'{stem} {"/".join(Path(checkpoint).parts[-2:])}'
        for stem, (_, checkpoint) in zip(stems, files, strict=True)]
    if len(names) != len(files) or len(set(names)) < len(names):
        raise UserError(f'--name must give each of the {len(files)} models a '
                        f'name of its own, but they are {", ".join(names)}')
    return [(name, *pair) for name, pair in zip(names, files, strict=True)]


def main(arguments: list[str] | None = None) -> int:
    """Compare models; the table goes to stdout."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss compare', description='Compare models: parameters, '
        'operations, accuracy, size and speed.')
    add = parser.add_argument
    add('models', nargs='+', metavar='CONFIG:CHECKPOINT',
        help='config of a model and its checkpoint, of which the student or '
        'the first network counts, or its ONNX file')
    add('--name', action='append', help='what to call a model, for each in '
        "their order (default: the config's name)")
    add('--out', default='work_dirs/compare', help='folder for table, figures and '
        'picture, and for what is known already (default: %(default)s)')
    add('--seconds', type=float, default=5.,
        help='how long to measure each speed (default: %(default)s)')
    add('--batch-size', type=int, default=1,
        help='images at a time when speed is measured (default: %(default)s)')
    add('--no-onnx', action='store_true', help='export and measure no ONNX')
    add('--cfg-options', nargs='+', action=KeyValues, default={},
        metavar='KEY=VALUE', help='keys of all configs to change')
    args = parser.parse_args(arguments)
    models = parse_models(args.models, args.name)

    register_all_modules()
    from ..apis.model_comparison import ModelComparison

    warnings.filterwarnings('ignore', 'Use the existing "bbox_center"')
    comparison = ModelComparison(models, args.out, args.cfg_options, args.seconds,
                                 args.batch_size, onnx=not args.no_onnx)
    comparison.run()
    files = comparison.write()
    print(comparison.table())
    for file in files:
        print(file, file=sys.stderr)
    return 0
