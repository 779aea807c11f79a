"""Images come with the channels last, and what is learned stays as it is."""

from types import SimpleNamespace

from mmpose_wloss.engine.hooks import ChannelsLastHook
from mmpose_wloss.engine.hooks.channels_last_hook import with_channels_last

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from small_networks import NETWORKS, batch_for, distiller, heatmap_network


def trained(model, hook=None, train_step=None):
    """State and logs after two steps, and layouts of what the network saw."""
    layouts = []
    network = model.student if hasattr(model, 'student') else model
    network.backbone.register_forward_pre_hook(
        lambda module, inputs: layouts.append(inputs[0].is_contiguous(
            memory_format=torch.channels_last)))
    runner = SimpleNamespace(model=model)
    if hook is not None:
        hook.before_train(runner)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 0.01))
    logs = [(train_step or model.train_step)(batch_for(
        heatmap_network(), 4, 0, seed), optimizer) for seed in range(2)]
    if hook is not None:
        hook.after_train(runner)
        assert not model.data_preprocessor._forward_hooks
    return model.state_dict(), logs, layouts


def stock():
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(heatmap_network())
    model.init_weights()
    return model


@pytest.mark.parametrize('kind', ['stock', 'distiller'])
def test_values_stay_and_layouts_change(kind, tmp_path):
    def build():
        return stock() if kind == 'stock' else distiller(
            heatmap_network(), NETWORKS['MSRA'](), tmp_path)

    state, logs, layouts = trained(build(), ChannelsLastHook())
    expected, expected_logs, before = trained(build())
    assert all(layouts) and not any(before)
    torch.testing.assert_close(logs, expected_logs, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(state, expected, rtol=1e-3, atol=1e-5)


def test_what_holds_no_images_stays():
    for inputs in (torch.ones(2, 3, 4), [torch.ones(2, 3, 4, 5)]):
        data = dict(inputs=inputs)
        assert with_channels_last(None, (), data) is data
