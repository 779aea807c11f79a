"""Pseudo-heatmaps of several views of a teacher."""

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.hard_views import HardView
from mmpose_wloss.models.pose_estimators.teacher_views import average_views

import pytest
import torch
from mmpose.registry import MODELS
from small_networks import (
    FLIP_INDICES,
    KEYPOINTS,
    MEGVII,
    NETWORKS,
    UDP,
    batch_for,
    build,
    heatmap_network,
    losses_of,
)
from torch import nn

FLIP = dict(type='HorizontalFlip')
AFFINE = dict(type='HardAffine', rotate_factor=10., rotate_prob=1., scale_factor=.1)
VIEWS = [[], [FLIP], [AFFINE], [AFFINE, FLIP]]


def easy_view(size=(48, 64), channels=KEYPOINTS):
    """Smooth spots of left and right joints, away from the border."""
    x, y = torch.arange(float(size[0])), torch.arange(float(size[1]))[:, None]
    spots = torch.stack([torch.exp(-((x - cx)**2 + (y - cy)**2) / 72)
                         for cx, cy in ((18, 26), (30, 34), (24, 38), (22, 30),
                                        (28, 24))[:channels]])
    ones = torch.ones(channels, 1, 1)
    return HardView(spots.expand(2, -1, -1, -1), torch.empty(1, 2, 0, 2), 0 * ones,
                    ones, flip_indices=FLIP_INDICES)


def sampled(images, outputs, count=(12, 16)):
    """Heatmaps that are the image, where the codec says."""
    height, width = images.shape[2:]
    x, y = ((torch.arange(n) + outputs.origin) * scale
            for n, scale in zip(count, outputs.scale, strict=True))
    grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1)
    grid = (2 * grid + 1) / torch.tensor([width, height]) - 1
    return nn.functional.grid_sample(
        images, grid.expand(len(images), -1, -1, -1), align_corners=False)


def predict(view, outputs):
    """A perfect network: in a mirrored image, left joints are right ones."""
    heatmaps = sampled(view.image, outputs)
    return heatmaps[:, FLIP_INDICES] if view.mirrored else heatmaps


@pytest.mark.parametrize('codec', [None, UDP, MEGVII], ids=['MSRA', 'UDP', 'Megvii'])
def test_a_perfect_network_predicts_the_same_on_all_views(codec):
    torch.manual_seed(0)
    outputs, easy = build(heatmap_network(codec)).outputs, easy_view()
    views = [nn.Sequential(*map(MODELS.build, path))(easy) for path in VIEWS]
    assert [view.mirrored for view in views] == [False, True, False, True]
    expected = predict(easy, outputs)
    for view in views:
        alone = average_views(outputs, [predict(view, outputs)], [view])
        assert (alone - expected).abs().max() < .12 * expected.max()
    # without what undoes the view, it is another one
    assert (predict(views[1], outputs) - expected).abs().max() > .3
    mean = average_views(outputs, [predict(view, outputs) for view in views], views)
    assert (mean - expected).abs().max() < .08 * expected.max()
    halves = [predict(view, outputs).bfloat16() for view in views]
    half = average_views(outputs, halves, views)
    assert half.dtype == torch.float32 and (half - mean).abs().max() < .02


def test_the_mean_is_that_of_the_views_that_show_a_place():
    """A view of the half of the image: beyond it, the other view alone counts."""
    outputs, easy = build().outputs, easy_view()
    shifted = easy.replace(matrix=easy.matrix + torch.tensor(
        [[0, 0, 24.], [0, 0, 0]]))
    views = [easy, shifted]
    mean = average_views(outputs, [torch.full((2, 3, 16, 12), 1.),
                                   torch.full((2, 3, 16, 12), 3.)], views)
    assert torch.allclose(mean[..., :5], torch.tensor(1.))
    assert torch.allclose(mean[..., 7:], torch.tensor(2.))
    # of the shifted one alone, 0 where nothing is seen
    alone = average_views(outputs, [torch.full((2, 3, 16, 12), 3.)], [shifted])
    assert (alone[..., :5] == 0).all() and torch.allclose(
        alone[..., 7:], torch.tensor(3.))


@pytest.mark.parametrize('views', [[[]], []])
def test_one_view_is_as_none(views):
    data = batch_for(heatmap_network())
    expected = losses_of(build(), data)
    found = losses_of(build(teacher_views=views), data)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize('kind', ['PoseCons', 'PoseTriple'])
@pytest.mark.parametrize('network', ['MSRA', 'hourglass'])
def test_several_views_train(network, kind):
    config = NETWORKS[network]()
    data = batch_for(config)
    model = build(config, kind, teacher_views=VIEWS)
    model.measures_hardness = True
    losses = losses_of(model, data)
    assert all(value.isfinite().all() for value in losses.values()
               if torch.is_tensor(value))
    assert losses['first.loss_consistency'] > 0
    predicted, shown, easy = model.teach(
        torch.randn(3, 3, *data['inputs'][0].shape[1:]), data['data_samples'][3:])
    assert shown.matrix[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert predicted['first'].shape[1] == easy.joints.shape[2] == KEYPOINTS


def test_students_share_no_move_with_teachers():
    shared = dict(AFFINE, shared=True)
    still = dict(shared, rotate_factor=0., scale_factor=0.)
    model = build(teacher_views=[still], hard_views=[shared])
    _, shown, easy = model.teach(torch.zeros(3, 3, 64, 48), batch_for(
        heatmap_network(), 0, 3)['data_samples'])
    torch.testing.assert_close(shown.matrix, easy.matrix)
    path, = model.hard_views
    moved = path(easy).matrix
    assert not torch.isclose(moved, easy.matrix).all() and torch.equal(
        path(easy).matrix, moved)


def test_nothing_says_which_joints_change_places():
    data = batch_for(heatmap_network())
    for sample in data['data_samples']:
        del sample.flip_indices
    with pytest.raises(UserError, match='flip_indices'):
        losses_of(build(teacher_views=VIEWS), data)
