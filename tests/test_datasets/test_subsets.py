import json
import math
from collections import Counter
from pathlib import Path

from mmpose_wloss.commands import subset
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.common.files import digest_of_file
from mmpose_wloss.datasets import UnlabeledPoseDataset, make_subset

import numpy as np
import pytest
from mmpose.datasets.datasets import CocoDataset


def annotation(number, image_id, rng, **changes):
    joints = rng.uniform(5, 90, (17, 2)).round(1)
    visible = rng.integers(0, 3, (17, 1))
    visible[0] = 2
    return {**dict(
        id=1000 - number, image_id=image_id, category_id=1, iscrowd=0,
        bbox=[*rng.uniform(0, 50, 2).round(1), 30., 40.], area=float(number),
        num_keypoints=int((visible > 0).sum()),
        keypoints=np.hstack([joints * (visible > 0), visible]).ravel(
        ).tolist(), segmentation=[[1., 1., 1., 9., 9., 9.]],
        keypoints_3d=[[1., 2., 3.]], pose_class='sitting' if number % 3
        else 'lying'), **changes}


def content_of(people=60, images=25) -> dict:
    """People of images in mixed order, some of them not to train on."""
    rng = np.random.default_rng(0)
    ids = (rng.permutation(images) + 1).tolist()
    annotations = [annotation(number, ids[int(rng.integers(images))], rng)
                   for number in range(people)]
    for index, changes in enumerate((
            dict(iscrowd=1), dict(num_keypoints=0), dict(bbox=[5, 5, 0, 9]),
            dict(bbox=[500, 5, 9, 9]), dict(keypoints=[0.] * 51),
            dict(image_id=999), dict(bbox=[-5, -5, 30, 300]),
            dict(bbox=[99.5, 2, .2, 9]))):
        annotations[index * 5].update(changes)
    del annotations[3]['bbox'], annotations[4]['keypoints']
    del annotations[8]['num_keypoints'], annotations[9]['iscrowd']
    annotations[11]['keypoints'][0] = math.nan
    return dict(
        info=dict(description='generated'), licenses=[dict(id=1)],
        images=[dict(id=id_, file_name=f'{id_}.jpg', width=100, height=90)
                for id_ in ids],
        annotations=annotations,
        categories=[dict(id=1, name='person', supercategory='person')])


@pytest.fixture
def ann_file(tmp_path):
    path = tmp_path / 'people.json'
    path.write_text(json.dumps(content_of()))
    return path


@pytest.fixture
def plain_file(tmp_path):
    """All to train on, and each annotation with every key."""
    rng = np.random.default_rng(1)
    path = tmp_path / 'plain.json'
    path.write_text(json.dumps(dict(
        content_of(), annotations=[
            annotation(number, 1 + number % 25, rng) for number in range(60)
        ])))
    return path


def coco(path, **arguments) -> list:
    """What the stock data set trains on."""
    dataset = CocoDataset(ann_file=str(path), data_prefix=dict(img='images'),
                          serialize_data=False, **arguments)
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def equal(one, other) -> bool:
    return len(one) == len(other) and all(
        first[key] == second[key] if key in ('id', 'img_id', 'img_path')
        else np.array_equal(first[key], second[key], equal_nan=True)
        for first, second in zip(one, other, strict=True)
        for key in ('id', 'img_id', 'img_path', 'bbox', 'keypoints',
                    'keypoints_visible'))


@pytest.mark.parametrize('count', [1, 17, 50])
def test_the_first_are_the_first_of_the_stock_data_set(ann_file, count):
    summary = make_subset(ann_file, count)
    whole = coco(ann_file)
    assert summary['instances'] == len(whole) == 51
    assert equal(coco(summary['labeled']['file']),
                 coco(ann_file, indices=count))


@pytest.mark.parametrize('arguments', [
    {}, dict(seed=3), dict(seed=3, stratify='pose_class')
])
def test_the_parts_make_up_the_whole(ann_file, arguments):
    summary = make_subset(ann_file, 20, **arguments)
    whole = {sample['id']: sample for sample in coco(ann_file)}
    parts = {name: json.loads(Path(summary[name]['file']).read_text())
             for name in ('labeled', 'unlabeled')}
    ids = {name: [one['id'] for one in part['annotations']]
           for name, part in parts.items()}
    assert len(ids['labeled']) == summary['labeled']['instances'] == 20
    assert len(ids['unlabeled']) == summary['unlabeled']['instances'] == 31
    assert sorted(ids['labeled'] + ids['unlabeled']) == sorted(whole)
    for name, part in parts.items():
        used = {one['image_id'] for one in part['annotations']}
        assert {image['id'] for image in part['images']} == used
        assert summary[name]['images'] == len(part['images']) == len(used)
        assert part['licenses'] == [dict(id=1)]
        assert part['categories'] == content_of()['categories']
        order = [id_ for id_ in whole if id_ in ids[name]]
        assert ids[name] == order

    before = {one['id']: one for one in content_of()['annotations']}
    for one in parts['labeled']['annotations']:
        assert json.dumps(one) == json.dumps(before[one['id']])
    for one in parts['unlabeled']['annotations']:
        assert one == {key: value for key, value in before[one['id']].items()
                       if key in ('id', 'image_id', 'category_id', 'iscrowd',
                                  'bbox')}


def test_the_rest_is_for_the_unlabeled_data_set(ann_file, tmp_path):
    rest = make_subset(ann_file, 20)['unlabeled']['file']
    (tmp_path / 'images').mkdir()
    dataset = UnlabeledPoseDataset(
        ann_file=rest, data_prefix=dict(img=str(tmp_path / 'images')))
    boxes = {sample['id']: sample['bbox'] for sample in coco(ann_file)[20:]}
    # the images are not there
    samples = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert [sample['id'] for sample in samples] == list(boxes)
    for sample in samples:
        assert np.array_equal(sample['bbox'], boxes[sample['id']])
    with pytest.raises(UserError):
        make_subset(rest, 2)


@pytest.mark.parametrize('arguments, name', [
    ({}, 'people_first20'), (dict(seed=3), 'people_random20_seed3'),
    (dict(seed=0, stratify='pose_class'), 'people_random20_seed0_by_pose_class'),
])
def test_the_files_and_what_they_say_of_themselves(ann_file, tmp_path, arguments,
                                                   name):
    written = []
    for folder in (None, tmp_path / 'a' / 'b'):
        summary = make_subset(ann_file, 20, folder, **arguments)
        files = [Path(summary[part]['file']) for part in ('labeled', 'unlabeled')]
        assert files == [(folder or tmp_path) / f'{name}{ending}.json'
                         for ending in ('', '_rest')]
        written.append([file.read_bytes() for file in files])
        for part, file in zip(('labeled', 'unlabeled'), files, strict=True):
            assert json.loads(file.read_text())['info'] == dict(
                description='generated', subset=dict(
                    format_version=1, source='people.json',
                    source_sha256=digest_of_file(ann_file), count=20,
                    order='random' if arguments else 'annotation',
                    seed=arguments.get('seed'),
                    stratify=arguments.get('stratify'), part=part))
    assert written[0] == written[1]


def test_seeds_decide_what_is_drawn(plain_file):
    drawn = set()
    for seed in (None, 0, 1, 2):
        labeled = make_subset(plain_file, 20, seed=seed)['labeled']['file']
        drawn.add(tuple(sample['id'] for sample in coco(labeled)))
    assert len(drawn) == 4


@pytest.mark.parametrize('key, count, strata', [
    ('pose_class', 15, [('lying', 20, 5), ('sitting', 40, 10)]),
    # deciles of a number
    ('area', 30, [(f'{start} to {start + 5}', 6, 3) for start in range(0, 60, 6)])])
def test_strata_keep_their_shares(plain_file, key, count, strata):
    summary = make_subset(plain_file, count, seed=0, stratify=key)
    assert summary['strata'] == [
        dict(value=value, instances=instances, labeled=labeled)
        for value, instances, labeled in strata]
    labeled = json.loads(Path(summary['labeled']['file']).read_text())
    found = Counter(one[key] if key == 'pose_class' else int(one[key] // 6)
                    for one in labeled['annotations'])
    assert sorted(found.values()) == [labeled for _, _, labeled in strata]


def restratified(path, values):
    content = json.loads(path.read_text())
    for index, one in enumerate(content['annotations']):
        one['kind'] = values(index)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize('values, expected', [
    (lambda index: min(index, 3), {'0 and 1 and 2': 3, '3': 57}),
    (lambda index: f'k{min(index, 5)}',
     {'5 values of one each': 5, 'k5': 55}),
    # a lone one goes to the smaller of the others
    (lambda index: 'lone' if not index else 'few' if index < 9 else 'many',
     {'few and lone': 9, 'many': 51}),
    (lambda index: index == 0, {'False and True': 60}),
    (lambda index: None if index % 2 else 'some', {'None': 30, 'some': 30}),
    # half of them have the same value, which fills several deciles
    (lambda index: max(0, index - 29), {'0': 30}),
], ids=['numbers', 'texts', 'lone', 'one', 'none', 'ties'])
def test_strata_have_at_least_two_members(plain_file, values, expected):
    summary = make_subset(restratified(plain_file, values), 30, seed=0,
                          stratify='kind')
    strata = {stratum['value']: stratum['instances']
              for stratum in summary['strata']}
    assert strata.items() >= expected.items()
    assert min(strata.values()) >= 2
    assert sum(strata.values()) == 60
    assert sum(stratum['labeled'] for stratum in summary['strata']) == 30


@pytest.mark.parametrize('arguments, message', [
    (dict(count=0), 'count'), (dict(count=60), 'count.* 60 .*plain.json'),
    (dict(count=5, stratify='area'), "stratify='area'.*seed"),
    (dict(count=5, seed=-1), 'seed'),
    (dict(count=20, seed=0, stratify='age'), "plain.json.*'age'.*pose_class"),
    (dict(count=20, seed=0, stratify='bbox'), "'bbox'"),
    (dict(count=20, seed=0, stratify='depth'), "'depth'"),
    (dict(count=9, seed=0, stratify='area'), "'area'.* 10 .* 9"),
    (dict(count=51, seed=0, stratify='area'), "'area'.* 10 .* 51"),
])
def test_arguments_that_do_not_fit(plain_file, arguments, message):
    content = json.loads(plain_file.read_text())
    for one in content['annotations']:
        one['depth'] = math.nan
    plain_file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        make_subset(plain_file, **arguments)
    assert [path.name for path in plain_file.parent.iterdir()] == ['plain.json']


@pytest.mark.parametrize('text, message', [
    ('{', ''), ('[]', 'images'), ('{"images": []}', 'annotations'),
    ('{"images": [], "annotations": [{"id": 1, "image_id": 1}, {"image_id": 1}]}',
     r"annotations\[1\].*'id'"),
    ('{"images": [], "annotations": [{"id": 1}]}', r"annotations\[0\].*'image_id'"),
    ('{"images": [], "annotations": [{"id": 1, "image_id": 1}, '
     '{"id": 1, "image_id": 2}]}', ' id '),
    ('{"images": [], "annotations": []}', ''),
])
def test_files_that_do_not_fit(tmp_path, text, message):
    path = tmp_path / 'wrong.json'
    path.write_text(text)
    with pytest.raises(UserError, match=f'wrong.json.*{message}'):
        make_subset(path, 1)


@pytest.mark.parametrize('wrong', [
    dict(keypoints=[1, 2]), dict(keypoints='1 2 2'), dict(bbox='1 2 3 4'),
    dict(bbox=[1, 2, 3])])
def test_annotations_that_do_not_fit(plain_file, wrong):
    content = json.loads(plain_file.read_text())
    content['annotations'][3].update(wrong)
    plain_file.write_text(json.dumps(content))
    identity = content['annotations'][3]['id']
    with pytest.raises(UserError, match=f'plain.json.* {identity} '):
        make_subset(plain_file, 20)


def test_the_command(plain_file, tmp_path, capsys):
    assert subset.main([str(plain_file), '--count', '20']) == 0
    _, labeled, rest = capsys.readouterr().out.splitlines()
    assert labeled.split()[:3] == ['labeled', '20', 'people']
    assert labeled.endswith(f': {tmp_path}/plain_first20.json')
    assert rest.split()[:3] == ['unlabeled', '40', 'people']
    assert rest.endswith(f': {tmp_path}/plain_first20_rest.json')

    assert subset.main([
        str(plain_file), '--count', '15', '--seed', '0', '--stratify', 'pose_class',
        '--out', str(tmp_path / 'out')]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].split() == ['sitting', '40', '10', '66.7%', '66.7%']
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'plain_random15_seed0_by_pose_class.json',
        'plain_random15_seed0_by_pose_class_rest.json'}
