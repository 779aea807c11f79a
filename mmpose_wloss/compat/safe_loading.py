"""Loading of MMEngine's checkpoints with ``weights_only`` left on.

It can go when mmengine lists what its checkpoints hold as safe, and never
loads what is not.
"""

import pickle

from packaging.version import Version

SAFE_FROM = Version('2.6')  # torch leaves weights_only on by default


def add_safe_globals() -> None:
    """Let torch load MMEngine's checkpoints with ``weights_only`` left on.

    They hold log histories (``HistoryBuffer`` around NumPy arrays, with the names
    of its own methods) and NumPy scalars, which run no code when they are loaded.
    Below torch 2.6, which loads every class, this does nothing.
    """
    import numpy as np
    import torch

    if Version(torch.__version__) < SAFE_FROM:
        return
    from mmengine.logging import HistoryBuffer

    from .private_api import history_statistics

    # a pickle names NumPy's functions by the place they had in the version
    # that wrote it: numpy.core before NumPy 2, numpy._core since
    array_functions = [
        (function, f'{package}.multiarray.{name}')
        for name, function in (
            ('_reconstruct', np.zeros(0).__reduce__()[0]),
            ('scalar', np.float64(0).__reduce__()[0]))
        for package in ('numpy.core', 'numpy._core')
    ]
    dtypes = {type(np.dtype(code)) for code in np.typecodes['All']}
    statistics = history_statistics()

    def history_method(owner: type, name: str):
        """``getattr`` as far as a pickled log history needs it."""
        if owner is HistoryBuffer and name in statistics:
            return statistics[name]
        raise pickle.UnpicklingError(
            f'{name!r} of {owner!r} is not a statistic of a log history')

    torch.serialization.add_safe_globals([
        # an empty array, such as Human3.6M's sigmas, calls for empty bytes
        HistoryBuffer, np.ndarray, np.dtype, bytes, *array_functions,
        (history_method, 'builtins.getattr'),
        *sorted(dtypes, key=lambda dtype: dtype.__name__)
    ])


def keep_weights_only() -> None:
    """Keep onedl-mmengine from loading what is not listed as safe.

    It loads a checkpoint again without ``weights_only`` where loading it with
    ``weights_only`` fails. Where a file is refused, loading ends instead.
    """
    import torch
    from mmengine.runner import checkpoint

    if not hasattr(checkpoint, '_safe_torch_load'):
        return

    def load(file, map_location=None, weights_only: bool | None = None):
        options = {} if weights_only is None else dict(weights_only=weights_only)
        return torch.load(file, map_location=map_location, **options)

    checkpoint._safe_torch_load = load
