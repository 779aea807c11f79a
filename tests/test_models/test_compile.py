"""Losses are one graph, and a compiled step is an eager one, compiled once."""

import copy

import pytest
import torch
import torch._dynamo
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from packaging.version import Version
from small_losses import LOSSES, arguments_of, of_points, tensors
from small_networks import (
    RESNET,
    batch_for,
    build,
    distiller,
    heatmap_network,
)
from torch._dynamo.utils import counters

pytestmark = pytest.mark.skipif(
    Version(torch.__version__) < Version('2.6'),
    reason="the compiler of torch 2.1 cannot trace MMEngine's models; those "
    'below 2.6 were not tried')

# gradients as in a compiled graph, and no C++ compiler
BACKEND = 'aot_eager'
QUIET = dict(compute_acc=False)
# of one stage, since what takes time is to trace layers
NETWORK = dict(heatmap_network(
    backbone=dict(RESNET, num_stages=1, strides=(1, ), dilations=(1, ),
                  out_indices=(0, )),
    in_channels=8, deconv_out_channels=None), train_cfg=QUIET)


@pytest.fixture(autouse=True)
def fresh_compiler():
    init_default_scope('mmpose')
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def check_one_graph(module, arguments, output, total=lambda loss: loss):
    compiled = torch.compile(module, backend=BACKEND, fullgraph=True)
    losses = [total(compiled(*arguments)), total(module(*arguments))]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, output, retain_graph=True)[0]
          for loss in losses))


@pytest.mark.parametrize('config', LOSSES, ids=str)
def test_losses_are_one_graph(config):
    output, *_ = arguments = arguments_of(config)
    check_one_graph(MODELS.build(config), arguments, output)


@pytest.mark.parametrize('kind', [
    'AdaptiveBalancer', 'UncertaintyBalancer', 'DynamicTaskPriorityBalancer'])
def test_balancers_are_one_graph(kind):
    arguments = tensors()
    with torch.no_grad():
        arguments[1][arguments[2] == 0] = float('nan')
    terms = dict(heatmaps=arguments, points=of_points(*arguments))
    balancer = MODELS.build(dict(type=kind, terms=list(terms))).eval()
    check_one_graph(balancer, (terms, ), arguments[0], lambda losses: sum(
        value for name, value in losses.items() if name.startswith('loss_')))


@pytest.mark.parametrize('balancer', [
    dict(type='GradNormBalancer'),
    dict(type='AdaptiveBalancer', grad_norm_interval=1)])
def test_gradients_are_measured_outside_of_graphs(balancer):
    torch.manual_seed(0)
    head = MODELS.build(dict(
        type='IntegralPose3DHead', in_channels=4, out_channels=2,
        deconv_out_channels=(4, ), deconv_kernel_sizes=(4, ),
        balancer=balancer, decoder=dict(
            type='IntegralPose3DLabel', input_size=(32, 32),
            heatmap_size=(8, 8, 4)))).train()
    twin = copy.deepcopy(head)
    sample = PoseDataSample()
    sample.gt_instance_labels = InstanceData(
        keypoint_labels=torch.rand(1, 2, 3), keypoint_weights=torch.ones(1, 2))
    features = torch.randn(1, 4, 4, 4, requires_grad=True)
    compiled = torch.compile(head.loss, backend=BACKEND)
    for _ in range(2):
        torch.testing.assert_close(compiled((features, ), [sample]),
                                   twin.loss((features, ), [sample]))


def check_steps(model, batches):
    """A step compiles, those after it compile nothing, all equal eager's."""
    twin = copy.deepcopy(model)
    compiled = torch.compile(model.train_step, backend=BACKEND)
    steps = [(train_step, OptimWrapper(torch.optim.SGD(each.parameters(), 0.01)))
             for each, train_step in ((model, compiled), (twin, twin.train_step))]
    pieces = []
    for seed, batch in enumerate(batches):
        logs = []
        for train_step, optimizer in steps:
            torch.manual_seed(seed)
            logs.append(train_step(copy.deepcopy(batch), optimizer))
        # an accuracy of NumPy is of another type where it is compiled
        torch.testing.assert_close(*logs, check_dtype=False)
        pieces.append(counters['frames']['ok'])
    assert pieces[0] > 0
    assert pieces[1:] == pieces[1:2] * (len(pieces) - 1)
    torch.testing.assert_close(model.state_dict(), twin.state_dict())


@pytest.mark.parametrize('options', [
    {}, dict(teacher='eval', hard_views=[
        dict(type='JointCutOcclude'), dict(type='CutMix'),
        dict(type='HardAffine')]), dict(hard_views=[
            [dict(type='JointCutout'), dict(type='HardAffine', shared=True)],
            [dict(type='Cutout'), dict(type='HardAffine', shared=True)]])],
    ids=['default', 'other', 'paths'])
def test_pose_dual_stays_compiled(options):
    check_steps(build(NETWORK, **options),
                [batch_for(NETWORK, seed=seed) for seed in range(3)])
    assert not any('item()' in reason for reason in counters['graph_break'])


def test_hardness_is_measured_outside_of_graphs():
    model = build(NETWORK)
    model.measures_hardness = True
    check_steps(model, [batch_for(NETWORK, seed=seed) for seed in range(3)])


@pytest.mark.parametrize('labeled', [6, 3])
def test_distillation_stays_compiled(labeled, tmp_path):
    check_steps(
        distiller(NETWORK, NETWORK, tmp_path),
        [batch_for(NETWORK, labeled, 6 - labeled, seed) for seed in range(3)])


def test_the_focus_loss_leaves_the_networks_graph_whole():
    model = MODELS.build(dict(NETWORK, head=dict(NETWORK['head'], loss=dict(
        type='FocusMSELoss', use_target_weight=True))))
    data = model.data_preprocessor(batch_for(NETWORK, unlabeled=0), True)
    loss = torch.compile(model.loss, backend=BACKEND, fullgraph=True)
    torch.testing.assert_close(loss(**data), model.loss(**data))
