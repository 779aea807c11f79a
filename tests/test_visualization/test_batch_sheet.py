from mmpose_wloss.codecs import CenteredRegressionLabel, HourglassHeatmap
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.visualization import batch_sheet

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.codecs import (
    MegviiHeatmap,
    MSRAHeatmap,
    RegressionLabel,
    SimCCLabel,
    UDPHeatmap,
)
from mmpose.structures import MultilevelPixelData, PoseDataSample

SIZE = (64, 48)
JOINTS = np.array([[[10., 20.], [40.5, 30.], [60., 5.]]])
HEATMAPS = dict(input_size=SIZE, heatmap_size=SIZE, sigma=2.)


def sample_of(codec, fields=None, **encoded):
    """A sample as a packer makes it."""
    sample = PoseDataSample(gt_instance_labels=InstanceData())
    found = {**codec.encode(JOINTS, np.array([[1., 1., 0.]])), **encoded}
    for key, name in codec.label_mapping_table.items():
        sample.gt_instance_labels.set_field(torch.as_tensor(found[key]), name)
    if fields:
        sample.gt_fields = fields(torch.as_tensor(found['heatmaps']))
    return sample


def plain(maps):
    return PixelData(heatmaps=maps)


@pytest.mark.parametrize('codec, fields', [
    (MSRAHeatmap(**HEATMAPS), plain), (UDPHeatmap(**HEATMAPS), plain),
    (MSRAHeatmap(SIZE, (16, 12), sigma=1.), plain),
    (UDPHeatmap(SIZE, (16, 12), sigma=1.), plain),
    (MegviiHeatmap(SIZE, (16, 12), kernel_size=5), plain),
    (HourglassHeatmap(SIZE, (16, 12), sigma=1.), plain),
    (UDPHeatmap((64, 48), (64, 48), heatmap_type='combined'), plain),
    (MSRAHeatmap(**HEATMAPS), lambda maps: MultilevelPixelData(
        heatmaps=[maps[:, ::4, ::4], maps])),
    (SimCCLabel(SIZE, sigma=2., simcc_split_ratio=2.), None),
    (RegressionLabel(SIZE), None), (CenteredRegressionLabel(SIZE), None)])
def test_a_target_tells_where_joints_are(codec, fields):
    target = batch_sheet.target_of(sample_of(codec, fields), SIZE, codec)
    assert target.weights.tolist() == [1, 1, 0]
    # half a pixel is the grid's
    step = np.array(getattr(codec, 'scale_factor', 1))
    assert (np.abs(target.joints - JOINTS[0])[:2] <= 0.5 * step + 1e-5).all()
    if fields:
        # of who is weighted alone
        y, x = (JOINTS[0, 0] / step).round().astype(int)[::-1]
        assert target.heatmap[y, x] > 0.5 > target.heatmap[
            tuple((JOINTS[0, 2] / step).astype(int)[::-1])]
    else:
        assert target.heatmap is None


def test_a_sample_without_labels_has_no_target():
    assert batch_sheet.target_of(PoseDataSample(), SIZE) is None
    empty = PoseDataSample(gt_instance_labels=InstanceData())
    assert batch_sheet.target_of(empty, SIZE) is None


def test_a_batch_without_known_targets_is_told(monkeypatch, tmp_path):
    batch = dict(inputs=[torch.zeros(3, 8, 8)], data_samples=[
        PoseDataSample(gt_instance_labels=InstanceData())])
    monkeypatch.setattr(batch_sheet.Runner, 'build_dataloader',
                        lambda loader, seed: [batch])
    config = batch_sheet.Config(dict(
        model={}, train_dataloader=dict(dataset=dict(type='any'), prefetch_factor=2)))
    with pytest.raises(UserError, match='gt_instance_labels'):
        batch_sheet.draw_batch(config, tmp_path / 'a.png')
