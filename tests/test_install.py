"""Every way of installing leaves what mim looks for."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONTENT = ('mmpose_wloss', 'annypose', 'configs', 'tools', 'requirements', 'setup.py',
           'pyproject.toml', 'MANIFEST.in', 'README.md', 'model-index.yml')


@pytest.fixture
def checkout(tmp_path):
    """A copy of the project, as a clone has it."""
    copy = tmp_path / 'checkout'
    copy.mkdir()
    for name in CONTENT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name,
                            ignore=shutil.ignore_patterns('__pycache__', '.mim'))
        else:
            shutil.copy2(ROOT / name, copy / name)
    return copy


@pytest.fixture
def python(tmp_path):
    """A virtual environment that borrows the packages of this one."""
    folder = tmp_path / 'environment'
    venv.create(folder, with_pip=False)
    library = f'lib/python{sys.version_info[0]}.{sys.version_info[1]}'
    site_packages = folder / library / 'site-packages'
    here = next(path for path in sys.path if path.endswith('site-packages'))
    (site_packages / 'borrowed.pth').write_text(f'{here}\n')
    return folder / 'bin' / 'python'


def run(*command, cwd, check=True):
    environment = {key: value for key, value in os.environ.items()
                   if key != 'PYTHONPATH'}
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, text=True, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert not check or result.returncode == 0, result.stdout[-3000:]
    return result


@pytest.mark.parametrize('arguments', [[], ['-e']], ids=['plain', 'editable'])
def test_pip_install_and_mim_train(arguments, checkout, python, tmp_path):
    pytest.importorskip('mim', reason='openmim is not installed')
    run(python, '-m', 'pip', 'install', '--no-deps', '--no-build-isolation',
        '--ignore-installed', *arguments, checkout, cwd=tmp_path)
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    package = Path(run(
        python, '-c', 'import mmpose_wloss; print(mmpose_wloss.__file__)',
        cwd=elsewhere).stdout.splitlines()[-1]).parent
    assert (package.parent == checkout) == bool(arguments)
    for name in ('configs/hrnet_fmse_coco.py', 'configs/metafile.yml',
                 'tools/train.py', 'tools/dist_train.sh', 'model-index.yml'):
        assert (package / '.mim' / name).is_file()
    for name in ('apis/demo_evidence.json', 'visualization/pages/demo_report.html'):
        assert (package / name).is_file()

    result = run(python, '-m', 'mim', 'train', 'mmpose_wloss',
                 'hrnet_fmse_coco.py', cwd=elsewhere, check=False)
    # config and script are found; the data, of course, are not
    assert 'train_dataloader.dataset.ann_file: data/coco/' in result.stdout
    result = run(python, '-m', 'mim', 'search', 'mmpose_wloss', '--field',
                 'config', cwd=elsewhere, check=False)
    assert 'hourglass_fmse_mpii' in result.stdout, result.stdout[-2000:]


def test_the_index_names_every_recipe():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    models = [
        model for file in index['Import']
        for model in yaml.safe_load((ROOT / file).read_text())['Models']
    ]
    assert sorted(ROOT / model['Config'] for model in models) == sorted(
        (ROOT / 'configs').glob('*.py'))


def test_the_environment_builder_names_an_unfit_python(tmp_path):
    """Beside the stamp's own speed, the one thing it decides by itself."""
    script = ROOT / 'requirements' / 'environment.py'
    code = ('import runpy, sys; sys.version_info = (3, 13, 0); '
            f'module = runpy.run_path({str(script)!r}); '
            'module["build"]("oldest", "no_such_folder")')
    result = run(sys.executable, '-c', code, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert 'wheels for Python 3.10 to 3.11' in result.stdout
    assert 'make PYTHON=python3.11' in result.stdout
    assert not (ROOT / 'no_such_folder').exists()
