"""LSP-extended in COCO's layout, out of the published files."""

import json
from pathlib import Path

from mmpose_wloss.datasets.datasets.lsp_joints import JOINTS

import lspet
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

NUMBERS = dict(train=[7, 3], test=[10_000])
SHARED = Path(__file__).parents[3] / 'shared' / 'data'


def published(folder, images=10_000):
    """Joints of all images, counted from 1, and the images of ``NUMBERS``."""
    rng = np.random.default_rng(0)
    joints = np.ones((14, 3, images))
    joints[:, :2] = rng.uniform(30, 60, (14, 2, images))
    if images > 7:
        # number 7: three joints, one of them outside of the image
        joints[:, :, 6] = 0
        joints[:3, :, 6] = [[11, 21, 1], [31.123, 81.128, 1], [-2, 41, 1]]
    (folder / 'images').mkdir(parents=True)
    savemat(folder / 'joints.mat', dict(joints=joints))
    for number in sum(NUMBERS.values(), []):
        Image.new('RGB', (100, 84)).save(folder / f'images/im{number:05d}.jpg')
    return joints


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / 'splits.json').write_text(json.dumps(NUMBERS))
    monkeypatch.setattr(lspet, 'SPLITS', tmp_path / 'splits.json')
    folder = tmp_path / 'lspet_dataset'
    published(folder)
    return folder


def run(folder, out):
    lspet.main([str(folder), '--out', str(out)])


def test_people_in_coco_s_layout(folder, tmp_path):
    out = tmp_path / 'data/lspet'
    run(folder, out)
    run(folder, out)  # once more
    train, test = (json.loads((out / f'lspet_{split}.json').read_text())
                   for split in ('train', 'test'))
    assert (out / 'images').resolve() == (folder / 'images').resolve()
    assert train['images'] == [
        dict(id=number, file_name=f'im0000{number}.jpg', width=100, height=84)
        for number in (7, 3)]
    assert [each['file_name'] for each in test['images']] == ['im10000.jpg']
    assert [each['image_id'] for each in train['annotations']] == [7, 3]
    person = train['annotations'][0]
    # counted from 0, rounded to 0.01, the other joints 0
    assert person['keypoints'] == [10, 20, 2, 30.12, 80.13, 2, -3, 40, 2] + 33 * [0]
    assert person['num_keypoints'] == 3
    # 6.01 more on each side than the joints, within the image: 10 % of the height
    assert person['bbox'] == [0, 13.99, 36.14, 70.01]
    assert person['area'] == pytest.approx(.53 * 36.14 * 70.01, abs=.3)
    category, = train['categories']
    assert category['keypoints'] == list(JOINTS)
    assert [file.name for file in out.glob('*.partial*')] == []


@pytest.mark.parametrize('break_it, message', [
    (lambda folder: (folder / 'images').rename(folder / 'pictures'),
     'no folder .*images'),
    (lambda folder: (folder / 'joints.mat').unlink(), r'no file .*joints\.mat'),
    (lambda folder: [file.unlink() for file in (folder / 'images').glob('im0*')],
     r'lacks 2 .* first im00003\.jpg'),
    (lambda folder: savemat(folder / 'joints.mat', dict(joints=np.ones((3, 14, 9)))),
     r'\(3, 14, 9\)'),
    (lambda folder: savemat(folder / 'joints.mat', dict(joints=np.ones((14, 3, 9)))),
     'joints of 9 images; .* 10,000'),
    (lambda folder: (folder / 'images/im00003.jpg').write_text('<html>'),
     r'im00003\.jpg')])
def test_what_is_not_as_published(folder, tmp_path, break_it, message):
    break_it(folder)
    with pytest.raises(SystemExit, match=message):
        run(folder, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_other_images_are_left_alone(folder, tmp_path):
    (tmp_path / 'out/images').mkdir(parents=True)
    with pytest.raises(SystemExit, match='out/images is there'):
        run(folder, tmp_path / 'out')
    assert [file.name for file in (tmp_path / 'out').iterdir()] == ['images']


def test_the_splits():
    splits = json.loads(lspet.SPLITS.read_text())
    assert {name: len(numbers) for name, numbers in splits.items()} == dict(
        train=6000, test=1000)
    numbers = sum(splits.values(), [])
    assert len(set(numbers)) == 7000
    assert min(numbers) >= 1 and max(numbers) <= lspet.PUBLISHED


@pytest.mark.skipif(not (SHARED / 'lspet').exists(), reason='real images are not here')
def test_the_real_people_are_those_of_the_studies(tmp_path):
    folder = tmp_path / 'lspet_dataset'
    folder.mkdir()
    (folder / 'joints.mat').symlink_to(SHARED / 'lsp/lspet_joints.mat')
    (folder / 'images').symlink_to(SHARED / 'lspet/images')
    run(folder, tmp_path / 'out')
    for split in ('train', 'test'):
        name = f'lspet_{split}.json'
        assert (tmp_path / 'out' / name).read_bytes() == (
            SHARED / 'lspet' / name).read_bytes()


def test_a_study_without_its_data_ends_well(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        lspet.exit_without('lspet', 'ccp', root=tmp_path)
    assert ended.value.code == 0
    message = capsys.readouterr().out
    for file in (*lspet.LSPET, *lspet.CCP):
        assert file in message
    assert 'benchmarks/lspet.py PATH' in message and 'weights' not in message

    for file in lspet.LSPET:
        (tmp_path / file).mkdir(parents=True)
    lspet.exit_without('lspet', root=tmp_path)
    with pytest.raises(SystemExit):
        lspet.exit_without('lspet', 'weights', root=tmp_path)
    message = capsys.readouterr().out
    assert lspet.WEIGHTS[0] in message and 'imagenet_weights.py' in message
    assert 'joints' not in message
