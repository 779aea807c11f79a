"""Stock recipes train in bfloat16, with losses and accuracies in float32."""

import copy
import logging
import os
import platform
import subprocess
import sys

from mmpose_wloss.commands.train import train_in_mixed_precision
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.compat import bfloat16_speed
from mmpose_wloss.engine.optim_wrappers import bfloat16_optim_wrapper

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from small_networks import NETWORKS, batch_for


@pytest.fixture
def cpu(monkeypatch):
    """Let the CPU seem to have units for bfloat16, or not."""
    def set_speed(over_float32):
        bfloat16_optim_wrapper.pays_on_cpu.cache_clear()
        monkeypatch.setattr(bfloat16_optim_wrapper, 'bfloat16_over_float32',
                            lambda: over_float32)

    yield set_speed
    bfloat16_optim_wrapper.pays_on_cpu.cache_clear()


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
def test_stock_heads_train(network, cpu):
    cpu(0.5)
    network = network()
    log, model, seen = one_step(network, 'Bfloat16OptimWrapper')
    exact, other, _ = one_step(network, 'OptimWrapper')
    assert log.keys() == exact.keys()
    assert ('acc_pose' in log) is ('train_cfg' not in network)
    assert log['loss'] != exact['loss']
    torch.testing.assert_close(log['loss'], exact['loss'], rtol=0.05, atol=0)
    for outputs in seen:
        for output in outputs if isinstance(outputs, tuple) else [outputs]:
            assert output.dtype == torch.float32
    for name, value in model.state_dict().items():
        assert value.dtype == other.state_dict()[name].dtype
    # nothing stays on the head
    assert 'forward' not in vars(model.head)


def test_slow_cpus_train_in_float32(cpu, monkeypatch):
    cpu(1.2)
    levels = []
    monkeypatch.setattr(bfloat16_optim_wrapper, 'print_log',
                        lambda text, logger, level: levels.append(level))
    network = NETWORKS['MSRA']()
    log, model, _ = one_step(network, 'Bfloat16OptimWrapper')
    exact, other, _ = one_step(network, 'OptimWrapper')
    assert log == exact
    for name, value in model.state_dict().items():
        assert value.equal(other.state_dict()[name])
    one_step(network, 'Bfloat16OptimWrapper')
    assert levels == [logging.WARNING]


@pytest.mark.skipif(platform.machine() != 'x86_64', reason='a switch of oneDNN')
@pytest.mark.parametrize('instructions', ['AVX2', 'AVX512_CORE'])
def test_cpus_without_units_are_measured(instructions):
    """Those of all processors before 2020, by oneDNN's own switch."""
    ratio = subprocess.run(
        [sys.executable, '-c', 'from mmpose_wloss.compat.bfloat16_speed import '
         'bfloat16_over_float32 as ratio; print(ratio())'],
        env=dict(os.environ, ONEDNN_MAX_CPU_ISA=instructions), check=True,
        capture_output=True, text=True).stdout
    assert float(ratio) > 1


def test_the_measurement_draws_no_number():
    state = torch.get_rng_state()
    bfloat16_speed.bfloat16_over_float32.cache_clear()
    assert bfloat16_speed.bfloat16_over_float32() > 0
    assert state.equal(torch.get_rng_state())


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
