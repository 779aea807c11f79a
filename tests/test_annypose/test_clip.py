import json
from dataclasses import fields

from mmpose_wloss.__main__ import main
from mmpose_wloss.apis import BoxesFile
from mmpose_wloss.apis.video_files import VideoReader

import cv2
import numpy as np
import pytest

from annypose import ClipParameters, render_clip
from annypose.body import JOINT_NAMES
from annypose.clip import render_frames
from annypose.motion import PARTS, mirrored, pose_at, sample_key_poses
from annypose.poses import sample_pose


def angles(pose) -> np.ndarray:
    return np.array([getattr(getattr(pose, part), entry.name)
                     for part in PARTS
                     for entry in fields(getattr(pose, part))] +
                    [pose.pitch, pose.roll, pose.sideways])


def test_a_mirrored_pose():
    pose = sample_pose(np.random.default_rng(1), 'walking')
    other = mirrored(pose)
    assert other.left_leg == pose.right_leg and other.right_arm == pose.left_arm
    assert other.trunk.twist == -pose.trunk.twist
    assert other.trunk.flexion == pose.trunk.flexion
    np.testing.assert_array_equal(angles(mirrored(other)), angles(pose))


def test_motion_is_smooth_and_goes_through_its_poses():
    poses = sample_key_poses(np.random.default_rng(2), 7)
    assert len(poses) == 7
    for number, pose in enumerate(poses):
        np.testing.assert_allclose(angles(pose_at(poses, number)), angles(pose))
    np.testing.assert_allclose(angles(pose_at(poses, 99)), angles(poses[-1]))
    times = np.linspace(0, 6, 601)
    way = np.array([angles(pose_at(poses, time)) for time in times])
    largest = np.abs(np.diff([angles(pose) for pose in poses], axis=0)).max()
    # an eased step is at most half as fast again as an even one
    assert np.abs(np.diff(way, axis=0)).max() < 1.51 * largest / 100
    speed = np.abs(np.diff(way, axis=0)).sum(1)
    assert speed[[99, 100, 199, 200]].max() < 0.1 * speed.max()


@pytest.mark.parametrize('wrong', [
    dict(frames=0), dict(size=62), dict(size=65), dict(fps=0), dict(people=3),
    dict(yaw=181), dict(yaw=float('nan')), dict(seed=-1)])
def test_wrong_parameters(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClipParameters(**wrong)


@pytest.fixture(scope='module')
def clip(model, tmp_path_factory):
    """Eight frames of two people, and their files."""
    parameters = ClipParameters(frames=8, size=96, fps=10., people=2, seed=4)
    out = tmp_path_factory.mktemp('clip') / 'new'
    return parameters, render_clip(out, parameters, model, progress=False)


def test_files_of_a_clip(clip):
    _, files = clip
    assert sorted(files.video.parent.iterdir()) == sorted(files)
    video = VideoReader(files.video)
    assert (video.fps, video.size, video.announced) == (10, (96, 96), 8)
    joints = json.loads(files.joints.read_text())
    frames = np.array(joints.pop('frames'))
    assert joints == dict(format=1, video='clip.mp4', fps=10., width=96,
                          height=96, joints=list(JOINT_NAMES))
    assert frames.shape == (8, 2, 17, 3)
    # as a prediction takes them
    boxes = np.array(BoxesFile(files.boxes)([None] * 8))
    assert boxes.shape == (8, 2, 5)
    inside = frames[..., 2] > 0
    assert inside.mean() > 0.95
    points = np.where(inside[..., None], frames[..., :2], np.nan)
    assert (np.nanmin(points, 2) >= boxes[..., :2] - 1).all()
    assert (np.nanmax(points, 2) <= boxes[..., 2:4] + 1).all()
    # one on the left, one on the right
    centers = (boxes[..., 0] + boxes[..., 2]) / 2
    assert (np.abs(centers[:, 0] - centers[:, 1]) > 20).all()


def test_people_move_smoothly_before_a_still_background(clip, model):
    parameters, files = clip
    images, labels = zip(*render_frames(model, parameters), strict=True)
    joints = np.array([[label.keypoints for label in of_frame] for of_frame in labels])
    steps = np.linalg.norm(np.diff(joints[..., :2], axis=0), axis=-1)
    steps = steps[(joints[1:, ..., 2] > 0) & (joints[:-1, ..., 2] > 0)]
    # at 10 frames a second, in a body of 60 pixels
    assert 0.3 < steps.mean() < 4 and steps.max() < 15
    people = np.any([label.visible for of_frame in labels for label in of_frame], 0)
    away = cv2.dilate(people.astype(np.uint8), np.ones((25, 25))) == 0
    assert away.sum() > 100
    spread = np.ptp(np.array(images, int), axis=0).max(-1)
    assert spread[away].max() <= 1 and spread[people].mean() > 30
    # the same parameters give the same files
    assert json.loads(files.joints.read_text())['frames'] == joints.tolist()
    for image, frame in zip(images, VideoReader(files.video), strict=True):
        assert np.abs(image.astype(int) - frame).mean() < 8


@pytest.mark.parametrize('failure', [RuntimeError, OSError])
def test_a_failed_clip_leaves_old_files_whole(model, clip, tmp_path,
                                              monkeypatch, failure):
    parameters, files = clip
    for file in files:
        (tmp_path / file.name).write_text('old')

    def failing(*_):
        yield np.zeros((96, 96, 3), np.uint8), []
        if failure is RuntimeError:
            raise RuntimeError
        # else frames are lost, as on a full disk

    monkeypatch.setattr('annypose.clip.render_frames', failing)
    with pytest.raises(failure):
        render_clip(tmp_path, parameters, model, progress=False)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        file.name: 'old' for file in files}


def test_the_command(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('annypose.clip.BodyModel', lambda: model)
    command = ['render', 'clip', '--out', str(tmp_path / 'clip')]
    assert main([*command, '--frames', '2', '--size', '64']) == 0
    assert 'clip.mp4' in capsys.readouterr().out
    assert len(list((tmp_path / 'clip').iterdir())) == 3


def test_the_command_names_what_is_wrong(capsys, tmp_path, without_anny):
    command = ['render', 'clip', '--out', str(tmp_path / 'clip')]
    assert main([*command, '--frames', '0']) == 1
    assert 'error: frames' in capsys.readouterr().err
    assert main(command) == 1
    assert 'pip install "anny' in capsys.readouterr().err
    assert not (tmp_path / 'clip').exists()
