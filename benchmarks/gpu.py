"""All that this project has for a GPU, in one call of ten minutes.

Each part is a process with a limit of time, and writes its figures as any call
of it does, into ``benchmarks/results/…_cuda.json``. One that fails or takes too
long ends no other: ``gpu.json`` has, as each part ends, what it said last. The
status is 1 where a part failed. Parts that are cut off go on at the next call
where they keep rows: name them by --parts.
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import mmpose_wloss

import torch
from json_rows import RESULTS, write_rows
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 9.7
LAST_LINES = 40
STEPS = ['kept memory', 'channels_last', 'fused', 'bfloat16',
         'all but bfloat16', 'all']


class Part(NamedTuple):
    """A check or a figure.

    Args:
        seconds (int): Its limit.
        command (list[str]): What Python is given; DEVICE stands for the device.
        small (list[str]): What is added to try it where there is no time.
    """

    seconds: int
    command: list[str]
    small: list[str] = []


def script(name: str, arguments: str = '') -> list[str]:
    return [f'benchmarks/{name}.py', '--device', 'DEVICE', *arguments.split()]


PARTS = {
    # checks: half precision, parity with the CPU, no waits, compiling, NCCL
    'tests': Part(180, ['-m', 'pytest', '-m', 'gpu', '-q', '--tb=short']),
    'pose_density': Part(80, script('pose_density'), ['--many', '500']),
    'semi_step': Part(60, script('semi_step', '--rounds 16 --batch 32'),
                      ['--rounds', '2', '--batch', '1']),
    'distill_step': Part(50, script('distill_step', '--rounds 12 --batch 32'),
                         ['--rounds', '2', '--batch', '2']),
    'balancers': Part(40, script('balancers', '--rounds 50'),
                      ['--rounds', '2', '--batch', '2']),
    'loss_overhead': Part(
        50, script('loss_overhead', '--step-rounds 10 --batch 32'),
        ['--rounds', '2', '--step-rounds', '2', '--batch', '1']),
    'integral_head': Part(90, script('integral_head', '--batch 16'),
                          ['--rounds', '1', '--batch', '1']),
    # on data/annypose, which `mmpose_wloss render dataset` makes
    'device_targets': Part(
        60, script('device_targets',
                   '--out benchmarks/results/device_targets_cuda.json'),
        ['--rounds', '1', '--batches', '1']),
    'training_step': Part(
        220, [*script('training_step', '--batch 16 --minutes 3 --settings'),
              *STEPS],
        ['--recipes', 'posedual_res18_coco1k', '--rounds', '2', '--batch', '2']),
    # of what time is left: minutes for each recipe
    'compile': Part(
        400, script('training_step', '--batch 16 --settings compile'),
        ['--recipes', 'deeppose_res50_wloss_coco', '--rounds', '2', '--batch',
         '2']),
}


def run(part: Part, device: str, small: bool, limit: float
        ) -> tuple[str, float, list[str]]:
    """How a part ended, in how many seconds, and what it said last."""
    command = [device if word == 'DEVICE' else word for word in part.command]
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *command, *(part.small if small else ())], cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(
            [str(ROOT), os.environ.get('PYTHONPATH', '')])),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors='replace', start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
        status = 'ok' if process.returncode == 0 else (
            f'failed: status {process.returncode}')
    except subprocess.TimeoutExpired:
        status = f'cut off after {limit:.0f} s'
        # what it started, too
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    # a progress bar writes over its line
    lines = [line.rpartition('\r')[2] for line in output.splitlines()]
    return status, time.monotonic() - start, lines[-LAST_LINES:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--parts', nargs='*', choices=PARTS, default=[*PARTS])
    parser.add_argument('--device', default='cuda',
                        help='cpu tries the figures without a GPU')
    parser.add_argument('--small', action='store_true',
                        help='few rounds of small batches, to try the '
                        'parts without limits of their own')
    parser.add_argument('--minutes', type=float, default=MINUTES,
                        help='limit of all parts together')
    args = parser.parse_args()
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        parser.error('torch finds no GPU. Try the parts by --device cpu --small')

    deadline = time.monotonic() + 60 * args.minutes
    parts = {}
    for name in args.parts:
        limit = deadline - time.monotonic()
        if not args.small:
            limit = min(PARTS[name].seconds, limit)
        if limit <= 0:
            status, seconds, lines = 'not begun: no time was left', 0., []
        else:
            status, seconds, lines = run(
                PARTS[name], args.device, args.small, limit)
        print(f'\n{name}: {status}, {seconds:.0f} s', *lines, sep='\n',
              flush=True)
        parts[name] = dict(status=status, seconds=round(seconds, 1),
                           output=lines)
        write_rows(RESULTS / 'gpu.json', dict(
            format=1, device=(
                torch.cuda.get_device_name(args.device)
                if args.device.startswith('cuda') else args.device),
            small=args.small, parts=parts, versions=dict(
                torch=torch.__version__, cuda=torch.version.cuda,
                python=platform.python_version(),
                mmpose_wloss=mmpose_wloss.__version__)))
    print('', tabulate(
        [[name, part['status'], part['seconds']] for name, part in parts.items()],
        ['part', 'status', 's'], tablefmt='github'), sep='\n')
    sys.exit(any(part['status'] != 'ok' for part in parts.values()))


if __name__ == '__main__':
    main()
