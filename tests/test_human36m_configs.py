"""The recipes of Human3.6M are stages of one curriculum, and a baseline."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).parents[1] / 'configs'
STAGES = ('h1_d4', 'i1_d8', 'manual_d8', 'i1_d16', 'manual_d16', 'i1_d32',
          'i1_d64', 'manual_d64')


@cache
def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / f'integral3d_{name}_h36m.py')


def depth(config: Config) -> int:
    return config.model.head.decoder.heatmap_size[2]


@pytest.mark.parametrize('before, after', pairwise(STAGES))
def test_a_stage_goes_on_with_the_network_of_the_one_before(before, after):
    before, after = load(before), load(after)
    assert after.model.backbone == before.model.backbone
    assert after.model.head.stage2 == before.model.head.stage2
    assert depth(after) >= depth(before)
    assert bool(after.model.head.get('depth_growth')) == (
        depth(after) > depth(before))


@pytest.mark.parametrize('name', [*STAGES, 'i1_d64_res50'])
def test_data_and_metrics_are_the_same_everywhere(name):
    config, first = load(name), load(STAGES[0])
    assert config.model.head.decoder == config.codec
    assert config.val_evaluator == first.val_evaluator
    for mode in ('train', 'val', 'test'):
        dataset = config[f'{mode}_dataloader'].dataset
        assert dataset == first[f'{mode}_dataloader'].dataset
        assert dataset.split == ('train' if mode == 'train' else 'test')
        # boxes of the annotation are padded already
        box, = (step for step in dataset.pipeline
                if step.type == 'GetBBoxCenterScale')
        assert box.padding == 1
