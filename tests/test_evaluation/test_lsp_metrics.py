"""PCK and PCP as the field reports them for LSP."""

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import LSPDataset

import numpy as np
import pytest
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.metrics import PCKAccuracy
from mmpose.registry import METRICS

META = parse_pose_metainfo(LSPDataset.METAINFO)
AT = META['keypoint_name2id']
PCK_GROUPS = ('Head', 'Shoulder', 'Elbow', 'Wrist', 'Hip', 'Knee', 'Ankle')
PARTS = ('Torso', 'Upper leg', 'Lower leg', 'Upper arm', 'Forearm', 'Head')
PCK, PCP = 'LSPPCKAccuracy', 'PCPAccuracy'

# a person who stands with arms and legs apart: x to the image's right
PLACES = dict(
    right_ankle=(30, 190), right_knee=(35, 150), right_hip=(40, 110),
    left_hip=(60, 110), left_knee=(65, 150), left_ankle=(70, 190),
    right_wrist=(0, 100), right_elbow=(15, 75), right_shoulder=(35, 50),
    left_shoulder=(65, 50), left_elbow=(85, 75), left_wrist=(100, 100),
    neck=(50, 45), head_top=(50, 15))
STANDING = np.array([PLACES[name] for name in AT], float)
TORSO = np.hypot(25, 60)


def moved(**shifts) -> np.ndarray:
    """The person with joints moved by (x, y)."""
    points = STANDING.copy()
    for name, shift in shifts.items():
        points[AT[name]] += shift
    return points


def seen(*invisible) -> np.ndarray:
    visible = np.ones((1, 14, 1))
    visible[:, [AT[name] for name in invisible]] = 0
    return visible


def sample(predicted, true=STANDING, visible=None, **others):
    return dict(pred_instances=dict(keypoints=predicted[None]),
                gt_instances=dict(
                    keypoints=true[None], keypoints_visible=seen()
                    if visible is None else visible, **others))


def evaluate(name, *samples, meta=META, **arguments):
    metric = METRICS.build(dict(type=name, **arguments))
    metric.dataset_meta = meta
    metric.process([], [one if isinstance(one, dict) else sample(one)
                        for one in samples])
    return metric.evaluate(len(samples))


def test_perfect_predictions():
    assert evaluate(PCK, STANDING, STANDING) == {
        **{f'{group} PCK@0.2': 1 for group in PCK_GROUPS}, 'PCK@0.2': 1}
    assert evaluate(PCP, STANDING, STANDING) == {
        **{f'{part} PCP': 1 for part in PARTS}, 'PCP': 1}


def test_predictions_that_are_not_a_number_are_wrong():
    broken = moved(left_wrist=(np.nan, 0), neck=(np.nan, 0))
    result = evaluate(PCK, broken)
    assert result['Wrist PCK@0.2'] == result['Head PCK@0.2'] == 0.5
    assert evaluate(PCP, broken)['Forearm PCP'] == 0.5


@pytest.mark.parametrize('name', [PCK, PCP])
def test_joints_of_another_data_set(name):
    coco = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/coco.py'))
    person = sample(np.ones((17, 2)), np.ones((17, 2)), np.ones((1, 17)))
    with pytest.raises(UserError, match=f"{name} .*neck.* 'coco'"):
        evaluate(name, person, meta=coco)


@pytest.mark.parametrize('thr, share', [(0.2, 0.99), (0.5, 1.01)])
def test_pck_is_relative_to_the_true_torso(thr, share):
    result = evaluate(PCK, moved(left_knee=(share * thr * TORSO, 0)), thr=thr)
    correct = share < 1
    name = f'PCK@{thr}'
    assert result[f'Knee {name}'] == pytest.approx((1 + correct) / 2)
    assert result[name] == pytest.approx((13 + correct) / 14)
    assert all(result[f'{group} {name}'] == 1 for group in PCK_GROUPS
               if group != 'Knee')
    # a prediction far off does not make the torso longer
    result = evaluate(PCK, moved(left_shoulder=(1000, 0),
                                 left_knee=(1.01 * thr * TORSO, 0)), thr=thr)
    assert result[f'Shoulder {name}'] == result[f'Knee {name}'] == 0.5


def test_pck_is_the_stock_one_with_the_torso_for_its_norm():
    rng = np.random.default_rng(0)
    predictions = [STANDING + rng.normal(0, 10, (14, 2)) for _ in range(50)]
    metric = PCKAccuracy(thr=0.2, norm_item='bbox')
    metric.process([], [sample(points, bboxes=np.array([[0, 0, TORSO, TORSO]]))
                        for points in predictions])
    stock = metric.evaluate(50)['PCK']
    ours = evaluate(PCK, *predictions)['PCK@0.2']
    assert 0.3 < ours < 0.9 and ours == pytest.approx(stock)


def test_joints_that_are_not_visible_do_not_count_in_pck():
    wrong = moved(neck=(500, 0), left_knee=(500, 0))
    result = evaluate(PCK, sample(wrong, visible=seen('neck')))
    assert result['Head PCK@0.2'] == 1
    assert result['PCK@0.2'] == pytest.approx(12 / 13)
    result = evaluate(PCK, sample(wrong, visible=seen(
        'neck', 'left_knee', 'right_knee')))
    assert 'Knee PCK@0.2' not in result
    assert result['PCK@0.2'] == 1


def test_images_without_a_torso_do_not_count_in_pck():
    flat = STANDING.copy()
    flat[AT['left_shoulder']] = flat[AT['right_hip']]
    assert evaluate(PCK, STANDING, sample(flat + 500, flat), sample(
        STANDING + 500, visible=seen('right_hip')))['PCK@0.2'] == 1
    with pytest.raises(UserError, match='keypoints_visible'):
        evaluate(PCK, sample(STANDING, flat))


@pytest.mark.parametrize('share, correct', [(0.49, 1), (0.51, 0)])
def test_both_ends_must_be_within_half_the_length(share, correct):
    length = np.hypot(5, 40)
    result = evaluate(PCP, moved(left_ankle=(share * length, 0)))
    # the other end is where it should be: the loose sense would pass it
    assert result['Lower leg PCP'] == pytest.approx((1 + correct) / 2)
    assert result['PCP'] == pytest.approx((9 + correct) / 10)
    # a knee belongs to two limbs
    result = evaluate(PCP, moved(left_knee=(share * length, 0)))
    assert result['PCP'] == pytest.approx((8 + 2 * correct) / 10)


@pytest.mark.parametrize('part, joints, shift', [
    # from mid shoulder to mid hip 60: one shoulder by 58 moves the middle 29
    ('Torso', ('left_shoulder', 'right_hip'), 60),
    ('Head', ('neck', 'head_top'), 15)])
def test_the_ends_of_torso_and_head(part, joints, shift):
    for joint in joints:
        for factor, correct in ((0.96, 1), (1.04, 0)):
            result = evaluate(PCP, moved(**{joint: (factor * shift, 0)}))
            assert result[f'{part} PCP'] == correct


def test_limbs_that_do_not_count_in_pcp():
    wrong = STANDING + 500
    wrong[12:] = STANDING[12:]
    result = evaluate(PCP, sample(wrong, visible=seen(
        'left_hip', 'left_elbow', 'right_elbow', 'left_ankle', 'right_ankle')))
    assert result == {'Upper leg PCP': 0, 'Head PCP': 1, 'PCP': 0.5}
    point = STANDING.copy()
    point[AT['head_top']] = point[AT['neck']]
    result = evaluate(PCP, sample(STANDING, point))
    assert 'Head PCP' not in result and result['PCP'] == 1
    with pytest.raises(UserError, match='keypoints_visible'):
        evaluate(PCP, sample(STANDING, np.zeros((14, 2))))


def test_pcp_is_a_mean_over_images_and_then_over_limbs():
    # the head counts in one image of two, and is wrong there
    result = evaluate(PCP, moved(head_top=(100, 0)),
                      sample(STANDING, visible=seen('head_top')))
    assert result['Head PCP'] == 0 and result['PCP'] == pytest.approx(0.9)
