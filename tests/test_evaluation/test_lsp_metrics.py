"""PCK and PCP as the field reports them for LSP."""

from mmpose_wloss.datasets import LSPDataset
from mmpose_wloss.datasets.datasets.lsp_joints import JOINTS

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.metrics import PCKAccuracy
from mmpose.registry import METRICS

META = parse_pose_metainfo(LSPDataset.METAINFO)
AT = {name: index for index, name in enumerate(JOINTS)}
PCK_GROUPS = ('Head', 'Shoulder', 'Elbow', 'Wrist', 'Hip', 'Knee', 'Ankle')
PARTS = ('Torso', 'Upper leg', 'Lower leg', 'Upper arm', 'Forearm', 'Head')

# a person who stands with arms and legs apart: x to the image's right
STANDING = dict(
    right_ankle=(30, 190), right_knee=(35, 150), right_hip=(40, 110),
    left_hip=(60, 110), left_knee=(65, 150), left_ankle=(70, 190),
    right_wrist=(0, 100), right_elbow=(15, 75), right_shoulder=(35, 50),
    left_shoulder=(65, 50), left_elbow=(85, 75), left_wrist=(100, 100),
    neck=(50, 45), head_top=(50, 15))
TORSO = np.hypot(25, 60)


def standing() -> np.ndarray:
    return np.array([STANDING[name] for name in JOINTS], float)


def moved(**shifts) -> np.ndarray:
    """The person with joints moved by (x, y)."""
    points = standing()
    for name, shift in shifts.items():
        points[AT[name]] += shift
    return points


def evaluate(name, *predictions, true=None, invisible=(), **arguments):
    metric = METRICS.build(dict(type=name, **arguments))
    metric.dataset_meta = META
    true = standing() if true is None else true
    visible = np.ones((1, 14, 1))
    visible[:, [AT[joint] for joint in invisible]] = 0
    metric.process([], [dict(
        pred_instances=dict(keypoints=points[None]),
        gt_instances=dict(keypoints=true[None], keypoints_visible=visible))
        for points in predictions])
    return metric.evaluate(len(predictions))


# PCK


def test_pck_of_perfect_predictions():
    assert evaluate('LSPPCKAccuracy', standing(), standing()) == {
        **{f'{group} PCK@0.2': 1 for group in PCK_GROUPS}, 'PCK@0.2': 1}


@pytest.mark.parametrize('share, correct', [(0.199, 1), (0.201, 0)])
def test_pck_is_relative_to_the_torso(share, correct):
    result = evaluate('LSPPCKAccuracy',
                      moved(left_knee=(share * TORSO, 0)))
    assert result['Knee PCK@0.2'] == pytest.approx((1 + correct) / 2)
    assert result['PCK@0.2'] == pytest.approx((13 + correct) / 14)
    assert all(result[f'{group} PCK@0.2'] == 1 for group in PCK_GROUPS
               if group != 'Knee')


def test_the_predicted_torso_does_not_matter():
    result = evaluate('LSPPCKAccuracy', moved(
        left_shoulder=(1000, 0), left_knee=(0.3 * TORSO, 0)))
    assert result['Shoulder PCK@0.2'] == result['Knee PCK@0.2'] == 0.5


def test_head_is_neck_and_head_top():
    for joint in ('neck', 'head_top'):
        result = evaluate('LSPPCKAccuracy', moved(**{joint: (50, 0)}))
        assert result['Head PCK@0.2'] == 0.5


def test_the_threshold_is_an_argument():
    prediction = moved(neck=(0.3 * TORSO, 0))
    result = evaluate('LSPPCKAccuracy', prediction, thr=0.5)
    assert result['PCK@0.5'] == 1
    assert evaluate('LSPPCKAccuracy', prediction)['PCK@0.2'] < 1


def test_pck_is_the_stock_one_with_the_torso_for_its_norm():
    rng = np.random.default_rng(0)
    predictions = [standing() + rng.normal(0, 10, (14, 2)) for _ in range(50)]
    metric = PCKAccuracy(thr=0.2, norm_item='bbox')
    metric.process([], [dict(
        pred_instances=dict(keypoints=points[None]),
        gt_instances=dict(keypoints=standing()[None],
                          keypoints_visible=np.ones((1, 14, 1)),
                          bboxes=np.array([[0, 0, TORSO, TORSO]])))
        for points in predictions])
    stock = metric.evaluate(50)['PCK']
    ours = evaluate('LSPPCKAccuracy', *predictions)['PCK@0.2']
    assert 0.3 < ours < 0.9 and ours == pytest.approx(stock)


def test_joints_that_are_not_visible_do_not_count_in_pck():
    wrong = moved(neck=(500, 0), left_knee=(500, 0))
    result = evaluate('LSPPCKAccuracy', wrong, invisible=['neck'])
    assert result['Head PCK@0.2'] == 1
    assert result['PCK@0.2'] == pytest.approx(12 / 13)
    result = evaluate('LSPPCKAccuracy', wrong,
                      invisible=['neck', 'left_knee', 'right_knee'])
    assert 'Knee PCK@0.2' not in result
    assert result['PCK@0.2'] == 1


def test_images_without_a_torso_do_not_count_in_pck():
    flat = standing()
    flat[AT['left_shoulder']] = flat[AT['right_hip']]
    metric = METRICS.build(dict(type='LSPPCKAccuracy'))
    metric.dataset_meta = META
    hidden = np.ones((1, 14))
    hidden[0, AT['right_hip']] = 0
    for true, visible, points in (
            (standing(), np.ones((1, 14)), standing()),
            (flat, np.ones((1, 14)), flat + 500),
            (standing(), hidden, standing() + 500)):
        metric.process([], [dict(
            pred_instances=dict(keypoints=points[None]),
            gt_instances=dict(keypoints=true[None],
                              keypoints_visible=visible))])
    assert metric.evaluate(3)['PCK@0.2'] == 1
    with pytest.raises(ValueError, match='none has a visible torso'):
        evaluate('LSPPCKAccuracy', standing(), true=flat)


def test_predictions_that_are_not_a_number_are_wrong():
    broken = moved(left_wrist=(np.nan, 0))
    assert evaluate('LSPPCKAccuracy', broken)['Wrist PCK@0.2'] == 0.5
    assert evaluate('PCPAccuracy', broken)['Forearm PCP'] == 0.5


# PCP


def test_pcp_of_perfect_predictions():
    assert evaluate('PCPAccuracy', standing(), standing()) == {
        **{f'{part} PCP': 1 for part in PARTS}, 'PCP': 1}


@pytest.mark.parametrize('share, correct', [(0.49, 1), (0.51, 0)])
def test_both_ends_must_be_within_half_the_length(share, correct):
    length = np.hypot(5, 40)
    result = evaluate('PCPAccuracy', moved(left_ankle=(share * length, 0)))
    # the other end is where it should be: the loose sense would pass it
    assert result['Lower leg PCP'] == pytest.approx((1 + correct) / 2)
    assert result['PCP'] == pytest.approx((9 + correct) / 10)
    # a knee belongs to two limbs
    result = evaluate('PCPAccuracy', moved(left_knee=(share * length, 0)))
    assert result['PCP'] == pytest.approx((8 + 2 * correct) / 10)


def test_the_ends_of_torso_and_head():
    # 60 from mid shoulder to mid hip: one shoulder by 58 moves the middle 29
    for shift, correct in ((58, 1), (62, 0)):
        for joint in ('left_shoulder', 'right_hip'):
            result = evaluate('PCPAccuracy', moved(**{joint: (shift, 0)}))
            assert result['Torso PCP'] == correct
    for shift, correct in ((14, 1), (16, 0)):
        for joint in ('neck', 'head_top'):
            result = evaluate('PCPAccuracy', moved(**{joint: (shift, 0)}))
            assert result['Head PCP'] == correct
            assert result['Torso PCP'] == 1


def test_limbs_that_do_not_count_in_pcp():
    wrong = standing() + 500
    wrong[AT['neck']], wrong[AT['head_top']] = standing()[12:]
    result = evaluate('PCPAccuracy', wrong, invisible=[
        'left_hip', 'left_elbow', 'right_elbow', 'left_ankle', 'right_ankle'])
    assert result == {'Upper leg PCP': 0, 'Head PCP': 1, 'PCP': 0.5}
    point = standing()
    point[AT['head_top']] = point[AT['neck']]
    result = evaluate('PCPAccuracy', standing(), true=point)
    assert 'Head PCP' not in result and result['PCP'] == 1
    with pytest.raises(ValueError, match='none has a limb'):
        evaluate('PCPAccuracy', standing(), true=np.zeros((14, 2)))


def test_pcp_is_a_mean_over_images_and_then_over_limbs():
    # the head counts in one image of two, and is wrong there
    metric = METRICS.build(dict(type='PCPAccuracy'))
    metric.dataset_meta = META
    for visible, prediction in ((1, moved(head_top=(100, 0))),
                                (0, standing())):
        seen = np.ones((1, 14))
        seen[0, AT['head_top']] = visible
        metric.process([], [dict(
            pred_instances=dict(keypoints=prediction[None]),
            gt_instances=dict(keypoints=standing()[None],
                              keypoints_visible=seen))])
    result = metric.evaluate(2)
    assert result['Head PCP'] == 0 and result['PCP'] == pytest.approx(0.9)


# Both


@pytest.mark.parametrize('name', ['LSPPCKAccuracy', 'PCPAccuracy'])
def test_other_joints(name):
    metric = METRICS.build(dict(type=name))
    metric.dataset_meta = parse_pose_metainfo(
        dict(from_file='configs/_base_/datasets/coco.py'))
    with pytest.raises(ValueError, match=f"{name} needs the joints .*neck.*"
                       "data set 'coco'"):
        metric.process([], [dict(
            pred_instances=dict(keypoints=np.ones((1, 17, 2))),
            gt_instances=dict(keypoints=np.ones((1, 17, 2)),
                              keypoints_visible=np.ones((1, 17))))])
        metric.evaluate(1)
