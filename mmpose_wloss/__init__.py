"""Unbalanced training for human pose estimation: a plugin for MMPose 1.x.

Importing this package registers its components in MMPose's registries, which
is all that ``custom_imports = dict(imports=['mmpose_wloss'])`` does. Import it
before ``mmpose``: it stands in for what the installed stack lacks.
"""

import sys
from multiprocessing import current_process
from pathlib import Path

from .compat import prepare_stack
from .version import __version__

__all__ = ['__version__', 'register_all_modules']


def register_all_modules() -> None:
    """Register every component in MMPose's registries.

    Importing the package has done so, unless it runs as a program, whose verbs
    call this when their arguments are known to fit.

    Raises:
        ImportError: If a package of the stack is missing or does not fit.
    """
    prepare_stack()
    from . import (  # noqa: F401  (where the stack fits)
        apis,
        codecs,
        datasets,
        deploy,
        engine,
        evaluation,
        models,
        visualization,
    )


# a program imports late, but for the processes that it starts
if current_process().name != 'MainProcess' or Path(
        sys.argv[0] if sys.argv else '').stem not in ('-m', 'mmpose-wloss'):
    register_all_modules()
