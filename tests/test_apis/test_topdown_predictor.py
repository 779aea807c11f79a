import hashlib
from pathlib import Path

from mmpose_wloss.apis import Stopwatch, TopdownPredictor
from mmpose_wloss.apis.video_files import VideoReader

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpose.apis import inference_topdown, init_model

BOXES = [[[0, 0, 128, 96], [20, 10, 80, 90], [-10, 30, 60, 120]], [],
         [[5, 5, 60, 60, 0.7]], [[30, 0, 128, 96], [0, 0, 64, 96]]]


@pytest.fixture(scope='module')
def predictor(topdown_config, topdown_checkpoint):
    return TopdownPredictor(topdown_config, topdown_checkpoint, device='cpu')


@pytest.fixture(scope='module')
def images(video):
    with VideoReader(video) as reader:
        return list(reader)[:4]


def assert_same(one: list, two: list, atol: float = 0.05) -> None:
    assert len(one) == len(two)
    for first, second in zip(one, two, strict=True):
        for key in ('keypoints', 'keypoint_scores', 'bboxes', 'bbox_scores'):
            assert first[key].shape == second[key].shape
            np.testing.assert_allclose(first[key], second[key], atol=atol)


def test_the_same_as_mmpose_one_image_at_a_time(
        predictor, images, topdown_config, topdown_checkpoint):
    model = init_model(topdown_config.copy(), topdown_checkpoint, 'cpu')
    found = predictor.predict(images, BOXES)
    for image, boxes, people in zip(images, BOXES, found, strict=True):
        assert len(people) == len(boxes)
        if not boxes:
            continue
        with DefaultScope.overwrite_default_scope('mmpose'):
            expected = inference_topdown(
                model, image, np.float32(boxes)[:, :4])
        for index, sample in enumerate(expected):
            for key in ('keypoints', 'keypoint_scores'):
                np.testing.assert_allclose(
                    people[key][index], sample.pred_instances[key][0],
                    atol=0.05)
    # keypoints that are all in one place would be the same, too
    assert np.ptp(found[0].keypoints, axis=1).min() > 5


@pytest.mark.parametrize('batch_size', [1, 2, 4, 5])
def test_batches_change_nothing(predictor, images, topdown_config,
                                topdown_checkpoint, batch_size):
    other = TopdownPredictor(topdown_config, topdown_checkpoint, device='cpu',
                             batch_size=batch_size)
    sizes = []
    step = other.model.test_step
    other.model.test_step = lambda batch: (
        sizes.append(len(batch['inputs'])), step(batch))[1]
    assert_same(other.predict(images, BOXES), predictor.predict(images, BOXES))
    assert sum(sizes) == 6 and set(sizes[:-1]) <= {batch_size}


def test_nobody(predictor, images):
    for people in predictor.predict(images, [[], [], np.zeros((0, 4)), []]):
        assert len(people) == 0
        assert people.keypoints.shape == (0, 17, 2)
        assert people.keypoint_scores.shape == (0, 17)
    assert predictor.predict([], []) == []


def test_the_flip_test_can_be_left_out(predictor, images, topdown_config,
                                       topdown_checkpoint):
    assert predictor.flip_test
    quick = TopdownPredictor(topdown_config, topdown_checkpoint, device='cpu',
                             flip_test=False)
    assert not quick.flip_test
    assert topdown_config.model.test_cfg.flip_test
    slow, fast = (one.predict(images[:1], [[[0, 0, 128, 96]]])[0]
                  for one in (predictor, quick))
    assert np.abs(slow.keypoint_scores - fast.keypoint_scores).max() > 1e-3


def test_what_it_tells(predictor, images, topdown_checkpoint):
    assert predictor.joints[:2] == ('nose', 'left_eye')
    assert predictor.digest() == hashlib.sha256(
        Path(topdown_checkpoint).read_bytes()).hexdigest()
    stopwatch = Stopwatch()
    predictor.predict(images, BOXES, stopwatch)
    assert set(stopwatch.seconds) == {'crops', 'network'}
    assert min(stopwatch.seconds.values()) > 0


def test_a_network_of_a_training(topdown_config, topdown_checkpoint, images,
                                 predictor, tmp_path):
    state = torch.load(topdown_checkpoint)['state_dict']
    nested = {f'networks.{name}.{key}': value + (name == 'first')
              for name in ('first', 'second') for key, value in state.items()}
    torch.save(dict(meta={}, state_dict=nested), tmp_path / 'dual.pth')
    config = topdown_config.copy()
    config.model = dict(type='PoseDual', network=topdown_config.model)
    other = TopdownPredictor(config, str(tmp_path / 'dual.pth'), device='cpu',
                             network='second')
    assert_same(other.predict(images, BOXES), predictor.predict(images, BOXES))


def test_onnx_predicts_the_same(topdown_config, topdown_checkpoint, images,
                                predictor, tmp_path):
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    pytest.importorskip('onnx', reason='onnx is not installed')
    from mmpose_wloss.deploy import export_onnx
    file = str(tmp_path / 'network.onnx')
    export_onnx(topdown_config, topdown_checkpoint, file)
    other = TopdownPredictor(topdown_config, onnx_file=file)
    assert other.flip_test and other.joints == predictor.joints
    expected = predictor.predict(images, BOXES)
    assert_same(other.predict(images, BOXES), expected, atol=0.1)
    # the file knows nothing of a training that wraps the network
    config = topdown_config.copy()
    config.model = dict(type='PoseDual', network=topdown_config.model)
    wrapped = TopdownPredictor(config, onnx_file=file)
    assert_same(wrapped.predict(images, BOXES), expected, atol=0.1)
    for wrong in (dict(network='first'), dict(device='cuda:0')):
        with pytest.raises(ValueError, match='an ONNX file'):
            TopdownPredictor(topdown_config, onnx_file=file, **wrong)
    with pytest.raises(FileNotFoundError, match='none.onnx'):
        TopdownPredictor(topdown_config, onnx_file='none.onnx')


def test_wrong_arguments(predictor, images, topdown_config,
                         topdown_checkpoint, pose3d_config, pose3d_checkpoint,
                         tmp_path):
    with pytest.raises(ValueError, match='4 images, but boxes of 1'):
        predictor.predict(images, [[]])
    with pytest.raises(ValueError, match='boxes of image 1 must be'):
        predictor.predict(images[:2], [[], [[50, 50, 40, 60]]])
    for given in (dict(), dict(checkpoint='a.pth', onnx_file='a.onnx')):
        with pytest.raises(ValueError, match='either a checkpoint or an ONNX'):
            TopdownPredictor(topdown_config, **given)
    with pytest.raises(ValueError, match='at least 1, but is 0'):
        TopdownPredictor(topdown_config, topdown_checkpoint, batch_size=0)
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        TopdownPredictor(topdown_config, str(tmp_path / 'none.pth'))
    with pytest.raises(ValueError, match='TopdownPose3DEstimator predicts no '
                       '2D keypoints'):
        TopdownPredictor(pose3d_config, pose3d_checkpoint, device='cpu')
