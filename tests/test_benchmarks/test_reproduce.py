"""From nothing to a table: what is run, in which order, and when it stops."""

import importlib
import sys
from types import SimpleNamespace

import lspet
import pytest
import reproduce


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce, 'ROOT', tmp_path)
    return tmp_path


def touch(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


@pytest.mark.parametrize('study', reproduce.STUDIES)
def test_a_study_is_there_and_asks_for_what_is_got_for_it(study):
    parts = reproduce.STUDIES[study]
    module = importlib.import_module(study)
    source = (lspet.ROOT / f'benchmarks/{study}.py').read_text()
    for part in lspet.PARTS:
        assert (f"'{part}'" in source.partition('exit_without(')[2]
                .partition(')')[0]) == (part in parts)
    read = {str(each.annotations)
            for each in vars(module).values()
            if hasattr(each, 'annotations') and hasattr(each, 'missing')}
    # a folder that a part names holds what the study is trained on
    assert all(any(file.startswith(lspet.PARTS[part][0]) for part in parts)
               for file in read)


def test_what_is_missing_is_made_first_and_once(root):
    weights = ['benchmarks/imagenet_weights.py']
    study = ['benchmarks/semi_supervised.py', '--minutes', '1']
    render = lspet.RENDER['annypose']
    steps = reproduce.steps
    assert steps('semi_supervised', 'their/folder', study[1:]) == [
        weights, ['benchmarks/lspet.py', 'their/folder'], render, study]
    # without the folder the study itself says what it needs
    assert steps('semi_supervised', None, study[1:]) == [weights, render, study]
    touch(root, *lspet.PARTS['weights'][0], *lspet.PARTS['lspet'][0],
          'data/annypose/annotations/any.json')
    assert steps('semi_supervised', 'their/folder', study[1:]) == [study]


def test_a_step_that_fails_ends_it(root, monkeypatch):
    called = []

    def run(command, cwd):
        called.append((command, cwd))
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr(reproduce.subprocess, 'run', run)
    assert reproduce.main(['heatmap_losses', '--minutes', '5']) == 3
    assert called == [([sys.executable, 'benchmarks/imagenet_weights.py'], root)]
    with pytest.raises(SystemExit):
        reproduce.main(['no_study'])
