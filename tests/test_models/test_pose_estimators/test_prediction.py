"""What PoseCons and PoseDual predict, and with which network."""

import copy
from contextlib import ExitStack

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.module_contexts import recorded
from mmpose_wloss.models.wrapped_networks import network_state

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from small_networks import NETWORKS, batch_for, build, heatmap_network

EMA = dict(type='ExponentialMovingAverage', momentum=0.1)


def keypoints(samples, name='keypoints'):
    return np.concatenate([s.pred_instances[name] for s in samples])


def scores(samples):
    return keypoints(samples, 'keypoint_scores')


def stock_of(model, config, name):
    stock = MODELS.build(config)
    stock.load_state_dict(network_state(model.state_dict(), name), strict=True)
    return stock.eval()


def noisy(model, seed=0):
    """Weights of a size that tells predictions apart."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


@pytest.mark.parametrize('network', NETWORKS)
def test_a_network_predicts_as_the_stock_model(network):
    config = NETWORKS[network]()
    data = batch_for(config, 0, 3)
    model = noisy(build(config, test_cfg=dict(predict_with='second')))
    ours = model.test_step(copy.deepcopy(data))
    theirs = stock_of(model, config, 'second').test_step(copy.deepcopy(data))
    assert (keypoints(ours) == keypoints(theirs)).all()
    assert (scores(ours) == scores(theirs)).all()
    assert ours[0].metainfo['predicted_with'] == 'second'
    # nothing else is computed
    assert 'pred_instances_first' not in ours[0]


@pytest.mark.parametrize('network, flip', [
    ('MSRA', True), ('hourglass', False), ('RTMPose', True), ('RLE', True),
    ('offsets', True)])
def test_the_ensemble_decodes_the_mean_of_the_outputs(network, flip):
    config = NETWORKS[network]()
    config['test_cfg'] = dict(config['test_cfg'], flip_test=flip)
    data = batch_for(config, 0, 3)
    model = noisy(build(config))
    assert model.predict_with == 'ensemble'
    ours = model.test_step(copy.deepcopy(data))
    single, second = (
        stock_of(model, config, name).test_step(copy.deepcopy(data))
        for name in ('first', 'second'))
    assert not np.allclose(keypoints(ours), keypoints(single), atol=1e-3)
    if network == 'MSRA':  # its score is one of the mean
        assert (scores(ours) <=
                (scores(single) + scores(second)) / 2 + 1e-6).all()
    # of equal networks, the ensemble is the network
    model.networks['second'].load_state_dict(model.networks['first'].state_dict())
    alike = model.test_step(copy.deepcopy(data))
    assert np.allclose(keypoints(alike), keypoints(single), atol=1e-3)


def test_a_codec_that_decodes_in_place():
    """As SimCC does on the CPU, with DARK's refinement."""
    config = NETWORKS['RTMPose']()
    config['test_cfg'] = dict(flip_test=False)
    config['head']['decoder'] = dict(config['head']['decoder'], use_dark=True)
    model = noisy(build(config))
    data = batch_for(config, 0, 3)
    ours = keypoints(model.test_step(copy.deepcopy(data)))
    images = model.data_preprocessor(copy.deepcopy(data), False)['inputs']
    with torch.no_grad():
        mean = model(images)
    head = model.networks['first'].head
    expected = np.concatenate([
        instance.keypoints for instance in head.decode(mean)])
    sample = data['data_samples'][0].metainfo
    expected = (expected / sample['input_size'] - 0.5) * sample['input_scale']
    expected += sample['input_center']
    assert np.allclose(ours, expected, atol=1e-3)


def test_heatmaps_of_the_ensemble():
    config = heatmap_network()
    config['test_cfg']['output_heatmaps'] = True
    model = noisy(build(config))
    data = batch_for(config, 0, 3)
    maps = {}
    for name in ('first', 'second', 'ensemble'):
        model.predict_with = name
        samples = model.test_step(copy.deepcopy(data))
        maps[name] = torch.stack([s.pred_fields.heatmaps for s in samples])
    assert torch.allclose(maps['ensemble'],
                          (maps['first'] + maps['second']) / 2, atol=1e-6)


@pytest.mark.parametrize('kind, teacher, names', [
    ('PoseCons', 'train', ['first']),
    ('PoseCons', EMA, ['first', 'ema_first']),
    ('PoseDual', 'eval', ['first', 'second', 'ensemble']),
    ('PoseDual', EMA, ['first', 'second', 'ema_first', 'ema_second',
                       'ensemble']),
    ('PoseTriple', EMA, ['first', 'second', 'third', 'ema_first', 'ema_second',
                         'ema_third', 'ensemble']),
])
def test_a_validation_predicts_with_all(kind, teacher, names):
    config = heatmap_network()
    model = noisy(build(config, kind, teacher=teacher))
    assert model.predictors == names
    data = batch_for(config, 0, 3)
    samples = model.val_step(copy.deepcopy(data))
    for name in names:
        predicted = np.concatenate([
            s.get(f'pred_instances_{name}').keypoints for s in samples])
        model.predict_with = name
        alone = model.test_step(copy.deepcopy(data))
        assert (predicted == keypoints(alone)).all()
        if name != 'ensemble':
            stock = stock_of(model, config, name)
            assert (predicted == keypoints(
                stock.test_step(copy.deepcopy(data)))).all()


@pytest.mark.parametrize('flip', [False, True])
def test_a_validation_runs_and_decodes_each_network_once(flip):
    config = heatmap_network()
    config['test_cfg']['flip_test'] = flip
    model = noisy(build(config))
    with ExitStack() as stack:
        passes, decodings = ({
            name: stack.enter_context(recorded(part(network), method))
            for name, network in model.networks.items()} for part, method in (
                (lambda network: network.backbone, 'forward'),
                (lambda network: network.head, 'decode')))
        model.val_step(batch_for(config, 0, 3))
    # a flip test shows each network the turned images, too
    assert {name: len(calls) for name, calls in passes.items()} == dict(
        first=1 + flip, second=1 + flip)
    # the first network's head decodes the ensemble's mean
    assert {name: len(calls) for name, calls in decodings.items()} == dict(
        first=2, second=1)


def test_tensor_mode():
    model = noisy(build(test_cfg=dict(predict_with='first')))
    images = torch.randn(2, 3, 64, 48)
    expected = model.networks['first']._forward(images)
    assert torch.equal(model(images), expected)
    model.predict_with = 'ensemble'
    second = model.networks['second']._forward(images)
    assert torch.allclose(model(images), (expected + second) / 2)
    with pytest.raises(UserError, match="'train'"):
        model(images, mode='train')


def test_the_networks_begin_differently():
    init_default_scope('mmpose')
    model = build()
    first, second = (model.networks[name].head.final_layer.weight
                     for name in ('first', 'second'))
    assert not torch.equal(first, second)
    assert first.std().item() == pytest.approx(0.001, rel=0.3)
