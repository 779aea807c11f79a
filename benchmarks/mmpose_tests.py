"""MMPose's own tests beside this stack: what passes, fails and is skipped.

Give a checkout of MMPose of the version that is installed. Its tests run with
the installed package, in a copy of them and their data, where ``mmpose_wloss``
is imported first. They need ``pip install parameterized``. With
``--stand-ins`` the stand-ins of ``mmpose_wloss`` take the place of what is
installed, so that the same environment shows what they alone change. Without
a checkout it prints in what the stacks that have run differ.

    git clone --branch v1.3.2 https://github.com/open-mmlab/mmpose
    python benchmarks/mmpose_tests.py --mmpose mmpose --name oldest
"""

import argparse
import importlib.util
import json
import os
import platform
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'mmpose_tests.json'
NEEDED = ('tests', 'configs', 'demo')
PACKAGES = ('torch', 'torchvision', 'numpy', 'opencv-python',
            'opencv-python-headless', 'mmengine', 'mmcv', 'mmcv-lite', 'mmdet',
            'mmpose', 'xtcocotools', 'pycocotools', 'pytest')
OUTCOMES = ('passed', 'failed', 'skipped', 'error')


class Recorder:
    """Plugin of pytest: what has become of each test.

    Each test starts from the same seed and fails when it takes too long.

    Args:
        timeout (int): Seconds that a test may take.

    Attributes:
        tests (Dict[str, dict]): By the test's name, its outcome and, unless it
            has passed, why.
    """

    def __init__(self, timeout: int):
        self.timeout = timeout
        self.tests = {}

    def pytest_runtest_setup(self, item) -> None:
        import numpy as np
        import pytest
        import torch

        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(0)
        signal.signal(signal.SIGALRM, lambda *_: pytest.fail(
            f'took longer than {self.timeout} s'))
        signal.alarm(self.timeout)

    def pytest_runtest_teardown(self, item) -> None:
        signal.alarm(0)

    def pytest_collectreport(self, report) -> None:
        if report.failed:
            self.tests[report.nodeid] = dict(
                outcome='error', why=last_line(report.longrepr))

    def pytest_runtest_logreport(self, report) -> None:
        known = self.tests.get(report.nodeid, dict(outcome='passed'))
        if known['outcome'] != 'passed':
            return
        if report.failed:
            known = dict(
                outcome='failed' if report.when == 'call' else 'error',
                why=last_line(report.longrepr))
        elif report.skipped:
            known = dict(outcome='skipped', why=last_line(report.longrepr))
        self.tests[report.nodeid] = known


def last_line(longrepr) -> str:
    """The exception that ended a test, without the folders of this machine."""
    if isinstance(longrepr, tuple):
        text = longrepr[2]
    elif hasattr(longrepr, 'reprcrash') and longrepr.reprcrash:
        text = longrepr.reprcrash.message
    else:
        text = re.findall('(?m)^E +(.*)', str(longrepr))[-1:] or [str(longrepr)]
        text = text[0]
    text = text.strip().split('\n')[0]
    return re.sub(r'(?<![\w.:/])/[^\s\'"]*/', '…/', text)[:200]


def stand_ins_first() -> None:
    """Let stand-ins win over what is installed."""
    folder = ROOT / 'mmpose_wloss' / 'compat'
    # as a package of its own: importing mmpose_wloss loads what is installed
    spec = importlib.util.spec_from_file_location(
        'compat', folder / '__init__.py',
        submodule_search_locations=[str(folder)])
    sys.modules['compat'] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules['compat'])
    from compat.stand_ins import StandInFinder
    sys.meta_path.insert(0, StandInFinder)


def run(checkout: Path, timeout: int, selection: list[str]) -> dict:
    """Run the tests of a checkout beside the installed stack."""
    import mmpose_wloss  # noqa: F401  (before mmpose)
    from mmpose_wloss.compat.stand_ins import STAND_INS, is_stand_in

    import mmpose
    import mmpose.testing._utils
    import pytest

    text = (checkout / 'mmpose' / 'version.py').read_text()
    version = re.search("__version__ = '(.*)'", text)[1]
    if version != mmpose.__version__:
        sys.exit(f'mmpose {mmpose.__version__} is installed and the checkout '
                 f'is of {version}: git checkout v{mmpose.__version__}')
    recorder = Recorder(timeout)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for name in NEEDED:
            shutil.copytree(checkout / name, Path(folder, name))
        # the tests look for configs beside the package
        mmpose.testing._utils.get_repo_dir = lambda: folder
        os.chdir(folder)
        pytest.main(['-q', '--rootdir', folder, '-p', 'no:cacheprovider',
                     '-W', 'ignore', '--tb', 'short',
                     '--continue-on-collection-errors',
                     *(selection or ['tests'])], plugins=[recorder])
        os.chdir(ROOT)
    return dict(
        versions=dict(python=platform.python_version(),
                      **{name: version_of(name) for name in PACKAGES
                         if version_of(name)}),
        stand_ins=[name for name in STAND_INS if is_stand_in(name)],
        seconds=round(time.perf_counter() - start), timeout=timeout,
        **counted(recorder.tests))


def version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def counted(tests: dict) -> dict:
    """Outcomes in total and by file; and why each test has not passed."""
    files = {}
    for name, test in tests.items():
        files.setdefault(name.split('::')[0], Counter())[test['outcome']] += 1
    total = sum(files.values(), Counter())
    return dict(
        total={outcome: total[outcome] for outcome in OUTCOMES},
        files={name: dict(counts) for name, counts in sorted(files.items())},
        not_passed={name: test for name, test in tests.items()
                    if test['outcome'] != 'passed'})


def differences(stacks: dict) -> list[dict]:
    """Tests of which not all stacks have the same outcome."""
    names = sorted({name for stack in stacks.values()
                    for name in stack['not_passed']})
    rows = [{name: outcome(stack['not_passed'], test)
             for name, stack in stacks.items()} for test in names]
    return [dict(test=test, **row) for test, row in zip(names, rows, strict=True)
            if len({each['outcome'] for each in row.values()}) > 1]


def outcome(not_passed: dict, test: str) -> dict:
    """Of a test, or of the import of its file."""
    file, _, name = test.partition('::')
    return not_passed.get(test) or not_passed.get(file) or dict(
        outcome='passed' if name else 'imported')


def show(stacks: dict) -> None:
    from tabulate import tabulate

    print(tabulate(
        [[name, *stack['total'].values(), stack['seconds'],
          ', '.join(stack['stand_ins']) or 'none']
         for name, stack in stacks.items()],
        ['stack', *OUTCOMES, 'seconds', 'stand-ins'], tablefmt='github'))
    rows = differences(stacks)
    print(f'\n{len(rows)} tests differ between stacks')
    for row in rows:
        print(f'\n{row.pop("test")}')
        for stack, test in row.items():
            print(f'  {stack}: {test["outcome"]} {test.get("why", "")}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--mmpose', type=Path, metavar='DIR',
                        help='a checkout of MMPose')
    parser.add_argument('--name', help='of this stack, in the results')
    parser.add_argument('--stand-ins', action='store_true',
                        help='let stand-ins win over what is installed')
    parser.add_argument('--timeout', type=int, default=300,
                        help='seconds that a test may take')
    parser.add_argument('selection', nargs='*',
                        help='these tests alone; nothing is written then')
    args = parser.parse_args()
    stacks = json.loads(RESULTS.read_text())['stacks'] if RESULTS.exists() else {}
    if args.mmpose:
        if not (args.name or args.selection):
            parser.error('--name says which stack this is')
        if args.stand_ins:
            stand_ins_first()
        stack = run(args.mmpose.resolve(), args.timeout, args.selection)
        if args.selection:
            show({args.name or 'this': stack})
            return
        from json_rows import write_rows
        stacks[args.name] = stack
        write_rows(RESULTS, dict(
            format=1, mmpose=stack['versions']['mmpose'], stacks=stacks),
            levels=4)
    show(stacks)


if __name__ == '__main__':
    main()
