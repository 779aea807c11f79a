"""Write a teacher's targets to disk, for a training with fixed augmentation."""

import argparse
import sys

from mmpose_wloss.engine.launch import (
    check_config_path,
    check_data_files,
)
from mmpose_wloss.engine.teacher_cache import DTYPES, cache_teacher

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('config', help='config of a training of FastPoseDistiller')
    add('--out', required=True, metavar='DIR', help='folder to write; an '
        'interrupted one is gone on with')
    add('--device', default='cpu', help='where the teacher runs, e.g. cuda')
    add('--dtype', choices=DTYPES, default='float16',
        help='of the targets (default: float16)')
    add('--batch-size', type=int, default=32, help='images at a time')
    add('--workers', type=int, default=0, help='processes that load images')
    add('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='changes to the config, as of tools/train.py')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        check_config_path(args.config)
        config = Config.fromfile(args.config)
        config.merge_from_dict(args.cfg_options or {})
        check_data_files(config, ['train'])
        summary = cache_teacher(
            config, args.out, args.device, args.dtype, args.batch_size,
            args.workers)
    except (OSError, ValueError, KeyError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        print(f'error: {message}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('Interrupted; the same command goes on from here.',
              file=sys.stderr)
        return 130
    print(f'{args.out}: {summary["samples"]} samples, of which '
          f'{summary["computed"]} now, in {summary["bytes"] / 1e6:.1f} MB, '
          f'after {summary["seconds"]:.0f} s. Train with\n'
          f"  dict(type='LoadTeacherTargets', cache={args.out!r}) before the "
          f'packer, and\n  model.teacher_cache={args.out!r}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
