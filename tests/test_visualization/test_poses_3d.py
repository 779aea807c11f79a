from types import SimpleNamespace

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.visualization.pose3d_image_visualizer import Pose3DImageVisualizer
from mmpose_wloss.visualization.poses_3d import (
    DISTANCE,
    PoseView,
    draw_pose_views,
    upright,
)
from mmpose_wloss.visualization.rare_poses import figure_to_image
from mmpose_wloss.visualization.skeleton import Skeleton

import cv2
import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.engine.hooks import PoseVisualizationHook
from mmpose.structures import PoseDataSample

JOINTS = 3
SKELETON = Skeleton(np.array([[0, 1], [1, 2]]), np.tile([1., 0, 0], (2, 1)),
                    np.tile([1., 0, 0], (JOINTS, 1)))
IMAGE = np.full((60, 80, 3), 128, np.uint8)
RED = (255, 0, 0)
META = dict(dataset_name='three', skeleton_links=[[0, 1], [1, 2]],
            skeleton_link_colors=np.tile(RED, (2, 1)),
            keypoint_colors=np.tile(RED, (JOINTS, 1)))


def sample(people=1, cam=False, truth=False) -> PoseDataSample:
    """Hip, chest and head of people, one above the other."""
    upper = np.array([[0, 0, 0], [0, -500, 0], [0, -900, 0]], np.float32)
    pixels = np.array([[40, 50], [40, 30], [40, 10]], np.float32)
    shift = np.arange(people, dtype=np.float32)[::-1, None, None]
    found = InstanceData(
        keypoints=np.repeat(upper[None], people, 0),
        transformed_keypoints=pixels + shift * 10,
        keypoint_scores=np.full((people, JOINTS), 0.8, np.float32),
        bboxes=np.tile([30., 5., 50., 55.], (people, 1)))
    if cam:
        found.keypoints_cam = found.keypoints + np.array([100, 0, 4000])
    one = PoseDataSample(pred_instances=found)
    if truth:
        one.gt_instances = InstanceData(
            keypoints=np.tile(np.append(pixels, np.zeros((JOINTS, 1)), 1),
                              (people, 1, 1)),
            lifting_target=np.repeat(upper[None], people, 0),
            lifting_target_visible=np.ones((people, JOINTS)))
    return one


def share_of(image: np.ndarray, color) -> float:
    return (np.abs(image.astype(int) - color).max(-1) < 60).mean()


def test_up_in_the_image_is_up_in_the_plot():
    assert upright(np.eye(3)).tolist() == [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    axes = draw_pose_views([PoseView.of_sample(IMAGE, sample())], SKELETON).axes[1]
    points, = [each for each in axes.collections if hasattr(each, '_offsets3d')]
    heights = points._offsets3d[2]
    assert list(heights) == [0, 500, 900]
    bottom, top = axes.get_zlim()
    assert bottom < 0 and top > 900


def test_people_stand_where_they_are_or_side_by_side():
    points = PoseView.of_sample(IMAGE, sample(people=3)).prediction.points
    # the last one is on the left of the image
    assert points[:, 0, 0].tolist() == [2 * DISTANCE, DISTANCE, 0]
    points = PoseView.of_sample(IMAGE, sample(people=2, cam=True)).prediction.points
    assert np.allclose(points[:, 0], [100, 0, 4000])


def test_truth_has_a_panel_of_its_own():
    with_truth = PoseView.of_sample(IMAGE, sample(truth=True), truth=True)
    without = PoseView.of_sample(IMAGE, sample(truth=True))
    titles = [[axes.get_title() for axes in
               draw_pose_views([view], SKELETON).axes]
              for view in (with_truth, without)]
    assert titles == [['', 'prediction', 'truth'], ['', 'prediction']]
    grid = draw_pose_views([with_truth] * 3, SKELETON, columns=2)
    assert len(grid.axes) == 9
    low, high = grid.axes[1], grid.axes[2]
    assert low.get_zlim() == high.get_zlim()


def test_joints_below_the_threshold_are_left_out():
    shares = [share_of(figure_to_image(draw_pose_views(
        [PoseView.of_sample(IMAGE, sample(), threshold)], SKELETON)), RED)
        for threshold in (0.8, 0.9)]
    assert shares[0] > 1e-3 and shares[1] == 0


def test_a_window_shows_a_box_and_around_it():
    view = PoseView.of_sample(IMAGE, sample(), window=np.array([30., 5., 50., 55.]))
    axes = draw_pose_views([view], SKELETON).axes[0]
    # 1.3 times the longer side, as far as there is an image
    assert np.allclose(axes.get_xlim(), (7, 72))
    assert np.allclose(axes.get_ylim(), (59.5, -0.5))


def test_a_prediction_without_depth_is_refused():
    flat = sample()
    flat.pred_instances.keypoints = flat.pred_instances.keypoints[..., :2]
    with pytest.raises(UserError, match='TopdownPose3DEstimator'):
        Pose3DImageVisualizer('refuses').add_datasample('flat', IMAGE, flat)


def test_the_visualizer_writes_a_picture(tmp_path):
    visualizer = Pose3DImageVisualizer('writes_a_picture', line_width=2)
    visualizer.set_dataset_meta(META)
    drawn = visualizer.add_datasample(
        'person', IMAGE, sample(people=2, truth=True), draw_gt=False,
        draw_bbox=True, draw_heatmap=True, out_file=str(tmp_path / 'a.png'))
    assert drawn.shape == (390, 1080, 3)
    assert share_of(drawn, RED) > 1e-3
    assert (tmp_path / 'a.png').stat().st_size > 1000
    narrow = Pose3DImageVisualizer('draws_no_truth', beside_truth=False)
    assert narrow.add_datasample(
        'person', IMAGE, sample(truth=True), draw_gt=False).shape[1] == 720


def test_validation_draws_by_the_stock_hook(coco_root, tmp_path):
    """``PoseVisualizationHook`` with a batch of a data set with 3D."""
    visualizer = Pose3DImageVisualizer.get_instance(
        'validation_draws', vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path))
    one = sample(truth=True)
    one.set_metainfo(dict(img_path=str(coco_root / 'val2017' / '000000000001.jpg')))
    hook = PoseVisualizationHook(enable=True, interval=1)
    assert hook._visualizer is visualizer
    evaluator = SimpleNamespace(dataset_meta=META)
    runner = SimpleNamespace(iter=7, val_evaluator=evaluator, test_evaluator=evaluator)
    hook.after_val_iter(runner, 0, dict(data_samples=[one]), [one])
    picture, = tmp_path.glob('**/vis_image/val_img_7.png')
    drawn = cv2.imread(str(picture))[..., ::-1]
    assert drawn.shape == (390, 1080, 3)
    assert share_of(drawn, RED) > 1e-3
    hook.after_test_iter(runner, 0, dict(data_samples=[one]), [one])
    assert len(list(tmp_path.glob('**/vis_image/test_img_*.png'))) == 1
