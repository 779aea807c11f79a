from mmpose_wloss.apis import TopdownPredictor
from mmpose_wloss.apis.video_files import VideoReader

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpose.apis import inference_topdown, init_model

BOXES = [[[0, 0, 128, 96], [20, 10, 80, 90], [-10, 30, 60, 120]], [],
         [[5, 5, 60, 60, 0.7]], [[30, 0, 128, 96], [0, 0, 64, 96]]]


@pytest.fixture(scope='module')
def images(video):
    return list(VideoReader(video))[:4]


@pytest.fixture(scope='module')
def expected(predictor, images):
    return predictor.predict(images, BOXES)


def wrapped(config):
    config = config.copy()
    config.model = dict(type='PoseDual', network=config.model)
    return config


def assert_same(one: list, two: list, atol: float = 0.05) -> None:
    assert len(one) == len(two)
    for first, second in zip(one, two, strict=True):
        for key in ('keypoints', 'keypoint_scores', 'bboxes', 'bbox_scores'):
            assert first[key].shape == second[key].shape
            np.testing.assert_allclose(first[key], second[key], atol=atol)


def test_the_same_as_mmpose_one_image_at_a_time(
        expected, images, topdown_config, topdown_checkpoint):
    model = init_model(topdown_config.copy(), topdown_checkpoint, 'cpu')
    for image, boxes, people in zip(images, BOXES, expected, strict=True):
        assert len(people) == len(boxes)
        if not boxes:
            continue
        with DefaultScope.overwrite_default_scope('mmpose'):
            stock = inference_topdown(model, image, np.float32(boxes)[:, :4])
        for key in ('keypoints', 'keypoint_scores'):
            np.testing.assert_allclose(people[key], [
                sample.pred_instances[key][0] for sample in stock], atol=0.05)
    # keypoints that are all in one place would be the same, too
    assert np.ptp(expected[0].keypoints, axis=1).min() > 5


@pytest.mark.parametrize('batch_size', [1, 5])
def test_batches_change_nothing(predictor, expected, images, monkeypatch, batch_size):
    sizes, step = [], predictor.model.test_step
    monkeypatch.setattr(predictor, 'batch_size', batch_size)
    monkeypatch.setattr(predictor.model, 'test_step', lambda batch: (
        sizes.append(len(batch['inputs'])), step(batch))[1])
    assert_same(predictor.predict(images, BOXES), expected)
    assert sum(sizes) == 6 and set(sizes[:-1]) <= {batch_size}


def test_nobody(predictor, images):
    for people in predictor.predict(images, [[], [], np.zeros((0, 4)), []]):
        assert len(people) == 0
        assert people.keypoints.shape == (0, 17, 2)
        assert people.keypoint_scores.shape == (0, 17)
    assert predictor.predict([], []) == []


def test_the_flip_test_can_be_left_out(predictor, expected, images,
                                       topdown_config, topdown_checkpoint):
    quick = TopdownPredictor(topdown_config, topdown_checkpoint, device='cpu',
                             flip_test=False)
    assert predictor.flip_test and not quick.flip_test
    assert topdown_config.model.test_cfg.flip_test
    fast, = quick.predict(images[:1], BOXES[:1])
    difference = expected[0].keypoint_scores - fast.keypoint_scores
    assert np.abs(difference).max() > 1e-3


def test_a_network_of_a_training(topdown_config, topdown_checkpoint, images,
                                 expected, tmp_path):
    state = torch.load(topdown_checkpoint)['state_dict']
    nested = {f'networks.{name}.{key}': value + (name == 'first')
              for name in ('first', 'second') for key, value in state.items()}
    torch.save(dict(meta={}, state_dict=nested), tmp_path / 'dual.pth')
    other = TopdownPredictor(wrapped(topdown_config), str(tmp_path / 'dual.pth'),
                             device='cpu', network='second')
    assert_same(other.predict(images, BOXES), expected)


def test_onnx_predicts_the_same(topdown_config, onnx_file, images, expected):
    # the file knows nothing of a training that wraps the network
    for config in (topdown_config, wrapped(topdown_config)):
        other = TopdownPredictor(config, onnx_file=onnx_file)
        assert other.flip_test
        assert_same(other.predict(images, BOXES), expected, atol=0.1)
    for wrong in (dict(network='first'), dict(device='cuda:0')):
        with pytest.raises(ValueError, match=next(iter(wrong.values()))):
            TopdownPredictor(topdown_config, onnx_file=onnx_file, **wrong)


def test_wrong_arguments(predictor, images, topdown_config, topdown_checkpoint,
                         pose3d_config, pose3d_checkpoint):
    with pytest.raises(ValueError, match='4 images, but boxes of 1'):
        predictor.predict(images, [[]])
    with pytest.raises(ValueError, match='boxes of image 1'):
        predictor.predict(images[:2], [[], [[50, 50, 40, 60]]])
    for given in (dict(), dict(checkpoint='a.pth', onnx_file='a.onnx')):
        with pytest.raises(ValueError, match='checkpoint or an onnx_file'):
            TopdownPredictor(topdown_config, **given)
    for given in (dict(checkpoint='none.pth'), dict(onnx_file='none.onnx')):
        with pytest.raises(FileNotFoundError, match='none.'):
            TopdownPredictor(topdown_config, **given)
    with pytest.raises(ValueError, match='batch_size'):
        TopdownPredictor(topdown_config, topdown_checkpoint, batch_size=0)
    with pytest.raises(ValueError, match='TopdownPose3DEstimator'):
        TopdownPredictor(pose3d_config, pose3d_checkpoint, device='cpu')
