"""Walks over configs, and states that do not fit."""

from pathlib import Path

from mmpose_wloss.common.configs import (
    annotation_files,
    change_config,
    components_of_class,
    data_sets,
    is_of_class,
)
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.common.state_dicts import check_fits, differences, load_strictly

import pytest
import torch
from mmengine.config import Config
from torch import nn

LSP = dict(type='LSPDataset', data_root='lsp', ann_file='joints.mat',
           extended_ann_file='extended/joints.mat')
HUMAN36M = dict(type='Human36mImageDataset', ann_file=['a.npz', 'b.npz'])
NESTED = dict(type='RepeatDataset', dataset=dict(
    type='CombinedDataset', datasets=[LSP, HUMAN36M, LSP]))


def test_data_sets_are_found_within_those_that_wrap():
    assert [key for key, _ in data_sets(NESTED, 'here')] == [
        f'here.dataset.datasets.{index}' for index in range(3)]
    assert list(data_sets(LSP, 'here')) == [('here', LSP)]
    assert annotation_files(NESTED) == [
        Path('lsp/joints.mat'), Path('lsp/extended/joints.mat'),
        Path('a.npz'), Path('b.npz')]


def test_components_are_found_by_class_or_name():
    assert is_of_class(dict(type=nn.Linear), 'Linear')
    assert is_of_class(dict(type='torch.Linear'), 'Linear')
    assert not is_of_class(dict(type='Linear2'), 'Linear')
    assert not is_of_class(None, 'Linear')
    assert [key for key, _ in components_of_class(NESTED, 'LSPDataset', 'x')
            ] == ['x.dataset.datasets.0', 'x.dataset.datasets.2']


def config():
    return Config(dict(
        train_cfg=dict(max_epochs=1), model=dict(backbone=dict(depth=18)),
        pipeline=[dict(type='A')]))


def test_options_change_a_config():
    changed = config()
    change_config(changed, {
        'train_cfg.max_epochs': 2, 'model.backbone.deep': True, 'model.neck.a': 1,
        'val_cfg.b': 3, 'resume': True, 'pipeline.0.type': 'B'})
    assert changed.train_cfg.max_epochs == 2 and changed.resume
    assert changed.model == dict(backbone=dict(depth=18, deep=True), neck=dict(a=1))
    assert changed.val_cfg.b == 3 and changed.pipeline[0].type == 'B'


@pytest.mark.parametrize('key, near', [
    ('trian_cfg.max_epochs', 'train_cfg'), ('model.bakbone.depth', 'backbone'),
    ('pipelin', 'pipeline')])
def test_a_part_that_a_config_has_by_nearly_this_name(key, near):
    changed = config()
    with pytest.raises(UserError) as error:
        change_config(changed, {key: 2})
    assert key in str(error.value) and repr(near) in str(error.value)
    assert changed.to_dict() == config().to_dict()


@pytest.mark.parametrize('key', ['pipeline.7.type', 'train_cfg.max_epochs.x'])
def test_an_option_that_leads_nowhere(key):
    with pytest.raises(UserError, match=key):
        change_config(config(), {key: 2})


def test_states_that_do_not_fit_are_told_by_key_and_shape():
    small, large = nn.Linear(2, 3).state_dict(), nn.Linear(4, 3).state_dict()
    assert not differences(small, small)
    line, = differences(small, large)
    assert line.startswith('weight: (3, 2)') and '(3, 4)' in line
    large['extra'] = torch.zeros(1)
    with pytest.raises(UserError, match=r'it\.pth.*weight') as error:
        check_fits(small, large, 'it.pth', 'do this')
    assert str(error.value).endswith('. do this')
    assert len(str(error.value).splitlines()) == 1
    assert 'extra: absent' in str(error.value)


def test_states_of_wrapped_models_load():
    model = nn.Linear(2, 3)
    state = {f'module.{key}': value + 1
             for key, value in model.state_dict().items()}
    load_strictly(model, state, 'it.pth', 'do this')
    assert torch.equal(model.weight, state['module.weight'])
    with pytest.raises(UserError, match='weight: absent'):
        load_strictly(model, dict(bias=torch.zeros(3)), 'it.pth', 'do this')
