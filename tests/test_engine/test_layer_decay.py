"""Layers of wrapped networks learn at the rates of plain ones."""

import mmpose_wloss.engine.optim_wrappers  # noqa: F401
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.preflight import check_layer_decay

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

STOCK = 'LayerDecayOptimWrapperConstructor'
WRAPPED = 'WrappedLayerDecayOptimWrapperConstructor'
LAYERS = 3


class Network(nn.Module):
    """With the names of a vision transformer and its head."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.pos_embed = nn.Parameter(torch.zeros(1, 4, 2))
        self.backbone.patch_embed = nn.Linear(2, 2)
        self.backbone.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(LAYERS))
        self.head = nn.Linear(2, 2)


def rates(model: nn.Module, constructor: str) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of each parameter."""
    init_default_scope('mmpose')
    wrapper = build_optim_wrapper(model, dict(
        optimizer=dict(type='AdamW', lr=1., weight_decay=0.1),
        paramwise_cfg=dict(num_layers=LAYERS, layer_decay_rate=0.5),
        constructor=constructor))
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[parameter]: (group['lr'], group['weight_decay'])
            for group in wrapper.optimizer.param_groups
            for parameter in group['params']}


def test_networks_within_a_model():
    stock = rates(Network(), STOCK)
    assert len(set(stock.values())) > LAYERS
    assert rates(Network(), WRAPPED) == stock
    dual, distiller = nn.Module(), nn.Module()
    dual.networks = nn.ModuleDict(dict(first=Network(), second=Network()))
    distiller.student = Network()
    for model, prefixes in ((dual, ('networks.first.', 'networks.second.')),
                            (distiller, ('student.', ))):
        assert rates(model, WRAPPED) == {
            prefix + name: rate for prefix in prefixes for name, rate in stock.items()}


@pytest.mark.parametrize('key', ['network', 'student'])
def test_the_stock_constructor_is_refused(key):
    network = dict(type='TopdownPoseEstimator')
    cfg = Config(dict(model={'type': 'PoseCons', key: network},
                      optim_wrapper=dict(constructor=STOCK)))
    with pytest.raises(UserError, match=WRAPPED):
        check_layer_decay(cfg)
    cfg.optim_wrapper.constructor = WRAPPED
    check_layer_decay(cfg)
    check_layer_decay(Config(dict(model=dict(type='TopdownPoseEstimator'),
                                  optim_wrapper=dict(constructor=STOCK))))
