import json

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import CocoStyle3DDataset

import numpy as np
import pytest
from mmpose.evaluation.metrics import MPJPE
from mmpose.registry import DATASETS

ANNOTATIONS = 'annotations/person_keypoints_train2017.json'
PIPELINE = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(64, 64), use_udp=True),
    dict(type='GenerateTarget', encoder=dict(
        type='IntegralPose3DLabel', input_size=(64, 64),
        heatmap_size=(16, 16, 4))),
    dict(type='PackPose3DInputs')
]
CAMERA = dict(f=[150., 150.], c=[64., 48.])


def dataset(root, **changes) -> CocoStyle3DDataset:
    return DATASETS.build({
        'type': 'CocoStyle3DDataset', 'data_root': str(root),
        'ann_file': ANNOTATIONS, 'data_prefix': dict(img='train2017/'),
        **changes})


@pytest.fixture
def content(coco_root) -> dict:
    """The annotations of 6 people, to be changed."""
    return json.loads((coco_root / ANNOTATIONS).read_text())


@pytest.fixture
def write(tmp_path, coco_root):
    """Writes annotations, of images that are there, and gives their root."""
    def write_annotations(content: dict):
        (tmp_path / 'annotations').mkdir()
        (tmp_path / ANNOTATIONS).write_text(json.dumps(content))
        (tmp_path / 'train2017').symlink_to(coco_root / 'train2017')
        return tmp_path
    return write_annotations


def test_a_sample_is_what_the_file_says(coco_root, content):
    data = dataset(coco_root)
    stock = dataset(coco_root, type='CocoDataset')
    assert len(data) == len(stock) == 6
    for info, other, annotation in zip(data, stock, content['annotations'],
                                       strict=True):
        assert set(other) < set(info)
        for key in ('bbox', 'bbox_score', 'keypoints_visible'):
            assert np.array_equal(info[key], other[key])
        pose = np.array(annotation['keypoints_3d'])
        root = pose[[11, 12]].mean(0)
        assert info['keypoints'].shape == (1, 17, 3)
        assert np.array_equal(info['keypoints'][..., :2], other['keypoints'])
        np.testing.assert_allclose(info['keypoints'][0, :, 2],
                                   pose[:, 2] - root[2], atol=1e-3)
        np.testing.assert_allclose(info['lifting_target'][0], pose - root,
                                   atol=1e-3)
        assert info['lifting_target_visible'].tolist() == [[1] * 17]
        assert info['root_joints'] == (11, 12)
        np.testing.assert_allclose(info['root_depth'], root[2])
        assert {key: value.tolist()
                for key, value in info['camera_param'].items()} == CAMERA
        for key in ('keypoints', 'keypoints_visible', 'lifting_target',
                    'lifting_target_visible'):
            assert info[key].dtype == np.float32


def test_annotations_without_3d_are_for_training(content, write):
    del content['images'][1]['camera'], content['annotations'][1]['keypoints_3d']
    poses = [one.get('keypoints_3d') for one in content['annotations']]
    content['annotations'][2]['keypoints_3d'] = None
    # without its root a pose has no 3D
    poses[3][12] = poses[0][3] = [None] * 3
    root = write(content)
    data = list(dataset(root))
    assert len(data) == 6
    for info in data[1:4]:
        assert np.isnan(info['keypoints'][..., 2]).all()
        assert np.isfinite(info['keypoints'][..., :2]).all()
        assert not info['lifting_target_visible'].any()
        assert not info['lifting_target'].any()
        # what is not known is not there
        assert 'root_depth' not in info
    assert ['camera_param' in info for info in data[1:4]] == [False, True, True]
    assert np.flatnonzero(np.isnan(data[0]['keypoints'][0, :, 2])).tolist() == [
        3]
    assert np.flatnonzero(data[0]['lifting_target_visible'] == 0) == [3]
    with pytest.raises(UserError, match=r'\(11, 12\) \(ids 2, 3, 4\)'):
        dataset(root, test_mode=True)


def test_annotations_that_do_not_count_need_no_3d(content, write):
    for annotation, changes in zip(content['annotations'], (
            dict(iscrowd=1), dict(num_keypoints=0)), strict=False):
        annotation.update(changes)
        del annotation['keypoints_3d']
    assert len(dataset(write(content), test_mode=True)) == 4


def test_mpjpe_reports_each_class_of_poses(content, write):
    for annotation in content['annotations'][:2]:
        annotation['pose_class'] = 'upside_down'
    data = dataset(write(content), pipeline=PIPELINE, test_mode=True)
    metric = MPJPE()
    for index in range(6):
        sample = data[index]['data_samples'].to_dict()
        sample['pred_instances'] = dict(
            keypoints=sample['gt_instances']['lifting_target'] +
            [0, 0, index])
        metric.process([], [sample])
    errors = metric.compute_metrics(metric.results)
    assert errors.keys() == {'MPJPE', 'MPJPE_upside-down', 'MPJPE_all'}
    np.testing.assert_allclose(
        [errors['MPJPE'], errors['MPJPE_upside-down'], errors['MPJPE_all']],
        [2.5, 0.5, 3.5], rtol=1e-4)


@pytest.mark.parametrize('argument, value', [
    ('data_mode', 'bottomup'), ('bbox_file', 'boxes.json'),
    ('root_joints', ()), ('root_joints', (11, 17))])
def test_arguments_that_do_not_fit(coco_root, argument, value):
    with pytest.raises(UserError, match=argument):
        dataset(coco_root, test_mode=True, **{argument: value})


def edit(key: str, how, chosen=slice(None)):
    """Changes a value of each image or annotation, or of the chosen ones."""
    def edit_content(content: dict):
        for entries in (content['images'], content['annotations']):
            for entry in entries[chosen]:
                if key in entry:
                    entry[key] = how(entry[key])
    return edit_content


def every(key: str, how):
    return edit(key, how)


def one(key: str, how):
    """Of the third."""
    return edit(key, how, slice(2, 3))


def moved(offset: list):
    return lambda pose: (np.array(pose) + offset).tolist()


def scaled(factor: float):
    return lambda pose: (np.array(pose) * factor).tolist()


@pytest.mark.parametrize('change, named', [
    (every('keypoints_3d', lambda pose: None), "'keypoints_3d'"),
    (one('camera', lambda camera: None), 'annotation 3 .*image 3 '),
    (every('keypoints_3d', lambda pose: [[None] * 3] * 17), r'\(11, 12\)'),
    (every('keypoints_3d', scaled(.001)), ' 1000;.*check_unit'),
    (every('keypoints_3d', scaled(.1)), ' 10;.*check_unit'),
    (one('keypoints_3d', moved([2000, 0, 0])),
     r'1 of 6 .*: annotation 3 by \d+ px'),
    (every('keypoints_3d', moved([0, 0, -9000])),
     '6 of 6 .* annotation 1 with joints behind .*, …'),
    (every('camera', lambda camera: dict(camera, c=[0., 0.])), '6 of 6 '),
    (one('keypoints_3d', lambda pose: pose[:16]), 'annotation 3 .* 17 lists'),
    (one('keypoints_3d', lambda pose: [joint[:2] for joint in pose]),
     'annotation 3 .* 17 lists'),
    (one('keypoints_3d', lambda pose: 'none'), 'annotation 3 .* 17 lists'),
    (one('camera', lambda camera: dict(f=[1, 1])), "image 3 .*'c'")])
def test_annotations_that_do_not_fit(content, write, change, named):
    change(content)
    with pytest.raises(UserError, match=f'train2017.json.*{named}'):
        dataset(write(content))


@pytest.mark.parametrize('factor', [.1, .01])
def test_what_is_smaller_than_people(coco_root, content, write, factor):
    people = dataset(coco_root)
    every('keypoints_3d', scaled(factor))(content)
    for small, info in zip(dataset(write(content), check_unit=False), people,
                           strict=True):
        np.testing.assert_allclose(
            small['lifting_target'], factor * info['lifting_target'], rtol=1e-4,
            atol=1e-3)
