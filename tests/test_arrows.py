"""Imports point one way, from what users call down to what all stand on."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# each room imports only from later lines, or from itself
LEVELS = (
    ('commands',),
    ('register_all_modules',),
    ('apis',),
    ('recipes', 'trainings'),
    ('deploy',),
    ('engine',),
    ('evaluation',),
    ('visualization',),
    ('models', 'datasets'),
    ('codecs', 'pose_density', 'preflight'),
    ('common',),
    ('compat',),
    ('version',),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# they register everything, and run everything
ENTRANCES = {'__init__', '__main__'}


def imports_of(file: Path):
    """Rooms of this package and other packages that a file imports."""
    here = file.relative_to(ROOT).with_suffix('').parts
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split('.') for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(here[:len(here) - node.level]) if node.level else []
            module = base + (node.module.split('.') if node.module else [])
            yield from ([*module, alias.name] for alias in node.names)


def room_of(file: Path) -> str:
    return file.relative_to(ROOT / 'mmpose_wloss').with_suffix('').parts[0]


FILES = sorted((ROOT / 'mmpose_wloss').rglob('*.py'))


@pytest.mark.parametrize('room', sorted({room_of(file) for file in FILES}
                                        - ENTRANCES))
def test_a_room_imports_only_from_below(room):
    assert room in LEVEL, f'{room} has no place in LEVELS'
    for file in FILES:
        if room_of(file) != room:
            continue
        for module in imports_of(file):
            if module[0] != 'mmpose_wloss' or module[1] == room:
                continue
            assert LEVEL[module[1]] > LEVEL[room], (file, module)


def test_the_embedded_data_set_knows_nothing_of_the_package():
    for file in (ROOT / 'annypose').rglob('*.py'):
        assert all(module[0] != 'mmpose_wloss' for module in imports_of(file))
    users = {file.name for file in FILES
             if any(module[0] == 'annypose' for module in imports_of(file))}
    assert users == {'render.py'}
