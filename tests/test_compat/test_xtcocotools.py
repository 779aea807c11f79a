"""Figures of the stand-in for xtcocotools are its own, to the last digit.

``tests/data/xtcocotools.json`` holds those of the real one. To make it again,
where it is installed: PYTHONPATH=tests python tests/test_compat/test_xtcocotools.py
"""

import importlib
import json
import warnings
from importlib import metadata
from pathlib import Path

from mmpose_wloss.compat.stand_ins import is_stand_in

import numpy as np
import pytest
from coco_people import CASES, REFERENCE, STAND_IN, annotated, figures, predicted

real_only = pytest.mark.skipif(
    is_stand_in('xtcocotools'), reason='xtcocotools is not installed')


@pytest.mark.parametrize('case', CASES)
def test_figures_are_those_of_the_reference(case, tmp_path):
    expected = json.loads(REFERENCE.read_text())['figures'][case]
    found = figures(STAND_IN, tmp_path / 'a.json', **CASES[case])
    # each NumPy adds in an order of its own
    assert found.pop('stats') == pytest.approx(expected.pop('stats'), abs=1e-14)
    assert found == expected


@real_only
@pytest.mark.parametrize('case', CASES)
def test_figures_are_those_of_xtcocotools(case, tmp_path):
    for seed in range(2, 6):
        options = dict(CASES[case], seed=seed)
        assert figures(STAND_IN, tmp_path / 'a.json', **options) == figures(
            'xtcocotools', tmp_path / 'b.json', **options), seed


def test_a_missing_area_is_told(tmp_path):
    with pytest.raises(ValueError, match='annotation .* has no area: evaluate '
                       'with use_area=False'):
        figures(STAND_IN, tmp_path / 'a.json', area=False)


@pytest.mark.parametrize('kind', ['annotations', 'images'])
def test_entries_that_share_an_id_are_told(tmp_path, kind):
    coco = importlib.import_module(f'{STAND_IN}.coco')
    file = tmp_path / 'merged.json'
    content = annotated(np.random.default_rng(0))
    file.write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        coco.COCO(str(file))
    first, count = content[kind][0]['id'], len(content[kind])
    content[kind].append(dict(content[kind][0]))
    file.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=(
            f'merged.json: only {count} of {count + 1} {kind} .* id {first},')):
        coco.COCO(str(file))


@pytest.mark.parametrize('empty', [False, True])
def test_results_from_a_file(tmp_path, empty):
    coco = importlib.import_module(f'{STAND_IN}.coco')
    truth, found = tmp_path / 'truth.json', tmp_path / 'found.json'
    rng = np.random.default_rng(0)
    content = annotated(rng)
    truth.write_text(json.dumps(content))
    results = [] if empty else predicted(rng, content, False, False)
    found.write_text(json.dumps(results))
    annotations = coco.COCO(str(truth))
    loaded = annotations.loadRes(str(found))
    assert annotations.anno_file == [str(truth), str(found)]
    assert len(loaded.getAnnIds()) == len(results)
    # annotations say whether they are crowds, where the file does not
    assert any('iscrowd' not in each for each in content['annotations'])
    assert all('iscrowd' in each for each in annotations.anns.values())
    assert 0 < len(annotations.getAnnIds(iscrowd=True)) < len(annotations.anns)


if __name__ == '__main__':
    import tempfile

    if is_stand_in('xtcocotools'):
        raise SystemExit('the reference is made by the real xtcocotools')
    with tempfile.TemporaryDirectory() as folder:
        made = {case: figures('xtcocotools', Path(folder, 'a.json'), **options)
                for case, options in CASES.items()}
    REFERENCE.write_text(json.dumps(dict(
        made_by='PYTHONPATH=tests python tests/test_compat/test_xtcocotools.py',
        xtcocotools=metadata.version('xtcocotools'), numpy=np.__version__,
        figures=made), indent=1) + '\n')
