"""The study of one small joint: its images, its losses, its table."""

import json

import numpy as np
import pytest
import sparse_heatmap
import torch
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from study import ROOT

ROWS = ROOT / 'benchmarks' / 'results' / 'sparse_heatmap.json'


def test_the_ring_is_where_the_heatmap_says():
    images, heatmaps, centers = sparse_heatmap.batch(np.random.default_rng(0), 6)
    for image, heatmap, (x, y) in zip(images, heatmaps, centers, strict=True):
        assert heatmap[0, y, x] == heatmap.max() == 1
        outline = {float(image[0, y + dy, x + dx]) for dx, dy in (
            (3, 0), (0, 3), (-3, 0), (0, -3))}
        assert len(outline) == 1 and abs(image[0, y, x] - 0.5) < 1


def test_steps_are_those_of_the_first_validation_that_finds_most():
    rows = [dict(loss='a', seed=0, curve={'20': 0.5, '40': 0.9, '60': 1.}),
            dict(loss='a', seed=1, curve={'20': 0., '40': 0.1, '60': 0.5})]
    line = sparse_heatmap.table(rows).splitlines()[-1]
    assert [cell.strip() for cell in line.strip('|').split('|')] == [
        'a', '1 of 2', '40', '0.75 ± 0.35']


@pytest.mark.parametrize('name', sparse_heatmap.LOSSES)
def test_a_loss_pulls_the_joint_up(name):
    init_default_scope('mmpose')
    _, target, centers = sparse_heatmap.batch(np.random.default_rng(0), 2)
    output = torch.zeros_like(target, requires_grad=True)
    MODELS.build(sparse_heatmap.LOSSES[name])(
        output, target, torch.ones(2, 1)).backward()
    x, y = centers.T
    assert (output.grad[[0, 1], 0, y, x] < 0).all()


def test_the_page_holds_the_rows():
    content = json.loads(ROWS.read_text())
    assert content['setting'] == sparse_heatmap.SETTING
    rows = content['rows']
    assert {row['loss'] for row in rows} <= sparse_heatmap.LOSSES.keys()
    page = (ROOT / 'docs' / 'heatmap_losses.md').read_text()
    assert sparse_heatmap.table(rows) in page
