import json
import runpy
import sys
from dataclasses import fields
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from mmpose_wloss.apis.video_files import VideoReader

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS

from annypose import ClipParameters, render_clip
from annypose.body import JOINT_NAMES
from annypose.clip import render_frames
from annypose.motion import (
    PARTS,
    between,
    ease,
    mirrored,
    pose_at,
    sample_key_poses,
)
from annypose.poses import sample_pose

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'render_clip.py'
DEMO = ROOT / 'configs' / 'demo'


def angles(pose) -> np.ndarray:
    return np.array([getattr(getattr(pose, part), entry.name)
                     for part in PARTS
                     for entry in fields(getattr(pose, part))] +
                    [pose.pitch, pose.roll, pose.sideways])


def test_the_way_between_poses():
    rng = np.random.default_rng(0)
    one, two = sample_pose(rng, 'standing'), sample_pose(rng, 'reaching')
    for share in (0, 0.3, 1):
        np.testing.assert_allclose(
            angles(between(one, two, share)),
            (1 - share) * angles(one) + share * angles(two))


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


def test_ease():
    assert [ease(share) for share in (-1, 0, 0.5, 1, 2)] == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize(('wrong', 'error'), [
    (dict(frames=0), 'at least 1 frame'), (dict(size=63), 'size must be even'),
    (dict(size=65), 'size must be even'), (dict(fps=0), 'fps must be 1 to'),
    (dict(people=3), 'people must be 1 or 2'), (dict(yaw=181), 'yaw must be'),
    (dict(seed=-1), 'seed must not be negative')])
def test_wrong_parameters(wrong, error):
    with pytest.raises(ValueError, match=error):
        ClipParameters(**wrong)


@pytest.fixture(scope='module')
def clip(model, tmp_path_factory):
    """Twelve frames of two people, and their files."""
    parameters = ClipParameters(frames=12, size=96, fps=10., people=2, seed=4)
    out = tmp_path_factory.mktemp('clip') / 'new'
    return parameters, render_clip(out, parameters, model, progress=False)


def test_files_of_a_clip(clip):
    _, files = clip
    assert sorted(files.video.parent.iterdir()) == sorted(files)
    with VideoReader(str(files.video)) as video:
        assert (video.fps, video.size, video.announced) == (10, (96, 96), 12)
    joints = json.loads(files.joints.read_text())
    frames = np.array(joints.pop('frames'))
    assert joints == dict(format=1, video='clip.mp4', fps=10., width=96,
                          height=96, joints=list(JOINT_NAMES))
    assert frames.shape == (12, 2, 17, 3)
    boxes = np.array(json.loads(files.boxes.read_text()))
    assert boxes.shape == (12, 2, 4)
    inside = frames[..., 2] > 0
    assert inside.mean() > 0.95
    points = np.where(inside[..., None], frames[..., :2], np.nan)
    assert (np.nanmin(points, 2) >= boxes[..., :2] - 1).all()
    assert (np.nanmax(points, 2) <= boxes[..., 2:] + 1).all()
    # one on the left, one on the right
    centers = (boxes[..., 0] + boxes[..., 2]) / 2
    assert (np.abs(centers[:, 0] - centers[:, 1]) > 20).all()


def test_people_move_smoothly_before_a_still_background(clip, model):
    parameters, files = clip
    images, labels = zip(*render_frames(model, parameters), strict=True)
    joints = np.array([[label.keypoints for label in of_frame]
                       for of_frame in labels])
    steps = np.linalg.norm(np.diff(joints[..., :2], axis=0), axis=-1)
    steps = steps[(joints[1:, ..., 2] > 0) & (joints[:-1, ..., 2] > 0)]
    # at 10 frames a second, in a body of 60 pixels
    assert 0.3 < steps.mean() < 4 and steps.max() < 15
    people = np.any([label.visible for of_frame in labels
                     for label in of_frame], 0)
    away = cv2.dilate(people.astype(np.uint8), np.ones((25, 25))) == 0
    assert away.sum() > 100
    spread = np.ptp(np.array(images, int), axis=0).max(-1)
    assert spread[away].max() <= 1 and spread[people].mean() > 30
    # the same parameters give the same files
    assert json.loads(files.joints.read_text())['frames'] == joints.tolist()
    with VideoReader(str(files.video)) as video:
        for image, frame in zip(images, video, strict=True):
            assert np.abs(image.astype(int) - frame).mean() < 8


def test_a_failed_clip_leaves_old_files_whole(model, clip, tmp_path,
                                              monkeypatch):
    parameters, _ = clip
    for name in ('clip.mp4', 'boxes.json', 'joints.json'):
        (tmp_path / name).write_text('old')

    def failing(*_):
        yield np.zeros((96, 96, 3), np.uint8), []
        raise RuntimeError('in the middle')

    monkeypatch.setattr('annypose.clip.render_frames', failing)
    with pytest.raises(RuntimeError, match='in the middle'):
        render_clip(tmp_path, parameters, model, progress=False)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        name: 'old' for name in ('clip.mp4', 'boxes.json', 'joints.json')}


def test_its_boxes_are_those_that_a_prediction_takes(clip):
    from mmpose_wloss.apis import BoxesFile
    _, files = clip
    boxes = BoxesFile(str(files.boxes))
    assert boxes.per_frame and len(boxes.boxes) == 12
    assert [len(one) for one in boxes([None] * 12)] == [2] * 12


def run_tool(*arguments) -> int:
    argv = sys.argv
    sys.argv = ['render_clip.py', *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
    finally:
        sys.argv = argv
    return end.value.code


def test_the_tool(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('annypose.clip.BodyModel', lambda: model)
    assert run_tool('--out', tmp_path / 'clip', '--frames', 2, '--size', 64,
                    '--seed', 1) == 0
    assert 'clip.mp4' in capsys.readouterr().out
    assert len(list((tmp_path / 'clip').iterdir())) == 3


def test_the_tool_names_what_is_wrong(capsys, monkeypatch, tmp_path):
    assert run_tool('--frames', 0) == 1
    assert 'at least 1 frame, got 0' in capsys.readouterr().err

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr('importlib.metadata.version', missing)
    assert run_tool('--out', tmp_path / 'clip') == 1
    assert 'pip install "anny' in capsys.readouterr().err
    assert not (tmp_path / 'clip').exists()


def test_a_clip_is_predicted_by_torch_and_onnx(clip, tmp_path):
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    pytest.importorskip('onnx', reason='onnx is not installed')
    from mmpose_wloss.apis import BoxesFile, TopdownPredictor, predict_video
    from mmpose_wloss.deploy import export_onnx
    config = Config.fromfile(DEMO / 'resnet18_mse_annypose.py')
    # keypoints of random heatmaps, which are not to be refined
    config.model.head.decoder.type = 'MSRAHeatmap'
    config.test_dataloader.dataset.data_root = str(tmp_path)
    with DefaultScope.overwrite_default_scope('mmpose'), \
            torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = MODELS.build(config.model)
        for module in network.head.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
                torch.nn.init.normal_(module.weight, std=0.1)
    weights, onnx = str(tmp_path / 'epoch_1.pth'), str(tmp_path / 'tiny.onnx')
    torch.save(dict(meta={}, state_dict=network.state_dict()), weights)
    export_onnx(config, weights, onnx)
    _, files = clip
    found = []
    for name, given in (('torch', dict(checkpoint=weights, device='cpu')),
                        ('onnx', dict(onnx_file=onnx))):
        summary = predict_video(
            TopdownPredictor(config, **given, batch_size=5), str(files.video),
            str(tmp_path / f'{name}.mp4'), BoxesFile(str(files.boxes)))
        assert (summary.frames, summary.people) == (12, 24)
        content = json.loads((tmp_path / f'{name}.json').read_text())
        found.append([frame['keypoints'] for frame in content['frames']])
    truth = json.loads(files.joints.read_text())
    assert content['joints'] == truth['joints']
    assert np.shape(found[0]) == np.shape(truth['frames'])[:3] + (2, )
    np.testing.assert_allclose(found[0], found[1], atol=0.1)
