"""Tests of the stand-in for ``pkg_resources``, whether or not it is missing."""

import importlib.util
import sys
from importlib import metadata
from pathlib import Path

from mmpose_wloss.compat.stand_ins import STAND_INS

import mmpose
import numpy as np
import pytest
from mmengine.utils import get_installed_path, is_installed


@pytest.fixture
def pkg_resources(monkeypatch):
    """The stand-in, imported in place of any other."""
    class First:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == 'pkg_resources':
                return importlib.util.spec_from_file_location(
                    name, STAND_INS[name])

    monkeypatch.setattr(sys, 'meta_path', [First, *sys.meta_path])
    # forgotten after the test
    monkeypatch.setitem(sys.modules, 'pkg_resources',
                        importlib.util.module_from_spec(
                            First.find_spec('pkg_resources')))
    module = sys.modules['pkg_resources']
    module.__spec__.loader.exec_module(module)
    return module


def test_an_installed_distribution(pkg_resources):
    found = pkg_resources.get_distribution('numpy')
    assert found.version == np.__version__
    assert Path(found.location) == Path(np.__file__).parents[1]
    assert found.has_metadata('METADATA')
    assert not found.has_metadata('no such file')
    assert 'Name: numpy' in found.get_metadata('METADATA')
    assert found.get_metadata('METADATA') == metadata.distribution(
        'numpy').read_text('METADATA')


def test_a_missing_distribution(pkg_resources):
    with pytest.raises(pkg_resources.DistributionNotFound, match='no-such-one'):
        pkg_resources.get_distribution('no-such-one')


def test_whatever_else_is_asked_for_is_not_installed(pkg_resources):
    with pytest.raises(ImportError, match='pkg_resources.working_set is not .*'
                       'pip install "setuptools<82"'):
        from pkg_resources import working_set  # noqa: F401
    with pytest.raises(AttributeError):
        pkg_resources.__path__  # noqa: B018  (it is no package)


def test_mmengine_finds_packages_by_it(pkg_resources):
    assert is_installed('mmpose')
    assert is_installed('mmengine')
    assert not is_installed('no-such-one')
    # it has reloaded the stand-in, and nothing else
    assert sys.modules['pkg_resources'] is pkg_resources
    assert pkg_resources.__file__ == str(STAND_INS['pkg_resources'])
    assert get_installed_path('mmpose') == str(Path(mmpose.__file__).parent)
    with pytest.raises(pkg_resources.DistributionNotFound):
        get_installed_path('no-such-one')
