import numpy as np
import pytest

from annypose.body import JOINT_NAMES
from annypose.poses import (
    DEFAULT_CLASS_SHARES,
    Arm,
    Leg,
    Pose,
    Trunk,
    bone_rotations,
    sample_pose,
)

INDEX = {name: i for i, name in enumerate(JOINT_NAMES)}
# Bone: its ends without the side, shortest and longest for a child of seven
# up to a tall adult, millimeters.
BONES = [('hip', 'knee', 220, 560), ('knee', 'ankle', 200, 550),
         ('shoulder', 'elbow', 130, 400), ('elbow', 'wrist', 120, 360)]


def pose_body(model, pose, **shape):
    shape = dict(age=0.7, gender=0.5, height=0.45) | shape
    return model.pose(shape, bone_rotations(pose, model.rest_bones))


def bend(joints, a, b, c):
    """Angle by which the chain a-b-c is bent at b, degrees."""
    a, b, c = (joints[INDEX[name]] for name in (a, b, c))
    first, second = b - a, c - b
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize('pose_class', DEFAULT_CLASS_SHARES)
def test_bones_have_human_lengths_and_limbs_bend_the_right_way(model, pose_class):
    rng = np.random.default_rng(0)
    for _ in range(4):
        pose = sample_pose(rng, pose_class)
        # Seen from a pelvis that stands upright.
        pose.pitch = pose.roll = 0.
        joints = pose_body(model, pose, age=rng.uniform(0.33, 1)).joints
        for side in ('left', 'right'):
            for a, b, low, high in BONES:
                length = 1000 * np.linalg.norm(
                    joints[INDEX[f'{side}_{a}']] -
                    joints[INDEX[f'{side}_{b}']])
                assert low < length < high, (side, a, b)
            hip, knee, ankle = (joints[INDEX[f'{side}_{x}']]
                                for x in ('hip', 'knee', 'ankle'))
            leg = getattr(pose, f'{side}_leg')
            if leg.knee > 30:
                # The heel goes to the buttock, about an axis to the left.
                axis = np.cross(knee - hip, ankle - knee)
                assert axis[0] > 0.5 * np.linalg.norm(axis)


@pytest.mark.parametrize('angle', [20, 60, 100, 140])
def test_elbow_and_knee_bend_by_the_angle_asked_for(model, angle):
    pose = Pose('standing', Arm(elbow=angle), Arm(elbow=angle),
                Leg(knee=angle), Leg(knee=angle))
    joints = pose_body(model, pose).joints
    for side in ('left', 'right'):
        # Joints are means of skin points, which lag behind in a deep bend.
        for limb in (('shoulder', 'elbow', 'wrist'), ('hip', 'knee', 'ankle')):
            found = bend(joints, *(f'{side}_{joint}' for joint in limb))
            assert found == pytest.approx(angle, abs=15)
        # Bent elbows bring hands to the front (-y), bent knees feet behind.
        wrist, shoulder = INDEX[f'{side}_wrist'], INDEX[f'{side}_shoulder']
        assert joints[wrist, 1] < joints[shoulder, 1]
        assert (joints[INDEX[f'{side}_ankle'], 1] > joints[INDEX[f'{side}_knee'], 1])


def test_mirrored_angles_give_a_mirrored_body(model):
    rng = np.random.default_rng(1)
    pose = sample_pose(rng, 'walking')
    pose.trunk = Trunk(flexion=10)
    mirrored = Pose('walking', pose.right_arm, pose.left_arm, pose.right_leg,
                    pose.left_leg, pose.trunk, pose.pitch)
    joints = pose_body(model, pose).joints
    other = pose_body(model, mirrored).joints
    swap = [INDEX[n.replace('left', '?').replace('right', 'left').replace(
        '?', 'right')] for n in JOINT_NAMES]
    # The model's own left and right halves differ by millimeters.
    np.testing.assert_allclose(joints, other[swap] * [-1, 1, 1], atol=0.012)


@pytest.mark.parametrize('pose_class', DEFAULT_CLASS_SHARES)
def test_sampled_angles_stay_within_limits(pose_class):
    rng = np.random.default_rng(2)
    for _ in range(100):
        pose = sample_pose(rng, pose_class)
        for part in (pose.left_arm, pose.right_arm, pose.left_leg,
                     pose.right_leg, pose.trunk):
            for name, (low, high) in part.limits.items():
                assert low <= getattr(part, name) <= high


def test_poses_look_like_their_class(model):
    rng = np.random.default_rng(4)
    joints = pose_body(model, sample_pose(rng, 'upside_down')).joints
    assert joints[0, 2] < joints[INDEX['left_hip'], 2]
    joints = pose_body(model, sample_pose(rng, 'lying')).joints
    assert abs(joints[0, 2] - joints[INDEX['left_hip'], 2]) < 0.25
    pose = Pose('reaching', left_arm=Arm(elevation=170, elbow=5))
    joints = pose_body(model, pose).joints
    assert joints[INDEX['left_wrist'], 2] > joints[0, 2] + 0.2
    assert joints[INDEX['right_wrist'], 2] < joints[INDEX['right_elbow'], 2]
