"""Figures are those of COCO's own loops, to the last digit."""

import json

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.evaluation.functional import VectorizedCOCOeval
from mmpose_wloss.evaluation.functional import vectorized_coco_eval as module

import numpy as np
import pytest
from coco_people import CASES, REFERENCE, STAND_IN, evaluated, figures

KEYPOINTS = {name: case for name, case in CASES.items()
             if case.get('type') != 'bbox' and case.get('use_categories', True)}


@pytest.mark.parametrize('case', KEYPOINTS)
def test_figures_are_those_of_xtcocotools(case, tmp_path):
    expected = json.loads(REFERENCE.read_text())['figures'][case]
    found = figures(STAND_IN, tmp_path / 'a.json', evaluation=VectorizedCOCOeval,
                    **KEYPOINTS[case])
    # each NumPy adds in an order of its own
    assert found.pop('stats') == pytest.approx(expected.pop('stats'), abs=1e-14)
    assert found == expected


@pytest.mark.parametrize('case', [
    'keypoints, two categories', 'keypoints, some images', 'crowd', 'wholebody'])
def test_crowded_images_and_ties(case, tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'CHUNK', 1 << 11)
    options = dict(KEYPOINTS[case], people=14, ties=True, seed=1)
    ours, loops = (evaluated(STAND_IN, tmp_path / 'a.json', evaluation=evaluation,
                             **options)
                   for evaluation in (VectorizedCOCOeval, None))
    assert max(map(len, ours.cocoDt.imgToAnns.values())) > 20
    for name in ('precision', 'recall', 'scores'):
        assert np.array_equal(ours.eval[name], loops.eval[name]), name
    for each in (ours, loops):
        each.summarize()
    assert np.array_equal(ours.stats, loops.stats)


@pytest.mark.parametrize('options, named', [
    (dict(type='bbox', boxes=True), "'bbox'"),
    (dict(use_categories=False), 'useCats=0'),
    (dict(sigmas=np.ones(5)), '5 sigmas'), (dict(joints=[0, 1, 2]), '17 sigmas')])
def test_what_it_does_not_evaluate(options, named, tmp_path):
    with pytest.raises(UserError, match=named):
        evaluated(STAND_IN, tmp_path / 'a.json', evaluation=VectorizedCOCOeval,
                  **options)


def test_a_prediction_that_is_no_number(tmp_path):
    evaluation = evaluated(STAND_IN, tmp_path / 'a.json',
                           evaluation=VectorizedCOCOeval)
    for result in evaluation.cocoDt.anns.values():
        result['keypoints'][:51:3] = [np.nan] * 17
    with pytest.raises(UserError, match='image .* diverged'):
        evaluation.evaluate()
