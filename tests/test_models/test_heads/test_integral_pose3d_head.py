from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.heads import center_of_mass, soft_argmax
from mmpose_wloss.models.heads.integral_pose3d_head import MODES, TERMS

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import Tensor

JOINTS = 5
SIZE = (12, 16, 8)
CODEC = dict(type='IntegralPose3DLabel', input_size=(48, 64),
             heatmap_size=SIZE, sigma=1.5)
STAGE2 = dict(type='HourglassStage', in_channels=8, heatmap_channels=JOINTS,
              downsample_times=2, stage_channels=(8, 8, 8),
              stage_blocks=(1, 1, 1))


def build(depth=8, **options):
    init_default_scope('mmpose')
    torch.manual_seed(0)
    head = MODELS.build(dict(dict(
        type='IntegralPose3DHead', in_channels=6, out_channels=JOINTS,
        deconv_out_channels=(8, ), deconv_kernel_sizes=(4, ),
        decoder=dict(CODEC, heatmap_size=(*SIZE[:2], depth))), **options))
    head.init_weights()
    return head


def features(seed=0):
    return (torch.randn(2, 6, 8, 6,
                        generator=torch.Generator().manual_seed(seed)), )


def some_labels() -> Tensor:
    return torch.rand(2, JOINTS, 3, generator=torch.Generator().manual_seed(0))


def samples(labels: Tensor | None = None, weights: Tensor | None = None):
    """Samples with these labels [2, K, 3] and weights [2, K]."""
    batch = []
    for label, weight in zip(
            some_labels() if labels is None else labels,
            torch.ones(2, JOINTS) if weights is None else weights, strict=True):
        sample = PoseDataSample(metainfo=dict(
            flip_indices=[1, 0, 2, 4, 3], input_size=(48, 64)))
        sample.gt_instance_labels = InstanceData(
            keypoint_labels=label[None], keypoint_weights=weight[None])
        batch.append(sample)
    return batch


@pytest.mark.parametrize('stage2', [None, STAGE2], ids=['one', 'two_stages'])
@pytest.mark.parametrize('mode', MODES)
def test_every_term_is_its_definition(mode, stage2):
    head = build(mode=mode, stage2=stage2).eval()
    labels = some_labels()
    losses = head.loss(features(), samples())
    heatmaps, volume = head.forward(features())
    assert heatmaps.shape == (2, JOINTS, 16, 12)
    assert volume.shape == (2, JOINTS, 8, 16, 12)
    from_volume = soft_argmax(volume, 30.)
    planar = labels[..., :2] * torch.tensor([11., 15.])
    pairs = dict(
        heatmap2d=(heatmaps, head.decoder.heatmaps(labels)),
        heatmap3d=(volume, head.decoder.volumes(labels)),
        joint2d_from_volume=(from_volume[..., :2], planar),
        # the range of depth counts as many bins as the heatmaps are wide
        depth_from_volume=(from_volume[..., 2] * 11 / 7, labels[..., 2] * 11),
        joint2d_from_heatmap=(soft_argmax(heatmaps, 30.), planar))
    assert [name for name in TERMS if f'loss_{name}' in losses] == list(
        MODES[mode])
    for name in MODES[mode]:
        prediction, truth = pairs[name]
        error = prediction - truth
        weight = 1 / error.abs().mean()
        torch.testing.assert_close(losses[f'weight_{name}'], weight)
        torch.testing.assert_close(
            losses[f'loss_{name}'], weight * error.square().sum() / 2)


@pytest.mark.parametrize('balancer, power', [
    (dict(type='ManualBalancer', ratios=dict.fromkeys(TERMS, 0.5)), 2),
    (dict(type='AdaptiveBalancer'), 1)])
def test_in_bins_integrals_weigh_the_bins_of_a_side_to_a_power(balancer, power):
    square = dict(CODEC, input_size=(48, 48), heatmap_size=(12, 12, 8))
    feats = (features()[0][:, :, 1:7], )
    bins, normalized = (build(decoder=square, integral_unit=unit,
                              balancer=balancer).eval().loss(feats, samples())
                        for unit in ('bins', 'normalized'))
    for name in TERMS:
        factor = 1 if name in MODES['H1'] else 11**power
        torch.testing.assert_close(bins[f'loss_{name}'],
                                   factor * normalized[f'loss_{name}'])


def test_normalized_integrals_are_compared_as_labels():
    head = build(integral_unit='normalized', threshold2d=0.01).eval()
    heatmaps, volume = head.forward(features())
    losses, labels = head.loss(features(), samples()), some_labels()
    from_volume = soft_argmax(volume, 30.) / torch.tensor([11., 15., 7.])
    pairs = dict(
        joint2d_from_volume=(from_volume[..., :2], labels[..., :2]),
        depth_from_volume=(from_volume[..., 2], labels[..., 2]),
        joint2d_from_heatmap=(
            center_of_mass(heatmaps, 0.01) / torch.tensor([11., 15.]),
            labels[..., :2]))
    for name, (prediction, truth) in pairs.items():
        torch.testing.assert_close(losses[f'raw_{name}'],
                                   (prediction - truth).square().sum() / 2)


def test_terms_can_be_left_out():
    losses = build(terms=TERMS[3::-1]).loss(features(), samples())
    assert [name for name in losses if name.startswith('loss_')] == [
        f'loss_{name}' for name in TERMS[:4]]


def test_all_parameters_learn():
    head = build(stage2=STAGE2)
    losses = head.loss(features(), samples())
    sum(losses[f'loss_{name}'] for name in TERMS).backward()
    assert all(parameter.grad.any() for name, parameter
               in head.named_parameters() if 'bias' not in name)


def test_invisible_joints_have_no_term():
    head, other, weights = build().eval(), some_labels(), torch.ones(2, JOINTS)
    weights[:, 2] = 0
    other[:, 2] = np.nan
    losses, expected = (head.loss(features(), samples(labels, weights))
                        for labels in (other, None))
    assert losses.keys() == expected.keys()
    for name in losses:
        torch.testing.assert_close(losses[name], expected[name])
    nobody = head.loss(features(), samples(weights=0 * weights))
    total = sum(value for name, value in nobody.items() if 'loss' in name)
    assert total == 0
    total.backward()
    assert all(parameter.grad is None or not parameter.grad.any()
               for parameter in head.parameters())


def test_joints_outside_the_depth_range_are_learned_in_2d_and_counted():
    head, labels, weights = build().eval(), some_labels(), torch.ones(2, JOINTS)
    # the last is not annotated, and not counted
    labels[:, :3, 2] = torch.tensor([1.2, -0.1, np.nan])
    losses = head.loss(features(), samples(labels))
    assert losses['joints_outside_depth_range'] == 4
    assert all(value.isfinite().all() for value in losses.values())
    weights[:, :3] = 0
    without = head.loss(features(), samples(labels, weights))
    for name in TERMS:
        same = torch.isclose(losses[f'loss_{name}'], without[f'loss_{name}'])
        assert same == (name in ('heatmap3d', 'depth_from_volume'))


def test_the_log_tells_how_far_joints_are_off(monkeypatch):
    head, places = build(), some_labels()
    places[0, 0, 0] += 0.06 if places[0, 0, 0] < 0.5 else -0.06
    places[1, 1, 2] += 0.1 if places[1, 1, 2] < 0.5 else -0.1
    monkeypatch.setattr(
        'mmpose_wloss.models.heads.integral_pose3d_head.soft_argmax',
        lambda maps, beta=30.: (places * head.bins)[..., :maps.ndim - 2])
    losses = head.loss(features(), samples())
    torch.testing.assert_close(losses['acc_pose'], torch.tensor(0.9))
    torch.testing.assert_close(losses['depth_error'], torch.tensor(20.),
                               atol=1e-3, rtol=0)
    for mode in MODES:
        assert 'acc_pose' not in build(mode=mode).loss(
            features(), samples(), dict(compute_acc=False))


def test_predictions_are_places_in_pixels_and_mm():
    head = build().eval()
    predictions = head.predict(features(), samples())
    _, volume = head.forward(features())
    expected = soft_argmax(volume, 30.).detach().numpy() / (11, 15, 7)
    expected = expected * (48, 64, 2000) - (0, 0, 1000)
    for prediction, places in zip(predictions, expected, strict=True):
        assert prediction.keypoints.shape == (1, JOINTS, 3)
        np.testing.assert_allclose(prediction.keypoints[0], places, atol=1e-2)
        assert prediction.keypoint_scores.shape == (1, JOINTS)


def test_argmax_takes_the_highest_bins(monkeypatch):
    head = build().eval()
    bins = torch.stack([torch.randint(side, (2, JOINTS)) for side in SIZE], -1)
    volume = torch.rand(2, JOINTS, *SIZE[::-1])
    for sample, joint in np.ndindex(2, JOINTS):
        x, y, z = bins[sample, joint]
        volume[sample, joint, z, y, x] = 1.5
    monkeypatch.setattr(head, 'forward', lambda feats: (volume[:, :, 0], volume))
    predictions = head.predict(features(), samples(), dict(argmax=True))
    expected = bins.numpy() / (11, 15, 7) * (48, 64, 2000) - (0, 0, 1000)
    for prediction, places in zip(predictions, expected, strict=True):
        np.testing.assert_allclose(prediction.keypoints[0], places, atol=1e-3)


def test_the_flip_test_averages_mirrored_joints(monkeypatch):
    head = build().eval()
    batch = samples()
    truth = torch.rand(2, JOINTS, 3) * head.bins
    mirrored = truth[:, batch[0].metainfo['flip_indices']]
    mirrored = mirrored * torch.tensor([-1., 1, 1]) + torch.tensor([11., 0, 0])
    answers = iter([truth, mirrored])
    monkeypatch.setattr(
        'mmpose_wloss.models.heads.integral_pose3d_head.soft_argmax',
        lambda volume, beta: next(answers))
    flipped, fields = head.predict(
        [features(), features(1)], batch,
        dict(flip_test=True, output_heatmaps=True))
    expected, _ = head.decoder.decode(truth.numpy(), np.ones((2, JOINTS)))
    for prediction, places in zip(flipped, expected, strict=True):
        np.testing.assert_allclose(prediction.keypoints[0], places, atol=1e-3)
    assert fields[0].heatmaps.shape == (JOINTS, 16, 12)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_gives_the_loss_of_float32(dtype):
    head = build().eval()
    expected = head.loss(features(), samples())
    maps = [each.to(dtype) for each in head.forward(features())]
    head._outputs = lambda features: maps
    with torch.autocast('cpu', torch.bfloat16):
        losses = head.loss(features(), samples())
    for name in TERMS:
        assert losses[f'loss_{name}'].dtype == torch.float32
        torch.testing.assert_close(losses[f'loss_{name}'],
                                   expected[f'loss_{name}'], rtol=0.03,
                                   atol=0.)


def test_a_stock_heads_checkpoint_loads_as_its_2d_part():
    stock = HeatmapHead(in_channels=6, out_channels=JOINTS,
                        deconv_out_channels=(8, ), deconv_kernel_sizes=(4, ))
    head = build()
    missing, unexpected = head.load_state_dict(stock.state_dict(),
                                               strict=False)
    assert not unexpected and set(missing) == {
        'volume_layer.weight', 'volume_layer.bias'}
    stock.eval(), head.eval()
    torch.testing.assert_close(head.forward(features())[0],
                               stock.forward(features()))


def test_a_checkpoint_of_another_depth_is_refused_but_by_a_training():
    state, grown = build(depth=4).state_dict(), build(depth_growth='random')
    grown.is_init = False  # a test does not initialize weights
    for head in (build(), grown):
        with pytest.raises(UserError, match='d2 = 4 .* 8.*depth_growth'):
            head.load_state_dict(state)
    with pytest.raises(UserError, match=r'\(24, 8, 1, 1\).*\(40, 8, 1, 1\)'):
        build(depth_growth='random').load_state_dict(
            build(out_channels=3).state_dict())


@pytest.mark.parametrize('growth', ['random', 'interpolate'])
def test_growing_depth_keeps_all_but_the_volume_layer(growth):
    small = build(depth=4, stage2=STAGE2)
    grown = build(depth_growth=growth, stage2=STAGE2, heatmap2_init_std=0.5)
    for parameter in small.parameters():
        torch.nn.init.normal_(parameter)
    state = small.state_dict()
    grown.load_state_dict(state)
    for name, value in grown.state_dict().items():
        if 'volume_layer' not in name:
            torch.testing.assert_close(value, state[name])
    new = grown.volume_layer.weight.detach()
    assert new.shape[0] == JOINTS * 8
    if growth == 'random':
        assert 0.4 < new.std() < 0.6 and not grown.volume_layer.bias.any()
    else:
        old = state['volume_layer.weight'].unflatten(0, (JOINTS, 4))
        new = new.unflatten(0, (JOINTS, 8))
        # first and last bin stay where they are
        torch.testing.assert_close(new[:, 0], old[:, 0])
        torch.testing.assert_close(new[:, 2], old[:, 0] / 7 + old[:, 1] * 6 / 7)
        for name, value in grown.volume_layer.named_parameters():
            torch.testing.assert_close(
                value.detach().unflatten(0, (JOINTS, 8))[:, 7],
                state[f'volume_layer.{name}'].unflatten(0, (JOINTS, 4))[:, 3])
    # what has grown resumes as it is
    again = build(depth_growth=growth, stage2=STAGE2)
    again.load_state_dict(grown.state_dict())
    torch.testing.assert_close(again.volume_layer.weight,
                               grown.volume_layer.weight)


def test_the_volume_layer_is_drawn_with_its_own_deviation():
    for init_cfg in (None, dict(type='Normal', layer='Conv2d', std=0.003)):
        head = build(heatmap2_init_std=0.2, init_cfg=init_cfg)
        assert 0.18 < head.volume_layer.weight.std() < 0.22
        assert head.final_layer.weight.std() < 0.01


MANUAL = dict(type='ManualBalancer', ratios=dict(
    heatmap2d=1., heatmap3d=0.1, depth_from_volume=1.))


def test_manual_makes_the_terms_that_have_a_ratio():
    losses = build(mode='manual', balancer=MANUAL).loss(features(), samples())
    assert {name for name in losses if name.startswith('loss_')} == {
        'loss_heatmap2d', 'loss_heatmap3d', 'loss_depth_from_volume'}
    assert losses['weight_heatmap3d'] == torch.tensor(0.1)


@pytest.mark.parametrize('options, named', [
    (dict(mode='H2'), 'mode'), (dict(integral_unit='mm'), 'integral_unit'),
    (dict(mode='H1', terms=['heatmap2d', 'depth_from_volume']), r'terms\[1\]'),
    (dict(threshold2d=-1.), 'threshold2d'), (dict(threshold2d=5.), 'threshold2d'),
    (dict(terms='heatmap2d'), "terms.*'heatmap2d'"), (dict(terms=[]), 'terms'),
    (dict(threshold2d=0.003, beta2d=30.), 'beta2d'), (dict(mode='manual'), 'ratios'),
    (dict(mode='manual', balancer=dict(
        type='ManualBalancer', ratios=dict(heatmap2d=1., limbs=1.))), 'limbs'),
    (dict(mode='H1', balancer=MANUAL), 'depth_from_volume'),
    (dict(mode='manual', balancer=dict(
        type='AdaptiveBalancer', ratios=dict(heatmap2d=1.))),
     'AdaptiveBalancer'),
    (dict(loss=dict(type='KeypointMSELoss')), 'loss'),
    (dict(beta=0.), 'beta'), (dict(beta2d=-1.), 'beta2d'),
    (dict(heatmap2_init_std=-1.), 'heatmap2_init_std'),
    (dict(depth_growth='nearest'), 'depth_growth'),
    (dict(decoder=None), 'decoder'),
    (dict(decoder=dict(type='MSRAHeatmap', input_size=(48, 64),
                       heatmap_size=(12, 16), sigma=2.)), 'decoder')])
def test_wrong_options_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        build(**options)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match=r'\(6, 8, 8\).*\(12, 16, 8\)'):
        build().loss((torch.randn(2, 6, 4, 3), ), samples())
    head = build(stage2=dict(STAGE2, downsample_times=3,
                             stage_channels=(8, ) * 4, stage_blocks=(1, ) * 4))
    with pytest.raises(ValueError, match='downsample_times'):
        head.forward(features())
    with pytest.raises(ValueError, match='stage_blocks'):
        build(stage2=dict(STAGE2, stage_blocks=(1, )))
