"""What PoseCons and PoseDual learn, and from whom."""

import copy

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.hard_views.hard_affine import affine_about_center
from mmpose_wloss.models.hard_views.hard_view import invert, move
from mmpose_wloss.models.losses import heatmap_consistency_loss
from mmpose_wloss.models.module_contexts import recorded
from mmpose_wloss.models.pose_estimators.easy_hard_consistency import keypoint_weights

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import InstanceData
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample
from small_networks import (
    INPUT,
    KEYPOINTS,
    MEGVII,
    MSRA,
    NETWORKS,
    SIMCC,
    UDP,
    batch_for,
    build,
    heatmap_network,
    losses_of,
    regression_network,
)
from torch import nn

AFFINE = [dict(type='HardAffine')]
EMA = dict(type='ExponentialMovingAverage', momentum=0.1)


def total(losses):
    return sum(value if torch.is_tensor(value) else sum(value)
               for name, value in losses.items() if 'loss' in name)


@pytest.mark.parametrize('network, kind', [
    *((name, 'PoseDual') for name in NETWORKS), ('MSRA', 'PoseCons')])
def test_every_stock_network_trains(network, kind):
    config = NETWORKS[network]()
    model = build(config, kind)
    optimizer = OptimWrapper(torch.optim.Adam(model.parameters(), 1e-3))
    before = copy.deepcopy(model.state_dict())
    logs = model.train().train_step(batch_for(config), optimizer)
    assert all(np.isfinite(float(value)) for value in logs.values())
    for name in model.networks:
        assert logs[f'{name}.loss_kpt'] > 0
        assert logs[f'{name}.loss_consistency'] > 0
    unchanged = [name for name, value in model.named_parameters()
                 if torch.equal(value, before[name])]
    assert unchanged == []


def test_each_network_can_begin_from_weights_of_its_own(tmp_path):
    config = copy.deepcopy(NETWORKS['MSRA']())
    files = {}
    for name in ('first', 'second'):
        torch.manual_seed(len(name))
        backbone = MODELS.build(config['backbone'])
        torch.save(backbone.state_dict(), tmp_path / f'{name}.pth')
        files[name] = dict(type='Pretrained', checkpoint=str(tmp_path / f'{name}.pth'))
    config['backbone']['init_cfg'] = files['first']
    for init_cfgs, kept in ((None, 'first'), (dict(second=files['second']), 'second')):
        model = build(config, init_cfgs=init_cfgs)
        model.init_weights()
        for name, file in (('first', 'first'), ('second', kept)):
            expected = torch.load(tmp_path / f'{file}.pth')
            state = model.networks[name].backbone.state_dict()
            assert all(torch.equal(state[key], expected[key]) for key in expected)
    with pytest.raises(UserError, match='init_cfgs'):
        build(config, init_cfgs=dict(third=files['second']))
    with pytest.raises(UserError, match=r'init_cfgs\.second'):
        build(config, init_cfgs=dict(second='second.pth'))


def test_first_weights_out_of_a_whole_network(tmp_path):
    config, file = NETWORKS['MSRA'](), str(tmp_path / 'network.pth')
    first = build(config).networks['first']
    torch.save(dict(state_dict=first.state_dict()), file)
    second = dict(type='Pretrained', checkpoint=file)
    # nothing of it is a backbone's
    with pytest.raises(UserError, match=r"init_cfgs\.second.*prefix='backbone\.'"):
        build(config, init_cfgs=dict(second=second)).init_weights()
    model = build(config, init_cfgs=dict(second=dict(second, prefix='backbone.')))
    model.init_weights()
    state = model.networks['second'].backbone.state_dict()
    assert all(torch.equal(state[key], value)
               for key, value in first.backbone.state_dict().items())


@pytest.mark.parametrize('network', NETWORKS)
def test_hardness_is_measured_and_changes_nothing(network):
    """Weights, statistics of batches and random numbers stay what they were."""
    config, states = NETWORKS[network](), []
    for measured in (False, True):
        model = build(config, hard_views=[
            [dict(type='JointCutout'), dict(type='HardAffine')],
            [dict(type='RandAugment'), dict(type='HardAffine')]])
        optimizer = OptimWrapper(torch.optim.Adam(model.parameters(), 1e-3))
        model.train().measures_hardness = measured
        for _ in range(3):
            logs = model.train_step(batch_for(config), optimizer)
        assert {name for name in logs if 'hardness' in name} == (
            {'first.hardness', 'second.hardness'} if measured else set())
        states.append({**model.state_dict(), 'rng': torch.get_rng_state()})
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert all(0 < float(logs[f'{name}.hardness']) < 10 for name in model.networks)


@pytest.mark.parametrize('hard_views, expected', [
    ([], 1), ([dict(type='Cutout', num_holes=1, half_size=(64, 64))], 4)])
def test_hardness_is_the_ratio_of_errors(hard_views, expected):
    """Half of what is true on the easy view, nothing where all is hidden."""
    model = build(heatmap_network(), 'PoseCons', hard_views=[hard_views])
    network, samples = model.networks['first'], batch_for(
        heatmap_network())['data_samples'][:3]
    truth = torch.stack([sample.gt_fields.heatmaps for sample in samples])
    network.extract_feat = torch.amax
    network.head.forward = lambda brightest: truth / 2 * brightest
    measured = model.hardness(torch.ones(3, 3, 64, 48), samples)
    assert float(measured['first.hardness']) == pytest.approx(expected, rel=1e-3)


def recorded_losses(model, data):
    """Losses, and for each network what its head gave, call by call."""
    with recorded(model.networks['first'].head, 'forward') as first, \
            recorded(model.networks['second'].head, 'forward') as second:
        losses = losses_of(model, data)
    return losses, *([call[1] for call in calls] for calls in (first, second))


def test_the_losses_are_those_of_the_original_code():
    """Half of the stock loss, shared by the networks, and the consistency."""
    data = batch_for(heatmap_network())
    losses, (sup1, easy1, hard1), (sup2, easy2, hard2) = recorded_losses(
        build(hard_views=[[]]), data)
    assert not easy1.requires_grad and not easy2.requires_grad
    assert hard1.requires_grad and hard2.requires_grad
    labeled = data['data_samples'][:3]
    target = torch.stack([s.gt_fields.heatmaps for s in labeled])
    weights = torch.cat([s.gt_instance_labels.keypoint_weights for s in labeled])
    for name, output in (('first', sup1), ('second', sup2)):
        expected = heatmap_consistency_loss(output, target, weights) / 2
        assert torch.allclose(losses[f'{name}.loss_kpt'], expected)
    for name, student, teacher in (('first', hard1, easy2), ('second', hard2, easy1)):
        assert torch.allclose(losses[f'{name}.loss_consistency'],
                              heatmap_consistency_loss(student, teacher), atol=1e-9)


@pytest.mark.parametrize('kind', ['PoseCons', 'PoseDual'])
def test_without_consistency_it_is_the_stock_network(kind):
    network = heatmap_network()
    model = build(network, kind, consistency_weight=0., supervised_weight=2.)
    stock = MODELS.build(network)
    stock.load_state_dict(model.networks['first'].state_dict())
    data = batch_for(network)
    total(losses_of(model, data)).backward()
    labeled = {key: value[:3] for key, value in data.items()}
    prepared = stock.data_preprocessor(labeled, True)
    stock(**prepared, mode='loss')['loss_kpt'].backward()
    for ours, theirs in zip(model.networks['first'].parameters(),
                            stock.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, atol=1e-7)


def test_who_teaches_whom():
    """The one network's consistency moves with the other's easy prediction."""
    data = batch_for(heatmap_network())
    for kind, teacher in (('PoseCons', 'first'), ('PoseDual', 'second')):
        model = build(kind=kind, supervised_weight=0., hard_views=[[]])
        before = losses_of(model, data)['first.loss_consistency']
        layer = model.networks[teacher].head.final_layer
        nn.init.constant_(layer.bias, 1.)
        after = losses_of(model, data)['first.loss_consistency']
        if kind == 'PoseDual':
            assert after > before + 0.1
        else:  # teacher and student see the same, and are the same
            assert after.item() == pytest.approx(0, abs=1e-8)


def test_the_teachers_statistics():
    """Passes that update running statistics: labeled, easy, hard."""
    data = batch_for(heatmap_network())
    for teacher, passes in (('train', 3), ('eval', 2), (EMA, 2)):
        model = build(teacher=teacher)
        losses_of(model.train(), data)
        norm = model.networks['first'].backbone.bn1
        assert norm.num_batches_tracked == passes
        assert norm.training
    # parts that are in evaluation mode by choice stay so
    config = heatmap_network(backbone=dict(
        NETWORKS['MSRA']()['backbone'], norm_eval=True))
    model = build(config, teacher='eval').train()
    losses_of(model, data)
    assert not model.networks['first'].backbone.bn1.training
    assert model.networks['first'].head.training


def test_an_averaged_teacher():
    data = batch_for(heatmap_network())
    model = build(teacher=EMA).train()
    average = model.averages['second'].module
    assert not average.training and model.networks['second'].training
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 10.))
    weight = model.networks['second'].head.final_layer.weight
    first = expected = weight.clone()
    for _ in range(3):
        expected = expected.lerp(weight, 0.1)
        model.train_step(data, optimizer)
    assert torch.allclose(average.head.final_layer.weight, expected, atol=1e-6)
    assert not torch.allclose(expected, first, atol=1e-6)
    assert all(parameter.grad is None for parameter in average.parameters())
    with recorded(average.head, 'forward') as calls:
        losses_of(model, data)
    assert len(calls) == 1


def test_figures_of_an_average_are_the_networks_own():
    """An average lags behind, which is no collapse."""
    model = build(teacher=dict(EMA, momentum=1e-6)).train()
    data = batch_for(heatmap_network())
    losses_of(model, data)
    for name in model.networks:
        nn.init.constant_(model.networks[name].head.final_layer.bias, 2.)
    losses = losses_of(model, data)
    assert losses['first.peak_labeled'] > 1.9
    assert losses['first.peak_unlabeled'] > 1.9


def test_steps_know_how_each_students_teacher_scores():
    model = build(hard_views=[dict(type='KeypointMask'), dict(type='KeypointMix')])
    samples = batch_for(heatmap_network(), 0, 3)['data_samples']
    predicted, _, easy = model.teach(torch.randn(3, 3, 64, 48), samples)
    for scores, teacher in zip(easy.scores, ('second', 'first'), strict=True):
        assert torch.equal(scores, model.outputs.peaks(predicted[teacher]))
    assert losses_of(model, batch_for(heatmap_network()))[
        'first.loss_consistency'] > 0


class Commuting:
    """Heatmaps that are the image's channels, sampled where a codec says."""

    def __init__(self, sampling):
        self.sampling = sampling

    def __call__(self, images):
        height, width = images.shape[2:]
        x, y = self.sampling(width, 12), self.sampling(height, 16)
        grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1)
        grid = (2 * grid + 1) / torch.tensor([width, height]) - 1
        return nn.functional.grid_sample(
            images, grid.expand(len(images), -1, -1, -1), align_corners=False)


def udp_sampling(size, count):
    return torch.linspace(0, size - 1, count)


@pytest.mark.parametrize('codec, sampling, views', [
    (MSRA, lambda size, count: torch.arange(count) * size / count, {}),
    (UDP, udp_sampling, {}),
    (MEGVII, lambda size, count: (torch.arange(count) + .5) * size / count, {}),
    (None, lambda size, count: (torch.arange(count) + .5) * size / count - .5, {}),
    # at equal difficulty, targets are moved between the two views
    (UDP, udp_sampling, dict(teacher_views=AFFINE)),
], ids=['MSRA', 'UDP', 'Megvii', 'half pixels', 'teacher_views'])
def test_a_network_that_commutes_with_the_warp_has_nothing_to_learn(
        codec, sampling, views):
    """For each way to lay heatmaps on images; with another way it has."""
    model = build(heatmap_network(codec, out_channels=3), 'PoseCons', hard_views=[
        dict(type='HardAffine', rotate_prob=1., rigid=codec is not None)], **views)
    first = model.networks['first']
    first.extract_feat = lambda images: images

    # smooth, and black at the border, beyond which there is nothing to see
    x, y = torch.arange(48.), torch.arange(64.)[:, None]
    images = torch.stack([
        torch.exp(-((x - cx)**2 + (y - cy)**2) / (2 * 6**2))
        for cx, cy in ((23, 30), (25, 33), (24, 32))]).expand(8, -1, -1, -1).clone()
    samples = batch_for(heatmap_network(), 0, 8)['data_samples']
    for sample in samples:
        sample.gt_instance_labels.keypoint_weights = torch.ones(1, 3)

    def loss(sampling):
        torch.manual_seed(1)
        first.head.forward = Commuting(sampling)
        return model.consistency(images, samples)['first.loss_consistency'].item()

    spread = heatmap_consistency_loss(
        Commuting(sampling)(images), torch.zeros(8, 3, 16, 12)).item()
    right = loss(sampling)
    assert right < 0.02 * spread
    assert loss(lambda size, count: sampling(size, count) + 1.5) > 3 * right


@pytest.mark.parametrize('codec', [
    SIMCC, dict(SIMCC, normalize=True),
    dict(SIMCC, smoothing_type='standard', sigma=6., label_smooth_weight=0.1)])
def test_simcc_targets_are_the_codecs(codec):
    """Joints that the teacher predicts, moved and encoded as the data pipeline."""
    network = NETWORKS['RTMPose']()
    network['head']['decoder'] = codec
    outputs = build(network, 'PoseCons').outputs
    torch.manual_seed(0)
    output = torch.randn(4, KEYPOINTS, 96), torch.randn(4, KEYPOINTS, 128)
    matrix = affine_about_center(
        torch.tensor([0., 20., -45., 60.]), torch.tensor([1., .8, 1.2, .75]),
        (48, 64), rigid=True)
    labels, inside = outputs.targets(output, matrix, (48, 64), False)
    joints = move(outputs.joints(output), invert(matrix)).numpy()
    bins = (2 * joints).round()
    taught = inside.bool()
    assert (taught.numpy() == ((bins >= 0) & (bins < [96, 128])).all(2)).all()
    assert 0 < inside.mean() < 1
    stock = KEYPOINT_CODECS.build(codec)
    visible = np.ones((1, KEYPOINTS), np.float32)
    for index in range(4):
        expected = stock.encode(joints[index:index + 1], visible)
        for axis, ours in zip('xy', labels, strict=True):
            theirs = torch.from_numpy(expected[f'keypoint_{axis}_labels'][0])
            assert torch.allclose(ours[index][taught[index]],
                                  theirs[taught[index]], atol=1e-5)


def test_every_stage_and_every_path_is_taught():
    data = batch_for(NETWORKS['hourglass']())
    losses, first, second = recorded_losses(
        build(NETWORKS['hourglass'](), hard_views=[[], [], []]).eval(), data)
    assert len(first) == 5  # labeled, easy, and three paths
    expected = 3 * sum(heatmap_consistency_loss(stage, second[1][-1])
                       for stage in first[2])
    assert torch.allclose(losses['first.loss_consistency'], expected)


def test_joints_without_weight_are_not_taught():
    """Joints that the unlabeled data set does not define: two of them, or all."""
    data = batch_for(heatmap_network())
    for count in (2, KEYPOINTS):
        for sample in data['data_samples'][3:]:
            sample.gt_instance_labels.keypoint_weights[:, :count] = 0
        model = build(supervised_weight=0.)
        losses = losses_of(model, data)
        total(losses).backward()
        grad = model.networks['first'].head.final_layer.weight.grad
        assert (grad[:count] == 0).all() and (grad[count:] != 0).any() == (count == 2)
    # nobody visible
    assert losses['first.peak_unlabeled'] == losses['first.loss_consistency'] == 0
    for sample in data['data_samples']:
        sample.gt_instance_labels.keypoint_weights[:] = 0
    assert all(value.isfinite().all() for name, value in losses_of(
        build(), data).items() if torch.is_tensor(value))


@pytest.mark.parametrize('network', ['MSRA', 'RTMPose'])
def test_joints_of_an_unsure_teacher_are_not_taught(network):
    config = NETWORKS[network]()
    losses = []
    for threshold in (0., 1e9):
        model = build(config, confidence_threshold=threshold)
        with recorded(model.outputs, 'peaks') as calls:
            losses.append(losses_of(model, batch_for(config)))
    # of the labeled part, for each network, then of the unlabeled one
    middle = torch.stack([result for _, result in calls[2:4]]).median().item()
    losses.append(losses_of(
        build(config, confidence_threshold=middle), batch_for(config)))
    every, none, some = (sum(x[f'{name}.loss_consistency'].item()
                             for name in ('first', 'second')) for x in losses)
    assert none == 0 < some < every


def test_figures_of_the_log():
    model = build(peak_threshold=0.5)
    data = batch_for(heatmap_network())
    for name, value in (('first', 0.25), ('second', 2.)):
        head = model.networks[name].head.final_layer
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, value)
    losses = losses_of(model, data)
    for part in ('labeled', 'unlabeled'):
        assert losses[f'first.peak_{part}'].item() == pytest.approx(0.25)
        assert losses[f'first.confident_{part}'] == 0
        assert losses[f'second.peak_{part}'].item() == pytest.approx(2.)
        assert losses[f'second.confident_{part}'] == 1
    assert losses['consistency_weight'] == 1
    assert not any('loss' in name for name in losses
                   if 'peak' in name or 'weight' in name)


def test_the_order_of_samples_does_not_matter():
    network = heatmap_network()
    data = batch_for(network)
    order = [3, 0, 4, 1, 5, 2]
    mixed = {key: [value[i] for i in order] for key, value in data.items()}
    model = build(network).eval()
    first, second = losses_of(model, data), losses_of(model, mixed)
    assert all(torch.allclose(first[name], second[name]) for name in first)


@pytest.mark.parametrize('network', ['MSRA', 'hourglass', 'RTMPose'])
def test_bfloat16_autocast(network):
    config = NETWORKS[network]()
    model = build(config)
    data = batch_for(config)
    expected = losses_of(copy.deepcopy(model), data)
    with torch.autocast('cpu', torch.bfloat16):
        losses = losses_of(model, data)
    total(losses).backward()
    assert all(parameter.grad.isfinite().all()
               for parameter in model.parameters())
    for name in losses:
        if 'loss' in name:
            assert losses[name].dtype == torch.float32
            assert losses[name].item() == pytest.approx(
                expected[name].item(), rel=0.1, abs=1e-5)


def test_channels_last_changes_nothing_but_the_layout():
    data = batch_for(heatmap_network())
    stock, last = build(), build(channels_last=True)
    last.load_state_dict(stock.state_dict())
    weight = last.networks['first'].backbone.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    first, second = losses_of(stock, data), losses_of(last, data)
    for name in first:
        assert torch.allclose(first[name], second[name], rtol=1e-3), name


DSNT = regression_network(
    dict(type='IntegralRegressionLabel', input_size=INPUT, heatmap_size=(3, 4),
         sigma=2.), type='DSNTHead', in_featuremap_size=(3, 4), loss=dict(
             type='MultipleLossWrapper', losses=[
                 dict(type='SmoothL1Loss', use_target_weight=True),
                 dict(type='JSDiscretLoss', use_target_weight=True)]))
UNWEIGHTED = NETWORKS['RTMPose']()
UNWEIGHTED['head']['loss']['use_target_weight'] = False


@pytest.mark.parametrize('arguments, message', [
    (dict(network=heatmap_network(decoder=None)), 'HeatmapHead.*decoder'),
    (dict(network=DSNT), 'DSNTHead.*IntegralRegressionLabel'),
    (dict(network=heatmap_network()['backbone']), 'ResNet'),
    (dict(network=UNWEIGHTED), 'use_target_weight'),
    (dict(teacher='mean'), "'mean'"),
    (dict(teacher=dict(EMA, update_buffers=True)), 'update_buffers'),
    (dict(hard_views=[dict(type='HardAffine'), []]), 'hard_views'),
    (dict(teacher_views=[dict(type='JointCutout')]), 'JointCutout'),
    (dict(teacher_views=[[], [dict(type='JointCutout')]]), 'JointCutout'),
    (dict(teacher_views=[dict(type='HardAffine'), []]), 'teacher_views'),
    (dict(network=NETWORKS['RTMPose'](), teacher_views=[[], []]), 'teacher_views'),
    (dict(hard_views=[dict(type='HorizontalFlip')]), 'HorizontalFlip'),
    (dict(teacher_views=[dict(type='HorizontalFlip')]), 'HorizontalFlip'),
    (dict(test_cfg=dict(predict_with='third')), "'third'"),
    (dict(kind='PoseCons', test_cfg=dict(predict_with='second')), "'second'"),
    (dict(train_cfg=dict(compute_acc=False)), 'train_cfg'),
    (dict(supervised_weight=-1.), 'supervised_weight'),
    (dict(consistency_weight=-1.), 'consistency_weight'),
    (dict(confidence_threshold=-0.1), 'confidence_threshold'),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(UserError, match=message):
        build(**arguments)


def test_a_head_that_gives_something_else():
    model = build()
    head = model.networks['second'].head
    stock = head.forward
    head.forward = lambda feats: stock(feats).flatten(2)
    with pytest.raises(UserError, match=r'HeatmapHead.*\[3, 5, 192\]'):
        model.teach(torch.zeros(3, 3, 64, 48),
                    batch_for(heatmap_network(), 0, 3)['data_samples'])


def test_a_batch_of_one_kind():
    for labeled, unlabeled, missing in ((4, 0, 'unlabeled'), (0, 4, 'labeled')):
        with pytest.raises(UserError, match=f' {missing}'):
            losses_of(build(), batch_for(heatmap_network(), labeled, unlabeled))


def test_weights_of_several_levels_are_one_for_each_joint():
    samples = [PoseDataSample(gt_instance_labels=InstanceData(
        keypoint_weights=torch.full(shape, float(index))))
        for index, shape in enumerate([(1, 3), (2, 1, 3)])]
    assert keypoint_weights(samples).tolist() == [[0.] * 3, [1.] * 3]
