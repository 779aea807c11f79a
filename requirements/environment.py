"""Build one of the project's virtual environments, once.

``python requirements/environment.py main`` makes ``.venv`` with everything
that the demo, the tests and the docs need; ``oldest`` and ``compiled`` make the
two others that the tests run in. A stamp keyed by the requirement files lets a
second call return at once. Only the standard library is used.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = REPOSITORY / 'requirements'
CPU_INDEX = 'https://download.pytorch.org/whl/cpu'


class Environment(NamedTuple):
    """What an environment holds.

    Args:
        folder (str): Where it lies.
        what (str): What it is, in words.
        newest (tuple): The last Python that its packages have wheels for.
        lock (str): The file of every package but torch.
        torch (str): The file of torch.
        compiled (bool): Whether mmcv and xtcocotools are compiled.
    """

    folder: str
    what: str
    newest: tuple[int, int]
    lock: str
    torch: str
    compiled: bool = False


ENVIRONMENTS = dict(
    main=Environment('.venv', "today's torch and NumPy, nothing to compile",
                     (3, 14), 'lock.txt', 'torch.txt'),
    oldest=Environment('.venv-oldest', 'torch 2.1 and NumPy 1.26',
                       (3, 11), 'lock_oldest.txt', 'torch_oldest.txt'),
    compiled=Environment(
        '.venv-compiled', "torch 2.1 with mmcv's compiled operators and "
        'xtcocotools, 5 to 25 minutes of compiling where no wheel fits',
        (3, 11), 'lock_oldest.txt', 'torch_oldest.txt', compiled=True))


def fingerprint(environment: Environment) -> str:
    """Digest of all that decides what the environment holds."""
    digest = hashlib.sha256(f'{sys.version}\n{REPOSITORY}\n'.encode())
    files = sorted({*REQUIREMENTS.glob('*compiled.txt'), Path(__file__),
                    REQUIREMENTS / environment.lock, REPOSITORY / 'setup.py',
                    REQUIREMENTS / environment.torch})
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def torch_options() -> list[str]:
    """Where to look for torch: the CPU build is a tenth of the CUDA build."""
    if shutil.which('nvidia-smi') or Path('/proc/driver/nvidia').exists():
        return []
    try:
        with urllib.request.urlopen(f'{CPU_INDEX}/torch/', timeout=5):
            return ['--extra-index-url', CPU_INDEX]
    except (urllib.error.URLError, OSError):
        return []


class Installer:
    """Installs into an environment, by uv where it is there and works.

    Args:
        folder (Path): Where the environment lies.
    """

    def __init__(self, folder: Path):
        self.python = folder / 'bin' / 'python'
        self.uv = shutil.which('uv')
        if folder.exists():
            found = subprocess.run(
                [self.python, '-c', 'import pip, sys; print(sys.version)'],
                capture_output=True, text=True) if self.python.exists() else None
            if found is None or found.stdout.strip() != sys.version:
                # half made, or made by another Python
                shutil.rmtree(folder)
        if not folder.exists():
            subprocess.check_call([sys.executable, '-m', 'venv', folder])

    def install(self, *arguments: str) -> None:
        if self.uv:
            command = [self.uv, 'pip', 'install', '--quiet', '--python',
                       self.python, '--index-strategy', 'unsafe-best-match']
            if subprocess.call([*command, *arguments]) == 0:
                return
            say('uv failed (its output is above); going on with pip')
            self.uv = None
        self.pip('install', '--quiet', *arguments)

    def pip(self, *arguments: str) -> None:
        subprocess.check_call([self.python, '-m', 'pip',
                               '--disable-pip-version-check', *arguments])


def say(text: str) -> None:
    print(f'[{time.strftime("%H:%M:%S")}] {text}', flush=True)


def build(name: str, folder: str | None = None) -> None:
    """Make the environment of this name, or return where it is made.

    Args:
        name (str): Of ``ENVIRONMENTS``.
        folder (str, optional): Where it lies, beside its own folder.
    """
    environment = ENVIRONMENTS[name]
    folder = REPOSITORY / (folder or environment.folder)
    stamp = folder / 'mmpose_wloss.json'
    key = fingerprint(environment)
    if stamp.exists() and json.loads(stamp.read_text())['key'] == key:
        return
    if not (3, 10) <= sys.version_info[:2] <= environment.newest:
        newest = '.'.join(map(str, environment.newest))
        sys.exit(f'The locked packages have wheels for Python 3.10 to {newest}, '
                 f'but this is {sys.version.split()[0]}. Call make with one of '
                 f'them: make PYTHON=python{newest} …')

    say(f'building {folder.name}: {environment.what}. This is done once')
    start = time.monotonic()
    installer = Installer(folder)
    lock = str(REQUIREMENTS / environment.lock)
    options = torch_options()
    say('installing torch, ' + ('the CPU build' if options else
                                'a download of up to 3 GB'))
    installer.install('-c', lock, '-r', str(REQUIREMENTS / environment.torch),
                      *options)
    after_torch = time.monotonic()
    say('installing mmpose and the tools')
    installer.install('--no-deps', '-r', lock)
    if environment.compiled:
        say('installing mmcv with its operators, and xtcocotools')
        installer.install('-r', str(REQUIREMENTS / 'build_compiled.txt'))
        # they own the same files: whichever is there must go first
        installer.pip('uninstall', '--quiet', '--yes', 'mmcv-lite', 'mmcv')
        os.environ['MMCV_WITH_OPS'] = '1'
        installer.install('--no-deps', '--no-build-isolation', '-r',
                          str(REQUIREMENTS / 'compiled.txt'))
    installer.install('--no-deps', '--no-build-isolation', '-e', str(REPOSITORY))
    end = time.monotonic()
    stamp.write_text(json.dumps(dict(
        key=key, minutes=round((end - start) / 60, 1),
        minutes_of_torch=round((after_torch - start) / 60, 1))))
    say(f'{folder.name} is ready after {(end - start) / 60:.1f} minutes')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('environment', choices=list(ENVIRONMENTS))
    parser.add_argument('--folder', help='for another Python beside .venv')
    arguments = parser.parse_args()
    try:
        build(arguments.environment, arguments.folder)
    except subprocess.CalledProcessError as error:
        sys.exit(f'This step failed (its output is above): {error.cmd}')
    except KeyboardInterrupt:
        sys.exit('Interrupted; the next call goes on from here.')
