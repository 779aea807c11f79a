"""The recipes of Human3.6M are stages of two curricula, and a baseline."""

from functools import cache
from itertools import pairwise
from pathlib import Path

from mmpose_wloss.apis.growing_depth import make_stages

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpose.registry import MODELS

CONFIGS = Path(__file__).parents[1] / 'configs'
INTEGRAL = ('h1_d4', 'i1_d8', 'manual_d8', 'i1_d16', 'manual_d16', 'i1_d32',
            'i1_d64', 'manual_d64')
COARSE_TO_FINE = tuple(f'c2f_d{depth}' for depth in (2, 4, 8, 16, 32, 64))


def path(name: str) -> str:
    return str(CONFIGS / f'integral3d_{name}_h36m.py')


@cache
def load(name: str) -> Config:
    return Config.fromfile(path(name))


def depth(config: Config) -> int:
    return config.model.head.decoder.heatmap_size[2]


@pytest.mark.parametrize('before, after',
                         [*pairwise(INTEGRAL), *pairwise(COARSE_TO_FINE)])
def test_a_stage_goes_on_with_the_network_of_the_one_before(before, after):
    before, after = load(before), load(after)
    assert after.model.backbone == before.model.backbone
    assert after.model.head.stage2 == before.model.head.stage2
    assert depth(after) >= depth(before)
    assert bool(after.model.head.get('depth_growth')) == (
        depth(after) > depth(before))


@pytest.mark.slow
@pytest.mark.parametrize('names', [INTEGRAL, COARSE_TO_FINE])
def test_a_curriculum_takes_all_stages_and_where_to_start(names, h36m_root, tmp_path):
    options = {f'{mode}_dataloader.dataset.data_root': str(h36m_root)
               for mode in ('train', 'val')}
    first, *others = make_stages(
        [path(name) for name in names], str(tmp_path),
        options | {'load_from': 'hourglass.pth'})
    assert first.after is None and first.config.load_from == 'hourglass.pth'
    assert len(others) == len(names) - 1
    assert all(stage.after is not None for stage in others)


@pytest.mark.parametrize('name', ['h1_d4', 'c2f_d2', 'i1_d64_res50'])
def test_processes_are_told_of_parameters_that_no_loss_reaches(name):
    init_default_scope('mmpose')
    config = load(name)
    model = MODELS.build(config.model)
    sum(part.sum() for part in model.head(
        model.backbone(torch.rand(2, 3, 128, 128)))).backward()
    assert config.find_unused_parameters == any(
        each.grad is None for each in model.parameters())


@pytest.mark.parametrize('name', ['h1_d4', 'c2f_d2'])
def test_the_first_stage_starts_from_an_hourglass_of_mpii(name, tmp_path):
    init_default_scope('mmpose')
    start = Config.fromfile(CONFIGS / 'hourglass52_start_mpii.py')
    config = load(name)
    hourglass, network = (MODELS.build(each.model) for each in (start, config))
    torch.save(dict(state_dict=hourglass.state_dict()), tmp_path / 'start.pth')
    own = {key: value.clone() for key, value in network.state_dict().items()}
    load_checkpoint(network, str(tmp_path / 'start.pth'))
    taken = hourglass.state_dict()
    for key, value in network.state_dict().items():
        expected = taken[key] if key.startswith('backbone.') else own[key]
        assert torch.equal(value, expected), key
    # so both see the same pixels
    assert start.model.data_preprocessor.mean == config.model.data_preprocessor.mean
    assert start.model.data_preprocessor.std == config.model.data_preprocessor.std


@pytest.mark.parametrize('name', [*INTEGRAL, *COARSE_TO_FINE, 'i1_d64_res50'])
def test_data_and_metrics_are_the_same_everywhere(name):
    config, first = load(name), load(INTEGRAL[0])
    assert config.model.head.decoder == config.codec
    assert config.val_evaluator == first.val_evaluator
    for mode in ('train', 'val', 'test'):
        dataset = config[f'{mode}_dataloader'].dataset
        assert dataset == first[f'{mode}_dataloader'].dataset
        assert dataset.split == ('train' if mode == 'train' else 'test')
