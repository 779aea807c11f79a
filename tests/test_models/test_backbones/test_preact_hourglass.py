import warnings

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.backbones import PreActHourglassNet

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

# counted on the original code: parameters and giga multiply-adds
COUNTED = {
    (2, False): (6_730_912, 8.99),
    (2, True): (2_305_504, 3.60),
    (1, True): (1_209_808, 2.22),
}
TINY = dict(num_stacks=2, num_blocks=1, num_feats=2, out_channels=3,
            stem_channels=2, downsample_times=1)


def tiny(**kwargs):
    torch.manual_seed(0)
    return PreActHourglassNet(**{**TINY, **kwargs})


@pytest.mark.parametrize('stacks, mobile', COUNTED)
def test_parameters_and_operations_are_the_original_code_s(stacks, mobile):
    parameters, giga = COUNTED[stacks, mobile]
    network = PreActHourglassNet(stacks, num_blocks=1, mobile=mobile)
    network.eval()
    assert sum(each.numel() for each in network.parameters()) == parameters
    analysis = FlopAnalyzer(network, torch.zeros(1, 3, 64, 64))
    analysis.unsupported_ops_warnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        counted = analysis.by_operator()
    # of 256 × 256 pixels
    assert 16 * counted['conv'] / 1e9 == pytest.approx(giga, abs=.005)
    # what the analysis' total counts beside
    assert set(counted) == {'conv', 'batch_norm', 'upsample_nearest2d'}


def test_every_stack_predicts_and_is_fed_back():
    network = tiny(num_stacks=3)
    heatmaps = network(torch.randn(2, 3, 16, 24))
    assert [list(each.shape) for each in heatmaps] == 3 * [[2, 3, 4, 6]]
    # through its heatmaps alone: its features reach the last stack, too, but
    # not by way of the convolution that predicts
    for stack in range(3):
        gradient, = torch.autograd.grad(
            heatmaps[-1].square().sum(), network.predictions[stack].weight,
            retain_graph=True)
        assert gradient.abs().sum() > 0
    gradient, = torch.autograd.grad(
        heatmaps[0].sum(), network.predictions[1].weight, allow_unused=True)
    assert gradient is None


@pytest.mark.parametrize('mobile', [True, False])
def test_gradcheck(mobile):
    network = tiny(mobile=mobile).double()
    network.eval()
    image = torch.randn(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: tuple(network(x)), (image, ), atol=1e-6, fast_mode=True)


@pytest.mark.parametrize('dtype', [torch.bfloat16, pytest.param(
    torch.float16, marks=[pytest.mark.gpu, pytest.mark.skipif(
        not torch.cuda.is_available(),
        reason='convolutions of float16 are for GPUs')])])
def test_autocast(dtype):
    device = 'cuda' if dtype is torch.float16 else 'cpu'
    network = tiny(num_feats=8, stem_channels=8).to(device)
    # with enough of them for the norms' statistics
    image = torch.randn(4, 3, 64, 64, device=device)
    exact = network(image)
    with torch.autocast(device, dtype):
        rough = network(image)
    sum(each.float().square().mean() for each in rough).backward()
    for one, other in zip(exact, rough, strict=True):
        assert other.dtype is dtype
        assert (other - one).norm() < .15 * one.norm()
    assert all(each.grad.isfinite().all() for each in network.parameters())


@pytest.mark.parametrize('name', TINY)
def test_numbers_below_one_are_refused(name):
    with pytest.raises(UserError, match=f'{name} .* 0'):
        tiny(**{name: 0})


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match='64, .*64 × 96'):
        tiny(downsample_times=4)(torch.zeros(1, 3, 96, 64))


def test_names_of_parameters_stay():
    """Checkpoints name them."""
    names = {name.rpartition('.')[0] for name, _ in tiny().named_parameters()}
    blocks = [f'stem.{index}' for index in (1, 3, 4)] + [
        f'{stage}.{stack}.{part}' for stack in (0, 1) for stage, part in (
            ('features', '0'), *(('hourglasses', f'{place}.0') for place in (
                'skip', 'down', 'inner', 'up')))]
    assert names == {'stem.0.conv', 'stem.0.bn', 'remap_features.0',
                     'remap_predictions.0'} | {
        f'{block}.conv{index}.{layer}' for block in blocks
        for index in (1, 2, 3) for layer in ('conv', 'bn')} | {
        f'{block}.shortcut' for block in blocks[:3]} | {
        f'{layer}.{stack}{part}' for stack in (0, 1) for layer, part in (
            ('predictions', ''), ('features', '.1.conv'),
            ('features', '.1.bn'))}


def test_the_stock_head_takes_its_heatmaps_as_they_are():
    init_default_scope('mmpose')
    codec = dict(type='MSRAHeatmap', input_size=(16, 16), heatmap_size=(4, 4),
                 sigma=1)
    model = MODELS.build(dict(
        type='TopdownPoseEstimator',
        backbone=dict(type='PreActHourglassNet', **TINY),
        head=dict(type='CPMHead', in_channels=3, out_channels=3, num_stages=2,
                  final_layer=None, decoder=codec))).eval()
    image = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert all(map(torch.equal, model(image, None), model.backbone(image)))
    assert not list(model.head.parameters())
