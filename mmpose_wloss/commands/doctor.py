"""``python -m mmpose_wloss doctor``: the state of the stack, as text."""

import argparse
import os
import platform

from ..compat.diagnosis import diagnose
from ..version import __version__

WIDTH = len('mmpose as a whole')


def main(arguments: list[str] | None = None) -> int:
    """Print what is installed and what mends it.

    Args:
        arguments (List[str], optional): None but ``--help``.

    Returns:
        int: 0 where all fits, else 1.
    """
    argparse.ArgumentParser(
        prog='mmpose_wloss doctor',
        description='Tell what is installed, which stand-ins are active, '
        'whether a GPU is usable, and what mends what does not fit. The text '
        'belongs into bug reports.').parse_args(arguments)
    print(f'mmpose_wloss {__version__}, Python {platform.python_version()}, '
          f'{platform.platform()}, {os.cpu_count()} CPU cores\n')
    findings = []
    for finding in diagnose():
        findings.append(finding)
        mark = {True: 'ok', False: '!!', None: '  '}[finding.fits]
        print(f'{mark} {finding.name:<{WIDTH}}  {finding.state}', flush=True)
    mends = [finding for finding in findings if finding.mend]
    if mends:
        print('\nTo mend it:')
        for finding in mends:
            print(f'   {finding.name:<{WIDTH}}  {finding.mend}')
    unfit = [finding.name for finding in findings if finding.fits is False]
    print(f'\nDoes not fit: {", ".join(unfit)}' if unfit else
          '\nThe stack fits.')
    return int(bool(unfit))
