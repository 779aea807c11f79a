"""What the doctor finds, on this stack and on broken ones."""

from types import SimpleNamespace

from mmpose_wloss.__main__ import main
from mmpose_wloss.compat import diagnosis
from mmpose_wloss.compat.diagnosis import diagnose
from mmpose_wloss.compat.requirements import REQUIREMENTS
from mmpose_wloss.compat.stand_ins import is_stand_in

import pytest


def test_the_stack_of_the_tests_fits(capsys):
    assert main(['doctor']) == 0
    printed = capsys.readouterr().out
    for requirement in REQUIREMENTS:
        assert f'ok {requirement.module} ' in printed
    assert '!!' not in printed
    lacks = [name for name in ('mmcv._ext', 'xtcocotools') if is_stand_in(name)]
    assert printed.count('stand-in: ') == len(lacks)


def test_what_is_missing_is_named_with_what_mends_it(monkeypatch, capsys):
    versions = dict(torch='2.14.1', mmcv='2.1.0')

    def version(name):
        if name not in versions:
            raise diagnosis.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(diagnosis.metadata, 'version', version)
    real = diagnosis.importlib.util.find_spec
    monkeypatch.setattr(
        diagnosis.importlib.util, 'find_spec',
        lambda name: None if name in ('mmpose', 'mmdet', 'munkres', 'yapf')
        else real(name))
    found = {finding.name: finding for finding in diagnose()}
    assert found['mmpose'].fits is False
    assert found['mmpose'].mend == 'pip install --no-deps "mmpose>=1.3.0,<1.4"'
    assert found['what they import'].mend == 'pip install munkres yapf'
    assert 'mmpose as a whole' not in found
    assert main(['doctor']) == 1
    assert found['mmpose'].mend in capsys.readouterr().out


def test_packages_that_own_the_same_files(monkeypatch):
    monkeypatch.setattr(diagnosis, '_version', {
        'mmcv': '2.1.0', 'mmcv-lite': '2.1.0'}.get)
    finding, = diagnosis._duplicates()
    assert finding.name == 'mmcv + mmcv-lite' and finding.fits is False
    assert 'pip uninstall -y mmcv mmcv-lite' in finding.mend


def test_a_piece_that_was_built_beside_another_stack(monkeypatch):
    def fail(name):
        raise ValueError('numpy.dtype size changed')

    monkeypatch.setattr(diagnosis.importlib, 'import_module', fail)
    finding = diagnosis._piece('xtcocotools')
    assert finding.fits is False
    assert 'ValueError: numpy.dtype size changed' in finding.state
    assert 'pip uninstall -y xtcocotools' in finding.mend


@pytest.mark.parametrize('available, works, state, fits', [
    (False, True, 'not usable: no driver', None),
    (True, True, 'usable: a card, CUDA 13.0', None),
    (True, False, 'not usable: no kernel image', False)])
def test_the_gpu(available, works, state, fits, monkeypatch):
    import torch

    def ones(size, device):
        if not works:
            raise RuntimeError('no kernel image is available')
        return torch.zeros(size) + 1

    monkeypatch.setattr(torch.backends, 'mps', SimpleNamespace(
        is_available=lambda: False))
    monkeypatch.setattr(torch, 'version', SimpleNamespace(cuda='13.0', hip=None))
    monkeypatch.setattr(torch, 'cuda', SimpleNamespace(
        is_available=lambda: available, device_count=lambda: 1,
        get_device_name=lambda index: 'a card'))
    monkeypatch.setattr(torch, 'ones', ones)
    finding = diagnosis._gpu()
    assert finding.state.startswith(state)
    assert finding.fits is fits


def test_loading_that_was_made_unsafe(monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    finding = diagnosis._loading()
    assert finding.fits is False
    assert finding.mend == 'unset TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
