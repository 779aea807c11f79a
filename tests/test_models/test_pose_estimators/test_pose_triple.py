"""What the third network of PoseTriple learns, and from which pair of outputs."""

import copy
import itertools

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.heads.keypoint_outputs import select
from mmpose_wloss.models.losses import heatmap_consistency_loss
from mmpose_wloss.models.module_contexts import recorded

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from small_networks import (
    KEYPOINTS,
    NETWORKS,
    batch_for,
    build,
    heatmap_network,
    losses_of,
)
from torch import nn

AFFINE = [dict(type='HardAffine')]
EMA = dict(type='ExponentialMovingAverage', momentum=0.1)


def triple(network=None, **arguments):
    return build(network, 'PoseTriple', **arguments)


def after_a_round(model):
    """A model whose former networks differ from those of now."""
    model.end_round()
    for parameter in model.networks.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def place(heatmap):
    return np.array(np.unravel_index(heatmap.argmax(), heatmap.shape), float)


@pytest.mark.parametrize('remembers', [False, True])
def test_the_third_learns_the_pair_that_agrees_best(remembers):
    """Beside a loop over joints in float64."""
    model = triple()
    torch.manual_seed(0)
    networks = [model.networks['first'], model.former['first'],
                model.networks['second'], model.former['second']]
    outputs = torch.rand(4, 6, KEYPOINTS, 16, 12)
    model.teach_with = lambda network, views: outputs[
        [each is network for each in networks].index(True)]
    model.rounds += remembers
    agreement = model.predict_easy([])['agreement'].numpy()
    pairs = [(0, 2), (1, 2), (0, 3), (1, 3)][:4 if remembers else 1]
    maps, chosen = outputs.double().numpy(), []
    for person, joint in itertools.product(range(6), range(KEYPOINTS)):
        distances = [np.hypot(*(
            4 * (place(maps[i, person, joint]) - place(maps[j, person, joint]))))
            for i, j in pairs]
        pair = pairs[int(np.argmin(distances))]
        chosen.append(pair)
        expected = maps[list(pair), person, joint].mean(axis=0)
        assert np.allclose(agreement[person, joint], expected, atol=1e-6)
    assert set(chosen) == set(pairs)


def test_one_of_several_outputs_for_each_joint():
    """Heatmaps as well as pairs of SimCC vectors."""
    outputs = [(torch.randn(2, 3, 8), torch.randn(2, 3, 5)) for _ in range(4)]
    which = torch.randint(4, (2, 3))
    found = select(outputs, which)
    assert isinstance(found, tuple)
    for axis, person, joint in itertools.product(range(2), range(2), range(3)):
        assert torch.equal(found[axis][person, joint],
                           outputs[which[person, joint]][axis][person, joint])


@pytest.mark.parametrize('network', NETWORKS)
def test_every_stock_network_trains(network):
    config = NETWORKS[network]()
    model = after_a_round(triple(config))
    optimizer = OptimWrapper(torch.optim.Adam(model.parameters(), 1e-3))
    before = copy.deepcopy(dict(model.named_parameters()))
    logs = model.train().train_step(batch_for(config), optimizer)
    assert all(np.isfinite(float(value)) for value in logs.values())
    for name in ('first', 'second', 'third'):
        assert logs[f'{name}.loss_kpt'] > 0
        assert logs[f'{name}.loss_consistency'] > 0
    assert {name.split('.')[0] for name, value in model.named_parameters()
            if torch.equal(value, before[name])} == {'former'}
    assert all(torch.equal(value, before[name])
               for name, value in model.named_parameters() if 'former' in name)


def test_two_of_them_are_those_of_pose_dual():
    """Half of the supervised loss for each of the three, as in the original code."""
    data, model = batch_for(heatmap_network()), triple(hard_views=AFFINE)
    dual = build(hard_views=AFFINE)
    dual.networks.load_state_dict({
        key: value for key, value in model.networks.state_dict().items()
        if not key.startswith('third.')})
    ours, theirs = losses_of(model, data), losses_of(dual, data)
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value), name
    stock = copy.deepcopy(model.networks['third'])
    labeled = model.data_preprocessor(
        {key: value[:3] for key, value in data.items()}, True)
    assert ours['third.loss_kpt'].item() == pytest.approx(
        stock(**labeled, mode='loss')['loss_kpt'].item() / 4)


def test_the_third_is_taught_what_two_agree_on():
    data, model = batch_for(heatmap_network()), triple(hard_views=[[]])
    with recorded(model, 'predict_easy') as calls, \
            recorded(model.networks['third'].head, 'forward') as third:
        losses = losses_of(after_a_round(model), data)
    agreement, (_, (_, hard)) = calls[-1][1]['agreement'], third
    assert not agreement.requires_grad and hard.requires_grad
    assert torch.allclose(losses['third.loss_consistency'],
                          heatmap_consistency_loss(hard, agreement))


def test_a_round_keeps_the_networks_as_they_are():
    model = after_a_round(triple(teacher=EMA))
    assert model.rounds == 1
    model.train().train_step(batch_for(heatmap_network()), OptimWrapper(
        torch.optim.SGD(model.parameters(), 1.)))
    # what teaches is kept: the averages
    kept, average = (network.state_dict() for network in (
        model.former['second'], model.averages['second'].module))
    assert not all(torch.equal(kept[key], value) for key, value in average.items())
    model.end_round()
    kept = model.former['second'].state_dict()
    assert model.rounds == 2
    assert all(torch.equal(kept[key], value) for key, value in average.items())
    assert not any(parameter.requires_grad for parameter in model.former.parameters())


def test_a_former_network_predicts_as_teachers_do():
    """By the batch's statistics, or in evaluation mode."""
    data = batch_for(heatmap_network())
    for teacher, updated in (('train', True), ('eval', False), (EMA, False)):
        model = triple(teacher=teacher).train()
        losses_of(model, data)
        norm = model.former['first'].backbone.bn1
        assert (norm.num_batches_tracked > 0) == updated


def test_joints_are_judged_by_both_scores():
    """Scores 0.1 and 0.5: the mean passes 0.2, and not 0.4, for all three."""
    losses = []
    for threshold in (0., .2, .4):
        model = triple(hard_views=AFFINE, confidence_threshold=threshold)
        for name, score in (('first', .1), ('second', .5)):
            head = model.networks[name].head.final_layer
            nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, score)
        found = losses_of(model, batch_for(heatmap_network()))
        losses.append([found[f'{name}.loss_consistency'].item()
                       for name in model.networks])
    every, passed, none = losses
    assert passed == every and none == [0, 0, 0] < every


def test_hardness_is_measured_and_changes_nothing():
    config, states = heatmap_network(), []
    for measured in (False, True):
        model = after_a_round(triple(config))
        optimizer = OptimWrapper(torch.optim.Adam(model.parameters(), 1e-3))
        model.train().measures_hardness = measured
        for _ in range(2):
            logs = model.train_step(batch_for(config), optimizer)
        states.append({**model.state_dict(), 'rng': torch.get_rng_state()})
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert all(0 < float(logs[f'{name}.hardness']) < 10 for name in model.networks)


@pytest.mark.parametrize('network', ['MSRA', 'RTMPose'])
def test_bfloat16_autocast(network):
    config = NETWORKS[network]()
    model = after_a_round(triple(config))
    with torch.autocast('cpu', torch.bfloat16):
        losses = losses_of(model, batch_for(config))
    sum(value if torch.is_tensor(value) else sum(value)
        for name, value in losses.items() if 'loss' in name).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith('former')
        assert parameter.grad is None or parameter.grad.isfinite().all()
    assert losses['third.loss_consistency'].dtype == torch.float32


def test_one_person_of_each_kind_and_nobody_visible():
    data = batch_for(heatmap_network(), 1, 1)
    for sample in data['data_samples']:
        sample.gt_instance_labels.keypoint_weights[:] = 0
    losses = losses_of(after_a_round(triple()), data)
    assert losses['third.loss_consistency'] == 0
    assert all(value.isfinite().all() for value in losses.values()
               if torch.is_tensor(value))


def test_wrong_arguments():
    with pytest.raises(UserError, match=r'init_cfgs.*third'):
        triple(init_cfgs=dict(fourth=dict(type='Normal')))
    with pytest.raises(UserError, match="'ema_third'"):
        triple(test_cfg=dict(predict_with='ema_third'))
