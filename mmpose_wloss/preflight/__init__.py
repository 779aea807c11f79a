"""What a run needs, checked and completed before anything is built.

A registered class says by attributes what its config needs; all are optional:

- ``source``: where its files come from, in a sentence or as a command, in
  which ``CONFIG`` stands for the config's path,
- ``file_keys``: keys of its config that name files, beside MMPose's own,
- ``hooks``: names of the hooks that a training with it needs,
- ``check_config(component, key, cfg)``: a class method that raises a
  :class:`UserError` where its config does not fit the rest.
"""

from .components import (
    LAYER_DECAY,
    check_components,
    check_layer_decay,
    check_numbers,
    class_of,
    metainfo_of,
    named_metainfo,
)
from .files import (
    check_areas,
    check_files,
    check_finite,
    named_files,
    raise_for_missing,
)
from .hooks import add_hooks

__all__ = [
    'LAYER_DECAY', 'add_hooks', 'check_areas', 'check_components', 'check_files',
    'check_finite', 'check_layer_decay', 'check_numbers', 'class_of', 'metainfo_of',
    'named_files', 'named_metainfo', 'raise_for_missing'
]
