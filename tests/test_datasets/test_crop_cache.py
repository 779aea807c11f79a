import json
import os
import pickle
import shutil
from pathlib import Path

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import CropStore, UnlabeledPoseDataset, reach_of
from mmpose_wloss.datasets.crop_cache import build, cache
from mmpose_wloss.datasets.crop_cache.plan import plan
from mmpose_wloss.datasets.crop_cache.reach import Reach
from mmpose_wloss.datasets.crop_cache.store import IN_FILE, STORED, TO_DO
from mmpose_wloss.datasets.transforms.crops import Crop, region_read

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmpose.registry import DATASETS, TRANSFORMS
from small_trainings import in_two_processes
from torch.utils.data import DataLoader

ANN_FILE = 'annotations/person_keypoints_train2017.json'
SIZE = (48, 64)
BOX = [dict(type='GetBBoxCenterScale'), dict(type='RandomFlip'),
       dict(type='RandomHalfBody'), dict(type='RandomBBoxTransform')]
WARP = dict(type='TopdownAffine', input_size=SIZE)
PACK = dict(type='PackPoseInputs')


def pipeline(*warp, box=BOX, pack=PACK):
    return [dict(type='LoadImage'), *box, *(warp or [WARP]), pack]


def coco(root, ann_file=ANN_FILE, transforms=None, **arguments):
    return dict(type='CocoDataset', data_root=str(root), ann_file=str(ann_file),
                data_prefix=dict(img='train2017/'), serialize_data=False,
                pipeline=transforms or pipeline(), **arguments)


def cached(dataset, folder, cache='disk', **arguments):
    return DATASETS.build(dict(type='CropCache', cache=cache, dataset=dataset,
                               folder=str(folder), workers=0, **arguments))


def store_of(dataset):
    return dataset.pipeline.transforms[0].store


def seeded(dataset, index, seed=0):
    np.random.seed(seed)
    return dataset[index]


def difference(first, second):
    return (first['inputs'].int() - second['inputs'].int()).abs().float().mean()


@pytest.fixture
def large_root(coco_root, tmp_path):
    """Images four times as large as those of ``coco_root``."""
    content = json.loads((coco_root / ANN_FILE).read_text())
    (tmp_path / 'large' / 'annotations').mkdir(parents=True)
    (tmp_path / 'large' / 'train2017').mkdir()
    for image in content['images']:
        pixels = cv2.imread(str(coco_root / 'train2017' / image['file_name']))
        pixels = cv2.resize(pixels, None, fx=8, fy=8)
        name = image['file_name'] = image['file_name'].replace('jpg', 'png')
        cv2.imwrite(str(tmp_path / 'large' / 'train2017' / name), pixels)
        image['height'], image['width'] = pixels.shape[:2]
    for person in content['annotations']:
        person['bbox'] = [8 * value for value in person['bbox']]
        person['keypoints'] = (np.reshape(person['keypoints'], (-1, 3)) *
                               (8, 8, 1)).ravel().tolist()
    (tmp_path / 'large' / ANN_FILE).write_text(json.dumps(content))
    return tmp_path / 'large'


@pytest.mark.parametrize('cache', ['disk', 'ram'])
@pytest.mark.parametrize('warp', [
    WARP, dict(WARP, use_udp=True), dict(type='TopdownResize', input_size=SIZE)])
def test_samples_are_those_of_whole_images(coco_root, tmp_path, cache, warp):
    stock = DATASETS.build(coco(coco_root, transforms=pipeline(warp)))
    crops = cached(coco(coco_root, transforms=pipeline(warp)), tmp_path, cache)
    assert (store_of(crops).entries['state'] == STORED).all()
    flips = set()
    for seed in range(4):
        for index in range(len(stock)):
            one, other = (seeded(each, index, 10 * seed + index)
                          for each in (stock, crops))
            # OpenCV rounds places to a 32nd of a pixel, from where it stands
            assert difference(one, other) < 0.05
            one, other = one['data_samples'], other['data_samples']
            assert one.metainfo.keys() == other.metainfo.keys()
            for key, value in one.metainfo.items():
                if isinstance(value, np.ndarray):
                    np.testing.assert_allclose(other.metainfo[key], value, 1e-6)
                else:
                    assert other.metainfo[key] == value, key
            for key, value in one.gt_instances.items():
                np.testing.assert_allclose(other.gt_instances[key], value, 1e-5)
            flips.add(other.metainfo['flip'])
    assert flips == {False, True}


def test_large_people_are_stored_smaller_and_look_the_same(large_root, tmp_path):
    stock = DATASETS.build(coco(large_root))
    crops = cached(coco(large_root), tmp_path)
    assert (store_of(crops).entries['scale'] < 1).all()
    for index in range(len(stock)):
        one, other = (seeded(each, index) for each in (stock, crops))
        assert difference(one, other) < 2
        np.testing.assert_array_equal(one['data_samples'].input_center,
                                      other['data_samples'].input_center)


def test_crops_are_read_and_images_are_not(coco_root, tmp_path):
    root = tmp_path / 'coco'
    shutil.copytree(coco_root, root)
    crops = cached(coco(root), tmp_path)
    before = [seeded(crops, index) for index in range(len(crops))]
    shutil.rmtree(root / 'train2017')
    for index, sample in enumerate(before):
        assert torch.equal(seeded(crops, index)['inputs'], sample['inputs'])


@TRANSFORMS.register_module()
class ShiftOfTests(BaseTransform):
    """Looks somewhere else, where a cache has not expected it."""

    by = 0.

    def transform(self, results):
        return dict(results, bbox_center=results['bbox_center'] + self.by)


@TRANSFORMS.register_module()
class ZoomOfTests(BaseTransform):
    """Looks more closely."""

    by = 1.

    def transform(self, results):
        return dict(results, bbox_scale=results['bbox_scale'] / self.by)


@pytest.mark.parametrize('kind, by', [(ShiftOfTests, 300.), (ZoomOfTests, 4.)])
def test_what_a_crop_lacks_is_read_from_the_image(large_root, tmp_path, monkeypatch,
                                                  kind, by):
    box = [dict(type='GetBBoxCenterScale', padding=0.5), dict(type=kind.__name__),
           dict(type='RandomFlip')]
    config = coco(large_root, transforms=pipeline(box=box))
    stock = DATASETS.build(config)
    crops = cached(config, tmp_path, box_transforms=[kind.__name__])
    assert difference(seeded(stock, 0), seeded(crops, 0)) > 0
    # beyond what was drawn when the crops were made
    monkeypatch.setattr(kind, 'by', by)
    for index in range(3):
        one, other = (seeded(each, index, index) for each in (stock, crops))
        assert torch.equal(one['inputs'], other['inputs'])


def test_transforms_that_may_change_pixels_are_refused(coco_root, tmp_path):
    for name, transforms in (
            ('PhotometricDistortion', [dict(type='PhotometricDistortion'), *BOX]),
            ('ShiftOfTests', [*BOX, dict(type='ShiftOfTests')])):
        with pytest.raises(UserError, match=name):
            cached(coco(coco_root, transforms=pipeline(box=transforms)), tmp_path)
    after = [dict(type='LoadImage'), *BOX, WARP,
             dict(type='PhotometricDistortion'), PACK]
    assert cached(coco(coco_root, transforms=after), tmp_path)[0]
    with pytest.raises(UserError, match='cached already'):
        cached(dict(type='CropCache', dataset=coco(coco_root), folder=str(tmp_path)),
               tmp_path)
    with pytest.raises(UserError, match='CocoDataset has no TopdownAffine'):
        cached(coco(coco_root, transforms=[dict(type='LoadImage'), PACK]), tmp_path)


@pytest.mark.parametrize('key, value', [
    ('to_float32', True), ('color_type', 'grayscale'),
    ('backend_args', dict(backend='http'))])
def test_images_that_crops_cannot_stand_for(coco_root, tmp_path, key, value):
    transforms = pipeline()
    transforms[0] = dict(type='LoadImage', **{key: value})
    with pytest.raises(UserError, match=key):
        cached(coco(coco_root, transforms=transforms), tmp_path)


@pytest.mark.parametrize('arguments', [
    dict(cache='memory'), dict(budget=0), dict(budget=-1.), dict(workers=-1),
    dict(workers=1.5)])
def test_arguments_that_do_not_fit(coco_root, tmp_path, arguments):
    with pytest.raises(UserError, match=next(iter(arguments))):
        DATASETS.build(dict(dict(type='CropCache', dataset=coco(coco_root),
                                 folder=str(tmp_path)), **arguments))


def test_data_sets_that_do_not_fit(coco_root, tmp_path):
    repeated = dict(type='RepeatDataset', times=2, dataset=coco(coco_root))
    combined = dict(type='CombinedDataset', metainfo=dict(
        from_file='configs/_base_/datasets/coco.py'), datasets=[coco(coco_root)])
    for dataset, word in ((repeated, 'RepeatDataset'), (combined, 'CombinedDataset'),
                          (coco(coco_root, data_mode='bottomup'), 'bottomup')):
        with pytest.raises(UserError, match=word):
            cached(dataset, tmp_path)
    flips = [BOX[0], dict(type='RandomFlip'), dict(type='RandomFlip',
                                                   direction='vertical')]
    with pytest.raises(UserError, match='RandomFlip'):
        cached(coco(coco_root, transforms=pipeline(box=flips)), tmp_path)
    for value in (True, 5):
        with pytest.raises(UserError, match=f'cache_crops, but it is {value}'):
            UnlabeledPoseDataset(
                data_root=str(coco_root), data_prefix=dict(img='train2017'),
                cache=value, pipeline=pipeline(
                    box=BOX[:1], pack=dict(type='PackSemiSupervisedPoseInputs')))
    assert not list(tmp_path.iterdir())


def test_stretched_boxes_keep_the_pixels_of_their_short_side(large_root, tmp_path):
    config = coco(large_root, transforms=pipeline(
        dict(type='TopdownResize', input_size=SIZE), box=BOX[:1]))
    content = json.loads((large_root / ANN_FILE).read_text())
    for person in content['annotations']:
        person['bbox'] = [10., 300., 1000., 40.]
    (large_root / ANN_FILE).write_text(json.dumps(content))
    stock, crops = DATASETS.build(config), cached(config, tmp_path)
    assert (store_of(crops).entries['scale'] == 1).all()
    assert difference(stock[0], crops[0]) < 0.05


def test_the_reach_is_that_of_the_augmentation():
    still = Reach(SIZE, 0, 0, 0)
    assert still.units(np.array([[0., 0, 30, 10], [0, 0, 10, 30]])).tolist() == [40, 30]
    # a box of the input's size, turned by 90 degrees
    matrix = cv2.getRotationMatrix2D((100, 50), 90, 1)
    matrix[:, 2] -= (100 - 23.5, 50 - 31.5)
    np.testing.assert_allclose(region_read(matrix, SIZE),
                               (100 - 31.5, 50 - 23.5, 100 + 31.5, 50 + 23.5))


@pytest.mark.parametrize('box, width, height, zoom', [
    ([dict(type='GetBBoxCenterScale', padding=1.)], 3 / 8, 1 / 2, 1),
    ([dict(type='GetBBoxCenterScale', padding=2.)], 3 / 4, 1, 1 / 2),
    ([dict(type='GetBBoxCenterScale', padding=1.),
      dict(type='RandomBBoxTransform', rotate_factor=0., shift_prob=0.,
           scale_factor=(0.5, 1.5))], 9 / 16, 3 / 4, 2)])
def test_the_reach_is_drawn(large_root, box, width, height, zoom):
    dataset = DATASETS.build(coco(large_root, transforms=pipeline(box=box)))
    # of boxes that stay within their images
    for sample in dataset.data_list:
        sample['bbox'] = np.array([[412., 334, 612, 434]], np.float32)
    np.random.seed(5)
    state = np.random.get_state()[1].copy()
    reach = reach_of(dataset)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    for found, expected in ((reach.width, width), (reach.height, height),
                            (reach.zoom, zoom)):
        # of pixels, the last is read at its center; figures are 16ths
        assert expected - 1 / 16 <= found <= expected + 1 / 16


def test_a_crop_refuses_what_it_lacks():
    pixels = np.arange(3 * 20 * 10, dtype=np.uint8).reshape(20, 10, 3)
    crop = Crop(pixels, left=5, top=3, scale=1., image_size=(40, 30))

    def moved(x, y, zoom=1.):
        return np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]])

    np.testing.assert_array_equal(crop.warp(moved(6, 4), (8, 10)), pixels[1:11, 1:9])
    np.testing.assert_array_equal(crop.warp(moved(5, 3), (10, 20)), pixels)
    for x, y in ((4, 3), (5, 2), (6, 3), (5, 4)):
        assert crop.warp(moved(x, y), (10, 20)) is None
    # beyond the image there is nothing that it could lack
    at_corner = Crop(pixels, left=30, top=10, scale=1., image_size=(40, 30))
    shown = at_corner.warp(moved(35, 20), (10, 20))
    np.testing.assert_array_equal(shown[:10, :5], pixels[10:, 5:])
    assert not shown[10:].any()
    assert not shown[:, 5:].any()
    assert not at_corner.warp(moved(100, 100), (5, 5)).any()
    # of a crop that was made smaller, no more pixels can be had
    half = Crop(pixels, left=0, top=0, scale=0.5, image_size=(80, 60))
    assert half.warp(moved(0, 0, 0.5), (8, 10)) is not None
    assert half.warp(moved(0, 0, 0.6), (8, 10)) is None
    # the last pixel stands for columns 18 and 19; beyond 18.5 the next is read, too
    assert half.warp(moved(4.5, 0, 0.5), (8, 10)) is not None
    assert half.warp(moved(4.6, 0, 0.5), (8, 10)) is None
    inner = Crop(pixels, left=2, top=2, scale=0.5, image_size=(80, 60))
    assert inner.warp(moved(2.5, 2.5, 0.5), (8, 10)) is not None
    assert inner.warp(moved(2.4, 2.5, 0.5), (8, 10)) is None


@pytest.mark.parametrize('direction', [None, 'horizontal', 'vertical', 'diagonal'])
def test_flips(direction):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
    crop = Crop(image[3:23, 5:15].copy(), 5, 3, 1., (40, 30))
    flip = {None: image, 'horizontal': image[:, ::-1], 'vertical': image[::-1],
            'diagonal': image[::-1, ::-1]}[direction]
    x = 40 - 15 if direction in ('horizontal', 'diagonal') else 5
    y = 30 - 23 if direction in ('vertical', 'diagonal') else 3
    matrix = np.array([[1., 0, -x], [0, 1, -y]])
    np.testing.assert_array_equal(
        crop.warp(matrix @ crop.mirror(direction), (10, 20)),
        flip[y:y + 20, x:x + 10])


def test_crops_are_aligned_to_the_image():
    """A place in the image is at the same place in the input."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[33:, 21:] = 200
    image = cv2.GaussianBlur(image, (0, 0), 4)
    entries = plan(['a.png'], '', np.array([[8., 8, 56, 56]], np.float32),
                   Reach((16, 16), 0.5, 0.5, 1.), None, lambda paths: paths)
    assert entries['state'][0] == IN_FILE  # there is no such image
    entry = entries[0]
    for width, height, scale in ((48, 48, 1.), (24, 24, 0.5), (12, 12, 0.25)):
        entry['width'], entry['height'], entry['scale'] = width, height, scale
        entry['left'], entry['top'] = 8, 8
        crop = Crop(build.cut(image, entry), 8, 8, scale, (64, 64))
        matrix = np.array([[0.24, 0.03, -3.5], [-0.03, 0.24, -2]])
        expected = cv2.warpAffine(image, matrix, (8, 8))
        assert np.abs(crop.warp(matrix, (8, 8)).astype(int) - expected).max() <= 12


def test_the_smallest_crops_are_in_the_budget(coco_root, tmp_path):
    content = json.loads((coco_root / ANN_FILE).read_text())
    for index, person in enumerate(content['annotations']):
        person['bbox'] = [30., 20., 8. + 4 * index, 10. + 5 * index]
    file = tmp_path / 'boxes.json'
    file.write_text(json.dumps(content))
    config = coco(coco_root, file, pipeline(box=BOX[:1]))
    whole = store_of(cached(config, tmp_path)).entries
    areas = 3 * whole['width'].astype(int) * whole['height']
    assert (np.diff(areas) > 0).all()
    budget = (areas[:3].sum() + 1) / 1e9
    part = cached(config, tmp_path / 'part', budget=budget)
    assert store_of(part).entries['state'].tolist() == [STORED] * 3 + [IN_FILE] * 3
    assert store_of(part).pixels.size == areas[:3].sum()
    stock = DATASETS.build(config)
    for index in range(6):
        assert difference(seeded(stock, index), seeded(part, index)) < 0.05
    with pytest.raises(UserError, match='budget'):
        cached(config, tmp_path / 'part', budget=2 * budget)


def damaged(path, change):
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content))


def test_files_that_are_no_stores(coco_root, tmp_path):
    crops = cached(coco(coco_root), tmp_path)
    path = store_of(crops).path
    content = path.read_bytes()
    for change, word in ((content[:-1], 'cut short'), (content[:100], 'cut short'),
                         (content[:9], 'no file of crops'),
                         (b'PK' + content[2:], 'no file of crops')):
        path.write_bytes(change)
        with pytest.raises(UserError, match=f'{path.name} .*{word}'):
            cached(coco(coco_root), tmp_path)


def test_other_people_have_other_files(coco_root, tmp_path):
    root = tmp_path / 'coco'
    shutil.copytree(coco_root, root)
    paths = [store_of(cached(coco(root), tmp_path)).path]
    content = json.loads((root / ANN_FILE).read_text())
    # labels change no crop
    content['annotations'][0]['keypoints'][:3] = [50., 50., 2]
    (root / ANN_FILE).write_text(json.dumps(content))
    assert store_of(cached(coco(root), tmp_path)).path == paths[0]
    content['annotations'][0]['bbox'][2] -= 1
    (root / ANN_FILE).write_text(json.dumps(content))
    paths.append(store_of(cached(coco(root), tmp_path)).path)
    paths.append(store_of(cached(coco(root, transforms=pipeline(box=BOX[:1])), tmp_path
                                 )).path)
    # images of the same names and sizes
    for file in (root / 'train2017').iterdir():
        cv2.imwrite(str(file), 255 - cv2.imread(str(file)))
    crops = cached(coco(root), tmp_path)
    paths.append(store_of(crops).path)
    assert len(set(paths)) == 4
    assert difference(seeded(DATASETS.build(coco(root)), 0), seeded(crops, 0)) < 0.05
    # a file that was given another's name
    shutil.copy(paths[0], paths[1])
    with pytest.raises(UserError, match=r'people: \w+ in the file, \w+ in the data'):
        content['annotations'][0]['bbox'][2] -= 0
        shutil.copytree(coco_root, root, dirs_exist_ok=True)
        (root / ANN_FILE).write_text(json.dumps(content))
        cached(coco(root), tmp_path)


def test_too_little_space_is_told_before(coco_root, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=1000))
    with pytest.raises(UserError, match=r'6 people need 0.0 GB.* has 0.0 GB left'):
        cached(coco(coco_root), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_build_goes_on(coco_root, tmp_path, monkeypatch):
    cut, done = build.cut, []

    def interrupted(image, entry):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(entry)
        return cut(image, entry)

    monkeypatch.setattr(build, 'cut', interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached(coco(coco_root), tmp_path)
    path = next(tmp_path.glob('*.crops'))
    states = CropStore(path, '').entries['state'].tolist()
    assert states == [STORED] * 3 + [TO_DO] * 3
    made = []
    monkeypatch.setattr(build, 'cut',
                        lambda image, entry: made.append(entry) or cut(image, entry))
    crops = cached(coco(coco_root), tmp_path)
    assert len(made) == 3
    stock = DATASETS.build(coco(coco_root))
    for index in range(len(stock)):
        assert difference(seeded(stock, index), seeded(crops, index)) < 0.05


def test_a_store_that_cannot_be_written_is_read(coco_root, tmp_path, monkeypatch):
    """As one of a shared folder, where someone else has made it."""
    made, memmap = cached(coco(coco_root), tmp_path), np.memmap

    def read_only(path, dtype, mode):
        if mode != 'r':
            raise PermissionError(path)
        return memmap(path, dtype, mode)

    monkeypatch.setattr(np, 'memmap', read_only)
    found = cached(coco(coco_root), tmp_path)
    for index in range(len(made)):
        assert torch.equal(*(seeded(each, index)['inputs'] for each in (made, found)))


def test_images_that_cannot_be_loaded_stay_with_their_files(coco_root, tmp_path):
    root = tmp_path / 'coco'
    shutil.copytree(coco_root, root)
    names = sorted((root / 'train2017').iterdir())
    names[1].unlink()
    names[2].write_bytes(b'no image')
    names[4].write_bytes(names[4].read_bytes()[:300])
    crops = cached(coco(root), tmp_path)
    states = store_of(crops).entries['state']
    assert states[[1, 2]].tolist() == [IN_FILE, IN_FILE]
    assert (states[[0, 3, 5]] == STORED).all()
    with pytest.raises(FileNotFoundError):
        crops[1]
    unlabeled = UnlabeledPoseDataset(
        ann_file=ANN_FILE, data_root=str(root), data_prefix=dict(img='train2017/'),
        cache=dict(cache='disk', folder=str(tmp_path / 'unlabeled'), workers=0),
        pipeline=pipeline(box=BOX[:2], pack=dict(type='PackSemiSupervisedPoseInputs')))
    with pytest.warns(UserWarning, match=names[1].name):
        sample = unlabeled[1]
    sample = sample['data_samples']
    assert sample.unreadable_images == [str(path) for path in names[1:3]]
    assert sample.img_path == str(names[3])


def test_folders_of_unlabeled_images(coco_root, tmp_path):
    arguments = dict(
        data_root=str(coco_root), data_prefix=dict(img='train2017'),
        pipeline=pipeline(box=[BOX[0], BOX[1], BOX[3]],
                          pack=dict(type='PackSemiSupervisedPoseInputs')))
    stock = UnlabeledPoseDataset(**arguments)
    crops = UnlabeledPoseDataset(
        **arguments, cache=dict(cache='disk', folder=str(tmp_path), workers=2))
    for index in range(len(stock)):
        one, other = (seeded(each, index, index) for each in (stock, crops))
        assert difference(one, other) < 0.05
        assert not other['data_samples'].labeled
        np.testing.assert_array_equal(one['data_samples'].gt_instances.bboxes,
                                      other['data_samples'].gt_instances.bboxes)


@pytest.mark.parametrize('name', ['LSPDataset', 'CocoStyle3DDataset',
                                  'Human36mImageDataset'])
def test_the_data_sets_of_this_package(roots, tmp_path, name):
    root = str(roots[name])
    config = dict(
        LSPDataset=dict(
            ann_file='lsp_dataset_original/joints.mat', train_size=3,
            data_prefix=dict(img='lsp_dataset_original/images')),
        CocoStyle3DDataset=dict(ann_file=ANN_FILE, data_prefix=dict(img='train2017/')),
        Human36mImageDataset=dict(
            ann_file='annotation_body3d/fps50/h36m_train.npz',
            camera_param_file='annotation_body3d/cameras.pkl',
            data_prefix=dict(img='images/')))[name]
    config = dict(config, type=name, data_root=root, pipeline=pipeline(
        box=[BOX[0], BOX[1], BOX[3]]))
    stock = DATASETS.build(config)
    crops = DATASETS.build(dict(config, cache=dict(
        cache='disk', folder=str(tmp_path), workers=0)))
    for index in range(len(stock)):
        one, other = (seeded(each, index, index) for each in (stock, crops))
        assert difference(one, other) < 0.05


def test_an_image_of_another_name_is_not_taken_for_a_crop(coco_root, tmp_path):
    crops = cached(coco(coco_root), tmp_path)
    store, path = store_of(crops), crops.data_list[0]['img_path']
    assert store.crop(0, path).image_size == (128, 96)
    assert store.crop(0, str(coco_root / 'other' / os.path.basename(path))) is None
    assert store.crop(1, path) is None


def test_data_may_be_moved(coco_root, tmp_path):
    crops = cached(coco(coco_root), tmp_path / 'crops')
    before = seeded(crops, 2)['inputs']
    shutil.copytree(coco_root, tmp_path / 'elsewhere')
    crops = cached(coco(tmp_path / 'elsewhere'), tmp_path / 'crops')
    shutil.rmtree(tmp_path / 'elsewhere' / 'train2017')
    assert torch.equal(seeded(crops, 2)['inputs'], before)


@pytest.mark.parametrize('cache', ['disk', 'ram'])
def test_workers_share_the_store(coco_root, tmp_path, cache):
    crops = cached(coco(coco_root), tmp_path, cache)
    loader = DataLoader(crops, batch_size=None, num_workers=2)
    assert len(list(loader)) == len(crops)
    # one that was not forked maps the same file
    copied = pickle.loads(pickle.dumps(store_of(crops)))
    np.testing.assert_array_equal(copied.entries, store_of(crops).entries)
    np.testing.assert_array_equal(copied.pixels, store_of(crops).pixels)


def build_as_a_rank(root, folder, cache):
    crops = cached(coco(root), folder, cache)
    stock = DATASETS.build(coco(root))
    for index in range(len(stock)):
        assert difference(seeded(stock, index), seeded(crops, index)) < 0.05
    paths = [None, None]
    torch.distributed.all_gather_object(paths, str(store_of(crops).path))
    assert paths[0] == paths[1]
    torch.distributed.barrier()


@pytest.mark.parametrize('cache', ['disk', 'ram'])
def test_ranks_share_the_store(coco_root, tmp_path, free_port, cache):
    in_two_processes(build_as_a_rank, free_port, coco_root, tmp_path, cache)
    assert len(list(tmp_path.iterdir())) == (cache == 'disk')


def test_memory_is_given_back(coco_root, tmp_path):
    crops = cached(coco(coco_root), tmp_path, 'ram')
    path = store_of(crops).path
    assert os.path.exists(path)
    del crops
    assert not os.path.exists(path)


def test_names_that_are_not_utf_8(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    _, content = cv2.imencode('.png', np.random.default_rng(0).integers(
        0, 255, (60, 40, 3), np.uint8))
    try:
        Path(os.fsdecode(os.fsencode(folder) + b'/caf\xe9.png')).write_bytes(content)
    except OSError:
        pytest.skip('this file system has names in UTF-8 alone')
    config = dict(type='UnlabeledPoseDataset', data_root=str(folder),
                  data_prefix=dict(img=''), pipeline=pipeline(box=BOX[:1])[:-1],
                  metainfo=dict(from_file='configs/_base_/datasets/coco.py'))
    crops = cached(config, tmp_path / 'crops')
    assert store_of(crops).entries['state'].tolist() == [STORED]
    expected, image = (each[0]['img'].astype(int)
                       for each in (DATASETS.build(config), crops))
    assert np.abs(expected - image).mean() < 2


def test_without_locks_of_files(tmp_path, monkeypatch):
    """As on Windows, where no folder can be opened."""
    monkeypatch.setattr(cache, 'fcntl', None)
    monkeypatch.setattr(os, 'open', None)
    with cache._lock(tmp_path):
        pass
