"""Tests of the check of the stack, on stacks of all kinds."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from mmpose_wloss.compat import requirements
from mmpose_wloss.compat.requirements import StackError, check_stack

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
NEWEST = dict(torch='2.14.1+cpu', torchvision='0.29.1', numpy='2.5.5',
              mmengine='0.10.7', mmdet='3.3.0', mmpose='1.3.2',
              pycocotools='2.0.11', **{'mmcv-lite': '2.1.0'})
OLDEST = dict(NEWEST, torch='2.1.2+cu121', torchvision='0.16.2', numpy='1.26.4',
              mmpose='1.3.0', mmcv='2.0.0', **{'mmcv-lite': None})
FORK = dict(NEWEST, mmengine=None, mmdet=None, **{
    'mmcv-lite': None, 'onedl-mmcv': '2.3.6', 'onedl-mmengine': '0.10.12',
    'onedl-mmdetection': '3.5.1'})


def requirements_of(file: str) -> list[Requirement]:
    lines = (ROOT / 'requirements' / f'{file}.txt').read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith('#')]


@pytest.fixture
def stack(monkeypatch):
    """The newest stack, as a dictionary of versions to change."""
    versions = dict(NEWEST)

    def version(distribution):
        if versions.get(distribution) is None:
            raise metadata.PackageNotFoundError(distribution)
        return versions[distribution]

    monkeypatch.setattr(requirements.metadata, 'version', version)
    monkeypatch.setattr(requirements.importlib.util, 'find_spec',
                        lambda name: None)
    return versions


@pytest.mark.parametrize('versions', [
    NEWEST, OLDEST, FORK,
    # a source checkout, which has no metadata
    dict(NEWEST, mmpose=None)], ids=['newest', 'oldest', 'fork', 'checkout'])
def test_stacks_that_fit(stack, versions, monkeypatch):
    stack.update(versions)
    if not versions['mmpose']:
        monkeypatch.setattr(requirements.importlib.util, 'find_spec', str)
    check_stack()


@pytest.mark.parametrize('package, found, needed', [
    ('torch', '2.0.1', '>=2.1'), ('torch', None, '>=2.1'),
    ('torchvision', None, '>=0.16'), ('numpy', '1.21.0', '>=1.23'),
    ('mmengine', '0.10.2', '>=0.10.3'), ('mmpose', '1.2.0', '<1.4,>=1.3.0'),
    ('mmpose', '1.4.0', '<1.4,>=1.3.0'), ('mmpose', None, '<1.4,>=1.3.0'),
    ('mmdet', '3.2.0', '>=3.3.0'), ('mmdet', None, '>=3.3.0'),
    ('mmcv-lite', '2.2.0', '<2.2.0'), ('mmcv-lite', None, '<2.2.0'),
    ('pycocotools', None, '>=2.0.7')])
def test_one_error_says_what_does_not_fit(stack, package, found, needed):
    stack[package] = found
    with pytest.raises(ImportError) as error:
        check_stack()
    complaint, doctor = str(error.value).splitlines()
    assert complaint.startswith(package.removesuffix('-lite'))
    for part in (found or 'is not installed', *needed.split(','), 'pip install'):
        assert part in complaint
    assert doctor.endswith('python -m mmpose_wloss doctor')


def test_all_that_does_not_fit_is_named_at_once(stack):
    stack['mmcv-lite'], stack['torch'] = None, '1.13.0'
    with pytest.raises(StackError, match='(?s)torch 1.13.0.*mmcv is not'):
        check_stack()


def test_the_mmdet_that_refuses_the_mmcv_of_the_fork(stack):
    stack.update(FORK, mmdet='3.3.0', **{'onedl-mmdetection': None})
    with pytest.raises(StackError, match='mmdet is not .*onedl-mmdetection'):
        check_stack()


@pytest.mark.parametrize('file', ['mminstall', 'runtime'])
def test_the_requirement_files_say_the_same(file):
    ranges = {each.distributions[0].name: SpecifierSet(
        each.distributions[0].versions) for each in requirements.REQUIREMENTS}
    for written in requirements_of(file):
        if written.specifier:
            assert written.specifier == ranges[written.name]


@pytest.mark.parametrize('lock', ['', '_oldest'])
def test_the_locked_versions_fit(lock):
    locked = {each.name: str(each.specifier).removeprefix('==') for file in (
        f'lock{lock}', f'torch{lock}') for each in requirements_of(file)}
    for requirement in requirements.REQUIREMENTS:
        found = [each for each in requirement.distributions
                 if each.name in locked]
        assert found, requirement.module
        for each in found:
            assert locked[each.name] in SpecifierSet(each.versions)


def test_the_check_needs_nothing_of_the_stack(tmp_path):
    """An interpreter without site-packages is told all that is missing."""
    import packaging

    code = f'''
import sys
sys.path[:0] = [{str(ROOT / 'mmpose_wloss')!r}, {str(tmp_path)!r}]
import compat
try:
    compat.check_stack()
except compat.StackError as error:
    print(error)
'''
    (tmp_path / 'packaging').symlink_to(Path(packaging.__file__).parent)
    result = subprocess.run([sys.executable, '-I', '-S', '-c', code], text=True,
                            capture_output=True)
    for requirement in requirements.REQUIREMENTS:
        assert f'{requirement.module} is not installed' in result.stdout, (
            result.stderr)
