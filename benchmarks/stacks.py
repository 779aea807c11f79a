"""Run the whole suite beside each stack, and write the table of docs.

    python benchmarks/stacks.py .venv .venv-oldest .venv-3.13

Each argument is the folder of an environment that ``make`` has built. Its row
is written as its run ends; without arguments, the table alone is written anew,
into ``docs/installation.md``.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from json_rows import write_rows
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'stacks.json'
PAGE = ROOT / 'docs' / 'installation.md'
BEGIN, END = '<!-- benchmarks/stacks.py writes -->', '<!-- to here -->'
VERSIONS = '''
import importlib.metadata, json, platform
import mmpose_wloss
from mmpose_wloss.compat.stand_ins import is_stand_in
from mmpose_wloss.compat.requirements import MMCV, installed
mmcv = installed(MMCV)
print(json.dumps(dict(
    python=platform.python_version(),
    **{name: importlib.metadata.version(name)
       for name in ('torch', 'numpy', 'mmpose')},
    mmcv=f'{mmcv.distribution.name} {mmcv.version}',
    operators='stand-in' if is_stand_in('mmcv._ext') else 'compiled',
    xtcocotools='stand-in' if is_stand_in('xtcocotools') else 'real')))
'''


def run_suite(folder: Path, processes: int) -> dict:
    """One row: versions, figures of the suite, minutes.

    Args:
        folder (Path): Of the environment.
        processes (int): Test files at a time.
    """
    python = folder / 'bin' / 'python'
    versions = json.loads(subprocess.run(
        [python, '-W', 'ignore', '-c', VERSIONS], cwd=ROOT, text=True, check=True,
        stdout=subprocess.PIPE).stdout.splitlines()[-1])
    stamp = folder / 'mmpose_wloss.json'
    installation = json.loads(stamp.read_text()) if stamp.exists() else {}
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        report = Path(work) / 'report.xml'
        subprocess.call(
            [python, '-m', 'pytest', '--numprocesses', str(processes), '--dist',
             'loadfile', f'--junitxml={report}', 'tests'],
            cwd=ROOT, env=dict(os.environ, OMP_NUM_THREADS='1'))
        cases = list(ElementTree.parse(report).iter('testcase'))
    outcome = Counter()
    skipped, failed = Counter(), []
    for case in cases:
        name = f'{case.get("classname")}::{case.get("name")}'
        if (skip := case.find('skipped')) is not None:
            outcome['skipped'] += 1
            skipped[skip.get('message')] += 1
        elif case.find('failure') is not None or case.find('error') is not None:
            outcome['failed'] += 1
            failed.append(name)
        else:
            outcome['passed'] += 1
    return dict(
        **versions, passed=outcome['passed'], failed=outcome['failed'],
        skipped=outcome['skipped'], failures=failed, skips=dict(skipped),
        minutes=round((time.monotonic() - start) / 60, 1),
        minutes_to_install=installation.get('minutes'),
        minutes_of_torch=installation.get('minutes_of_torch'))


def key(row: dict) -> tuple:
    return tuple(row[name] for name in (
        'python', 'torch', 'numpy', 'mmpose', 'mmcv', 'operators', 'xtcocotools'))


def table(rows: list[dict]) -> str:
    """The rows as Markdown, the newest Python first."""
    def line(row):
        installing = ('' if row['minutes_to_install'] is None else
                      f'{row["minutes_to_install"] - row["minutes_of_torch"]:.1f}'
                      f' + {row["minutes_of_torch"]:.1f}')
        return (row['python'], row['torch'].partition('+')[0], row['numpy'],
                row['mmcv'], row['operators'], row['xtcocotools'],
                row['passed'], row['failed'], row['skipped'], installing)

    rows = sorted(rows, key=lambda row: [
        [int(number) for number in re.findall(r'\d+', row[name])]
        for name in ('torch', 'python')], reverse=True)
    text = tabulate([line(row) for row in rows], tablefmt='github', headers=(
        'Python', 'torch', 'NumPy', 'mmcv', 'operators', 'xtcocotools',
        'passed', 'failed', 'skipped', 'minutes to install, + torch'))
    reasons = {reason for row in rows for reason in row['skips']}
    # some of torch's reasons name a line of its source
    skips = '\n'.join(f'- {reason}' for reason in sorted({
        re.sub(r'operator\(\), \S+, ', '', reason) for reason in reasons}))
    return f'{text}\n\nWhat is skipped, of all stacks:\n\n{skips}'


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('environments', nargs='*', type=Path)
    parser.add_argument('--processes', type=int, default=2)
    args = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    failed = 0
    for folder in args.environments:
        row = run_suite(folder, args.processes)
        failed += row['failed']
        rows = [other for other in rows if key(other) != key(row)] + [row]
        write_rows(RESULTS, rows)
        print('\n'.join(row['failures']))
    text = table(rows)
    print(text)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f'{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}')
    return int(failed > 0)


if __name__ == '__main__':
    sys.exit(main())
