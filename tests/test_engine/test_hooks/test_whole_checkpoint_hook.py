"""MMEngine would evaluate what a checkpoint lacks with random numbers."""

from types import SimpleNamespace

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.engine.hooks import WholeCheckpointHook

import pytest
import torch
from torch import nn


def load_nothing():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def load(state, **options):
    runner = SimpleNamespace(model=load_nothing())
    WholeCheckpointHook('x.pth', **options).after_load_checkpoint(runner, state)
    return runner.model


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('wrapped', [True, False])
def test_a_checkpoint_that_fits(prefix, wrapped):
    state = {prefix + key: value + 1 for key, value in load({
        **load_nothing().state_dict()
    }).state_dict().items()}
    del state[f'{prefix}1.num_batches_tracked']  # checkpoints of old versions
    more = {**state, f'{prefix}teacher.weight': torch.zeros(1)}
    load(dict(state_dict=more) if wrapped else more)


@pytest.mark.parametrize('change, part', [
    (lambda state: state.pop('0.weight'), '0.weight'),
    (lambda state: state.update({'0.bias': torch.zeros(4)}), '0.bias')])
def test_a_checkpoint_of_another_model(change, part):
    state = load_nothing().state_dict()
    change(state)
    with pytest.raises(UserError) as error:
        load(dict(state_dict=state))
    assert 'x.pth' in str(error.value) and part in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    load(dict(state_dict=state), part=True)


def test_a_checkpoint_of_which_nothing_fits():
    state = {f'backbone.{key}': value
             for key, value in nn.Linear(2, 3).state_dict().items()}
    with pytest.raises(UserError, match='0.weight'):
        load(dict(state_dict=state), part=True)


def test_only_other_shapes():
    state = {name: torch.zeros(*value.shape, 2)
             for name, value in load_nothing().named_parameters()}
    with pytest.raises(UserError, match='4 parameters, first size.* 0.weight'):
        load(state, part=True)
    # one that fits is a part
    load({**state, '1.bias': torch.zeros(3)}, part=True)


def test_a_buffer_of_another_shape():
    state = {**load_nothing().state_dict(), '1.running_mean': torch.zeros(5)}
    with pytest.raises(UserError, match='1.running_mean'):
        load(state)
