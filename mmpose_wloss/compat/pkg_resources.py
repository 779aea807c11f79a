"""Stands in for ``pkg_resources``, which setuptools 82 has dropped.

Holds what mmengine (up to 0.10.7) takes from it to find installed packages. It
can go when mmengine takes ``importlib.metadata``.
"""

from importlib import metadata

__all__ = ['Distribution', 'DistributionNotFound', 'get_distribution']

DistributionNotFound = metadata.PackageNotFoundError


class Distribution:
    """An installed distribution, its version and the folder of its packages.

    Raises:
        DistributionNotFound: If it is not installed.
    """

    def __init__(self, name: str):
        self._distribution = metadata.distribution(name)
        self.version = self._distribution.version
        self.location = str(self._distribution.locate_file(''))
        self.get_metadata = self._distribution.read_text

    def has_metadata(self, name: str) -> bool:
        return self.get_metadata(name) is not None


get_distribution = Distribution


def __getattr__(name: str):
    """Whoever asks for more gets on as without ``pkg_resources``."""
    if name.startswith('__'):
        raise AttributeError(f'{__name__} has no {name}')
    raise ImportError(f'pkg_resources.{name} is not installed: setuptools 82 '
                      'has dropped it. To mend it: pip install "setuptools<82"')
