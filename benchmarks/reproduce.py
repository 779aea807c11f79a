"""A study from nothing to its table: get what it needs, train, print.

python benchmarks/reproduce.py heatmap_losses --lspet PATH/lspet_dataset

Further arguments are the study's own: --minutes 60 --processes 2. What is there is not
made again, so a second call goes on with the rows that are missing.
"""

import argparse
import subprocess
import sys

from lspet import PARTS, RENDER, ROOT

# what each study needs, of lspet.py's list
STUDIES = {
    'semi_supervised': ('lspet', 'ccp', 'weights', 'annypose'),
    'temporal_loss': ('annypose', ),
    'distillation': ('lspet', 'ccp', 'weights'),
    'heatmap_losses': ('lspet', 'weights'),
    'pose_density_weights': ('lspet', 'weights', 'annypose'),
    'label_next': ('lspet', 'weights'),
    'integral_pose3d': ('weights', 'annypose_6000'),
}


def steps(study: str, lspet: str | None, rest: list[str]) -> list[list[str]]:
    """What has to be run, in order, as arguments of Python.

    Args:
        study (str): Name of the study, a script beside this one.
        lspet (str, optional): The published ``lspet_dataset``. Without it and without
            the files that it makes, the study says what it needs.
        rest (list[str]): Arguments of the study.
    """
    missing = [part for part in STUDIES[study]
               if not all((ROOT / file).exists() for file in PARTS[part][0])]
    found = []
    if 'weights' in missing:
        found.append(['benchmarks/imagenet_weights.py'])
    if 'lspet' in missing and lspet:
        found.append(['benchmarks/lspet.py', lspet])
    found += [RENDER[part] for part in missing if part in RENDER]
    return [*found, [f'benchmarks/{study}.py', *rest]]


def main(arguments: list[str] | None = None) -> int:
    """Run the steps; the status of the first that fails, or 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', choices=STUDIES)
    parser.add_argument('--lspet', metavar='FOLDER',
                        help='the published lspet_dataset, unpacked')
    args, rest = parser.parse_known_args(arguments)
    for step in steps(args.study, args.lspet, rest):
        print('python', *step, flush=True)
        if status := subprocess.run([sys.executable, *step], cwd=ROOT).returncode:
            return status
    return 0


if __name__ == '__main__':
    sys.exit(main())
