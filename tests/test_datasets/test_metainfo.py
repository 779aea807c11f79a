"""Metainfo of joints from the categories of annotations in COCO's format."""

import json

from mmpose_wloss.__main__ import main
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets.metainfo import (
    keypoint_category,
    metainfo_of_category,
    other_side,
    read_metainfo,
)

import numpy as np
import pytest
from lamps import CATEGORY, KEYPOINTS, SKELETON
from mmpose.datasets.datasets import CocoDataset
from mmpose.datasets.datasets.utils import parse_pose_metainfo

COCO_META = parse_pose_metainfo(CocoDataset.METAINFO)
KNIFE = dict(id=2, name='knife', keypoints=['tip', 'end'])


@pytest.fixture
def ann_file(tmp_path):
    """One lamp, and two boxes without joints, one of them of another category."""
    def write(*categories, **changes):
        one = dict(id=1, image_id=1, category_id=CATEGORY['id'], bbox=[0, 0, 9, 9],
                   area=81., keypoints=[1., 2., 2] * 5)
        (tmp_path / 'lamps.json').write_text(json.dumps(dict(
            images=[dict(id=1, file_name='1.jpg', width=10, height=10)],
            annotations=[dict(one, **changes), dict(
                id=2, image_id=1, category_id=CATEGORY['id'], bbox=[0, 0, 9, 9]),
                dict(id=3, image_id=1, category_id=99)],
            categories=list(categories) or [dict(id=99, name='table'), CATEGORY])))
        return tmp_path / 'lamps.json'
    return write


@pytest.mark.parametrize('left, right', [
    ('left_eye', 'right_eye'), ('eye left', 'eye right'), ('leftear', 'rightear'),
    ('Left-Ear', 'Right-Ear'), ('PAW_LEFT', 'PAW_RIGHT'), ('l_hip', 'r_hip'),
    ('L_F_Paw', 'R_F_Paw'), ('pawL', 'pawR'), ('thumb.l', 'thumb.r'),
    ('LEye', 'REye'), ('lShoulder', 'rShoulder'), ('lhip', 'rhip'), ('EYEL', 'EYER'),
    ('left_rear', 'right_rear')])
def test_other_sides(left, right):
    names = [left, 'tail', 'l', right]
    assert (other_side(left, names), other_side(right, names)) == (right, left)
    assert other_side(left, [left, 'tail']) == '' == other_side('tail', names)


def test_the_metainfo_of_coco():
    """From its names and links alone, it is MMPose's, but for colors and sigmas."""
    names = [COCO_META['keypoint_id2name'][index] for index in range(17)]
    ours = parse_pose_metainfo(metainfo_of_category(dict(
        name='coco', keypoints=names,
        skeleton=(np.array(COCO_META['skeleton_links']) + 1).tolist())))
    for key in ('dataset_name', 'keypoint_id2name', 'flip_indices',
                'num_skeleton_links'):
        assert ours[key] == COCO_META[key]
    np.testing.assert_array_equal(ours['skeleton_links'], COCO_META['skeleton_links'])
    assert len(np.unique(ours['keypoint_colors'], axis=0)) == 17


def test_the_command_writes_what_mmpose_reads(ann_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ['metainfo', str(ann_file()), '--out', 'lamp.py', '--sigma', '0.03']
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "2 of 'lamp'" in printed and 'shade_left and shade_right' in printed
    assert "1 have no 'area'" in printed and "'bbox'" not in printed
    dataset = CocoDataset(ann_file='lamps.json', metainfo=dict(from_file='lamp.py'),
                          data_prefix=dict(img=''))
    meta = dataset.metainfo
    assert tuple(meta['keypoint_name2id']) == KEYPOINTS
    assert meta['flip_indices'] == [0, 1, 2, 4, 3]
    np.testing.assert_array_equal(meta['skeleton_links'], np.array(SKELETON) - 1)
    np.testing.assert_allclose(meta['sigmas'], 0.03)
    assert dataset[0]['category_id'] == CATEGORY['id']
    assert main(command) == 1
    assert '--force' in capsys.readouterr().err
    assert main([*command, '--force']) == 0
    assert main([*command[:3], 'lamp.json']) == 1


def test_one_of_several_categories(ann_file):
    file = ann_file(CATEGORY, KNIFE)
    with pytest.raises(UserError, match='lamp, knife.*--category'):
        read_metainfo(file)
    assert len(read_metainfo(file, 'knife')[0]['keypoint_info']) == 2
    metainfo, annotations = read_metainfo(file, 'lamp')
    assert [one['id'] for one in annotations] == [1, 2]
    assert metainfo['dataset_name'] == 'lamp'


@pytest.mark.parametrize('content', [
    {}, dict(categories=[dict(id=1, name='lamp')]), dict(categories=None)])
def test_without_names(content):
    with pytest.raises(UserError, match='lamps.json.*keypoints'):
        keypoint_category(content, 'lamps.json')


@pytest.mark.parametrize('changes, message', [
    (dict(keypoints=['tip', 'tip']), "'tip'"), (dict(skeleton=[[0, 1]]), r'\[0, 1\]'),
    (dict(skeleton=[[1, 2, 3]]), '1, 2, 3')])
def test_categories_that_do_not_fit(changes, message):
    with pytest.raises(UserError, match=f'knife.*{message}'):
        metainfo_of_category(dict(KNIFE, **changes))


def test_what_does_not_fit(ann_file):
    with pytest.raises(UserError, match='annotation 1 .* 51 .* 15'):
        read_metainfo(ann_file(keypoints=[0] * 51))
    with pytest.raises(UserError, match='lamps.json.*sofa'):
        read_metainfo(ann_file(), 'sofa')
    with pytest.raises(UserError, match='sigma'):
        read_metainfo(ann_file(), sigma=0.)
