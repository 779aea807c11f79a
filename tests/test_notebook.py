"""docs/quickstart.ipynb runs from its first cell to its last."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / 'docs'
NOTEBOOK = DOCS / 'quickstart.ipynb'
# of the commands that are to stop a reader
FAILURES = re.compile(r'^(error:|Traceback|\w*Error\b)|No module named', re.M)


@pytest.fixture
def notebook():
    """The notebook, to be changed and executed."""
    pytest.importorskip('nbclient', reason='nbclient is not installed')
    pytest.importorskip('ipykernel', reason='ipykernel is not installed')
    import nbformat

    return nbformat.read(NOTEBOOK, 4)


def set_parameters(notebook, **values) -> None:
    """Give other values to names of the cell of parameters."""
    cell, = (each for each in notebook.cells
             if 'parameters' in each.metadata.get('tags', []))
    names = {node.targets[0].id for node in ast.parse(cell.source).body}
    assert values.keys() <= names
    cell.source += ''.join(f'\n{name} = {value!r}' for name, value in values.items())


def write_people(coco_root: Path, folder: Path) -> None:
    """Lay out the generated images as the embedded data set, with enough people.

    A density needs more of them than it has axes.
    """
    rng = np.random.default_rng(0)
    (folder / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        (folder / split).symlink_to(coco_root / f'{split}2017')
        name = 'annotations/person_keypoints_{}.json'
        content = json.loads((coco_root / name.format(f'{split}2017')).read_text())
        people = []
        for number, person in enumerate(3 * content['annotations'], 1):
            joints = np.reshape(person['keypoints'], (17, 3))
            joints[:, :2] += rng.normal(0, 5, (17, 2)) * (joints[:, 2:] > 0)
            people.append(dict(person, id=number, keypoints=joints.ravel().tolist()))
        content['annotations'] = people
        (folder / name.format(split)).write_text(json.dumps(content))


@pytest.mark.timeout(900)  # ten commands, each of which imports MMPose
@pytest.mark.parametrize(
    'render', [False, pytest.param(True, marks=pytest.mark.slow)],
    ids=['generated', 'rendered'])
def test_the_notebook_runs(render, notebook, coco_root, tmp_path, monkeypatch,
                           pytestconfig):
    from nbclient import NotebookClient

    monkeypatch.setenv('IPYTHONDIR', str(tmp_path / 'ipython'))
    if render:
        pytest.importorskip('anny', reason='the body model is not installed')
        monkeypatch.setenv('ANNY_CACHE_DIR', str(pytestconfig.cache.mkdir('anny')))
    else:
        write_people(coco_root, tmp_path / 'here' / 'data' / 'annypose')
    set_parameters(notebook, FOLDER='here', RENDER=render, TRAIN=12, VAL=6, EPOCHS=1,
                   PEOPLE=3, REPOSITORY='nowhere')
    NotebookClient(notebook, timeout=None,
                   resources=dict(metadata=dict(path=str(tmp_path)))).execute()

    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    said = ''.join(each.get('text', '') for each in outputs)
    assert not FAILURES.search(said), said
    # the table of each test
    assert len(re.findall(r'^\| all ', said, re.M)) == 2
    pictures = [each for each in outputs if any(
        kind.startswith('image/') for kind in each.get('data', {}))]
    assert len(pictures) == 4 + render
    table = next(each.data['text/html'] for each in outputs
                 if 'text/html' in each.get('data', {}))
    figures = [json.loads((tmp_path / 'here' / f'{name}.json').read_text())['error']
               for name in ('equal', 'drawn')]
    for value in (*figures, figures[1] - figures[0]):
        assert f'{value:.2f}' in table


def test_the_notebook_is_small_and_as_nobody_ran_it():
    assert NOTEBOOK.stat().st_size < 30_000
    cells = json.loads(NOTEBOOK.read_text())['cells']
    code = [cell for cell in cells if cell['cell_type'] == 'code']
    assert code and all(not cell['outputs'] and cell['execution_count'] is None
                        for cell in code)


def test_readers_find_the_notebook_and_the_pages_it_links():
    for page in (DOCS.parent / 'README.md', DOCS / 'index.md',
                 DOCS / 'installation.md'):
        targets = re.findall(r'\]\((\S*quickstart\.ipynb)\)', page.read_text())
        assert targets and all(
            (page.parent / target).resolve() == NOTEBOOK for target in targets)
    text = '\n'.join(''.join(cell['source']) for cell in
                     json.loads(NOTEBOOK.read_text())['cells']
                     if cell['cell_type'] == 'markdown')
    links = re.findall(r'\]\(([^)]+)\)', text)
    assert links and all((DOCS / link).is_file() for link in links)
