"""``pkgutil.find_loader`` for Python 3.14, which has removed it.

mmengine (up to 0.10.7) and mmcv (up to 2.1.0) ask it whether ``mmcv._ext`` can
be imported. It can go when both ask ``importlib.util.find_spec``.
"""

import importlib.util
import pkgutil


def add_find_loader() -> None:
    """Add what Python up to 3.13 has, where it is missing."""
    if not hasattr(pkgutil, 'find_loader'):
        pkgutil.find_loader = importlib.util.find_spec
