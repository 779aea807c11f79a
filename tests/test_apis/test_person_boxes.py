import json
from pathlib import Path

from mmpose_wloss.apis import BoxesFile, PersonDetector, person_boxes

import mmdet
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

FRAMES = [np.zeros((64, 96, 3), np.uint8)] * 3


@pytest.fixture
def write(tmp_path):
    def write_content(content) -> str:
        file = tmp_path / 'boxes.json'
        file.write_text(json.dumps(content))
        return str(file)
    return write_content


def test_a_list_for_each_frame(write):
    boxes = BoxesFile(write([[[1, 2, 30, 40]], [],
                             [[1, 2, 30, 40, 0.5], [5, 5, 9, 9, 0.25]]]))
    found = boxes(FRAMES)
    assert [len(one) for one in found] == [1, 0, 2]
    np.testing.assert_array_equal(found[0], [[1, 2, 30, 40, 1]])
    np.testing.assert_array_equal(found[2][:, 4], [0.5, 0.25])
    np.testing.assert_array_equal(boxes(FRAMES[:1], 2)[0], found[2])
    with pytest.raises(ValueError, match='boxes of 3 frames'):
        boxes(FRAMES, 1)


def test_frames_by_their_numbers(write):
    boxes = BoxesFile(write({'1': [[1, 2, 30, 40]], '7': []}))
    assert [len(one) for one in boxes(FRAMES)] == [0, 1, 0]
    assert [len(one) for one in boxes(FRAMES, 6)] == [0, 0, 0]


@pytest.mark.parametrize(('content', 'named'), [
    (7, 'boxes.json'), ({'first': []}, 'boxes.json'), ({'-1': []}, 'boxes.json'),
    ({'3': [[5, 5, 1, 9]]}, 'frame 3 in .*boxes.json'),
    ([[], [[1, 2, 'x', 4]]], 'frame 1'), ([None], 'frame 0'),
])
def test_wrong_content(write, content, named):
    with pytest.raises(ValueError, match=named):
        BoxesFile(write(content))


def test_what_a_command_names(write, tmp_path):
    np.testing.assert_array_equal(
        person_boxes('whole')(FRAMES), [[[0, 0, 96, 64, 1]]] * 3)
    assert isinstance(person_boxes(write([])), BoxesFile)
    with pytest.raises(FileNotFoundError, match='none.json'):
        person_boxes(str(tmp_path / 'none.json'))
    with pytest.raises(ValueError, match='boxes.txt'):
        person_boxes('boxes.txt')
    for arguments in (('detector.py', ), ('whole', 'detector.pth')):
        with pytest.raises(ValueError, match='--det-checkpoint'):
            person_boxes(*arguments)


@pytest.fixture(scope='module')
def detector_files(tmp_path_factory):
    """A RetinaNet of three classes with a thin ResNet-18, random."""
    folder = tmp_path_factory.mktemp('detector')
    base = Path(mmdet.__file__).parent / '.mim'
    file = folder / 'retinanet.py'
    file.write_text(f"""
_base_ = {str(base / 'configs/retinanet/retinanet_r18_fpn_1x_coco.py')!r}
model = dict(
    backbone=dict(base_channels=8, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=8),
    bbox_head=dict(num_classes=3, in_channels=8, feat_channels=8),
    test_cfg=dict(score_thr=0., max_per_img=20))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(96, 64), keep_ratio=True),
    dict(type='PackDetInputs', meta_keys=(
        'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
""")
    with DefaultScope.overwrite_default_scope('mmdet'), \
            torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(file).model)
        torch.nn.init.normal_(model.bbox_head.retina_cls.weight)
    torch.save(dict(meta=dict(dataset_meta=dict(
        classes=('dog', 'person', 'tree'))), state_dict=model.state_dict()),
        folder / 'epoch_1.pth')
    return str(file), str(folder / 'epoch_1.pth')


def test_people_of_a_detector(detector_files):
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 96, 3), np.uint8)
    detector = PersonDetector(*detector_files, device='cpu', score_thr=0.)
    found = detector(list(noise), 5)
    assert len(found) == 2 and 0 < len(found[0]) < 20
    assert found[0].shape[1] == 5 and found[0].dtype == np.float32
    # another class, a low score, and a box without width
    people = InstanceData(
        labels=torch.tensor([1, 0, 1, 1]), scores=torch.tensor([.9, .9, .1, .9]),
        bboxes=torch.tensor([[1., 2, 30, 40]] * 3 + [[5., 5, 5, 9]]))
    detector.score_thr = 0.5
    detector._inference = lambda *_: [InstanceData(pred_instances=people)]
    np.testing.assert_allclose(detector(noise[:1])[0], [[1, 2, 30, 40, .9]])


def test_objects_of_a_detector_of_one_class(detector_files, tmp_path):
    config, checkpoint = detector_files
    text = Path(config).read_text().replace('num_classes=3', 'num_classes=1')
    (tmp_path / 'lamps.py').write_text(text)
    content, name = torch.load(checkpoint), 'bbox_head.retina_cls'
    anchors = len(content['state_dict'][f'{name}.bias']) // 3
    for key in ('weight', 'bias'):
        content['state_dict'][f'{name}.{key}'] = content['state_dict'][
            f'{name}.{key}'][:anchors]
    torch.save(dict(content, meta=dict(dataset_meta=dict(classes=('lamp', )))),
               tmp_path / 'lamps.pth')
    noise = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), np.uint8)
    detector = PersonDetector(str(tmp_path / 'lamps.py'), str(tmp_path / 'lamps.pth'),
                              'cpu', score_thr=0.)
    assert len(detector(list(noise))[0])


def test_wrong_detectors(detector_files, tmp_path):
    config, checkpoint = detector_files
    for files in (('none.py', checkpoint), (config, 'none.pth')):
        with pytest.raises(FileNotFoundError, match='none.p'):
            PersonDetector(*files)
    content = torch.load(checkpoint)
    torch.save(dict(content, meta=dict(dataset_meta=dict(
        classes=('dog', 'cat', 'tree')))), tmp_path / 'animals.pth')
    with pytest.raises(ValueError, match='person'):
        PersonDetector(config, str(tmp_path / 'animals.pth'), 'cpu')
    del content['state_dict']['bbox_head.retina_cls.weight']
    torch.save(content, tmp_path / 'part.pth')
    with pytest.raises(ValueError, match='retina_cls.weight'):
        PersonDetector(config, str(tmp_path / 'part.pth'), 'cpu')
