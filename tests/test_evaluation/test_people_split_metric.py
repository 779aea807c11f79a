import json
from pathlib import Path

from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.evaluation.functional import people_split_table
from mmpose_wloss.evaluation.metrics import PeopleCounts

import numpy as np
import pytest
from evaluated_people import COCO, evaluate, person, table_in, write_coco
from mmengine.evaluator import Evaluator

PCKH = dict(type='MpiiPCKAccuracy')
# images 0 to 4 have one person, 5 has three, 6 has two
IMAGES = [0, 1, 2, 3, 4, 5, 5, 5, 6, 6]


def people(joints=16):
    return [person(number, error=1 + number, image=image, joints=joints)
            for number, image in enumerate(IMAGES)]


def split(metric, **kwargs):
    return dict(type='PeopleSplitMetric', metric=metric, **kwargs)


def test_numbers_of_samples_and_images():
    result = evaluate(split(PCKH), people(), 'mpii')
    for before, samples, images in (('', 10, 7), ('single_person/', 5, 5),
                                    ('multi_person/', 5, 2)):
        assert result[f'{before}samples'] == samples
        assert result[f'{before}images'] == images
    assert result['multi_person/PCK'] == evaluate(
        PCKH, people()[5:], 'mpii')['PCK']


def test_coco_metric_counts_in_its_file(tmp_path):
    # nobody evaluates the person without joints in image 0, or the crowd in 1;
    # in image 7 a detector found somebody
    file = write_coco(tmp_path / 'val.json', people(17), dict(
        keypoints=[0] * 51, num_keypoints=0), dict(iscrowd=1, image_id=1))
    content = json.loads(Path(file).read_text())
    content['images'].append(dict(id=7, file_name='007.jpg'))
    Path(file).write_text(json.dumps(content))
    found = person(50, image=7)
    found.gt_instances.keypoints = np.zeros((1, 17, 2))
    result = evaluate(split(dict(COCO, ann_file=file)), [*people(17), found])
    assert result['samples'] == 11
    assert result['single_person/samples'] == 5 - 1 - 1
    assert result['multi_person/samples'] == 5 + 1 + 1
    counts = PeopleCounts(file)
    assert [counts.of(f'{image:03d}.jpg') for image in (0, 1, 2, 5)] == [
        2, 3, 1, 3]


def test_other_categories_are_no_people(tmp_path):
    file = write_coco(tmp_path / 'val.json', people(17), dict(category_id=2))
    content = json.loads(Path(file).read_text())
    content['categories'].append(dict(id=2, name='ball'))
    Path(file).write_text(json.dumps(content))
    for files in (None, file):
        result = evaluate(split(dict(COCO, ann_file=file), people_files=files),
                          people(17))
        assert result['single_person/samples'] == 5


def test_people_are_counted_in_files_of_each_format(tmp_path):
    mpii = [dict(image=f'{image:03d}.jpg', center=[number, 1.], scale=2.,
                 joints=[], joints_vis=[])
            for number, image in enumerate(IMAGES)]
    others = [dict(image='000.jpg', center=[77., 1.], scale=2.),
              mpii[1], dict(image='elsewhere.jpg', center=[1., 1.], scale=1.)]
    release = [dict(img_paths=one['image'], objpos=[9., number], isValidation=1,
                    scale_provided=2., numOtherPeople=2. * (number == 2))
               for number, one in enumerate(mpii)]
    for name, content in (('val', mpii), ('train', others),
                          ('release', release)):
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    for names, expected in (
            (['val'], [1, 1, 1, 1, 1, 3, 2]),
            # person 1 is in both files, and one person
            (['val', 'train'], [2, 1, 1, 1, 1, 3, 2]),
            (['release'], [1, 1, 3, 1, 1, 3, 2]),
            (['release', 'val', 'train'], [2, 1, 3, 1, 1, 3, 2])):
        files = [str(tmp_path / f'{name}.json') for name in names]
        counts = PeopleCounts(files)
        assert [counts.of(f'x/images/{image:03d}.jpg')
                for image in range(7)] == expected
        result = evaluate(split(PCKH, people_files=files), people(), 'mpii')
        assert result['single_person/images'] == expected.count(1)
        assert result['multi_person/images'] == 7 - expected.count(1)


def test_names_of_images_may_have_folders(tmp_path):
    records = [dict(image=name, center=[number, 0], scale=1) for number, name
               in enumerate(['a/1.jpg', 'b/1.jpg', 'b/1.jpg'])]
    (tmp_path / 'people.json').write_text(json.dumps(records))
    counts = PeopleCounts([tmp_path / 'people.json'])
    assert [counts.of(name) for name in (
        'data/a/1.jpg', 'b/1.jpg', '1.jpg')] == [1, 2, None]


def test_files_that_do_not_fit(tmp_path):
    file = tmp_path / 'people.json'
    with pytest.raises(MissingFile, match='people.json'):
        PeopleCounts([file])
    for content in ('[', '[{"image": "1.jpg"}]', '{"images": []}', '3',
                    '[[1]]'):
        file.write_text(content)
        with pytest.raises(UserError, match='people.json'):
            PeopleCounts([file])
    records = [dict(image=f'{image:03d}.jpg', center=[0, 0], scale=1)
               for image in IMAGES]
    for chosen, image in ((records, '005.jpg'), (records[1:], '000.jpg')):
        file.write_text(json.dumps(chosen))
        with pytest.raises(UserError, match=f'people_files .*{image}'):
            evaluate(split(PCKH, people_files=str(file)), people(), 'mpii')
    samples = people()
    for sample in samples:  # as of a detector
        sample.gt_instances.keypoints = np.zeros((1, 16, 2))
    with pytest.raises(UserError, match='people_files'):
        evaluate(split(PCKH), samples, 'mpii')


def test_a_part_without_images_is_left_out_and_said_once(log):
    evaluator = Evaluator(split(PCKH))
    for _ in range(2):
        result = evaluate(evaluator, people()[:5], 'mpii')
    assert not any(name.startswith('multi_person') for name in result)
    assert result['single_person/PCK'] == pytest.approx(result['PCK'])
    warned = [text for text in log.messages if 'PeopleSplitMetric:' in text]
    assert len(warned) == 1 and 'multi_person' in warned[0]
    assert '| several people |' in people_split_table(result)


def test_the_table(log):
    result = evaluate(split([PCKH, dict(type='EPE')]), people(), 'mpii')
    head, _, _, _, multi = table_in(log.messages)[0]
    assert head[:4] == ['images of', 'samples', 'images', 'Head PCK']
    assert multi[:3] == ['several people', '5', '2']
    assert float(multi[head.index('EPE')]) == pytest.approx(
        result['multi_person/EPE'], rel=1e-3)
    assert 'unrelated' not in people_split_table(dict(result, unrelated=1.))
    assert people_split_table(dict(PCK=1.)) is None
    named = {f'seen/{name}': value for name, value in result.items()}
    assert '| seen/PCK |' in people_split_table(named)
