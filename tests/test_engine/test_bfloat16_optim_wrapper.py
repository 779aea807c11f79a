"""Stock recipes train in bfloat16, with losses and accuracies in float32."""

import copy

from mmpose_wloss.commands.train import train_in_mixed_precision
from mmpose_wloss.common.errors import UserError

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from small_networks import NETWORKS, batch_for


def one_step(network, wrapper):
    """The log of a step, and the model after it."""
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(network)
    model.init_weights()
    # outputs of a size at which bfloat16 shows
    for value in model.head.parameters():
        if value.ndim > 1:
            torch.nn.init.normal_(value, std=0.1)
    optimizer = build_optim_wrapper(model, dict(
        type=wrapper, optimizer=dict(type='SGD', lr=0.01)))
    seen = []
    loss = model.head.loss_module
    for each in loss if isinstance(loss, torch.nn.ModuleList) else [loss]:
        each.register_forward_pre_hook(
            lambda module, inputs: seen.append(inputs[0]))
    log = model.train_step(copy.deepcopy(batch_for(network, 4, 0)), optimizer)
    return log, model, seen


@pytest.mark.parametrize('network', NETWORKS.values(), ids=NETWORKS)
def test_stock_heads_train(network):
    network = network()
    log, model, seen = one_step(network, 'Bfloat16OptimWrapper')
    exact, other, _ = one_step(network, 'OptimWrapper')
    assert log.keys() == exact.keys() and 'acc_pose' in log
    assert log['loss'] != exact['loss']
    torch.testing.assert_close(log['loss'], exact['loss'], rtol=0.05, atol=0)
    for outputs in seen:
        for output in outputs if isinstance(outputs, tuple) else [outputs]:
            assert output.dtype == torch.float32
    for name, value in model.state_dict().items():
        assert value.dtype == other.state_dict()[name].dtype
    # nothing stays on the head
    assert 'forward' not in vars(model.head)


@pytest.mark.parametrize('kind, expected', [
    (None, 'Bfloat16OptimWrapper'), ('OptimWrapper', 'Bfloat16OptimWrapper'),
    ('AmpOptimWrapper', 'Bfloat16OptimWrapper'),
    ('Bfloat16OptimWrapper', 'Bfloat16OptimWrapper')])
def test_amp_on_a_cpu(monkeypatch, kind, expected):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    cfg = Config(dict(optim_wrapper=dict(
        optimizer=dict(type='SGD', lr=0.1), **({} if kind is None else dict(
            type=kind)), **(dict(loss_scale='dynamic')
                            if kind == 'AmpOptimWrapper' else {}))))
    train_in_mixed_precision(cfg)
    assert cfg.optim_wrapper.type == expected
    wrapper = build_optim_wrapper(
        torch.nn.Linear(1, 1), copy.deepcopy(cfg.optim_wrapper))
    assert type(wrapper).__name__ == expected


def test_amp_on_a_gpu(monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1))))
    train_in_mixed_precision(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'


def test_amp_takes_no_other_wrappers_place():
    cfg = Config(dict(optim_wrapper=dict(type='ApexOptimWrapper')))
    with pytest.raises(UserError, match='ApexOptimWrapper'):
        train_in_mixed_precision(cfg)
