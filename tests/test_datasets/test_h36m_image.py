import pickle

from mmpose_wloss.common.camera import back_project
from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.datasets import Human36mImageDataset
from mmpose_wloss.datasets.poses import collect_poses

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from mmpose.evaluation.metrics import MPJPE
from mmpose.registry import DATASETS, MODELS

TRAIN = 'annotation_body3d/fps50/h36m_train.npz'
TEST = 'annotation_body3d/fps50/h36m_test.npz'
CAMERAS = 'annotation_body3d/cameras.pkl'
CODEC = dict(type='IntegralPose3DLabel', input_size=(64, 64),
             heatmap_size=(16, 16, 4))
PIPELINE = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale', padding=1.),
    dict(type='TopdownAffine', input_size=(64, 64), use_udp=True),
    dict(type='GenerateTarget', encoder=CODEC),
    dict(type='PackPose3DInputs')
]


def dataset(root, **changes) -> Human36mImageDataset:
    return DATASETS.build({
        'type': 'Human36mImageDataset', 'data_root': str(root),
        'ann_file': TRAIN, 'camera_param_file': CAMERAS,
        'data_prefix': dict(img='images/'), **changes})


def test_a_sample_is_what_the_file_says(h36m_root):
    content = np.load(h36m_root / TRAIN)
    data = dataset(h36m_root)
    assert len(data) == len(content['S']) == 9
    for index, info in enumerate(data):
        pose = content['S'][index, :, :3] * 1000
        name = content['imgname'][index]
        assert info['id'] == info['img_id'] == index
        assert info['img_path'] == str(h36m_root / 'images' / name)
        assert info['target_img_path'] == [name.split('/')[-1]]
        assert info['root_joints'] == (0, )
        np.testing.assert_allclose(info['root_depth'], pose[0, 2])
        np.testing.assert_allclose(
            info['lifting_target'][0], pose - pose[0], atol=1e-3)
        np.testing.assert_allclose(info['keypoints'][0, :, 2],
                                   pose[:, 2] - pose[0, 2], atol=1e-3)
        np.testing.assert_allclose(info['keypoints'][0, :, :2],
                                   content['part'][index, :, :2], atol=1e-4)
        left, top, right, bottom = info['bbox'][0]
        np.testing.assert_allclose(
            [(left + right) / 2, (top + bottom) / 2, right - left],
            [*content['center'][index], content['scale'][index] * 200],
            rtol=1e-5)
        for key in ('bbox', 'bbox_score', 'keypoints', 'keypoints_visible',
                    'lifting_target', 'lifting_target_visible'):
            assert len(info[key]) == 1 and info[key].dtype == np.float32
        assert info['lifting_target_visible'].all()
        # pixels, depths and camera give the pose back
        np.testing.assert_allclose(
            back_project(info['keypoints'][0, :, :2],
                         info['root_depth'] + info['keypoints'][0, :, 2],
                         info['camera_param']), pose, atol=0.01)
    poses = collect_poses(data)
    assert poses.keypoints.shape == (9, 17, 2) and poses.visible.all()


def test_millimeters_are_recognized(h36m_root, h36m_annotation, write_h36m):
    h36m_annotation['S'][..., :3] *= 1000
    for ours, other in zip(dataset(write_h36m(h36m_annotation)),
                           dataset(h36m_root), strict=True):
        np.testing.assert_allclose(ours['keypoints'], other['keypoints'],
                                   rtol=1e-5)
        np.testing.assert_allclose(ours['root_depth'], other['root_depth'])


def test_protocols_choose_subjects_of_one_or_several_files(h36m_root):
    everything = dataset(h36m_root, ann_file=[TRAIN, TEST],
                         subjects=['S1', 'S5', 'S9', 'S11'])
    names = {info['id']: info['target_img_path'][0] for info in everything}
    assert len(names) == 14
    for arguments, expected in (
            (dict(protocol=1, split='train'), {'S1', 'S5'}),
            (dict(protocol=1, split='test'), {'S11', 'S9'}),
            (dict(protocol=2, split='train'), {'S1', 'S5', 'S9'}),
            (dict(protocol=2, split='test'), {'S11'}),
            (dict(subjects=('S5', )), {'S5'})):
        data = dataset(h36m_root, ann_file=[TRAIN, TEST], **arguments)
        assert data.ann_files == [str(h36m_root / name)
                                  for name in (TRAIN, TEST)]
        # the same sample has the same id, whatever is chosen
        assert {info['id']: info['target_img_path'][0] for info in data} == {
            key: name for key, name in names.items()
            if name.split('_')[0] in expected}


def test_frames_are_taken_of_each_video(h36m_root):
    ids = [info['id'] for info in dataset(h36m_root, frame_interval=4)]
    assert ids == [0, 4, 6]


def test_joints_without_annotation(h36m_annotation, write_h36m):
    h36m_annotation['S'][0, 3, 3] = 0
    h36m_annotation['S'][1, 0, 3] = 0
    h36m_annotation['part'][2, 5, 2] = 0
    # what stands there does not count
    h36m_annotation['S'][0, 3, :3] = h36m_annotation['part'][2, 5, :2] = 0
    first, second, third, *_ = dataset(write_h36m(h36m_annotation))
    assert np.flatnonzero(np.isnan(first['keypoints'][0, :, 2])).tolist() == [3]
    assert np.flatnonzero(first['lifting_target_visible'] == 0).tolist() == [3]
    assert not first['lifting_target'][0, 3].any()
    # without its root a pose has no 3D
    assert np.isnan(second['keypoints'][..., 2]).all()
    assert not second['lifting_target_visible'].any()
    assert np.isfinite(second['keypoints'][..., :2]).all()
    assert np.flatnonzero(third['keypoints_visible'] == 0).tolist() == [5]


def test_joints_can_be_left_out(h36m_root):
    names = dataset(h36m_root).metainfo['keypoint_id2name']
    others = [index for index, name in names.items() if name != 'spine']
    ours = dataset(h36m_root, left_out=['spine'], pipeline=PIPELINE)
    meta = ours.metainfo
    assert list(meta['keypoint_id2name'].values()) == [names[index] for index in others]
    mirrored = [meta['keypoint_id2name'][index] for index in meta['flip_indices']]
    assert mirrored == [
        name.replace('left', '*').replace('right', 'left').replace('*', 'right')
        for name in meta['keypoint_id2name'].values()]
    links = {tuple(meta['keypoint_id2name'][end] for end in link)
             for link in meta['skeleton_links']}
    assert len(links) == 15 and ('root', 'thorax') in links
    for whole, info in zip(dataset(h36m_root), dataset(
            h36m_root, left_out=['spine']), strict=True):
        for key in ('keypoints', 'keypoints_visible', 'lifting_target'):
            np.testing.assert_array_equal(info[key], whole[key][:, others])
    assert ours[0]['data_samples'].gt_instance_labels.keypoint_labels.shape == (
        1, 16, 3)


@pytest.mark.parametrize('arguments, named', [
    (dict(left_out=['root']), r'left_out\[0\]'),
    (dict(left_out=['spine', 'tail']), r'left_out\[1\]'),
    (dict(left_out=['left_wrist']), 'right_wrist'),
    (dict(left_out=['spine'], metainfo=dict(classes=['person'])), 'metainfo')])
def test_joints_that_cannot_be_left_out(h36m_root, arguments, named):
    with pytest.raises(UserError, match=named):
        dataset(h36m_root, **arguments)


def test_flipped_samples_keep_the_depth_of_their_joints(h36m_root):
    pipeline = [*PIPELINE[:2], dict(type='RandomFlip', prob=1.), *PIPELINE[2:]]
    whole, flipped = (dataset(h36m_root, pipeline=steps)[3]['data_samples']
                      for steps in (PIPELINE, pipeline))
    indices = whole.flip_indices
    whole, flipped = (sample.gt_instance_labels.keypoint_labels
                      for sample in (whole, flipped))
    assert torch.equal(flipped[..., 2], whole[:, indices, 2])
    # MMPose mirrors boxes about w / 2 and joints about (w - 1) / 2
    torch.testing.assert_close(flipped[..., 0], 1 - whole[:, indices, 0],
                               atol=0.02, rtol=0)


def test_the_truth_has_no_error_in_mpjpe(h36m_root):
    data = dataset(h36m_root, ann_file=TEST, split='test', test_mode=True,
                   pipeline=PIPELINE)
    # CocoMetric must not take the file for COCO's
    assert MessageHub.get_current_instance().get_info('h36m_ann_file') is None
    model = MODELS.build(dict(
        type='TopdownPose3DEstimator',
        backbone=dict(type='ResNet', depth=18),
        head=dict(type='IntegralPose3DHead', in_channels=512, out_channels=17,
                  deconv_out_channels=(16, ) * 3,
                  deconv_kernel_sizes=(4, ) * 3, decoder=CODEC)))
    samples = [data[index]['data_samples'] for index in range(len(data))]
    decoder = model.head.decoder
    predictions = []
    for sample in samples:
        bins = sample.gt_instance_labels.keypoint_labels.numpy() * (15, 15, 3)
        keypoints, scores = decoder.decode(bins, np.ones((1, 17)))
        predictions.append(InstanceData(keypoints=keypoints,
                                        keypoint_scores=scores))
    samples = model.add_pred_to_datasample(predictions, None, samples)
    for mode in ('mpjpe', 'p-mpjpe'):
        metric = MPJPE(mode=mode)
        metric.process([], [sample.to_dict() for sample in samples])
        errors = metric.compute_metrics(metric.results)
        assert errors.keys() == {mode.upper(), f'{mode.upper()}_Greeting',
                                 f'{mode.upper()}_WalkDog'}
        # millimeters; more if crops are not scaled back as TopdownAffine with
        # UDP scales them
        assert max(errors.values()) < 0.5


@pytest.mark.parametrize('argument, value, named', [
    ('protocol', 3, '3'), ('split', 'val', 'val'),
    ('data_mode', 'bottomup', 'bottomup'), ('subjects', 'S1', 'of 1, S'),
    ('subjects', ['S1', 'S6'], 'S6, but of S1, S5'),
    ('split', 'test', 'h36m_train.npz .* S11, S9, but of S1, S5'),
    ('frame_interval', 0, '0'), ('sample_interval', 2, '2'),
    ('bbox_file', 'boxes.json', 'boxes.json'), ('ann_file', '', 'ann_file'),
    ('ann_file', CAMERAS, r"cameras.pkl .*'S': \(0, 17, 4\)"),
    ('camera_param_file', None, 'camera_param_file'),
    ('ann_file', 'none.npz', 'ann_file .*none.npz'),
    ('camera_param_file', 'none.npz', 'camera_param_file .*none.npz'),
    ('camera_param_file', 'cameras.json', 'cameras.json')])
def test_arguments_that_do_not_fit(h36m_root, argument, value, named):
    (h36m_root / 'cameras.json').write_text('[]')
    kind = MissingFile if value == 'none.npz' else UserError
    with pytest.raises(kind, match=named):
        dataset(h36m_root, **{argument: value})


def rename(arrays: dict) -> None:
    arrays['imgname'][4] = 'S1/frame4.jpg'


@pytest.mark.parametrize('change, named', [
    (lambda arrays: arrays.pop('S'), r"have .*'S': \(9, 17, 4\)"),
    (lambda arrays: arrays.update(part=arrays['part'][:, :16]),
     r"'part': \(9, 16, 3\)"),
    (lambda arrays: arrays.update(scale=arrays['scale'][1:]),
     r"'scale': \(8,\)"),
    (lambda arrays: arrays.update(S=arrays['S'] * [50, 50, 50, 1]),
     "'S' .*millimeters"),
    (lambda arrays: arrays.update(S=arrays['S'] + [0.5, 0, 0, 0]),
     r'6 of 6 .*: S1/S1_Directions_1.*by \d+ px'),
    (lambda arrays: arrays.update(S=arrays['S'] * [1, 1, -1, 1]),
     'Directions.*behind the camera'),
    (rename, 'S1/frame4.jpg')])
def test_annotations_that_do_not_fit(h36m_annotation, write_h36m, change,
                                     named):
    root = write_h36m(h36m_annotation)
    change(h36m_annotation)
    np.savez(root / TRAIN, **h36m_annotation)
    with pytest.raises(UserError, match=f'h36m_train.npz.*{named}'):
        dataset(root)


@pytest.mark.parametrize('change, named', [
    (lambda cameras: cameras.pop(('S5', '54138969')),
     r"\('S5', '54138969'\).*SittingDown"),
    (lambda cameras: cameras['S1', '54138969'].pop('f'),
     r"\('S1', '54138969'\) .*'f'"),
    (lambda cameras: cameras['S1', '54138969'].update(c=[[1.], [2.]]),
     '6 of 6 ')])
def test_cameras_that_do_not_fit(h36m_annotation, write_h36m, change, named):
    root = write_h36m(h36m_annotation)
    with open(root / CAMERAS, 'rb') as file:
        cameras = {key: dict(value)
                   for key, value in pickle.load(file).items()}
    change(cameras)
    with open(root / CAMERAS, 'wb') as file:
        pickle.dump(cameras, file)
    with pytest.raises(UserError, match=named):
        dataset(root)
