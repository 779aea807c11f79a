import copy
import json
from pathlib import Path

from mmpose_wloss.apis import Pose3DImageInferencer
from mmpose_wloss.common.errors import MissingFile, UserError

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
CAMERA = dict(f=[150., 150.], c=[64., 48.])
BOXES = [[25., 15., 105., 85.], [40., 20., 90., 90.]]


def test_people_in_boxes_without_a_camera(inferencer, val_images):
    result, = inferencer(val_images[0], bboxes=[BOXES])
    people, = result['predictions']
    assert len(people) == 2
    for person, box in zip(people, BOXES, strict=True):
        assert person['bbox'] == box and person['bbox_score'] == 1
        joints = np.array(person['keypoints'])
        assert joints.shape == (17, 3)
        assert np.allclose(joints[[11, 12]].mean(0), 0, atol=1e-2)
        assert np.shape(person['transformed_keypoints']) == (17, 2)
        assert np.shape(person['keypoint_scores']) == (17, )
        assert 'keypoints_cam' not in person
    assert people[0]['keypoints'] != people[1]['keypoints']
    result, = inferencer(val_images[0], bboxes=[BOXES], return_datasamples=True)
    assert result['predictions'][0].pred_instances.keypoints.shape == (
        2, 17, 3)


def test_it_predicts_what_the_test_set_gives(inferencer, val_images):
    """The same crop, by its box or by the pipeline of the data set."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = DATASETS.build(inferencer.cfg.test_dataloader.dataset)
    with torch.no_grad():
        sample, = inferencer.model.test_step(
            inferencer.collate_fn([dataset[0]]))
    result, = inferencer(
        sample.img_path, bboxes=[sample.gt_instances.bboxes],
        camera=sample.camera_param, root_depth=sample.root_depth)
    person, = result['predictions'][0]
    for key in ('keypoints', 'keypoints_cam', 'transformed_keypoints'):
        assert np.allclose(person[key], sample.pred_instances[key], atol=1e-2)


def test_the_whole_image_is_a_box_where_there_are_none(inferencer, val_images):
    by_path, = inferencer(val_images[0])
    by_array, = inferencer(cv2.imread(val_images[0]))
    by_box, = inferencer(val_images[0], bboxes=[[[0, 0, 128, 96]]])
    assert (by_path['predictions'] == by_array['predictions'] ==
            by_box['predictions'])


def test_no_people_are_not_no_boxes(inferencer, val_images, tmp_path):
    results = list(inferencer(
        val_images[:3], bboxes=[[], BOXES, None], camera=CAMERA,
        root_depth=[[], [4000., 5000.], 3000.], return_vis=True,
        draw_bbox=True, out_dir=str(tmp_path)))
    assert [len(result['predictions'][0]) for result in results] == [0, 2, 1]
    assert results[2]['predictions'][0][0]['bbox'] == [0, 0, 128, 96]
    for person, depth in zip(results[1]['predictions'][0], (4000, 5000),
                             strict=True):
        places = np.array(person['keypoints_cam'])
        assert np.allclose(places[[11, 12], 2].mean(), depth, atol=0.1)
    assert results[0]['visualization'][0].shape == (
        results[1]['visualization'][0].shape)
    assert json.loads(
        (tmp_path / 'predictions' / '000000000001.json').read_text()) == []
    nobody, = inferencer(cv2.imread(val_images[0]), bboxes=[[]])
    assert nobody['predictions'] == [[]]


def test_a_detector_finds_people(inferencer, val_images, monkeypatch):
    found = InstanceData(
        bboxes=torch.tensor([*BOXES, [0., 0., 20., 20.]]),
        scores=torch.tensor([0.9, 0.1, 0.8]),
        labels=torch.tensor([0, 0, 5]))
    monkeypatch.setattr(inferencer, 'detector', lambda *_, **__: dict(
        predictions=[PoseDataSample(pred_instances=found)]))
    monkeypatch.setattr(inferencer, 'det_cat_ids', (0, ), raising=False)
    result, = inferencer(val_images[0], camera=CAMERA, root_depth=4000.)
    person, = result['predictions'][0]
    assert person['bbox'] == BOXES[0]
    by_box, = inferencer(val_images[0], bboxes=[BOXES[:1]], camera=CAMERA,
                         root_depth=4000.)
    assert person['keypoints_cam'] == (
        by_box['predictions'][0][0]['keypoints_cam'])


def test_a_folder_is_written(inferencer, coco_root, val_images, tmp_path):
    results = list(inferencer(str(coco_root / 'val2017'),
                              out_dir=str(tmp_path), return_vis=True))
    assert len(results) == len(val_images) == 4
    people = json.loads(
        (tmp_path / 'predictions' / '000000000004.json').read_text())
    assert people == results[3]['predictions'][0]
    picture = cv2.imread(str(tmp_path / 'visualizations/000000000004.jpg'))
    assert picture.shape == results[3]['visualization'][0].shape


def test_a_video_is_one_file(inferencer, val_images, tmp_path):
    file = str(tmp_path / 'walk.mp4')
    writer = cv2.VideoWriter(file, cv2.VideoWriter_fourcc(*'mp4v'), 10.,
                             (128, 96))
    for image in val_images[:3]:
        writer.write(cv2.imread(image))
    writer.release()
    results = list(inferencer(file, out_dir=str(tmp_path / 'out'),
                              camera=CAMERA, root_depth=4000.))
    assert len(results) == 3
    frames = json.loads(
        (tmp_path / 'out' / 'predictions' / 'walk.json').read_text())
    assert [frame['frame_id'] for frame in frames] == [0, 1, 2]
    assert np.shape(frames[2]['instances'][0]['keypoints_cam']) == (17, 3)
    video = cv2.VideoCapture(str(tmp_path / 'out' / 'visualizations' /
                                 'walk.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    video.release()


def test_a_bare_config_and_a_guess_that_is_told_once(
        pose3d_config, pose3d_checkpoint, val_images, monkeypatch):
    told = []
    monkeypatch.setattr(
        'mmpose_wloss.apis.pose3d_image_inferencer.print_log',
        lambda message, *_, **__: told.append(message))
    bare = copy.deepcopy(pose3d_config)
    for key in ('data_mode', 'dataset_type'):
        bare.pop(key)
    inferencer = Pose3DImageInferencer(bare, pose3d_checkpoint, 'cpu')
    assert inferencer.detector is None
    list(inferencer(val_images[:1], camera=CAMERA, root_depth=4000.))
    assert not told
    assert len(list(inferencer(val_images[:2]))) == 2
    message, = told
    assert '2000 mm' in message


@pytest.mark.parametrize('arguments, named', [
    (dict(camera=CAMERA), 'root_depth'), (dict(root_depth=4000.), 'camera'),
    (dict(camera=dict(f=[150., 150.]), root_depth=4000.), "camera .*'c'"),
    (dict(camera=CAMERA, root_depth=4.), r'jpg it is 4\.0'),
    (dict(camera=CAMERA, root_depth=[[4000., 5000.]]), 'root_depth has 2'),
    (dict(bboxes=[[[10., 10., 5., 20.]]]), 'boxes of .*jpg'),
    (dict(bboxes=[[1., 2., 3., 4.]]), 'boxes of .*jpg'),
    (dict(bboxes=5), 'boxes of .*jpg'), (dict(bboxes=[]), 'bboxes'),
    (dict(bboxes=BOXES), 'bboxes'),
    (dict(bboxes=[BOXES], camera=CAMERA, root_depth=[4000., 5000.]),
     'root_depth'),
    (dict(camera=[CAMERA] * 2, root_depth=4000.), 'camera')])
def test_arguments_that_do_not_fit(inferencer, val_images, arguments, named):
    with pytest.raises(UserError, match=named):
        list(inferencer(val_images[0], **arguments))


@pytest.mark.parametrize('entries', [1, 3])
def test_another_number_of_entries_than_frames(inferencer, val_images, entries):
    """Of what has no length they are told where they are missing."""
    frames = (cv2.imread(image) for image in val_images[:2])
    results = inferencer.preprocess(frames, bboxes=[BOXES] * entries)
    for _ in range(min(entries, 2)):
        next(results)
    with pytest.raises(UserError, match='bboxes'):
        next(results)


def test_a_camera_file(inferencer, val_images, tmp_path):
    good, bad, broken = (tmp_path / f'{name}.json'
                         for name in ('good', 'bad', 'broken'))
    good.write_text(json.dumps(CAMERA))
    bad.write_text('[1, 2]')
    broken.write_text('{')
    by_file, = inferencer(val_images[0], camera=str(good), root_depth=4000.)
    by_dict, = inferencer(val_images[0], camera=CAMERA, root_depth=4000.)
    assert by_file['predictions'] == by_dict['predictions']
    for file in (bad, broken):
        with pytest.raises(UserError, match=file.name):
            list(inferencer(val_images[0], camera=str(file), root_depth=4000.))


def test_images_that_cannot_be_read(inferencer, tmp_path):
    broken = tmp_path / 'broken.jpg'
    broken.write_text('no image')
    with pytest.raises(UserError, match=r'broken\.jpg'):
        list(inferencer(str(broken)))
    with pytest.raises(MissingFile, match='none'):
        list(inferencer(str(tmp_path / 'none.jpg')))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match='empty'):
        list(inferencer(tmp_path / 'empty'))


def test_a_checkpoint_of_another_depth_is_refused(pose3d_config,
                                                  pose3d_checkpoint):
    """Even where a training may grow it: the new layer would be random."""
    deeper = copy.deepcopy(pose3d_config)
    deeper.model.head.decoder.heatmap_size = (32, 32, 16)
    assert deeper.model.head.depth_growth == 'random'
    with pytest.raises(UserError, match=r'volume_layer.weight: \(136, .*\(272'):
        Pose3DImageInferencer(deeper, pose3d_checkpoint, 'cpu')


def test_a_model_without_depth_is_refused():
    with pytest.raises(UserError, match='TopdownPoseEstimator'):
        Pose3DImageInferencer(
            Config.fromfile(DEMO / 'resnet18_mse_annypose.py'), device='cpu')
