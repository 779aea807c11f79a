"""Unbalanced training for human pose estimation: a plugin for MMPose 1.x.

Importing this package registers its components in MMPose's registries, which
is all that ``custom_imports = dict(imports=['mmpose_wloss'])`` does.
"""

from .compat import add_safe_globals, check_stack
from .version import __version__

check_stack()
add_safe_globals()

from . import (  # noqa: E402  (only where the stack fits)
    apis,
    codecs,
    datasets,
    engine,
    evaluation,
    models,
)

__all__ = [
    '__version__', 'apis', 'codecs', 'datasets', 'engine', 'evaluation',
    'models'
]
