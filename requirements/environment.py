"""Build one of the project's virtual environments, once.

``python requirements/environment.py main`` makes ``.venv`` with everything
that the demo, the tests and the docs need; ``lite`` and ``modern`` make the
two other environments that the tests run in. A stamp keyed by the requirement
files lets a second call return at once. Only the standard library is used.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = REPOSITORY / 'requirements'
MMCV_WHEELS = 'https://download.openmmlab.com/mmcv/dist'

ENVIRONMENTS = {
    'main': dict(
        folder='.venv',
        what='torch 2.1, mmcv with its operators, mmpose 1.3 and the tools',
        takes='3 minutes, and about 12 more on two cores where mmcv has to '
        'be compiled',
        constraints='constraints.txt',
        requirements=('mminstall.txt', 'runtime.txt', 'synthetic.txt',
                      'deploy.txt', 'tests.txt', 'docs.txt'),
        installs_project=True),
    'lite': dict(
        folder='.venv-lite',
        what='torch 2.1, mmpose 1.1 and mmcv-lite, with nothing to compile',
        takes='3 minutes',
        constraints='constraints-lite.txt',
        requirements=('lite.txt', 'runtime.txt', 'deploy.txt', 'tests.txt'),
        installs_project=True),
    'modern': dict(
        folder='.venv-modern',
        what='torch 2.13, NumPy 2 and mmengine alone',
        takes='2 minutes',
        constraints='constraints-modern.txt',
        requirements=('modern.txt', ),
        installs_project=False),
}


def fingerprint(environment: dict) -> str:
    """Digest of all that decides what the environment holds."""
    digest = hashlib.sha256(f'{sys.version}\n{REPOSITORY}\n'.encode())
    names = {environment['constraints'], *environment['requirements'],
             'build.txt', Path(__file__).name}
    files = [REQUIREMENTS / name for name in sorted(names)]
    if environment['installs_project']:
        files.append(REPOSITORY / 'setup.py')
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def answers(url: str) -> bool:
    """Whether a server has this page, asked without patience."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


class Builder:
    """The steps that make an environment.

    Args:
        folder (Path): Where the environment lies.
        constraints (Path): The constraints file for every step.
    """

    def __init__(self, folder: Path, constraints: Path):
        self.folder = folder
        self.python = folder / 'bin' / 'python'
        self.constraints = constraints

    def create(self) -> None:
        if self.folder.exists():
            found = subprocess.run(
                [self.python, '-c', 'import pip, sys; print(sys.version)'],
                capture_output=True, text=True) if self.python.exists() else None
            if found is None or found.stdout.strip() != sys.version:
                # half made, or made by another Python
                shutil.rmtree(self.folder)
        if not self.folder.exists():
            subprocess.check_call([sys.executable, '-m', 'venv', self.folder])

    def install(self, *arguments: str, **environment: str) -> None:
        """``pip install`` under the constraints."""
        subprocess.check_call(
            [self.python, '-m', 'pip', 'install', '--quiet',
             '--disable-pip-version-check', '--no-build-isolation',
             '-c', self.constraints, *arguments],
            env={**os.environ, **environment})

    def output(self, code: str) -> str:
        return subprocess.run(
            [self.python, '-c', code], capture_output=True, text=True,
            check=True).stdout.strip()

    def imports(self, module: str) -> bool:
        # torch first: the operators are linked against its libraries
        return subprocess.call(
            [self.python, '-c', f'import torch, {module}'],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0

    def install_mmcv(self) -> None:
        """mmcv with its compiled operators: OpenMMLab's wheel or a build."""
        if self.imports('mmcv._ext'):
            return
        build = self.output(
            'import torch; cuda = torch.version.cuda; '
            'print("cu" + cuda.replace(".", "") if cuda else "cpu", '
            '"torch" + ".".join(torch.__version__.split(".")[:2]) + ".0")')
        page = f'{MMCV_WHEELS}/{"/".join(build.split())}/index.html'
        if answers(page):
            say("installing mmcv from OpenMMLab's wheels")
            try:
                self.install('mmcv', '--only-binary', 'mmcv', '-f', page)
            except subprocess.CalledProcessError:
                say('no wheel fits this machine')
        if not self.imports('mmcv._ext'):
            check_compiler()
            say('compiling mmcv with its operators (about 12 minutes on two '
                'cores, unless pip has the result of an earlier time)')
            self.install('mmcv', MMCV_WITH_OPS='1')
        if not self.imports('mmcv._ext'):
            # what pip kept was built beside another torch
            self.install('mmcv', '--no-cache-dir', '--force-reinstall',
                         '--no-deps', MMCV_WITH_OPS='1')
        if not self.imports('mmcv._ext'):
            sys.exit('mmcv was installed, but its operators cannot be '
                     f'imported. Look at: {self.python} -c '
                     '"import torch, mmcv._ext"')


def check_compiler() -> None:
    if shutil.which(os.environ.get('CXX', 'g++')) is None:
        sys.exit('mmcv must be compiled here, and there is no C++ compiler. '
                 'Install one (Debian, Ubuntu: apt-get install g++), or set '
                 'CXX, and call make again.')
    if not Path(sysconfig.get_paths()['include'], 'Python.h').exists():
        sys.exit('mmcv must be compiled here, and the headers of Python are '
                 'missing. Install them (Debian, Ubuntu: apt-get install '
                 'python3-dev) and call make again.')


def say(text: str) -> None:
    print(f'[{time.strftime("%H:%M:%S")}] {text}', flush=True)


def build(name: str) -> None:
    """Make the environment of this name, or return where it is made."""
    environment = ENVIRONMENTS[name]
    folder = REPOSITORY / environment['folder']
    stamp = folder / 'mmpose_wloss.stamp'
    key = fingerprint(environment)
    if stamp.exists() and stamp.read_text() == key:
        return
    if not (3, 10) <= sys.version_info[:2] <= (3, 11):
        sys.exit(
            'The pinned packages have wheels for Python 3.10 and 3.11, but '
            f'this is {sys.version.split()[0]}. Call make with one of them: '
            'make PYTHON=python3.11 …')

    say(f'building {environment["folder"]}: {environment["what"]}. This is '
        f'done once and takes about {environment["takes"]}')
    start = time.monotonic()
    builder = Builder(folder, REQUIREMENTS / environment['constraints'])
    builder.create()
    requirements = [
        argument for file in environment['requirements']
        for argument in ('-r', str(REQUIREMENTS / file))
    ]
    if name == 'modern':
        builder.install(*requirements)
    else:
        say('installing torch and what the OpenMMLab packages are built with')
        builder.install('-r', str(REQUIREMENTS / 'build.txt'))
        if name == 'main':
            builder.install_mmcv()
        say('installing mmpose and the tools')
        builder.install(*requirements)
        builder.install('--no-deps', '-e', str(REPOSITORY))
    stamp.write_text(key)
    say(f'{environment["folder"]} is ready after '
        f'{(time.monotonic() - start) / 60:.1f} minutes')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('environment', choices=list(ENVIRONMENTS))
    try:
        build(parser.parse_args().environment)
    except subprocess.CalledProcessError as error:
        sys.exit(f'This step failed (its output is above): {error.cmd}')
    except KeyboardInterrupt:
        sys.exit('Interrupted; the next call goes on from here.')
