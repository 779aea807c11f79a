"""What exists because of a version of the stack: here and nowhere else.

This module imports the standard library and ``packaging`` alone, so that it
can say what is missing, and be used beside an incomplete stack.
"""

import importlib
import importlib.util
import pickle
from importlib import metadata
from typing import NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.version import Version


class Requirement(NamedTuple):
    """A package of the stack and what of it fits.

    Args:
        module (str): The name it is imported by.
        distributions (Tuple[str]): The names it is installed by.
        versions (str): The range that fits, as a PEP 440 specifier.
        install (str): The command that installs a fitting version.
    """

    module: str
    distributions: tuple[str, ...]
    versions: str
    install: str


REQUIREMENTS = (
    Requirement('torch', ('torch', ), '>=2.1', 'pip install "torch>=2.1"'),
    Requirement('mmengine', ('mmengine', 'mmengine-lite'), '>=0.10.3,<1.0',
                'pip install "mmengine>=0.10.3,<1.0"'),
    Requirement('mmcv', ('mmcv', 'mmcv-lite'), '>=2.0.0,<2.2.0',
                'mim install "mmcv>=2.0.0,<2.2.0"'),
    Requirement('mmpose', ('mmpose', ), '>=1.1.0,<=1.3.2',
                'mim install "mmpose>=1.1.0,<=1.3.2"'),
)

# MMPose imports MMDetection and mmcv's compiled operators from this version on
MMPOSE_WITH_MMDET = Version('1.2.0')
MMDET = Requirement('mmdet', ('mmdet', ), '>=3.0.0,<3.4.0',
                    'mim install "mmdet>=3.0.0,<3.4.0"')


class StackError(ImportError):
    """The packages beside which ``mmpose_wloss`` runs are missing or unfit."""


def installed_version(requirement: Requirement) -> str | None:
    """Version of a package, found without importing it where possible.

    Returns:
        str or None: ``None`` if the package is not installed.
    """
    for distribution in requirement.distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    if importlib.util.find_spec(requirement.module) is None:
        return None
    # on the path without metadata, e.g. a source checkout in PYTHONPATH
    return importlib.import_module(requirement.module).__version__


def _complaint(requirement: Requirement) -> str | None:
    found = installed_version(requirement)
    if found is None:
        problem = 'is not installed'
    elif not SpecifierSet(requirement.versions).contains(
            found, prereleases=True):
        problem = f'{found} is installed'
    else:
        return None
    return (f'{requirement.module} {problem}, mmpose_wloss needs '
            f'{requirement.module} {requirement.versions}. '
            f'To mend it: {requirement.install}')


def check_stack() -> None:
    """Check that every package of the stack is there in a version that fits.

    Raises:
        StackError: Names each package that does not fit, the version found,
            the range needed and the command that mends it.
    """
    complaints: list[str] = []
    for requirement in REQUIREMENTS:
        complaint = _complaint(requirement)
        if complaint is not None:
            complaints.append(complaint)

    if not complaints and Version(installed_version(
            REQUIREMENTS[-1])) >= MMPOSE_WITH_MMDET:
        complaint = _complaint(MMDET)
        if complaint is not None:
            complaints.append(f'{complaint} (mmpose >= {MMPOSE_WITH_MMDET} '
                              'imports it)')
        if importlib.util.find_spec('mmcv._ext') is None:
            complaints.append(
                f'mmcv {installed_version(REQUIREMENTS[2])} is installed '
                'without its compiled operators (mmcv._ext), which mmpose >= '
                f'{MMPOSE_WITH_MMDET} needs. To mend it: pip uninstall -y '
                'mmcv mmcv-lite, then mim install "mmcv>=2.0.0,<2.2.0", or '
                'from source: MMCV_WITH_OPS=1 pip install '
                '--no-build-isolation "mmcv>=2.0.0,<2.2.0"')

    if complaints:
        raise StackError('\n'.join(complaints))


def add_safe_globals() -> None:
    """Let torch load MMEngine's checkpoints with ``weights_only`` left on.

    From torch 2.6 on, ``torch.load`` refuses every class that is not listed as
    safe. MMEngine's checkpoints hold log histories (``HistoryBuffer`` around
    NumPy arrays, with the names of its own methods) and NumPy scalars; none of
    them runs code when it is loaded. Below torch 2.6 this does nothing.
    """
    import numpy as np
    import torch

    if Version(torch.__version__) < Version('2.6'):
        return
    from mmengine.logging import HistoryBuffer

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

    def history_method(owner: type, name: str):
        """``getattr`` as far as a pickled log history needs it."""
        if owner is HistoryBuffer and name in HistoryBuffer._statistics_methods:
            return HistoryBuffer._statistics_methods[name]
        raise pickle.UnpicklingError(
            f'{name!r} of {owner!r} is not a statistic of a log history')

    HistoryBuffer()  # the first one registers the statistics' names
    torch.serialization.add_safe_globals([
        HistoryBuffer, np.ndarray, np.dtype, *array_functions,
        (history_method, 'builtins.getattr'),
        *sorted(dtypes, key=lambda dtype: dtype.__name__)
    ])


def torchscript_onnx_options() -> dict:
    """Options of ``torch.onnx.export`` that choose the exporter by tracing.

    From torch 2.9 on another one is the default, which needs a package more.
    Torch 2.1 knows no such option.
    """
    import inspect

    import torch

    parameters = inspect.signature(torch.onnx.export).parameters
    return dict(dynamo=False) if 'dynamo' in parameters else {}


def crop_window(sample) -> tuple:
    """Centre and size of the crop that a top-down sample was made from.

    Args:
        sample (PoseDataSample): A packed sample. MMPose up to 1.1 says this in
            its instances, later versions in its metainfo.

    Returns:
        tuple[np.ndarray]: Centre and size in pixels of the image, each (x, y).
    """
    if 'input_center' in sample.metainfo:
        return sample.input_center, sample.input_scale
    instances = sample.gt_instances
    return instances.bbox_centers[0], instances.bbox_scales[0]
