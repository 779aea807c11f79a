from pathlib import Path

from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.datasets import LSPDataset
from mmpose_wloss.datasets.datasets.lsp_joints import JOINTS, read_joints

import numpy as np
import pytest
from mmengine.logging import MessageHub
from mmpose.evaluation.metrics import CocoMetric
from PIL import Image
from scipy.io import loadmat, savemat

LSP = 'lsp_dataset_original/joints.mat'
EXTENDED = 'lspet_dataset/joints.mat'
FOLDERS = dict(img='lsp_dataset_original/images',
               extended='lspet_dataset/images')


def dataset(root, ann_file=LSP, extended_ann_file=EXTENDED, **changes):
    return LSPDataset(**dict(
        dict(data_root=str(root), ann_file=ann_file, data_prefix=FOLDERS,
             extended_ann_file=extended_ann_file, split='all'), **changes))


def samples(data) -> list:
    return [data.get_data_info(index) for index in range(len(data))]


def write(root: Path, joints: np.ndarray, name=LSP) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, dict(joints=joints))
    return root


def ids(data) -> list:
    return [info['id'] for info in samples(data)]


def test_the_definition():
    meta = LSPDataset(ann_file='never_read.mat', lazy_init=True).metainfo
    assert list(meta['keypoint_name2id']) == list(JOINTS)
    assert meta['flip_indices'] == [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12,
                                    13]
    assert {JOINTS[index].partition('_')[2]
            for index in meta['lower_body_ids']} == {'hip', 'knee', 'ankle'}
    assert len(meta['sigmas']) == len(meta['dataset_keypoint_weights']) == 14


def test_flags_mean_in_each_file_what_they_mean_there(lsp_root):
    joints = loadmat(lsp_root / LSP)['joints']
    positions, visibility = read_joints(str(lsp_root / LSP))
    assert positions.shape == (4, 14, 2) and visibility.shape == (4, 14)
    # an occluded joint has a position, counted from 1 in the file
    assert np.allclose(positions + 1, joints[:2].transpose(2, 1, 0))
    assert np.array_equal(visibility == 1, np.eye(4, 14))
    assert set(np.unique(visibility)) == {1, 2}

    joints = loadmat(lsp_root / EXTENDED)['joints']
    positions, visibility = read_joints(str(lsp_root / EXTENDED), True)
    missing = np.eye(6, 14) == 1
    assert np.array_equal(visibility, np.where(missing, 0, 2))
    assert (positions[missing] == 0).all()
    assert np.allclose(positions[~missing] + 1,
                       joints[:, :2].transpose(2, 0, 1)[~missing])


@pytest.mark.parametrize('bbox, padding', [
    ('image', 1.), ('joints', 1.5)])
def test_samples(lsp_root, bbox, padding):
    data = dataset(lsp_root, bbox=bbox, bbox_padding=padding)
    assert data.ann_files == [str(lsp_root / LSP), str(lsp_root / EXTENDED)]
    for index, info in enumerate(samples(data)):
        extended = index >= 4
        number = index - 3 if extended else index + 1
        assert info['id'] == info['img_id'] == number + 100_000 * extended
        path = Path(info['img_path'])
        assert path.parent == lsp_root / list(FOLDERS.values())[extended]
        assert path.name == f'im{number:0{5 if extended else 4}d}.jpg'
        # the fixture leaves out, or occludes, another joint of each
        visible = np.ones(14)
        visible[number - 1] = not extended
        assert info['keypoints_visible'].tolist() == [visible.tolist()]
        assert info['keypoints'].shape == (1, 14, 2)
        assert info['keypoints'].dtype == np.float32
        # annotations are in the format of COCO
        annotation = info['raw_ann_info']
        assert annotation['id'] == annotation['image_id'] == info['id']
        keypoints = np.reshape(annotation['keypoints'], (14, 3))
        assert np.allclose(keypoints[:, :2], info['keypoints'][0])
        assert annotation['num_keypoints'] == (keypoints[:, 2] > 0).sum()
        assert info['num_keypoints'] == 14 - extended
        x, y, width, height = annotation['bbox']
        assert np.allclose(info['bbox'], [[x, y, x + width, y + height]])
        annotated = keypoints[keypoints[:, 2] > 0, :2]
        low, high = annotated.min(axis=0), annotated.max(axis=0)
        assert info['area'] == pytest.approx(annotation['area'])
        assert annotation['area'] == pytest.approx(0.53 * (high - low).prod())
        if bbox == 'image':
            low, high = np.array([[0, 0], [128, 96]])
        assert np.allclose([x + width / 2, y + height / 2], (low + high) / 2)
        assert np.allclose([width, height], padding * (high - low))


def test_occluded_joints_can_be_left_out(lsp_root):
    data = dataset(lsp_root, extended_ann_file=None, use_occluded=False)
    for index, info in enumerate(samples(data)):
        assert np.flatnonzero(info['keypoints_visible'] == 0) == [index]
        # their annotation stays
        assert info['num_keypoints'] == 14
        assert info['raw_ann_info']['keypoints'][3 * index + 2] == 1


def test_ids_depend_neither_on_the_split_nor_on_the_files(lsp_root):
    everything = ids(dataset(lsp_root))
    assert everything == [1, 2, 3, 4, *range(100001, 100007)]
    alone = dataset(lsp_root, '')
    assert ids(alone) == everything[4:]
    assert alone.ann_files == [str(lsp_root / EXTENDED)]
    assert ids(dataset(lsp_root, extended_ann_file=None)) == everything[:4]
    assert ids(dataset(lsp_root, sample_interval=2)) == everything[1:4:2] + (
        everything[5::2])
    parts = [ids(dataset(lsp_root, split=split, train_size=6))
             for split in ('train', 'test')]
    assert sorted(sum(parts, [])) == everything
    # the order must not change with NumPy or with this package
    assert parts[1] == [100004, 4, 1, 100002]
    assert parts[1] != ids(dataset(lsp_root, split='test', train_size=6,
                                   seed=1))


@pytest.mark.parametrize('name', ['order.txt', 'order.npy'])
def test_an_order_from_a_file(lsp_root, tmp_path, name):
    path = tmp_path / name

    def split():
        return dataset(lsp_root, split='train', train_size=3,
                       order_file=str(path))

    def save(order):
        np.save(path, order) if name.endswith('npy') else np.savetxt(
            path, order, '%d')

    with pytest.raises(MissingFile, match='order_file'):
        split()
    save(np.arange(10)[::-1])
    assert ids(split()) == [100006, 100005, 100004]
    for write_wrong, named in (
            (lambda: save(np.arange(1, 11)), '0 is missing, 10 is of no sample'),
            (lambda: save([0, *range(9)]), '0 is more than once, 9 is missing'),
            (lambda: path.write_text('one'), '')):
        write_wrong()
        with pytest.raises(UserError, match=f'order_file .*{name}.* 0 to 9.*{named}'):
            split()


def test_an_order_of_the_original_code(tmp_path):
    """One line of 12,000 numbers, which count the 10,000 of LSP-extended first."""
    write(tmp_path, np.ones((3, 14, 2000)))
    write(tmp_path, np.ones((14, 3, 10000)), EXTENDED)
    order = np.random.default_rng(0).permutation(12_000).tolist()
    path = tmp_path / 'dataorder.txt'
    path.write_text(','.join(map(str, order)))
    parts = [ids(dataset(tmp_path, split=split, bbox='joints', order_file=str(path)))
             for split in ('train', 'test')]
    expected = [100_001 + n if n < 10_000 else n - 9999 for n in order]
    assert parts == [expected[:9000], expected[9000:]]
    # lines and a comma at the end change nothing
    path.write_text(',\n'.join(map(str, order)) + ',\n')
    assert ids(dataset(tmp_path, split='train', bbox='joints',
                       order_file=str(path))) == expected[:9000]
    path.write_text(','.join(map(str, order[1:])))
    with pytest.raises(UserError, match='order_file'):
        dataset(tmp_path, bbox='joints', split='train', order_file=str(path))


def test_the_split_of_the_field(tmp_path, lsp_root):
    joints = np.ones((3, 14, 1002))
    root = write(tmp_path, joints)
    write(root, loadmat(lsp_root / EXTENDED)['joints'], EXTENDED)
    changes = dict(protocol='lsp', bbox='joints')
    assert ids(dataset(root, split='test', **changes)) == [1001, 1002]
    assert ids(dataset(root, split='train', **changes)) == [
        *range(1, 1001), *range(100001, 100007)]


def test_samples_without_a_joint_are_left_out(tmp_path):
    joints = np.zeros((14, 3, 5))
    joints[4, :, ::2] = [[11], [21], [1]]
    data = dataset(write(tmp_path, joints, EXTENDED), '', bbox='joints')
    assert ids(data) == [100001, 100003, 100005]
    # the box of one joint has an area
    assert data.get_data_info(0)['bbox'].tolist() == [[9.5, 19.5, 10.5, 20.5]]
    with pytest.raises(UserError, match='no sample'):
        dataset(write(tmp_path, 0 * joints, EXTENDED), '')


def test_cocos_metric_takes_the_annotations(lsp_root, tmp_path):
    data = dataset(lsp_root, test_mode=True)
    assert MessageHub.get_current_instance().get_info('lsp_ann_file') is None
    metric = CocoMetric(outfile_prefix=str(tmp_path / 'out'))
    metric.dataset_meta = data.metainfo
    outputs = [dict(
        {key: info[key] for key in ('id', 'img_id', 'raw_ann_info')},
        ori_shape=(96, 128), pred_instances=dict(
            keypoints=info['keypoints'], bboxes=info['bbox'],
            keypoint_scores=info['keypoints_visible']),
        gt_instances=dict(bbox_scales=np.ones((1, 2)), bbox_scores=np.ones(1)))
        for info in samples(data)]
    metric.process([], outputs)
    assert metric.evaluate(len(outputs))['coco/AP'] == pytest.approx(1)


def test_images_that_are_missing_turned_or_called_otherwise(tmp_path):
    data = dataset(write(tmp_path, np.ones((14, 3, 1)), EXTENDED), '',
                   data_prefix=dict(extended='hr-lspet'),
                   file_names=dict(extended='im{:05d}.png'))
    with pytest.raises(MissingFile, match=r'hr-lspet/im00001\.png'):
        data.get_data_info(0)
    (tmp_path / 'hr-lspet').mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (40, 20)).save(tmp_path / 'hr-lspet' / 'im00001.png',
                                    exif=exif)
    assert data.get_data_info(0)['bbox'].tolist() == [[0, 0, 20, 40]]


def test_files_that_are_not_what_is_expected(tmp_path, lsp_root):
    for names in (('nowhere.mat', EXTENDED), (LSP, 'nowhere.mat')):
        with pytest.raises(MissingFile, match=r'ann_file .*nowhere\.mat'):
            dataset(lsp_root, *names)
    whole = (lsp_root / LSP).read_bytes()
    (tmp_path / 'cut.mat').write_bytes(whole[:len(whole) // 2])
    (tmp_path / 'text.mat').write_text('joints')
    (tmp_path / 'empty.mat').write_bytes(b'')
    savemat(tmp_path / 'other.mat', dict(poses=np.zeros(3)))
    for shape in ((3, 13, 2), (3, 14), (3, 14, 0)):
        savemat(tmp_path / f'shape{len(shape)}{shape[-1]}.mat',
                dict(joints=np.zeros(shape)))
    for file in tmp_path.glob('*.mat'):
        with pytest.raises(UserError, match=f'{file.name}.*3 × 14 × N'):
            dataset(tmp_path, file.name, None)
    for names, key in (((EXTENDED, None), 'extended_ann_file'),
                       (('', LSP), 'ann_file')):
        with pytest.raises(UserError, match=f'name it by {key}'):
            dataset(lsp_root, *names)


@pytest.mark.parametrize('place, value', [
    ((2, 5, 1), 2.), ((2, 5, 1), np.nan), ((0, 5, 1), np.nan)])
def test_values_that_cannot_be(tmp_path, place, value):
    joints = np.ones((3, 14, 3))
    joints[place] = value
    with pytest.raises(UserError, match='sample 2'):
        dataset(write(tmp_path, joints), extended_ann_file=None)


@pytest.mark.parametrize('changes, named', [
    (dict(split='val'), "split.*'val'"),
    (dict(protocol='mine'), "protocol.*'mine'"),
    (dict(bbox='person'), "bbox.*'person'"),
    (dict(data_mode='bottomup'), "data_mode.*'bottomup'"),
    (dict(bbox_file='boxes.json'), 'bbox_file .*boxes.json'),
    (dict(ann_file='', extended_ann_file=None), 'ann_file'),
    (dict(bbox_padding=0), 'bbox_padding'),
    (dict(split='train'), 'train_size.* 10 .*9000'),
    (dict(split='test', train_size=0), 'train_size.* 0'),
    (dict(split='train', train_size='a'), "train_size.*'a'"),
    (dict(protocol='lsp', order_file='order.txt'), "order_file.*'lsp'"),
    (dict(split='test', train_size=10), "'test'")])
def test_arguments_that_do_not_fit(lsp_root, changes, named):
    with pytest.raises(UserError, match=named):
        dataset(lsp_root, **changes)
