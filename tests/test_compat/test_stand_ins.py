"""Stand-ins serve where the real module is missing, and nowhere else."""

import importlib
import importlib.util
import pkgutil
import sys

from mmpose_wloss.compat.stand_ins import (
    STAND_INS,
    StandInFinder,
    add_stand_ins,
    is_stand_in,
)

import pytest
import torch
from mmengine.utils.dl_utils import mmcv_full_available


@pytest.fixture
def without(monkeypatch):
    """Makes a module importable by stand-ins alone."""
    def hide(name):
        monkeypatch.delitem(sys.modules, name, raising=False)
        finders = [StandInFinder]
        if '.' in name:
            importlib.import_module(name.partition('.')[0])
        else:
            finders.append(next(finder for finder in sys.meta_path if getattr(
                finder, '__name__', '') == 'BuiltinImporter'))
        monkeypatch.setattr(sys, 'meta_path', finders)
    return hide


@pytest.mark.parametrize('name', STAND_INS)
def test_a_missing_module_is_stood_in_for(name, without):
    importlib.import_module(name)  # what it imports itself stays
    without(name)
    module = importlib.import_module(name)
    assert module.__name__ == name
    assert module.__file__ == str(STAND_INS[name])
    assert is_stand_in(name)


def test_the_real_module_wins(tmp_path):
    """Nothing of ours is loaded beside a real one, wherever it is found."""
    for name in STAND_INS:
        (tmp_path / f'{name.rpartition(".")[2]}.py').write_text('REAL = True\n')
    # in a process of its own, whose modules nothing else sees
    torch.multiprocessing.start_processes(
        import_real_modules, (str(tmp_path), ), start_method='fork')


def import_real_modules(rank: int, folder: str) -> None:
    sys.path.insert(0, folder)
    for name in STAND_INS:
        package, _, module = name.partition('.')
        if module:
            importlib.import_module(package).__path__.insert(0, folder)
        sys.modules.pop(name, None)
        assert importlib.import_module(name).REAL
        assert not is_stand_in(name)


def test_the_stack_loads_no_more_stand_ins_than_it_lacks():
    """Of the installed stack, whichever it is."""
    loaded = {name: sys.modules[name].__file__ for name in STAND_INS
              if name in sys.modules}
    import mmpose.apis  # noqa: F401  (imports all of mmpose)

    for name, file in loaded.items():
        real = [finder for finder in sys.meta_path
                if finder is not StandInFinder]
        parent = name.rpartition('.')[0]
        path = importlib.import_module(parent).__path__ if parent else None
        found = any(finder.find_spec(name, path) for finder in real
                    if hasattr(finder, 'find_spec'))
        assert (file == str(STAND_INS[name])) == (not found), name


def test_the_finder_is_added_once_and_last():
    add_stand_ins()
    assert sys.meta_path.count(StandInFinder) == 1
    assert StandInFinder.find_spec('mmcv') is None
    assert StandInFinder.find_spec('xtcocotools.elsewhere') is None


def test_find_loader_is_there(monkeypatch):
    """Where Python lacks it, it tells what mmengine and mmcv ask."""
    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)
    add_stand_ins()
    assert mmcv_full_available()
    assert pkgutil.find_loader('mmpose_wloss') is not None
    assert pkgutil.find_loader('no_such_module_at_all') is None
