"""A line instead of a traceback, from what others were busy with."""

import json
import pickle

from mmpose_wloss.common.blame import sentence_for_user
from mmpose_wloss.common.errors import UserError

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader, save_checkpoint
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import DATASETS, MODELS
from small_networks import batch_for, build, heatmap_network
from torch.utils.data import DataLoader
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval


def sentence_of(function, *arguments):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function(*arguments)
    return sentence_for_user(caught.value)


@pytest.mark.parametrize('text, parts', [
    ('a = 1 / 0', ['ZeroDivisionError']), ('a = dict(type=Foo)', ['Foo']),
    ('_base_ = "nowhere.py"', ['nowhere.py']),
    ('custom_imports = dict(imports=["mmpose_wlos"], allow_failed_imports=False)',
     ['mmpose_wlos'])])
def test_a_config_that_cannot_be_read(tmp_path, text, parts):
    file = tmp_path / 'mine.py'
    file.write_text(text)
    sentence = sentence_of(Config.fromfile, file)
    assert str(tmp_path) in sentence and len(sentence.splitlines()) == 1
    assert all(part in sentence for part in parts)


def test_a_key_that_a_config_lacks(tmp_path):
    file = tmp_path / 'mine.py'
    file.write_text('a = 1')
    config = Config.fromfile(file)
    for use in (lambda: config.model, lambda: config['model']):
        sentence = sentence_of(use)
        assert str(file) in sentence and "'model'" in sentence


def test_a_hook_that_cannot_be_left_out():
    runner = Runner.__new__(Runner)
    sentence = sentence_of(runner.register_default_hooks, dict(pose_density=None))
    assert 'default_hooks.pose_density' in sentence and '_delete_' in sentence


@pytest.mark.parametrize('content', [b'text\n', b'', pickle.dumps([1]), None])
def test_what_is_no_checkpoint(tmp_path, content):
    file = tmp_path / 'x.pth'
    if content is None:
        torch.save(dict(state_dict=dict(a=torch.zeros(100))), file)
        content = file.read_bytes()[:-200]
    file.write_bytes(content)
    sentence = sentence_of(CheckpointLoader.load_checkpoint, str(file), 'cpu')
    assert str(file) in sentence and len(sentence.splitlines()) == 1


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    (tmp_path / 'x.pth').symlink_to('/dev/full')
    for save in torch.save, save_checkpoint:
        sentence = sentence_of(save, dict(x=torch.zeros(100_000)),
                               str(tmp_path / 'x.pth'))
        assert str(tmp_path / 'x.pth') in sentence


@pytest.mark.parametrize('config, parts', [
    (dict(type='FocusMSEloss'), ['FocusMSEloss', 'FocusMSELoss']),
    (dict(type='FocusMSELoss', gama=1.), ['FocusMSELoss', "'gama'"]),
    (dict(type='Qwertz'), ['Qwertz', 'custom_imports'])])
def test_a_component_that_cannot_be_built(config, parts):
    init_default_scope('mmpose')
    sentence = sentence_of(MODELS.build, config)
    assert all(part in sentence for part in parts)
    assert len(sentence.splitlines()) == 1


def test_what_a_runner_refuses(tmp_path):
    sentence = sentence_of(Runner, 3, str(tmp_path))
    assert 'got 3' in sentence


def person(**changes):
    return dict(dict(
        id=7, image_id=1, category_id=1, iscrowd=0, bbox=[1., 1., 8., 8.], area=64.,
        num_keypoints=17, keypoints=[4., 4., 2.] * 17), **changes)


@pytest.fixture
def coco(tmp_path):
    """A file's data set, with an image beside it."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((16, 16, 3), np.uint8))
    (tmp_path / 'text.png').write_text('no image')

    def build(content, pipeline=()):
        file = tmp_path / 'people.json'
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        init_default_scope('mmpose')
        return DATASETS.build(dict(
            type='CocoDataset', ann_file=str(file), data_prefix=dict(img=str(tmp_path)),
            pipeline=list(pipeline)))

    return build


def content_of(annotation, image='a.png'):
    return dict(
        images=[dict(id=1, file_name=image, width=16, height=16)],
        annotations=[annotation], categories=[dict(id=1, name='person')])


@pytest.mark.parametrize('content, part', [
    ('{"images": [', 'JSONDecodeError'), ('', 'JSONDecodeError'), ([], 'list'),
    (dict(images=[], annotations=[]), 'nobody'),
    (content_of(person(keypoints=['left'] * 51)), "'left'")])
def test_an_annotation_file_that_cannot_be_read(coco, content, part, tmp_path):
    sentence = sentence_of(coco, content)
    assert str(tmp_path / 'people.json') in sentence and part in sentence
    assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize('changes, part', [
    (dict(id='a'), 'TypeError'), (dict(keypoints=[4., 4., 2.] * 3), 'broadcast'),
    (dict(keypoints=None), 'TypeError')])
def test_an_annotation_that_cannot_be_evaluated(changes, part, tmp_path):
    file = tmp_path / 'people.json'
    file.write_text(json.dumps(content_of(person(**changes))))
    truth = COCO(str(file))
    found = truth.loadRes([dict(image_id=1, category_id=1, score=1.,
                                keypoints=[4., 4., 2.] * 17)])
    sentence = sentence_of(COCOeval(truth, found, 'keypoints').evaluate)
    assert str(file) in sentence and part in sentence
    assert len(sentence.splitlines()) == 1


@pytest.mark.parametrize('image, joints, parts', [
    ('text.png', 17, ['text.png', 'LoadImage']), ('none.png', 17, ['none.png']),
    ('a.png', 14, ['a.png', 'RandomFlip', '14 joints', '17'])])
def test_a_sample_that_cannot_be_prepared(coco, image, joints, parts):
    dataset = coco(
        content_of(person(keypoints=[4., 4., 2.] * joints), image),
        [dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
         dict(type='RandomFlip', prob=1.)])
    sentence = sentence_of(dataset.__getitem__, 0)
    assert 'annotation 7' in sentence and len(sentence.splitlines()) == 1
    assert all(part in sentence for part in parts)


def test_a_batch_of_different_joints():
    """As of a file with two categories."""
    model = build(heatmap_network(), 'PoseCons')
    data = model.data_preprocessor(batch_for(heatmap_network()), True)
    wrong = data['data_samples'][1]
    wrong.set_metainfo(dict(id=8, img_path='b.png'))
    wrong.gt_fields = PixelData(heatmaps=wrong.gt_fields.heatmaps[:3])
    wrong.gt_instance_labels = InstanceData(keypoint_weights=torch.ones(1, 3))
    for network in (model, model.networks['first']):
        sentence = sentence_of(lambda network=network: network(**data, mode='loss'))
        assert all(part in sentence for part in (
            'annotation 8', 'b.png', '3 joints', '5'))


class Broken(torch.utils.data.Dataset):
    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise self.error


def test_an_error_in_a_process_that_loads_data():
    loader = DataLoader(Broken(UserError('what to do')), num_workers=1)
    assert sentence_of(list, loader) == 'what to do'
    loader = DataLoader(Broken(AssertionError('no image')), num_workers=1)
    assert sentence_of(list, loader) == 'AssertionError: no image'


def test_other_errors():
    assert sentence_for_user(UserError('first\nsecond')) == 'first\nsecond'
    assert sentence_of(open, '/nowhere') == (
        "[Errno 2] No such file or directory: '/nowhere'")
    assert sentence_of(lambda: [][1]) is None
