"""A GPU computes what the CPU does, in half precision too, and is not waited for."""

from mmpose_wloss.models.heads import soft_argmax
from mmpose_wloss.pose_density import log_kernel_sums
from mmpose_wloss.pose_density.kernel_density import KERNELS

import numpy as np
import pytest
import torch
from mmcv import ops
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from small_losses import LOSSES, arguments_of
from small_networks import (
    NETWORKS,
    batch_for,
    build,
    distiller,
    heatmap_network,
    losses_of,
)

DEVICE = torch.device('cuda')
HALVES = [torch.float16, torch.bfloat16]
HARD_VIEWS = [
    [dict(type='RandAugment', num_ops=3), dict(type='HardAffine')],
    [dict(type='JointCutOcclude', half_size=(3, 6)),
     dict(type='Cutout', half_size=(3, 6)), dict(type='CutMix', half_size=(3, 6)),
     dict(type='HardAffine', rigid=False)],
]
# without NumPy, which has to wait for the device
QUIET = dict(compute_acc=False)
WRAPPERS = [dict(type='OptimWrapper'), dict(type='Bfloat16OptimWrapper'),
            dict(type='AmpOptimWrapper', loss_scale='dynamic')]

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(
    not torch.cuda.is_available(), reason='there is no GPU')]


@pytest.fixture(autouse=True)
def exact_convolutions(monkeypatch):
    """Without TF32, which keeps 10 bits."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    init_default_scope('mmpose')


def gradients(function, output, *others, dtype=None):
    """A loss and its gradient on the GPU, as tensors of the CPU."""
    output = output.detach().to(DEVICE, dtype).requires_grad_()
    value = function(output, *(each.to(DEVICE) for each in others))
    value.sum().backward()
    return value.cpu(), output.grad.cpu()


@pytest.mark.parametrize('config', LOSSES, ids=str)
def test_losses(config):
    loss, (output, *others) = MODELS.build(config), arguments_of(config)
    output = output.detach().requires_grad_()
    value = loss(output, *others)
    value.backward()
    torch.testing.assert_close(
        gradients(loss, output, *others), (value, output.grad))
    for dtype in HALVES:
        half, gradient = gradients(loss, output, *others, dtype=dtype)
        assert half.dtype == torch.float32 and gradient.isfinite().all()
        torch.testing.assert_close(half, value, rtol=2e-2, atol=0)


@pytest.mark.parametrize('config', LOSSES, ids=str)
def test_compiled_losses(config):
    torch._dynamo.reset()
    loss, arguments = MODELS.build(config), arguments_of(config)
    torch.testing.assert_close(
        gradients(torch.compile(loss, fullgraph=True), *arguments),
        gradients(loss, *arguments))


@pytest.mark.parametrize('shape', [(2, 3, 6, 5), (2, 3, 4, 16, 16)])
def test_soft_argmax(shape):
    torch.manual_seed(0)
    heatmaps = torch.rand(shape, requires_grad=True)
    places = soft_argmax(heatmaps)
    places.sum().backward()
    torch.testing.assert_close(
        gradients(soft_argmax, heatmaps), (places, heatmaps.grad),
        rtol=1e-4, atol=1e-4)
    for dtype in HALVES:
        half, gradient = gradients(soft_argmax, heatmaps, dtype=dtype)
        assert half.dtype == torch.float32 and gradient.isfinite().all()
        torch.testing.assert_close(
            half, soft_argmax(heatmaps.detach().to(dtype).float()),
            rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kernel', KERNELS)
def test_pose_densities(kernel):
    points = np.random.default_rng(0).normal(size=(3000, 10))
    np.testing.assert_allclose(*(
        log_kernel_sums(points, bandwidth=0.5, kernel=kernel, device=device)
        for device in (DEVICE.type, 'cpu')), rtol=1e-5, atol=1e-5)


def quiet(network):
    return dict(network, train_cfg=QUIET)


def check_losses(model, data, expected=None, **tolerance):
    """Losses on the GPU are those of the CPU, or these; gradients are finite."""
    if expected is None:
        expected = losses_of(model.cpu(), data)
    losses = losses_of(model.to(DEVICE), data)
    model.parse_losses(losses)[0].backward()
    for name, value in expected.items():
        if 'loss' in name:
            torch.testing.assert_close(losses[name].cpu(), value, msg=lambda
                                       text, name=name: f'{name}: {text}',
                                       check_dtype=False, **tolerance)
    assert all(each.grad is None or each.grad.isfinite().all()
               for each in model.parameters())
    return expected


@pytest.mark.parametrize('network', NETWORKS.values(), ids=NETWORKS)
def test_pose_dual(network):
    network = quiet(network())
    model, data = build(network, hard_views=HARD_VIEWS), batch_for(network)
    expected = check_losses(model, data, rtol=1e-3, atol=1e-5)
    for dtype in HALVES:
        with torch.autocast(DEVICE.type, dtype):
            check_losses(model, data, expected, rtol=0.2, atol=1e-3)


@pytest.mark.parametrize('labeled', [6, 3])
def test_distillation(labeled, tmp_path):
    network = quiet(heatmap_network())
    model = distiller(network, network, tmp_path)
    data = batch_for(network, labeled, 6 - labeled)
    expected = check_losses(model, data, rtol=1e-3, atol=1e-5)
    for dtype in HALVES:
        with torch.autocast(DEVICE.type, dtype):
            check_losses(model, data, expected, rtol=0.2, atol=1e-3)


def integral_head():
    torch.manual_seed(0)
    head = MODELS.build(dict(
        type='IntegralPose3DHead', in_channels=4, out_channels=2,
        deconv_out_channels=(4, ), deconv_kernel_sizes=(4, ),
        decoder=dict(type='IntegralPose3DLabel', input_size=(32, 32),
                     heatmap_size=(8, 8, 4)))).train()
    sample = PoseDataSample()
    sample.gt_instance_labels = InstanceData(
        keypoint_labels=torch.rand(1, 2, 3), keypoint_weights=torch.ones(1, 2))
    return head, torch.randn(2, 4, 4, 4), [sample, sample.clone()]


def head_loss(head, features, samples, device):
    losses = head.to(device).loss(
        (features.to(device), ), [each.to(device) for each in samples], QUIET)
    return {name: value.cpu() for name, value in losses.items()
            if name.startswith('loss_')}


def test_integral_head():
    head, *data = integral_head()
    expected = head_loss(head, *data, 'cpu')
    torch.testing.assert_close(
        head_loss(head, *data, DEVICE), expected, rtol=1e-3, atol=1e-5)
    for dtype in HALVES:
        with torch.autocast(DEVICE.type, dtype):
            losses = head_loss(head, *data, DEVICE)
        assert all(value.isfinite() for value in losses.values())


@pytest.mark.parametrize('kind', ['PoseDual', 'FastPoseDistiller', 'focal'])
def test_a_step_waits_for_nothing(kind, tmp_path):
    network = quiet(heatmap_network())
    if kind == 'PoseDual':
        model = build(network, hard_views=HARD_VIEWS)
    elif kind == 'FastPoseDistiller':
        model = distiller(network, network, tmp_path)
    else:
        model = MODELS.build(dict(network, head=dict(
            network['head'], loss=dict(type='FocusMSELoss'))))
    model.to(DEVICE)
    data = model.data_preprocessor(
        batch_for(network, *((3, 3) if kind == 'PoseDual' else (6, 0))), True)
    for mode in ('default', 'error'):  # the first step may set up kernels
        torch.cuda.set_sync_debug_mode(mode)
        try:
            losses = model(**data, mode='loss')
            sum(value for name, value in losses.items()
                if 'loss' in name).backward()
        finally:
            torch.cuda.set_sync_debug_mode('default')


@pytest.mark.parametrize('wrapper', WRAPPERS, ids=lambda each: each['type'])
@pytest.mark.parametrize('fused', [False, True])
def test_whole_steps(wrapper, fused):
    network = heatmap_network()
    model = build(network, channels_last=True).to(DEVICE)
    optimizer = build_optim_wrapper(model, dict(wrapper, optimizer=dict(
        type='Adam', lr=1e-3, fused=fused)))
    before = model.networks['first'].head.final_layer.weight.detach().clone()
    for seed in range(3):
        log = model.train_step(batch_for(network, seed=seed), optimizer)
        assert log['loss'].isfinite()
    after = model.networks['first'].head.final_layer.weight
    assert after.isfinite().all() and not torch.equal(before, after)


def test_one_process_of_nccl(tmp_path):
    torch.distributed.init_process_group(
        'nccl' if DEVICE.type == 'cuda' else 'gloo',
        f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        network, states = heatmap_network(), []
        for distributed in (False, True):
            model = trained = build(network).to(DEVICE)
            if distributed:
                trained = MMDistributedDataParallel(
                    model, [0] if DEVICE.type == 'cuda' else None)
            optimizer = build_optim_wrapper(model, dict(
                type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)))
            torch.manual_seed(0)
            trained.train_step(batch_for(network), optimizer)
            states.append(model.state_dict())
        torch.testing.assert_close(*states, rtol=1e-3, atol=1e-5)
    finally:
        torch.distributed.destroy_process_group()


def test_operators_that_stand_in():
    generator = torch.Generator().manual_seed(0)
    corners = 40 * torch.rand(50, 2, generator=generator)
    boxes = torch.cat([corners, corners + 20], 1)
    scores = torch.rand(50, generator=generator)
    image = torch.randn(2, 4, 16, 16, generator=generator)
    rois = torch.cat([torch.arange(50.)[:, None] % 2, boxes / 4], 1)
    offset = torch.rand(2, 18, 16, 16, generator=generator)
    mask = torch.rand(2, 9, 16, 16, generator=generator)
    weight = torch.randn(4, 4, 3, 3, generator=generator)
    for call, arguments in (
            (lambda *tensors: ops.nms(*tensors, 0.3), (boxes, scores)),
            (lambda *tensors: ops.roi_align(*tensors, 4), (image, rois)),
            (lambda *tensors: ops.deform_conv2d(*tensors, 1, 1),
             (image, offset, weight)),
            (lambda *tensors: ops.modulated_deform_conv2d(
                *tensors, None, 1, 1, 1, 1, 1), (image, offset, mask, weight))):
        on_gpu = call(*(each.to(DEVICE) for each in arguments))
        torch.testing.assert_close(on_gpu, call(*arguments), rtol=1e-3,
                                   atol=1e-4, check_device=False)
