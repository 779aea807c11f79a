import dataclasses

import numpy as np
import pytest

from annypose.body import JOINT_NAMES, Body
from annypose.camera import Camera
from annypose.poses import (
    DEFAULT_CLASS_SHARES,
    Arm,
    Pose,
    bone_rotations,
)
from annypose.scene import Person, SceneRenderer

SIZE = 96
INDEX = {name: i for i, name in enumerate(JOINT_NAMES)}
CAMERA = Camera(SIZE, 2. * SIZE, ((SIZE - 1) / 2, (SIZE - 1) / 2), 0., 0.)


@pytest.fixture(scope='module')
def renderer(model):
    return SceneRenderer(
        model, SIZE, DEFAULT_CLASS_SHARES, yaw=180., occluders=0., people=0.)


def stand(renderer, pose, yaw=0., target=(SIZE / 2, SIZE / 2), extent=0.9 * SIZE):
    model = renderer.model
    body = model.pose(
        dict(age=0.7, gender=0.5, height=0.45, weight=0.3),
        bone_rotations(pose, model.rest_bones))
    turn = CAMERA.orientation(yaw)
    vertices, joints = body.vertices @ turn.T, body.joints @ turn.T
    shift = CAMERA.place(vertices, target, extent)
    appearance = renderer.wardrobe.dress(np.random.default_rng(0))
    return Person(
        Body(vertices + shift, joints + shift, body.flesh_depth), appearance,
        pose.pose_class)


def render(renderer, *persons, obstacle=None):
    if obstacle is None:
        obstacle = np.zeros((SIZE, SIZE), bool)
    image, _, labels = renderer.render_people(
        np.random.default_rng(0), CAMERA, list(persons), obstacle)
    return image, labels


def look(renderer, *persons, obstacle=None):
    image, labels = render(renderer, *persons, obstacle=obstacle)
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    return [dict(zip(JOINT_NAMES, label.keypoints, strict=True)) for label in labels]


def visibility(keypoints):
    return {name: int(point[2]) for name, point in keypoints.items()}


OPEN = Pose('standing', Arm(elevation=40, azimuth=90, elbow=5),
            Arm(elevation=40, azimuth=90, elbow=5))


@pytest.mark.parametrize('yaw', [0, 180])
def test_from_the_front_and_from_behind(renderer, yaw):
    """The face is hidden from behind, and left is at the picture's right."""
    keypoints, = look(renderer, stand(renderer, OPEN, yaw=yaw))
    flags = visibility(keypoints)
    for name in ('nose', 'left_eye', 'right_eye'):
        assert flags[name] == (1 if yaw else 2)
    for name in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle'):
        assert flags[f'left_{name}'] == flags[f'right_{name}'] == 2
        left, right = keypoints[f'left_{name}'], keypoints[f'right_{name}']
        assert (left[0] > right[0]) == (yaw == 0)


@pytest.mark.parametrize('near, far, yaw', [('left', 'right', -90),
                                            ('right', 'left', 90)])
def test_in_profile_the_far_side_is_hidden(renderer, near, far, yaw):
    forward = Arm(elevation=45, azimuth=0, elbow=5)
    pose = Pose('standing', forward, forward)
    keypoints, = look(renderer, stand(renderer, pose, yaw=yaw))
    flags = visibility(keypoints)
    for name in ('eye', 'ear', 'shoulder', 'hip'):
        assert flags[f'{near}_{name}'] == 2, name
        assert flags[f'{far}_{name}'] == 1, name


def test_a_wrist_behind_the_torso_is_hidden(renderer):
    behind = Pose('standing', left_arm=Arm(
        elevation=30, azimuth=125, twist=-60, elbow=95))
    person = stand(renderer, behind)
    # the wrist farther away than the spine, within the torso's outline
    joints = person.body.joints
    hips = joints[[INDEX['left_hip'], INDEX['right_hip']], 0]
    wrist = joints[INDEX['left_wrist']].copy()
    wrist[0] = hips.mean()
    wrist[1] = joints[[5, 6, 11, 12], 1].mean()
    wrist[2] = joints[[5, 6, 11, 12], 2].mean() + 0.2
    joints[INDEX['left_wrist']] = wrist
    flags = visibility(look(renderer, person)[0])
    assert flags['left_wrist'] == 1
    # the same wrist in front of the torso, nothing before it
    joints[INDEX['left_wrist'], 2] -= 0.6
    flags = visibility(look(renderer, person)[0])
    assert flags['left_wrist'] == 2


def test_a_hand_before_the_body_hides_what_is_behind_it(renderer):
    folded = Pose(
        'standing',
        Arm(elevation=35, azimuth=10, elbow=105, twist=20),
        Arm(elevation=35, azimuth=10, elbow=105, twist=20))
    person = stand(renderer, folded)
    flags = visibility(look(renderer, person)[0])
    assert flags['left_elbow'] == flags['left_wrist'] == 2
    # a hip moved to where a forearm is seen lies deep behind that forearm
    joints = person.body.joints
    middle = (joints[INDEX['left_elbow']] + joints[INDEX['left_wrist']]) / 2
    joints[INDEX['left_hip']] = middle + [0, 0, 0.1]
    flags = visibility(look(renderer, person)[0])
    assert flags['left_hip'] == 1


def test_an_obstacle_hides_exactly_what_it_covers(renderer):
    person = stand(renderer, OPEN)
    keypoints, = look(renderer, person)
    x, y = np.round(keypoints['left_wrist'][:2]).astype(int)
    obstacle = np.zeros((SIZE, SIZE), bool)
    obstacle[y - 3:y + 4, x - 3:x + 4] = True
    covered, = look(renderer, person, obstacle=obstacle)
    for name in JOINT_NAMES:
        expected = 1 if name == 'left_wrist' else keypoints[name][2]
        assert covered[name][2] == expected
        np.testing.assert_array_equal(covered[name][:2], keypoints[name][:2])


def test_a_nearer_person_hides_a_farther_one(renderer):
    far = stand(renderer, OPEN, extent=0.5 * SIZE)
    near = stand(renderer, OPEN, extent=0.9 * SIZE)
    alone = visibility(look(renderer, far)[0])
    hidden, front = (visibility(k) for k in look(renderer, far, near))
    assert front == visibility(look(renderer, near)[0])
    assert sum(flag == 1 for flag in hidden.values()) > sum(
        flag == 1 for flag in alone.values())
    assert hidden['left_hip'] == hidden['right_hip'] == 1


def test_joints_outside_the_image_are_zero(renderer):
    person = stand(renderer, OPEN, target=(SIZE / 2, 0))
    keypoints, = look(renderer, person)
    assert (keypoints['nose'] == 0).all()
    assert keypoints['left_knee'][2] == 2


def test_a_body_fills_the_extent_asked_for(renderer):
    person = stand(renderer, OPEN, extent=0.8 * SIZE)
    pixels = CAMERA.project(person.body.vertices)
    assert np.ptp(pixels, axis=0).max() == pytest.approx(0.8 * SIZE, rel=0.02)
    np.testing.assert_allclose(
        (pixels.min(axis=0) + pixels.max(axis=0)) / 2, SIZE / 2, atol=1)


def test_the_picture_shows_the_person(renderer):
    person = stand(renderer, OPEN)
    image, (label, ) = render(renderer, person)
    # in a white coat the same person changes the picture where it is seen
    coat = dataclasses.replace(person.appearance, shirt=np.ones(3), stripes=np.ones(3))
    other, _ = render(renderer, dataclasses.replace(person, appearance=coat))
    shirt = (np.abs(image.astype(int) - other).sum(axis=2) > 150) & (label.visible)
    assert 0.15 < shirt.sum() / label.visible.sum() < 0.7
    x, y, width, height = label.bbox
    rows, columns = np.nonzero(label.visible)
    assert [columns.min(), rows.min(), columns.max(), rows.max()
            ] == pytest.approx([x, y, x + width, y + height], abs=2)
