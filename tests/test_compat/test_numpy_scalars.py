"""mmpose draws keypoints, whatever NumPy takes for a number."""

from mmpose_wloss.compat import numpy_scalars

import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer
from mmpose.visualization.opencv_backend_visualizer import (
    OpencvBackendVisualizer,
)


@pytest.mark.parametrize('mended', [False, True], ids=['as it is', 'mended'])
def test_keypoints_are_drawn(mended, monkeypatch):
    if mended:
        # this NumPy may need no mending
        monkeypatch.setattr(OpencvBackendVisualizer, 'draw_circles',
                            OpencvBackendVisualizer.draw_circles)
        numpy_scalars._take_numbers()
    instances = InstanceData(
        keypoints=np.array([[[20., 30.]]]), keypoint_scores=np.ones((1, 1)),
        keypoints_visible=np.ones((1, 1)))
    visualizer = PoseLocalVisualizer('drawing', radius=4)
    visualizer.set_dataset_meta(dict(
        keypoint_colors=[(255, 0, 0)], skeleton_links=[],
        skeleton_link_colors=[]), skeleton_style='mmpose')
    picture = visualizer.add_datasample(
        'keypoint', np.zeros((48, 64, 3), np.uint8),
        PoseDataSample(pred_instances=instances), draw_gt=False,
        draw_bbox=False)
    drawn = picture.any(-1)
    assert drawn[30, 20]
    assert not drawn[:20].any() and not drawn[:, 30:].any()
