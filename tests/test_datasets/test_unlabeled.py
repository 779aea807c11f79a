import copy
import json
import math
import os

from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.datasets import UnlabeledPoseDataset
from mmpose_wloss.datasets.datasets.unlabeled import UnreadableImageError
from mmpose_wloss.datasets.metainfo import metainfo_of_category

import numpy as np
import pytest
import torch
from lamps import CATEGORY, KEYPOINTS
from mmcv.transforms import LoadImageFromFile
from mmpose.datasets.datasets import CocoDataset
from mmpose.registry import DATASETS, TRANSFORMS
from PIL import Image

ANN_FILE = 'annotations/person_keypoints_train2017.json'
CODEC = dict(type='MSRAHeatmap', input_size=(48, 64), heatmap_size=(12, 16),
             sigma=2)
CROP = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip'),
    dict(type='RandomBBoxTransform'),
    dict(type='TopdownAffine', input_size=CODEC['input_size']),
]
COCO = dict(from_file='configs/_base_/datasets/coco.py')
MPII = dict(from_file='configs/_base_/datasets/mpii.py')
AIC = dict(from_file='configs/_base_/datasets/aic.py')
# AIC has neither MPII's pelvis (6) nor its upper neck (8)
AIC_TO_MPII = [(0, 12), (1, 11), (2, 10), (3, 13), (4, 14), (5, 15), (6, 2),
               (7, 1), (8, 0), (9, 3), (10, 4), (11, 5), (12, 9), (13, 7)]


# serializing collects garbage, a fifth of a second each time
QUICK = dict(serialize_data=False)


def annotations_of(root) -> dict:
    return json.loads((root / ANN_FILE).read_text())


def unlabeled(root, content=None, boxes=None, folder=None, ann_file=ANN_FILE,
              **arguments):
    """The data set, maybe on changed annotations of ``coco_root``'s images."""
    if content is not None:
        ann_file = folder / 'annotations.json'
        ann_file.write_text(json.dumps(content))
    if boxes is not None:
        arguments.setdefault('bbox_file', str(folder / 'boxes.json'))
        (folder / 'boxes.json').write_text(json.dumps(boxes))
    return UnlabeledPoseDataset(**{
        **QUICK, **dict(ann_file=str(ann_file), data_root=str(root),
                        data_prefix=dict(img='train2017/')), **arguments})


def image_folder(path, names, shape=(8, 12)):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(path / name)
    return path


def in_folder(path, **arguments):
    return UnlabeledPoseDataset(**{
        **QUICK, **dict(data_root=str(path.parent),
                        data_prefix=dict(img=path.name)), **arguments})


FRAMES = [*(f'a/{i}.png' for i in range(5)), *(f'b/{i}.png' for i in range(2)),
          'c.png']


def test_frames_of_a_folder_are_clips(tmp_path):
    """Each of one folder; what is left of a folder is left out."""
    folder = image_folder(tmp_path / 'videos', FRAMES)
    dataset = in_folder(folder, clip_length=2)
    found = [(sample['img_path'].split('videos/')[1], sample['clip'])
             for sample in (dataset[i] for i in range(len(dataset)))]
    assert found == [('a/0.png', (0, 0)), ('a/1.png', (0, 1)), ('a/2.png', (1, 0)),
                     ('a/3.png', (1, 1)), ('b/0.png', (2, 0)), ('b/1.png', (2, 1))]
    packed = combined([dict(
        type='UnlabeledPoseDataset', data_root=str(tmp_path), clip_length=2,
        data_prefix=dict(img='videos'), pipeline=CROP)])[3]
    assert packed['data_samples'].metainfo['clip'] == (1, 1)
    assert 'clip' not in in_folder(folder)[0]


def test_frames_of_a_clip_are_augmented_alike(tmp_path):
    folder = image_folder(tmp_path / 'videos', FRAMES)
    dataset = in_folder(folder, clip_length=2, pipeline=CROP)
    drawn = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        drawn.append([(sample['flip'], *np.ravel(sample['bbox_rotation']),
                       *np.ravel(sample['bbox_scale']))
                      for sample in (dataset[i] for i in (2, 3, 0, 1, 3, 2))])
    for one, other, *rest in drawn:
        assert one == other and rest[0] == rest[1]
        # other clips, and frames without the one before, are drawn anew
        assert len({one, *rest}) == 4
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize('arguments, message', [
    (dict(clip_length=6), 'clip_length=6'), (dict(clip_length=0), 'clip_length'),
    (dict(clip_length=2, ann_file='frames.json'), 'ann_file frames.json')])
def test_clips_that_cannot_be(tmp_path, arguments, message):
    folder = image_folder(tmp_path / 'videos', FRAMES)
    with pytest.raises(UserError, match=message):
        in_folder(folder, **arguments)


def combined(datasets, metainfo=COCO, pipeline=()):
    return DATASETS.build(dict(
        type='CombinedDataset', metainfo=metainfo, datasets=datasets,
        pipeline=[*pipeline, dict(type='PackSemiSupervisedPoseInputs')]))


def flat(sample) -> dict:
    """Everything that a packed sample holds."""
    of = dict(inputs=sample['inputs'], **sample['data_samples'].metainfo)
    for name in sample['data_samples'].keys():
        for key, value in getattr(sample['data_samples'], name).items():
            of[f'{name}.{key}'] = value
    return of


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(np.asarray(first[key]), np.asarray(second[key]))
        for key in first)


def test_a_sample_before_the_pipeline(coco_root):
    dataset = unlabeled(coco_root)
    sample = dataset[0]
    assert sample['labeled'] is False
    assert (sample['img_id'], sample['id'], sample['category_id']) == (1, 1, 1)
    assert sample['img_path'] == f'{coco_root}/train2017/000000000001.jpg'
    assert sample['bbox'].tolist() == [[25, 15, 105, 85]]
    assert sample['bbox_score'].tolist() == [1]
    assert sample['keypoints'].shape == (1, 17, 2)
    assert not sample['keypoints'].any()
    assert sample['keypoints_visible'].tolist() == [[1] * 17]
    assert not {'raw_ann_info', 'num_keypoints', 'segmentation'} & set(sample)
    before = copy.deepcopy({key: sample[key] for key in sample if key != 'dataset'})
    for key in ('bbox', 'bbox_score', 'keypoints', 'keypoints_visible'):
        assert sample[key].dtype == np.float32
        sample[key] += 5
    assert same(before, {key: dataset[0][key] for key in before})


def test_boxes_are_those_of_the_stock_data_set(coco_root, tmp_path):
    content = annotations_of(coco_root)
    boxes = [[-10, 20, 40.5, 500], [100, 60, 90, 90], [0, 0, 128, 96],
             [3.3, 4.4, 5.5, 6.6], [127, 0, 3, 9], [-9, -9, 5, 5]]
    for annotation, box in zip(content['annotations'], boxes, strict=True):
        annotation['bbox'] = box
    content['images'].reverse()
    ours = unlabeled(coco_root, content, folder=tmp_path)
    stock = CocoDataset(ann_file=ours.ann_file, data_root=str(coco_root),
                        data_prefix=dict(img='train2017/'), **QUICK)
    assert len(ours) == len(stock) == 4
    for one, other in zip(ours, stock, strict=True):
        for key in ('bbox', 'bbox_score', 'img_path', 'img_id', 'id',
                    'category_id', 'flip_indices'):
            assert np.array_equal(one[key], other[key]), key


def test_annotations_that_are_no_person_to_look_at(coco_root, tmp_path):
    content = annotations_of(coco_root)
    first, *others = content['annotations']
    others[0]['iscrowd'] = 1
    others[1]['bbox'] = [10, 10, 0, 20]
    others[2]['bbox'] = [10, math.nan, 20, 20]
    others[3]['category_id'] = 7
    others[4]['image_id'] = 99
    content['annotations'].append(dict(id=9, image_id=2, category_id=1))
    content['categories'].append(dict(id=7, name='horse'))
    assert [sample['id'] for sample in unlabeled(
        coco_root, content, folder=tmp_path)] == [1]

    content['categories'] = [dict(id=1, name='cow'), dict(id=7, name='horse')]
    kept = unlabeled(coco_root, content, folder=tmp_path)
    assert [sample['category_id'] for sample in kept] == [1, 7]


@pytest.mark.parametrize('category', [
    dict(id=7, name='thing', keypoints=list(KEYPOINTS)), dict(id=7, name='lamp')])
def test_objects_with_joints_of_their_own_beside_people(coco_root, tmp_path, category):
    """By the names of their joints, or by that of the data set."""
    content = annotations_of(coco_root)
    content['categories'].append(category)
    content['annotations'][2]['category_id'] = 7
    lamps = dict(folder=tmp_path, metainfo=metainfo_of_category(CATEGORY))
    boxes = [box(2), box(3, category_id=7)]
    kept = [unlabeled(coco_root, content, **lamps),
            unlabeled(coco_root, content, boxes, **lamps)]
    assert [len(one) for one in kept] == [1, 1]
    assert kept[0][0]['category_id'] == 7 and kept[1][0]['img_id'] == 3


def test_people_without_labeled_joints_can_be_left_out(coco_root, tmp_path):
    content = annotations_of(coco_root)
    for count, annotation in enumerate(content['annotations']):
        annotation['num_keypoints'] = count
    del content['annotations'][0]['num_keypoints']
    everyone = [sample['id'] for sample in unlabeled(
        coco_root, content, folder=tmp_path)]
    labeled = unlabeled(coco_root, content, folder=tmp_path,
                        filter_cfg=dict(num_keypoints_thr=2))
    assert [sample['id'] for sample in labeled] == everyone[2:]


def test_labels_change_nothing(coco_root, tmp_path):
    content = annotations_of(coco_root)
    for index, annotation in enumerate(content['annotations']):
        annotation.update(
            dict.fromkeys(('keypoints', 'num_keypoints', 'segmentation', 'area'))
            if index % 2 else
            dict(keypoints=[math.nan] * 51, num_keypoints=0, segmentation='none'))
    changed = tmp_path / 'annotations.json'
    changed.write_text(json.dumps(content))
    files = dict(data_root=str(coco_root), data_prefix=dict(img='train2017/'))
    samples = []
    for ann_file in (ANN_FILE, str(changed)):
        dataset = combined([
            dict(files, type='CocoDataset', ann_file=ANN_FILE,
                 pipeline=[*CROP, dict(type='GenerateTarget', encoder=CODEC)]),
            dict(files, type='UnlabeledPoseDataset', ann_file=ann_file,
                 pipeline=CROP)])
        np.random.seed(0)
        samples.append([flat(dataset[index]) for index in range(12)])
    for index, (before, after) in enumerate(zip(*samples, strict=True)):
        assert same(before, after)
        assert before['labeled'] is (index < 6)
        assert torch.isfinite(before['inputs'].float()).all()


def box(image_id=1, category_id=1, score=0.9, bbox=(5, 6, 70, 80)):
    return dict(image_id=image_id, category_id=category_id, score=score,
                bbox=list(bbox))


def images_only(root) -> dict:
    return dict(images=annotations_of(root)['images'])


def test_detected_boxes(coco_root, tmp_path):
    boxes = [
        box(3, score=0.5), box(1), box(1, score=0.49), box(2, category_id=18),
        box(2, bbox=(5, 5, 0, 9)), box(3, bbox=(1, 2, 3, 4, 0.9))
    ]
    dataset = unlabeled(coco_root, images_only(coco_root), boxes,
                        folder=tmp_path,
                        filter_cfg=dict(bbox_score_thr=0.5))
    assert [sample['img_id'] for sample in dataset] == [3, 1, 3]
    assert [sample['bbox'].tolist() for sample in dataset] == [
        [[5, 6, 75, 86]], [[5, 6, 75, 86]], [[1, 2, 4, 6]]]
    assert dataset[0]['bbox_score'] == np.float32(0.5)
    assert dataset[0]['img_path'].endswith('train2017/000000000003.jpg')
    assert dataset[0]['labeled'] is False
    assert len({sample['id'] for sample in dataset}) == 3


@pytest.mark.parametrize('categories, kept', [
    ([], [1]), ([dict(id=7, name='lamp')], [7]),
    ([dict(id=7, name='lamp'), dict(id=2, name='person')], [2])])
def test_detections_are_of_the_categories_of_the_file(coco_root, tmp_path, categories,
                                                      kept):
    content = dict(images_only(coco_root), categories=categories)
    boxes = [box(number, category_id=number) for number in (1, 2)] + [
        box(3, category_id=7)]
    dataset = unlabeled(coco_root, content, boxes, folder=tmp_path)
    assert [sample['img_id'] for sample in dataset] == [
        {1: 1, 2: 2, 7: 3}[number] for number in kept]


@pytest.mark.parametrize('boxes, message', [
    (dict(a=1), 'list'), ([box(), dict(image_id=1)], 'entry 1'),
    ([dict(box(), bbox=[1, 2])], 'entry 0'), ([dict(box(), score=None)], 'entry 0'),
    ([box(category_id=2)], 'category 1'), ([], ''),
    ([box(), box(100), box(107)], '2 images.*annotations.json.* 100'),
])
def test_files_of_boxes_that_do_not_fit(coco_root, tmp_path, boxes, message):
    with pytest.raises(UserError, match=f'boxes.json.*{message}'):
        unlabeled(coco_root, images_only(coco_root), boxes, folder=tmp_path)


def test_every_image_of_a_folder(tmp_path, monkeypatch):
    names = ['b/2.JPG', 'b.png', 'a/c/1.webp', 'a/1.jpeg', 'B.bmp']
    folder = image_folder(tmp_path / 'images', names)
    image_folder(folder, ['.hidden.jpg', '.cache/1.jpg'])
    (folder / 'notes.txt').write_text('none')
    dataset = in_folder(folder)
    assert [os.path.relpath(sample['img_path'], folder)
            for sample in dataset] == [
        'B.bmp', 'a/1.jpeg', 'a/c/1.webp', 'b/2.JPG', 'b.png']
    assert [sample['img_id'] for sample in dataset] == [0, 1, 2, 3, 4]
    assert all(sample['bbox'].tolist() == [[0, 0, 12, 8]] and
               sample['bbox'].dtype == np.float32 for sample in dataset)
    monkeypatch.chdir(tmp_path)
    dataset = combined([dict(type='UnlabeledPoseDataset',
                             data_prefix=dict(img='images'), pipeline=CROP)])
    assert [dataset[index]['data_samples'].img_path for index in range(5)] == [
        'images/B.bmp', 'images/a/1.jpeg', 'images/a/c/1.webp', 'images/b/2.JPG',
        'images/b.png']


@pytest.mark.parametrize('suffix, orientation', [
    ('jpg', 1), ('jpg', 4), ('jpg', 5), ('jpg', 8), ('png', 6), ('webp', 6),
    ('bmp', 1)])
def test_the_whole_image_as_it_is_loaded(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = image_folder(tmp_path / 'images', []) / f'1.{suffix}'
    path.parent.mkdir()
    image = Image.fromarray(np.zeros((8, 12, 3), np.uint8))
    image.save(path, **({} if suffix == 'bmp' else dict(exif=exif)))
    sample = in_folder(path.parent)[0]
    height, width = LoadImageFromFile()(dict(sample))['img'].shape[:2]
    assert sample['bbox'].tolist() == [[0, 0, width, height]]
    if suffix == 'jpg':
        assert (height > width) == (orientation >= 5)


def spoil(folder, name, how):
    """Make an image one that cannot be loaded, or is no image."""
    path = folder / name
    whole = path.read_bytes()
    path.unlink()
    if how == 'folder':
        path.mkdir()
    elif how != 'missing':
        path.write_bytes(dict(
            empty=b'', text=b'no image', header=whole[:len(whole) // 20],
            cut=whole[:-len(whole) // 3])[how])


@pytest.mark.parametrize('suffix, how, pipeline', [
    *(('png', how, CROP[:1]) for how in (
        'missing', 'empty', 'text', 'header', 'cut', 'folder')),
    *((suffix, how, []) for suffix in ('jpg', 'webp', 'bmp')
      for how in ('header', 'cut'))])
def test_the_next_image_comes_instead(tmp_path, suffix, how, pipeline):
    names = [f'{index}.{suffix}' for index in range(4)]
    folder = image_folder(tmp_path / 'images', names, shape=(80, 60))
    # before files go missing
    dataset = in_folder(folder, pipeline=pipeline)
    strict = in_folder(folder, pipeline=pipeline, unreadable='error')
    spoil(folder, names[1], how)
    spoil(folder, names[2], 'empty')
    spoil(folder, names[3], how)
    assert len(dataset) == 4
    bad = [str(folder / name) for name in names]
    # past the end it goes on from the start
    state = np.random.get_state()[1].copy()
    for index, image, passed_over in ((0, 0, []), (1, 0, bad[1:]),
                                      (2, 0, bad[2:]), (3, 0, bad[3:])):
        sample = dataset[index]
        # what comes instead is never drawn
        assert np.array_equal(np.random.get_state()[1], state)
        assert sample['img_id'] == image
        assert sample['img'].shape[2] == 3
        assert sample['bbox'].tolist() == [[0, 0, 60, 80]]
        assert sample.get('unreadable_images', []) == passed_over
    assert strict[0]['img_id'] == 0
    for index in range(1, 4):
        with pytest.raises(UnreadableImageError,
                           match=bad[index]):
            strict[index]


def test_of_an_unreadable_image_every_box_is_passed_over(coco_root, tmp_path):
    names = [f'{index:012d}.jpg' for index in (1, 2, 3)]
    folder = image_folder(tmp_path / 'images', names, (96, 128))
    spoil(folder, names[0], 'text')
    spoil(folder, names[1], 'missing')
    dataset = unlabeled(
        tmp_path, images_only(coco_root),
        [box(1), box(1), box(2), box(1), box(3)], folder=tmp_path,
        data_prefix=dict(img='images/'), pipeline=CROP)
    for index in range(4):
        sample = dataset[index]
        assert sample['img_id'] == 3
        assert sorted(sample['unreadable_images']) == sorted(
            str(folder / name) for name in names[:1 if index == 3 else 2])


@pytest.mark.parametrize('step', [
    dict(type='LoadImage', ignore_empty=True),
    dict(type='LoadImage', imdecode_backend='pillow'),
    dict(type='LoadImage', to_float32=True)])
def test_the_image_is_loaded_as_the_pipeline_says(tmp_path, step):
    folder = image_folder(tmp_path / 'images', ['0.png', '1.png'])
    spoil(folder, '0.png', 'cut')
    sample = in_folder(folder, pipeline=[step])[0]
    assert sample['img_id'] == 1
    assert sample['unreadable_images'] == [str(folder / '0.png')]
    stock = TRANSFORMS.build(step)(dict(img_path=sample['img_path']))
    assert sample['img'].dtype == stock['img'].dtype
    assert np.array_equal(sample['img'], stock['img'])


def test_files_passed_over_reach_the_batch(tmp_path):
    folder = image_folder(tmp_path / 'images', ['0.png', '1.png'], (80, 60))
    spoil(folder, '0.png', 'cut')
    for own, wrapper in ((CROP, []), ([], CROP)):
        dataset = combined([dict(
            type='UnlabeledPoseDataset', data_prefix=dict(img=str(folder)),
            pipeline=own)], pipeline=wrapper)
        first, second = (dataset[index]['data_samples'] for index in (0, 1))
        assert first.metainfo['unreadable_images'] == [str(folder / '0.png')]
        assert 'unreadable_images' not in second.metainfo
        assert first.metainfo['img_path'] == str(folder / '1.png')


@pytest.mark.parametrize('count, tried', [(3, 3), (120, 100)])
def test_folders_without_a_readable_image(tmp_path, count, tried):
    folder = tmp_path / 'images'
    folder.mkdir()
    for index in range(count):
        (folder / f'{index:03d}.png').touch()
    with pytest.raises(UnreadableImageError, match=f' {tried} .*000.png'):
        in_folder(folder)[0]


def test_without_its_hook_the_first_unreadable_image_is_told(tmp_path):
    folder = image_folder(tmp_path / 'images', ['0.png', '1.png', '2.png'])
    for name in ('0.png', '1.png'):
        spoil(folder, name, 'empty')
    dataset = in_folder(folder)
    with pytest.warns(UserWarning, match='0.png.*UnreadableImagesHook') as told:
        dataset[0]
    assert len(told) == 1


def test_other_errors_are_not_taken_for_unreadable_images(tmp_path):
    def broken(results):
        raise OSError('the disk is full')

    folder = image_folder(tmp_path / 'images', ['0.png', '1.png'])
    with pytest.raises(OSError, match='the disk is full'):
        in_folder(folder, pipeline=[CROP[0], broken])[0]


def test_stock_options_work_as_they_do(coco_root, tmp_path):
    def ids(**arguments):
        return [sample['img_id'] for sample in unlabeled(coco_root, **arguments)]

    assert ids() == [1, 2, 3, 4, 5, 6]
    assert ids(serialize_data=True, indices=2) == [1, 2]
    assert ids(indices=[3, 1]) == [4, 2]
    assert ids(sample_interval=2) == [2, 4, 6]
    assert ids(sample_interval=2, indices=1) == [2]
    assert ids(lazy_init=True) == [1, 2, 3, 4, 5, 6]
    assert [sample['img_id'] for sample in unlabeled(coco_root).get_subset(
        [4, 0])] == [5, 1]
    folder = image_folder(tmp_path / 'images', [f'{i}.png' for i in range(5)])
    assert [os.path.basename(sample['img_path']) for sample in in_folder(
        folder, sample_interval=2)] == ['0.png', '2.png', '4.png']


@pytest.mark.parametrize('mapping, missing, flipped', [
    (AIC_TO_MPII, [6, 8], [6, 8]),
    # the pelvis from the two hips, and no thorax: with the two, MMPose's
    # converter would fail, for it cannot make more joints than there were
    ([*AIC_TO_MPII[:-1], ((6, 9), 6)], [7, 8], [7, 8]),
    # no left ankle; in the mirror it is the right one
    ([pair for pair in AIC_TO_MPII if pair != (11, 5)], [5, 6, 8], [0, 6, 8]),
], ids=['plain', 'interpolated', 'asymmetric'])
def test_joints_that_a_data_set_lacks_weigh_nothing(
        coco_root, mapping, missing, flipped):
    converter = dict(type='KeypointConverter', num_keypoints=16, mapping=mapping)
    source = dict(
        type='UnlabeledPoseDataset', metainfo=AIC, data_root=str(coco_root),
        ann_file=ANN_FILE, data_prefix=dict(img='train2017/'), pipeline=[converter])
    for probability, zeros in ((0., missing), (1., flipped)):
        crop = [dict(step, prob=probability) if step['type'] == 'RandomFlip'
                else step for step in CROP]
        dataset = combined([source], MPII, crop)
        for index in range(len(dataset)):
            weights = flat(dataset[index])['gt_instance_labels.keypoint_weights']
            assert weights.shape == (1, 16)
            assert weights.dtype == torch.float32
            assert torch.nonzero(weights[0] == 0).ravel().tolist() == zeros
            assert torch.nonzero(weights[0] == 1).numel() == 16 - len(zeros)


class OwnHalfBody(TRANSFORMS.get('RandomHalfBody')):
    pass


@pytest.mark.parametrize('step, name', [
    (dict(type='RandomHalfBody'), 'RandomHalfBody'), (OwnHalfBody(), 'OwnHalfBody'),
    (dict(type='GenerateTarget', encoder=CODEC), 'GenerateTarget'),
    (dict(type='PackPoseInputs'), 'PackPoseInputs'),
    (dict(type='RandomApply', transforms=[dict(type='RandomHalfBody')]), 'HalfBody'),
    (dict(type='RandomChoice', transforms=[[], [dict(type='PackPoseInputs')]]),
     'PackPoseInputs')])
def test_transforms_that_need_labels_are_refused(tmp_path, step, name):
    def build(step):
        UnlabeledPoseDataset(data_prefix=dict(img=str(tmp_path)), lazy_init=True,
                             pipeline=[dict(type='LoadImage'), step])

    with pytest.raises(UserError, match=name):
        build(step)
    for other in (lambda results: results, dict(type='PhotometricDistortion'),
                  dict(type='PackSemiSupervisedPoseInputs')):
        build(other)


@pytest.mark.parametrize('arguments, error, message', [
    (dict(test_mode=True), UserError, 'test_mode'),
    (dict(data_mode='bottomup'), UserError, "'bottomup'"),
    (dict(ann_file=''), UserError, 'bbox_file .*boxes.json.* ann_file'),
    (dict(ann_file='', bbox_file=None, data_root=None,
          data_prefix=dict(img='')), UserError, 'ann_file'),
    (dict(data_prefix=dict(image='train2017')), UserError, "'img'"),
    (dict(data_prefix=dict(img='train2016/')), MissingFile, 'train2016'),
    (dict(ann_file='annotations/none.json'), MissingFile,
     'ann_file .*/annotations/none.json'),
    (dict(bbox_file='none.json'), MissingFile, 'bbox_file none.json'),
    (dict(ann_file='train2017/000000000001.jpg'), UserError, 'jpg'),
    (dict(filter_cfg=dict(bbox_score_thr=0.95)), UserError, 'filter_cfg.*0.95'),
    (dict(unreadable='warn'), UserError, "unreadable.*'warn'"),
    (dict(sample_interval=5), UserError, 'sample_interval=5')])
def test_arguments_that_do_not_fit(coco_root, tmp_path, arguments, error,
                                   message):
    with pytest.raises(error, match=message):
        unlabeled(coco_root, boxes=[box()], folder=tmp_path, **arguments)


@pytest.mark.parametrize('change, message', [
    (lambda content: content['images'], "images"),
    (lambda content: dict(annotations=[]), "images"),
    (lambda content: dict(content, annotations=[]), 'bbox_file'),
    (lambda content: dict(content, annotations=[
        dict(one, iscrowd=1) for one in content['annotations']]), 'crowd'),
    (lambda content: dict(content, images=[
        dict(id=1, file_name='000000000001.jpg', width=128)]), '1 .*height')])
def test_annotation_files_that_do_not_fit(coco_root, tmp_path, change, message):
    with pytest.raises(UserError, match=f'annotations.json.*{message}'):
        unlabeled(coco_root, change(annotations_of(coco_root)), folder=tmp_path)


def test_intervals_count_ids_that_are_numbers(coco_root, tmp_path):
    content = json.loads((coco_root / ANN_FILE).read_text())
    for each in (*content['images'], *content['annotations']):
        key = 'image_id' if 'image_id' in each else 'id'
        each[key] = f'a{each[key]}'
    samples = unlabeled(coco_root, content, folder=tmp_path)
    assert [samples[index]['img_id'] for index in range(2)] == ['a1', 'a2']
    with pytest.raises(UserError, match='sample_interval=2.*annotations.json.*a1'):
        unlabeled(coco_root, content, folder=tmp_path, sample_interval=2)
