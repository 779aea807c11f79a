"""Installation, with the ``.mim`` folder through which mim finds configs."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop

ROOT = Path(__file__).resolve().parent
PACKAGE = 'mmpose_wloss'
MIM = ('configs', 'tools', 'model-index.yml')


def read_version() -> str:
    scope = {}
    exec((ROOT / PACKAGE / 'version.py').read_text(), scope)
    return scope['__version__']


def read_requirements(name: str) -> list:
    lines = (ROOT / 'requirements' / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def copy_mim_folder(target: Path) -> None:
    """Copy what mim looks for into an installed package's folder."""
    for name in MIM:
        source, copy = ROOT / name, target / '.mim' / name
        if source.is_dir():
            shutil.copytree(
                source, copy, dirs_exist_ok=True,
                ignore=shutil.ignore_patterns('__pycache__'))
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)


def link_mim_folder(target: Path) -> None:
    """Link what mim looks for into the package of a source checkout."""
    folder = target / '.mim'
    folder.mkdir(exist_ok=True)
    for name in MIM:
        link = folder / name
        if link.is_symlink() or link.is_file():
            link.unlink()
        elif link.is_dir():
            shutil.rmtree(link)
        link.symlink_to(os.path.relpath(ROOT / name, folder))


def point_to_mim_folder(target: Path) -> None:
    """Write files that stand for the checkout's configs and tools.

    mim looks for ``.mim`` in ``site-packages``, where an editable install by
    today's pip puts no package at all, and a wheel cannot hold links. A
    folder without ``__init__.py`` there does not hide the package that a
    later entry of the path holds.
    """
    folder = target / '.mim'
    for source in sorted((ROOT / 'configs').rglob('*.py')):
        pointer = folder / source.relative_to(ROOT)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.write_text(f'_base_ = {str(source)!r}\n')
    for source in sorted((ROOT / 'tools').iterdir()):
        pointer = folder / source.relative_to(ROOT)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == '.py':
            pointer.write_text('import runpy\n\nrunpy.run_path('
                               f"{str(source)!r}, run_name='__main__')\n")
        elif source.suffix == '.sh':
            pointer.write_text('#!/usr/bin/env bash\n'
                               f'exec bash {str(source)!r} "$@"\n')
    for source in (ROOT / 'model-index.yml', ROOT / 'configs' / 'metafile.yml'):
        shutil.copy2(source, folder / source.relative_to(ROOT))


class BuildWithMim(build_py):
    """Give every kind of installation its ``.mim`` folder."""

    def run(self) -> None:
        super().run()
        if not getattr(self, 'editable_mode', False):
            copy_mim_folder(Path(self.build_lib, PACKAGE))
            return
        link_mim_folder(ROOT / PACKAGE)
        wheel = self.distribution.get_command_obj('install').install_lib
        if wheel is not None:
            point_to_mim_folder(Path(wheel, PACKAGE))


class DevelopWithMim(develop):
    """``pip install -e`` by an old pip, which builds no wheel."""

    def run(self) -> None:
        super().run()
        link_mim_folder(ROOT / PACKAGE)


setup(
    name=PACKAGE,
    version=read_version(),
    description='Unbalanced training for human pose estimation: a plugin for '
    'MMPose 1.x',
    long_description=(ROOT / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='pose estimation, heatmap, loss, imbalance, MMPose',
    classifiers=[
        'Development Status :: 4 - Beta',
        'License :: OSI Approved :: Apache Software License',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
    ],
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*', 'annypose']),
    # says that the layout is flat, so that an editable install puts the
    # checkout on the path (see point_to_mim_folder)
    package_data={PACKAGE: ['apis/*.json', 'visualization/pages/*.html']},
    package_dir={'': '.'},
    entry_points={
        'console_scripts': ['mmpose-wloss = mmpose_wloss.__main__:main']},
    python_requires='>=3.10',
    install_requires=read_requirements('runtime.txt'),
    extras_require={
        'mim': read_requirements('mminstall.txt'),
        'synthetic': read_requirements('synthetic.txt'),
        'deploy': read_requirements('deploy.txt'),
        'albumentations': read_requirements('albumentations.txt'),
        'timm': read_requirements('timm.txt'),
        'torchjd': read_requirements('torchjd.txt'),
        'tests': read_requirements('tests.txt'),
        'docs': read_requirements('docs.txt'),
    },
    cmdclass={
        'build_py': BuildWithMim,
        'develop': DevelopWithMim
    },
    zip_safe=False)
