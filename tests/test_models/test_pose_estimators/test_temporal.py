"""Joints that jump between the frames of a clip."""

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.hard_views.hard_affine import affine_about_center
from mmpose_wloss.models.hard_views.hard_view import invert, move, rescale, warp
from mmpose_wloss.models.pose_estimators.easy_hard_consistency import (
    neighboring_frames,
)

import pytest
import torch
from mmengine.structures import BaseDataElement
from small_networks import (
    MEGVII,
    NETWORKS,
    UDP,
    batch_for,
    build,
    heatmap_network,
    losses_of,
)

TEMPORAL = dict(type='TemporalSmoothnessLoss', epsilon=1., loss_weight=1.)


def clips_of(data, clips=((0, 0), (0, 1), (0, 2))):
    """A batch whose unlabeled samples are frames."""
    for sample, clip in zip(data['data_samples'][3:], clips, strict=True):
        sample.set_metainfo(dict(clip=clip))
    return data


def test_frames_that_follow_each_other():
    clips = [(0, 0), (0, 1), (1, 0), (1, 2), (1, 3), None, (2, 1), (3, 2)]
    samples = [BaseDataElement(metainfo=dict(clip=clip) if clip else {})
               for clip in clips]
    assert neighboring_frames(samples).tolist() == [[0, 3], [1, 4]]
    assert neighboring_frames(samples[5:7]).shape == (2, 0)
    with pytest.raises(UserError, match='clip_length'):
        neighboring_frames(samples[5:6])


@pytest.mark.parametrize('codec', [None, UDP, MEGVII], ids=['MSRA', 'UDP', 'Megvii'])
def test_soft_joints_are_the_joints_of_sharp_heatmaps(codec):
    """However low they are; and they have a gradient."""
    outputs = build(heatmap_network(codec)).outputs
    x, y = torch.arange(12.), torch.arange(16.)[:, None]
    heatmaps = torch.stack([torch.exp(-((x - cx)**2 + (y - cy)**2) / 4)
                            for cx, cy in ((5, 7), (6, 8), (3, 11), (8, 4), (4, 4))])
    for height in (1., .2):
        scaled = (height * heatmaps[None]).requires_grad_()
        places = outputs.soft_joints(scaled)
        assert (places - outputs.joints(scaled)).abs().max() < 1
        places.sum().backward()
        assert scaled.grad.abs().max() > 0
    nothing = outputs.soft_joints(torch.zeros(1, 5, 16, 12))
    assert nothing.isfinite().all()


def test_how_a_hard_view_is_turned_does_not_count():
    """Two frames of the same joints, each turned in its own way."""
    model = build(temporal_loss=dict(TEMPORAL, epsilon=0.))
    x, y = torch.arange(12.), torch.arange(16.)[:, None]
    heatmap = torch.exp(-((x - 5)**2 + (y - 7)**2) / 4).expand(2, 5, -1, -1)
    matrix = affine_about_center(torch.tensor([20., -30.]), torch.tensor([1., .9]),
                                 (48, 64), rigid=True)
    turned = warp(heatmap, rescale(matrix, (4, 4), (0, 0)))
    frames = torch.tensor([0]), torch.tensor([1])
    loss = model._temporal(turned, matrix, torch.ones(2, 5), *frames)
    easy = model.outputs.joints(heatmap)
    apart = (move(easy, invert(matrix))[0] - move(easy, invert(matrix))[1]).norm(dim=1)
    assert loss < .5 < 3 < apart.min()
    # joints of which nothing is known, and those without a score
    assert model._temporal(turned, matrix, torch.zeros(2, 5), *frames) == 0
    assert model._temporal(0 * turned, matrix, torch.ones(2, 5), *frames) == 0


@pytest.mark.parametrize('codec, height', [(None, 1.), (MEGVII, 255.)],
                         ids=['MSRA', 'Megvii'])
def test_joints_weigh_by_how_sure_they_are(codec, height):
    model = build(heatmap_network(codec), temporal_loss=TEMPORAL)
    x, y = torch.arange(12.), torch.arange(16.)[:, None]
    heatmaps = torch.stack([torch.exp(-((x - cx)**2 + (y - 7)**2) / 4)
                            for cx in (4, 7)])[:, None].expand(-1, 5, -1, -1)
    sure, unsure = (model._temporal(
        share * height * heatmaps, torch.eye(2, 3).repeat(2, 1, 1), torch.ones(2, 5),
        torch.tensor([0]), torch.tensor([1])) for share in (1., .25))
    assert unsure == pytest.approx(sure / 4) and sure > 5


@pytest.mark.parametrize('network', ['MSRA', 'hourglass'])
@pytest.mark.parametrize('kind', ['PoseCons', 'PoseTriple'])
def test_a_network_learns_from_clips(network, kind):
    config = NETWORKS[network]()
    model = build(config, kind, temporal_loss=dict(TEMPORAL, epsilon=0.))
    for each in model.networks.values():
        for parameter in each.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    losses = losses_of(model, clips_of(batch_for(config)))
    sum(losses[f'{name}.loss_temporal'] for name in model.networks).backward()
    for each in model.networks.values():
        assert any(parameter.grad is not None and parameter.grad.abs().max() > 0
                   for parameter in each.head.parameters())
    assert all(parameter.grad is None or parameter.grad.isfinite().all()
               for parameter in model.parameters())


def test_without_a_weight_it_is_as_ever():
    data = clips_of(batch_for(heatmap_network()))
    expected = losses_of(build(), data)
    found = losses_of(build(temporal_loss=dict(TEMPORAL, loss_weight=0.)), data)
    assert {*found} - {*expected} == {'first.loss_temporal', 'second.loss_temporal'}
    assert found['first.loss_temporal'] == 0
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_batch_whose_frames_are_no_neighbors():
    data = clips_of(batch_for(heatmap_network()), ((0, 0), (1, 1), (2, 0)))
    losses = losses_of(build(temporal_loss=TEMPORAL), data)
    assert losses['first.loss_temporal'] == 0


def test_parts_that_do_not_fit():
    with pytest.raises(UserError, match='clip_length'):
        losses_of(build(temporal_loss=TEMPORAL), batch_for(heatmap_network()))
    with pytest.raises(UserError, match='temporal_loss'):
        build(NETWORKS['RTMPose'](), temporal_loss=TEMPORAL)
