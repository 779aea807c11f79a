"""The test loss of weighted DeepPose, from the original formula."""

import csv

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import LSPDataset
from mmpose_wloss.models.losses.regression_losses import masked_mse_loss

import numpy as np
import pytest
import torch
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import METRICS

META = parse_pose_metainfo(LSPDataset.METAINFO)
JOINTS = 14


def people(count=7):
    rng = np.random.default_rng(0)
    sizes = rng.uniform(100, 400, (count, 2)).round()
    true = rng.uniform(-0.2, 1.2, (count, JOINTS, 2)) * sizes[:, None]
    predicted = true + rng.normal(0, 20, true.shape)
    visible = rng.integers(0, 2, (count, JOINTS)).astype(np.float32)
    # beside the image and unlabeled: far away
    predicted[visible == 0] += 1000
    return sizes, true, predicted, visible


def samples(sizes, true, predicted, visible, dims=2):
    return [dict(
        input_center=size / 2, input_scale=size, img_path=f'{index}.jpg',
        pred_instances=dict(keypoints=guess[None]), gt_instances=dict(
            keypoints=where[None],
            keypoints_visible=seen[None] if dims == 2 else seen[None, :, None]))
            for index, (size, where, guess, seen) in enumerate(zip(
                sizes, true, predicted, visible, strict=True))]


def evaluate(given, **arguments):
    metric = METRICS.build(dict(type='CoordinateMSE', **arguments))
    metric.dataset_meta = META
    metric.process([], given)
    return metric.evaluate(len(given))


def original(sizes, true, predicted, visible):
    """Coordinates over the half of the image; joints beside it do not count."""
    half = sizes[:, None] / 2
    true, predicted = ((each - half) / half for each in (true, predicted))
    # it is 0 in the original code for what is not in the image
    inside = (np.abs(true) < 1).all(2) & (visible > 0)
    mask = np.repeat(inside[..., None], 2, 2).astype(float)
    return predicted, true, mask


@pytest.mark.parametrize('dims', [2, 3])
def test_it_is_the_original_loss(dims):
    data = people()
    predicted, true, mask = original(*data)
    expected = (mask * (predicted - true)**2).sum() / mask.sum()
    assert 0 < mask.mean() < 1
    result = evaluate(samples(*data, dims=dims))
    assert result == {'MSE': pytest.approx(expected, rel=1e-12)}
    # and that of the training, of poses with weights but for these
    weights = torch.from_numpy(mask[..., 0] * np.arange(1, 8)[:, None])
    assert float(masked_mse_loss(
        torch.from_numpy(predicted), torch.from_numpy(true),
        (weights > 0).double())) == pytest.approx(expected)


def test_predictions_are_written_as_the_original_code_writes_them(tmp_path):
    data = people()
    file = tmp_path / 'new' / 'predictions.csv'
    expected = evaluate(samples(*data), predictions_file=str(file))['MSE']
    head, *rows = csv.reader(file.open())
    assert head[:3] == ['image', 'predicted_x_right_ankle', 'predicted_x_right_knee']
    assert head[-1] == 'weight_y_head_top' and len(head) == 1 + 3 * 2 * JOINTS
    assert [row[0] for row in rows] == [f'{index}.jpg' for index in range(7)]
    numbers = np.array([row[1:] for row in rows], float)
    # each of the original arrays is [2, K], flattened
    for part, values in zip(np.split(numbers, 3, 1), original(*data), strict=True):
        assert np.allclose(part, values.transpose(0, 2, 1).reshape(7, -1))
    guess, true, weights = np.split(numbers, 3, 1)
    error = (weights * (guess - true)**2).sum() / weights.sum()
    assert error == pytest.approx(expected)
    assert list(file.parent.iterdir()) == [file]


def test_files_that_cannot_be_written_are_refused_at_once(tmp_path):
    (tmp_path / 'folder.csv').mkdir()
    (tmp_path / 'file').write_text('')
    for wrong in (3, '', 'predictions.txt', tmp_path / 'folder.csv',
                  str(tmp_path / 'file' / 'predictions.csv')):
        with pytest.raises(UserError, match='predictions_file'):
            METRICS.build(dict(type='CoordinateMSE', predictions_file=wrong))


def test_nothing_to_count():
    sizes, true, predicted, visible = people()
    with pytest.raises(UserError, match='keypoints_visible'):
        evaluate(samples(sizes, true, predicted, 0 * visible))
