"""How long the command line takes until it answers, beside what it imports.

Each row is a process of its own; rounds go over all of them in turn, every other one
backwards. Files are read once before, so that they are warm. Times are seconds, the
median with its quartiles. Of another checkout, such as a worktree of an older version,
--before measures some rows in the same rounds.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from importlib import metadata
from os import environ
from pathlib import Path

from mmpose_wloss.__main__ import VERBS

from json_rows import write_rows
from tabulate import tabulate
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'startup.json'
# as a stock training imports, with our stand-ins for what the stack lacks
STOCK = '''
import sys
sys.argv[0] = 'mmpose-wloss'
from mmpose_wloss.compat import prepare_stack
prepare_stack()
import mmengine.runner
from mmpose.utils import register_all_modules
register_all_modules()
'''
PROGRAM = [sys.executable, '-m', 'mmpose_wloss']
ROWS = {
    'import mmpose': [sys.executable, '-c', 'import mmpose'],
    'all of mmpose registered': [sys.executable, '-c', STOCK],
    'import mmpose_wloss': [sys.executable, '-c', 'import mmpose_wloss'],
    'help': [*PROGRAM, '--help'],
    'help of mmpose-wloss': [Path(sys.executable).with_name('mmpose-wloss'), '--help'],
    **{f'help of {verb}': [*PROGRAM, verb, '--help'] for verb in VERBS},
    'a wrong verb': [*PROGRAM, 'trian'],
    'a wrong option': [*PROGRAM, 'train', 'config.py', '--lr', '1'],
    'a config that is not there': [*PROGRAM, 'train', 'none.py'],
    'doctor, until it imports': [*PROGRAM, 'doctor'],
    'doctor': [*PROGRAM, 'doctor'],
}
BEFORE = ('import mmpose_wloss', 'help of train', 'a wrong option',
          'a config that is not there', 'doctor')


def seconds(row: str, checkout: Path) -> float:
    """How long a row's process takes; the doctor's table ends with mim."""
    start = time.perf_counter()
    with subprocess.Popen(
            ROWS[row], cwd=checkout, env=dict(environ, PYTHONPATH=str(checkout)),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for line in process.stdout:
            if 'until' in row and line.split()[:1] == ['mim']:
                process.kill()
                return time.perf_counter() - start
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=6)
    parser.add_argument('--before', type=Path, help='another checkout to measure')
    args = parser.parse_args()
    runs = {(row, 'now'): ROOT for row in ROWS}
    if args.before:
        runs |= {(row, 'before'): args.before.resolve() for row in BEFORE}
    times = {run: [] for run in runs}
    for number in tqdm(range(args.rounds + 1)):
        for run in list(runs)[::-1 if number % 2 else 1]:
            duration = seconds(run[0], runs[run])
            if number:  # the first one warms the files
                times[run].append(duration)
    results = {row: {name: statistics.quantiles(times[row, name], n=4)
                     for name in ('before', 'now') if (row, name) in times}
               for row in ROWS}
    write_rows(RESULTS, dict(format=1, rounds=args.rounds, versions={
        name: metadata.version(name) for name in ('torch', 'mmpose')} | dict(
            python=platform.python_version()), rows=results))
    print(tabulate(
        [[row, *('{1:.2f} ({0:.2f} … {2:.2f})'.format(*of[name]) if name in of else ''
                 for name in ('before', 'now'))] for row, of in results.items()],
        ['seconds', 'before', 'now'], tablefmt='github'))


if __name__ == '__main__':
    main()
