"""Modules of ours that are imported in place of missing ones.

Each stands under the name that it stands in for, and only where nothing else
has that name: the finder is the last one that Python asks.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

from .find_loader import add_find_loader

FOLDER = Path(__file__).parent
STAND_INS = {
    'mmcv._ext': FOLDER / 'mmcv_ext.py',
    'pkg_resources': FOLDER / 'pkg_resources.py',
    'xtcocotools': FOLDER / 'xtcocotools' / '__init__.py',
}


class StandInFinder:
    """Finds the stand-in of a module that no other finder has found."""

    @staticmethod
    def find_spec(name: str, path=None, target=None
                  ) -> importlib.machinery.ModuleSpec | None:
        if name in STAND_INS:
            return importlib.util.spec_from_file_location(name, STAND_INS[name])
        return None


def add_stand_ins() -> None:
    """Serve stand-ins for missing modules, from the next import on."""
    if StandInFinder not in sys.meta_path:
        sys.meta_path.append(StandInFinder)
    add_find_loader()


def is_stand_in(name: str) -> bool:
    """Whether importing a key of ``STAND_INS`` gives or has given a stand-in."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin == str(STAND_INS[name])
