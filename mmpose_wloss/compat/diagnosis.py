"""What is installed, whether it fits, and what mends it.

First as :func:`check_stack` sees it, then by importing what is installed: a package
of a fitting version may still be built beside another torch or NumPy.
"""

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

from packaging.version import Version

from .requirements import MMCV, complaint, installed, requirements
from .safe_loading import SAFE_FROM
from .stand_ins import add_stand_ins, is_stand_in

# what mmengine, mmcv, mmdet and mmpose import: an installation with --no-deps
# may lack it
MODULES = {
    'addict': 'addict', 'cv2': 'opencv-python-headless',
    'json_tricks': 'json-tricks', 'matplotlib': 'matplotlib',
    'munkres': 'munkres', 'packaging': 'packaging', 'PIL': 'pillow',
    'rich': 'rich', 'scipy': 'scipy', 'shapely': 'shapely', 'six': 'six',
    'sklearn': 'scikit-learn', 'tabulate': 'tabulate',
    'termcolor': 'termcolor', 'terminaltables': 'terminaltables',
    'tqdm': 'tqdm', 'yaml': 'pyyaml', 'yapf': 'yapf'}
OPTIONAL = {
    'anny': ('synthetic', 'the embedded data set'),
    'onnx': ('deploy', 'ONNX files'), 'onnxruntime': ('deploy', 'ONNX files'),
    'timm': ('timm', 'TIMMBackbone'),
    'torchjd': ('torchjd', 'TorchJDBalancer'),
    'mim': ('tests', 'mim train mmpose_wloss')}
ONE_OF = (('mmcv', 'mmcv-lite', 'mmcv-full', 'onedl-mmcv'),
          ('mmengine', 'mmengine-lite', 'onedl-mmengine'),
          ('mmdet', 'onedl-mmdetection'))
UNSAFE = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
STAND_IN = {
    'mmcv._ext': ('compiled', 'stand-in: torchvision computes nms, roi_align '
                  'and deformable convolutions',
                  'pip uninstall -y mmcv; pip install --no-deps '
                  '"mmcv-lite>=2.0.0,<2.2.0" (torchvision then stands in)'),
    'xtcocotools': ('installed', 'stand-in: pycocotools computes the same',
                    'pip uninstall -y xtcocotools (pycocotools then stands '
                    'in)'),
    'pkg_resources': ('installed', 'stand-in for mmengine; mim needs the real '
                      'one: pip install "setuptools<82"', ''),
}


class Finding(NamedTuple):
    """What was found of one piece of the stack, and what mends it.

    ``fits`` is ``None`` where nothing depends on it.
    """

    name: str
    state: str
    fits: bool | None = True
    mend: str = ''


def diagnose() -> Iterator[Finding]:
    """Look at each piece of the stack, in the order of dependence.

    Yields:
        Finding: At once what is installed, then what an import shows, which takes
        seconds: packages that break, stand-ins, mmpose as a whole, the GPU.
    """
    packages = requirements()
    findings = [_python(), *map(_package, packages), *_duplicates(), *_modules(),
                _loading()]
    yield from findings
    yield from map(_optional, OPTIONAL)
    broken = list(filter(None, map(_broken_package, packages)))
    yield from broken
    pieces = list(map(_piece, STAND_IN))
    yield from pieces
    if all(finding.fits is not False for finding in (*findings, *broken, *pieces)):
        error = _error('mmpose.apis')
        yield Finding('mmpose as a whole', error or 'can be imported', not error)
    yield _gpu()
    yield from filter(None, map(_broken_optional, OPTIONAL))


def _python() -> Finding:
    tried = sys.version_info[:2] <= (3, 13)
    return Finding('Python', '.'.join(map(str, sys.version_info[:3])) + (
        '' if tried else ', not tried: 3.10 to 3.13 are'))


def _package(requirement) -> Finding:
    module, found = requirement.module, installed(requirement)
    if complaint(requirement):
        wanted = found.distribution if found else requirement.distributions[0]
        return Finding(module, f'{found.version if found else "not installed"}, '
                       f'{wanted.name} {wanted.versions} is needed', False,
                       requirement.install)
    name = found.distribution.name
    return Finding(module, found.version + (f' ({name})' if name != module else ''))


def _broken_package(requirement) -> Finding | None:
    # mmdet and mmpose are imported as a whole, after their pieces
    if requirement.module in ('mmdet', 'mmpose') or complaint(requirement):
        return None
    error = _error(requirement.module)
    return Finding(requirement.module, error, False, requirement.install.replace(
        'install', 'install --force-reinstall', 1)) if error else None


def _error(module: str) -> str:
    """Why a module cannot be imported, or an empty text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            importlib.import_module(module)
    except Exception as error:
        text = ' '.join(str(error).split())
        return f'cannot be imported: {type(error).__name__}: {text}'
    return ''


def _duplicates() -> list[Finding]:
    findings = []
    for names in ONE_OF:
        there = [name for name in names if _version(name)]
        if len(there) > 1:
            # they own the same files: removing one breaks the other
            findings.append(Finding(
                ' + '.join(there), 'own the same files: keep one', False,
                f'pip uninstall -y {" ".join(there)}, then install one again'))
    return findings


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _modules() -> list[Finding]:
    missing = [distribution for module, distribution in MODULES.items()
               if importlib.util.find_spec(module) is None]
    return [Finding('what they import', f'not installed: {", ".join(missing)}',
                    False, f'pip install {" ".join(missing)}')] * bool(missing)


def _piece(name: str) -> Finding:
    real, stand_in, mend = STAND_IN[name]
    if name == 'mmcv._ext' and installed(MMCV) is None:
        return Finding(name, 'not looked for without mmcv', None)
    add_stand_ins()
    # the part of xtcocotools that is compiled
    error = _error('xtcocotools.mask' if name == 'xtcocotools' else name)
    if error:
        return Finding(name, error, False, mend)
    return Finding(name, stand_in if is_stand_in(name) else real)


def _gpu() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding('GPU', 'not looked for without torch', None)
    if torch.backends.mps.is_available():
        return Finding('GPU', "usable: Apple's, by MPS", None)
    if torch.version.cuda is None and torch.version.hip is None:
        return Finding('GPU', f'not usable: torch {torch.__version__} is a CPU '
                       'build', None)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if not torch.cuda.is_available():
            return Finding('GPU', 'not usable: no driver, or one that is older '
                           f'than CUDA {torch.version.cuda} needs', None)
    try:
        value = float(torch.ones(8, device='cuda').sum())
        assert value == 8, value
    except Exception as error:
        text = ' '.join(str(error).split())
        return Finding('GPU', f'not usable: {text}', False,
                       'pip install --force-reinstall torch torchvision, of a '
                       'build that has kernels for this GPU')
    names = ', '.join(torch.cuda.get_device_name(index)
                      for index in range(torch.cuda.device_count()))
    return Finding('GPU', f'usable: {names}, CUDA {torch.version.cuda}', None)


def _loading() -> Finding:
    if os.environ.get(UNSAFE, '0').lower() in ('1', 'y', 'yes', 'true'):
        return Finding('checkpoints', f'{UNSAFE} is set: a file can run any code '
                       'when it is loaded', False, f'unset {UNSAFE}')
    torch = _version('torch')
    if torch is None or Version(torch) < SAFE_FROM:
        return Finding('checkpoints', f'torch before {SAFE_FROM} loads them '
                       'without weights_only: load those that you trust', None)
    return Finding('checkpoints', 'loaded with weights_only')


def _optional(module: str) -> Finding:
    extra, use = OPTIONAL[module]
    if importlib.util.find_spec(module) is None:
        return Finding(module, f'not installed, for {use}: pip install '
                       f'"mmpose_wloss[{extra}]"', None)
    return Finding(module, 'installed', None)


def _broken_optional(module: str) -> Finding | None:
    error = importlib.util.find_spec(module) and _error(module)
    return Finding(module, error, False, 'pip install --force-reinstall '
                   f'"mmpose_wloss[{OPTIONAL[module][0]}]"') if error else None
