"""Tests of the stand-in for mmcv's operators, also beside compiled ones."""

import importlib.util
import sys
from pathlib import Path

from mmpose_wloss.compat.stand_ins import STAND_INS, is_stand_in

import pytest
import torch
import torch.nn.functional as F
from mmcv import ops
from torchvision import ops as torchvision_ops

MODULES = [sys.modules[f'mmcv.ops.{name}'] for name in (
    'nms', 'roi_align', 'deform_conv', 'modulated_deform_conv')]
compiled_only = pytest.mark.skipif(
    is_stand_in('mmcv._ext'), reason='mmcv is installed without its operators')


def load():
    """The stand-in, whatever ``mmcv._ext`` is here."""
    spec = importlib.util.spec_from_file_location(
        'stand_in', Path(STAND_INS['mmcv._ext']))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    """What mmcv's classes call in these tests."""
    module = load()
    for each in MODULES:
        monkeypatch.setattr(each, 'ext_module', module)
    torch.manual_seed(0)
    return module


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def deform_tensors(modulated, *, kernel=3, groups=1, deform_groups=1,
                   stride=1, padding=1, dilation=1, size=7, channels=4):
    """Input, offset, mask, weight and bias; no mask and bias of the plain one."""
    height, width = (
        (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for length in (size, size + 2))
    taps = deform_groups * kernel**2
    # away from whole numbers, where interpolation has no derivative
    offset = torch.randint(-3, 3, (2, 2 * taps, height, width)) + (
        0.1 + 0.8 * torch.rand(2, 2 * taps, height, width, dtype=torch.float64))
    image = random(2, channels, size, size + 2)
    weight = random(channels, channels // groups, kernel, kernel)
    if not modulated:
        return [image, offset, weight]
    mask = torch.rand(2, taps, height, width, dtype=torch.float64)
    return [image, offset, mask, weight, random(channels)]


def deform(tensors, stride=1, padding=1, dilation=1, groups=1, deform_groups=1):
    geometry = (stride, padding, dilation, groups, deform_groups)
    if len(tensors) == 3:
        return ops.deform_conv2d(*tensors, *geometry)
    image, offset, mask, weight, *bias = tensors
    return ops.modulated_deform_conv2d(
        image, offset, mask, weight, *bias or [None], *geometry)


def undeformed(tensors):
    """Image, weight and bias, once the mask is made to weigh nothing."""
    if len(tensors) == 3:
        return tensors[0], tensors[2], None
    tensors[2].fill_(1)
    return tensors[0], *tensors[3:]


every_geometry = pytest.mark.parametrize('geometry', [
    dict(), dict(groups=2), dict(deform_groups=2), dict(stride=2, padding=0),
    dict(dilation=2, padding=2), dict(groups=4, deform_groups=2, stride=2)],
    ids=str)
every_kind = pytest.mark.parametrize('modulated', [False, True])


@every_geometry
@pytest.mark.parametrize('kernel', [1, 3, 5])
@every_kind
def test_without_offsets_it_is_a_convolution(modulated, kernel, geometry):
    geometry = {'padding': 2, **geometry}
    if kernel == 5 and 'dilation' in geometry:
        geometry['padding'] = 4
    tensors = deform_tensors(modulated, kernel=kernel, **geometry)
    tensors[1].zero_()
    expected = F.conv2d(*undeformed(tensors), **{
        key: value for key, value in geometry.items()
        if key != 'deform_groups'})
    torch.testing.assert_close(deform(tensors, **geometry), expected)


@every_kind
@pytest.mark.parametrize('dy, dx', [(1, 0), (0, -2), (2, 1), (-20, 0)])
def test_whole_offsets_shift_the_image(modulated, dy, dx):
    tensors = deform_tensors(modulated)
    tensors[1][:, 0::2], tensors[1][:, 1::2] = dy, dx
    image, *others = undeformed(tensors)
    height, width = (length + 2 for length in image.shape[2:])
    shifted = F.pad(image, [30] * 4)[..., 29 + dy:29 + dy + height,
                                     29 + dx:29 + dx + width]
    torch.testing.assert_close(deform(tensors), F.conv2d(shifted, *others))


def test_the_mask_weighs_taps():
    image, offset, mask, weight, bias = deform_tensors(True)
    plain = deform([image, offset, weight])
    mask.fill_(0.25)
    torch.testing.assert_close(deform([image, offset, mask, weight]), plain / 4)
    for share in (0.25, 0):
        torch.testing.assert_close(
            deform([image, offset, 0 * mask + share, weight, bias]),
            plain * share + bias[:, None, None])


@every_geometry
@pytest.mark.parametrize('modulated, bias', [
    (False, False), (True, False), (True, True)])
def test_gradients_of_deformable_convolutions(modulated, bias, geometry):
    tensors = deform_tensors(modulated, size=4, **geometry)
    if modulated and not bias:
        tensors.pop()
    assert torch.autograd.gradcheck(
        lambda *tensors: deform(tensors, **geometry),
        [tensor.requires_grad_() for tensor in tensors], fast_mode=True)


@every_kind
def test_a_tap_where_the_image_begins_has_no_gradient(modulated):
    """As in mmcv: zero offsets are what training starts from."""
    tensors = deform_tensors(modulated)
    offset = tensors[1].zero_().requires_grad_()
    deform(tensors).square().sum().backward()
    gradient = offset.grad.unflatten(1, (3, 3, 2)).abs()
    assert (gradient[:, 0, ..., 0, :] == 0).all()
    assert (gradient[:, :, 0, ..., 0] == 0).all()
    assert (gradient[:, 1:, 1:, :, 1:-1, 1:-1] > 0).all()


@pytest.mark.parametrize('layer', [ops.DeformConv2dPack,
                                   ops.ModulatedDeformConv2dPack])
def test_layers_train(layer):
    module = layer(4, 4, 3, padding=1, groups=2, deform_groups=2)
    image = torch.randn(2, 4, 9, 7, requires_grad=True)
    module(image).square().sum().backward()
    assert image.grad.abs().sum() > 0
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize('aligned', [False, True])
@pytest.mark.parametrize('sampling', [0, 1, 2])
@pytest.mark.parametrize('scale', [1., .5])
def test_roi_align_of_a_ramp(aligned, sampling, scale):
    x = torch.arange(20, dtype=torch.float64)
    y = x[:, None]
    image = torch.stack([2 * x + 3 * y + 1, x - y])[None]
    rois = torch.tensor([[0, 4, 6, 16, 14], [0, 9, 8.5, 18, 17]]).double()
    pooled = ops.roi_align(image, rois, (2, 4), scale, sampling, 'avg', aligned)
    low, high = (rois[:, 1:] * scale - 0.5 * aligned).split(2, 1)
    # the centers of the bins
    x, y = (low[:, axis, None] + (high - low)[:, axis, None] *
            (torch.arange(count) + 0.5) / count
            for axis, count in ((0, 4), (1, 2)))
    x, y = x[:, None, :], y[:, :, None]
    torch.testing.assert_close(
        pooled, torch.stack([2 * x + 3 * y + 1, x - y], 1))


@pytest.mark.parametrize('aligned', [False, True])
def test_gradients_of_roi_align(aligned):
    image = random(2, 2, 6, 5).requires_grad_()
    rois = torch.tensor([[0, -2, 1, 8.3, 9], [1, 1, 1, 6.1, 4]]).double()
    assert torch.autograd.gradcheck(
        lambda image: ops.roi_align(image, rois, 3, .5, 2, 'avg', aligned),
        image)
    inside = torch.tensor([[0, 4, 4, 8, 8.]]).double()
    gradient, = torch.autograd.grad(
        ops.roi_align(image, inside, 3, .5, 2, 'avg', aligned).sum(), image)
    assert gradient.sum() == pytest.approx(2 * 3 * 3)


def test_the_offset_of_nms_decides():
    boxes = torch.tensor([[0, 5, 9, 14.], [0, 0, 9, 9], [30, 30, 40, 40]])
    scores = torch.tensor([.6, .9, .3])
    # 36 / 126 of the upper two overlap, or 50 / 150 with their last pixels
    dets, kept = ops.nms(boxes, scores, 0.3, offset=0)
    assert kept.tolist() == [1, 0, 2]
    torch.testing.assert_close(
        dets, torch.cat([boxes, scores[:, None]], 1)[kept])
    assert ops.nms(boxes, scores, 0.3, offset=1)[1].tolist() == [1, 2]
    assert ops.nms(boxes, scores, 0.3, 0, 0.5)[1].tolist() == [1, 0]
    assert ops.nms(boxes, scores, 0.3, 0, 0, 2)[1].tolist() == [1, 0]


def test_nms_keeps_what_overlaps_just_as_much_as_allowed():
    boxes = torch.tensor([[0, 0, 10, 10.], [0, 0, 10, 3]])
    scores = torch.tensor([.9, .8])
    assert len(ops.nms(boxes, scores, 0.3)[1]) == 2
    assert len(ops.nms(boxes, scores, 0.299)[1]) == 1


def test_batched_nms_keeps_classes_apart():
    boxes = torch.tensor([[0, 0, 9, 9.], [0, 0, 9, 9], [0, 1, 9, 9]])
    scores, classes = torch.tensor([.7, .9, .8]), torch.tensor([0, 1, 1])
    settings = dict(type='nms', iou_threshold=.5)
    assert ops.batched_nms(
        boxes, scores, classes, settings)[1].tolist() == [1, 0]
    assert ops.batched_nms(
        boxes, scores, classes, settings, True)[1].tolist() == [1]


def test_nothing_to_do():
    dets, kept = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5) and kept.shape == (0, )
    assert kept.dtype == torch.int64
    image = torch.ones(1, 2, 5, 5, requires_grad=True)
    pooled = ops.roi_align(image, torch.zeros(0, 5), 3)
    assert pooled.shape == (0, 2, 3, 3)
    pooled.sum().backward()
    assert (image.grad == 0).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('name', ['nms', 'roi_align', 'deform_conv2d'])
def test_half_precision(name, dtype):
    """What torchvision computes in half precision, so does the stand-in."""
    boxes = torch.tensor([[0, 0, 8, 8.], [0, 0, 8, 7], [10, 10, 14, 15]])
    image, offset, weight = deform_tensors(False)
    tensors, native, settings = dict(
        nms=([boxes, torch.tensor([.5, .75, .25])], [.5], [.5]),
        roi_align=([image[:1], F.pad(boxes, (1, 0))], [2], [2]),
        deform_conv2d=([image, offset, weight], [None, 1, 1], [1, 1]))[name]
    halves = [tensor.to(dtype) for tensor in tensors]
    try:
        getattr(torchvision_ops, name)(*halves, *native)
    except (RuntimeError, NotImplementedError) as error:
        pytest.skip(f'torchvision: {str(error).splitlines()[0]}')
    result, expected = (
        getattr(ops, name)(*each, *settings)
        for each in (halves, [tensor.float() for tensor in halves]))
    if name == 'nms':
        result, expected = result[1], expected[1]
    assert result.dtype in (dtype, torch.int64)
    torch.testing.assert_close(result.to(expected), expected, rtol=1e-2,
                               atol=5e-2)


@pytest.mark.parametrize('call, name', [
    (lambda: ops.roi_align(torch.ones(1, 1, 4, 4), torch.zeros(1, 5), 2, 1., 0,
                           'max'), 'roi_align with pool_mode="max"'),
    (lambda: ops.soft_nms(torch.zeros(1, 4), torch.zeros(1)), 'softnms'),
    (lambda: load().ms_deform_attn_forward(1, out=2), 'ms_deform_attn_forward'),
    (lambda: load().carafe_forward(), 'carafe_forward')])
def test_other_operators_are_named(call, name):
    with pytest.raises(NotImplementedError) as error:
        call()
    assert f'operator {name} of mmcv' in str(error.value)
    assert 'mim install "mmcv>=2.0.0,<2.2.0"' in str(error.value)
    assert 'MMCV_WITH_OPS=1 pip install' in str(error.value)


def test_what_mmcv_asks_the_module_for(stand_in):
    for name in ('get_compiler_version', 'get_compiling_cuda_version'):
        assert 'none' in getattr(stand_in, name)()
    assert callable(stand_in.sigmoid_focal_loss_forward)
    with pytest.raises(AttributeError):
        stand_in.__path__  # noqa: B018  (it is no package)


def both(monkeypatch, call, *tensors):
    """Outputs and gradients of the stand-in and of mmcv compiled."""
    from mmcv import _ext

    results = []
    for extension in (load(), _ext):
        for module in MODULES:
            monkeypatch.setattr(module, 'ext_module', extension)
        inputs = [tensor.clone().requires_grad_() for tensor in tensors]
        output = call(*inputs)
        results.append([output, *torch.autograd.grad(
            output.square().sum(), inputs)])
    return results


@compiled_only
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@every_geometry
@pytest.mark.parametrize('whole', [False, True])
@every_kind
def test_deformable_convolutions_beside_compiled(
        monkeypatch, modulated, whole, geometry, dtype):
    tensors = [tensor.to(dtype)
               for tensor in deform_tensors(modulated, **geometry)]
    if whole:
        tensors[1].round_()
    ours, theirs = both(
        monkeypatch, lambda *tensors: deform(tensors, **geometry), *tensors)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-3 if
                               dtype == torch.float32 else 1e-9)


@compiled_only
@pytest.mark.parametrize('settings', [
    (7, .25, 0, 'avg', True), ((3, 5), 1., 2, 'avg', False)])
def test_roi_align_beside_compiled(monkeypatch, settings):
    corners = torch.rand(10, 2) * 40 - 5
    rois = torch.cat([torch.arange(10)[:, None] % 2, corners,
                      corners + 20 * torch.rand(10, 2)], 1)
    ours, theirs = both(
        monkeypatch, lambda image: ops.roi_align(image, rois, *settings),
        torch.randn(2, 3, 20, 15))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@compiled_only
@pytest.mark.parametrize('offset', [0, 1])
def test_nms_beside_compiled(stand_in, offset):
    from mmcv import _ext

    boxes = (torch.rand(200, 2) * 30).round().repeat(1, 2)
    boxes[:, 2:] += (torch.rand(200, 2) * 20).round()
    scores = torch.rand(200)
    for tenth in range(1, 10):
        ours, theirs = (
            extension.nms(boxes, scores, iou_threshold=tenth / 10,
                          offset=offset) for extension in (stand_in, _ext))
        assert ours.tolist() == theirs.tolist()
