"""Which packages of which versions fit, and the check of it.

Can go when the OpenMMLab packages say themselves, and truly, what they need.
"""

import importlib
import importlib.util
from importlib import metadata
from typing import NamedTuple

from packaging.specifiers import SpecifierSet

UNKNOWN = 'unknown'


class Distribution(NamedTuple):
    """A distribution of a package, and the range that fits (PEP 440)."""

    name: str
    versions: str


class Requirement(NamedTuple):
    """A package of the stack, and the command that installs a fitting one."""

    module: str
    distributions: tuple[Distribution, ...]
    install: str


class Installed(NamedTuple):
    """What is there of a package: its version, or ``UNKNOWN``.

    Where only the module is found, the distribution is the requirement's first.
    """

    distribution: Distribution
    version: str

    @property
    def fits(self) -> bool:
        versions = SpecifierSet(self.distribution.versions)
        return self.version == UNKNOWN or versions.contains(
            self.version, prereleases=True)


class StackError(ImportError):
    """The packages beside which ``mmpose_wloss`` runs are missing or unfit."""


MMCV = Requirement(
    'mmcv', (Distribution('mmcv', '>=2.0.0,<2.2.0'),
             Distribution('mmcv-lite', '>=2.0.0,<2.2.0'),
             Distribution('onedl-mmcv', '>=2.3.0,<3.0')),
    'pip install --no-deps "mmcv-lite>=2.0.0,<2.2.0"')
MMDET = Requirement(
    'mmdet', (Distribution('mmdet', '>=3.3.0,<3.4.0'),
              Distribution('onedl-mmdetection', '>=3.4.0,<4.0')),
    'pip install --no-deps "mmdet>=3.3.0,<3.4.0"')
# mmdet refuses the mmcv of the fork, and the fork's mmdet needs the fork's mmcv
MMDET_BESIDE = {'onedl-mmcv': Requirement(
    'mmdet', (Distribution('onedl-mmdetection', '>=3.4.0,<4.0'), ),
    'pip install --no-deps "onedl-mmdetection>=3.4.0,<4.0"')}
REQUIREMENTS = (
    Requirement('torch', (Distribution('torch', '>=2.1'), ),
                'pip install "torch>=2.1" torchvision'),
    Requirement('torchvision', (Distribution('torchvision', '>=0.16'), ),
                'pip install torch torchvision'),
    Requirement('numpy', (Distribution('numpy', '>=1.23'), ),
                'pip install "numpy>=1.26"'),
    Requirement('mmengine', (Distribution('mmengine', '>=0.10.3,<1.0'),
                             Distribution('mmengine-lite', '>=0.10.3,<1.0'),
                             Distribution('onedl-mmengine', '>=0.10.3,<1.0')),
                'pip install "mmengine>=0.10.3,<1.0"'),
    MMCV,
    MMDET,
    Requirement('mmpose', (Distribution('mmpose', '>=1.3.0,<1.4'), ),
                'pip install --no-deps "mmpose>=1.3.0,<1.4"'),
    Requirement('pycocotools', (Distribution('pycocotools', '>=2.0.7'), ),
                'pip install "pycocotools>=2.0.7"'),
)


def installed(requirement: Requirement) -> Installed | None:
    """What is there of a package, found without importing it if possible."""
    for distribution in requirement.distributions:
        try:
            return Installed(distribution, metadata.version(distribution.name))
        except metadata.PackageNotFoundError:
            continue
    if importlib.util.find_spec(requirement.module) is None:
        return None
    # on the path without metadata, e.g. a source checkout in PYTHONPATH
    return Installed(requirement.distributions[0],
                     getattr(importlib.import_module(requirement.module),
                             '__version__', UNKNOWN))


def requirements() -> list[Requirement]:
    """What is required beside the mmcv that is installed."""
    mmcv = installed(MMCV)
    beside = MMDET_BESIDE.get(mmcv.distribution.name) if mmcv else None
    return [beside if beside and requirement is MMDET else requirement
            for requirement in REQUIREMENTS]


def complaint(requirement: Requirement) -> str | None:
    """What is wrong with a package, and the command that mends it."""
    found = installed(requirement)
    if found and found.fits:
        return None
    problem = f'{found.version} is installed' if found else 'is not installed'
    wanted = found.distribution if found else requirement.distributions[0]
    return (f'{requirement.module} {problem}, mmpose_wloss needs '
            f'{wanted.name} {wanted.versions}. To mend it: '
            f'{requirement.install}')


def check_stack() -> None:
    """Check that every package of the stack is there in a version that fits.

    Raises:
        StackError: Names each that does not fit, and the command that mends it.
    """
    complaints = [text for text in map(complaint, requirements()) if text]
    if complaints:
        raise StackError('\n'.join(
            [*complaints, 'All of the stack: python -m mmpose_wloss doctor']))
