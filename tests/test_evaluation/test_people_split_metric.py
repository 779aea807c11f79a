"""Figures of a part are those of a test set that holds nothing else."""

import copy
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from mmpose_wloss.evaluation.functional.people_split import people_split_table
from mmpose_wloss.evaluation.metrics import PeopleCounts, PeopleSplitMetric

import numpy as np
import pytest
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import METRICS
from mmpose.structures import PoseDataSample

META = {name: parse_pose_metainfo(
    dict(from_file=f'configs/_base_/datasets/{name}.py'))
    for name in ('mpii', 'coco')}
META['coco']['CLASSES'] = [dict(id=1, name='person')]
PCKH = dict(type='MpiiPCKAccuracy')
PCK = dict(type='PCKAccuracy', thr=.1)
COCO = dict(type='CocoMetric')


@pytest.fixture(autouse=True)
def setting(monkeypatch):
    init_default_scope('mmpose')
    monkeypatch.setattr(MessageHub, '_instance_dict', {})


def person(number, image, joints=16):
    """A person whose joints are some pixels off."""
    rng = np.random.default_rng(number)
    keypoints = rng.uniform(0, 100, (1, joints, 2)).round(3)
    offset = rng.normal(size=(1, joints, 2)) * rng.uniform(1, 12)
    box = np.array([[0., 0., 100., 80.]])
    flat = np.concatenate([keypoints[0], np.full((joints, 1), 2.)], 1)
    sample = PoseDataSample(metainfo=dict(
        id=number, img_id=image, img_path=f'data/images/{image:03d}.jpg',
        ori_shape=(100, 120), category_id=1, raw_ann_info=dict(
            id=number, image_id=image, category_id=1, iscrowd=0, area=8000.,
            bbox=[0., 0., 100., 80.], num_keypoints=joints,
            keypoints=flat.ravel().tolist())))
    sample.gt_instances = InstanceData(
        keypoints=keypoints, keypoints_visible=np.ones((1, joints)),
        bboxes=box, bbox_scores=np.ones(1), head_size=np.full((1, 1), 20.),
        bbox_scales=np.array([[125., 100.]]))
    sample.pred_instances = InstanceData(
        keypoints=keypoints + offset, bboxes=box, bbox_scores=np.ones(1),
        keypoint_scores=rng.uniform(.3, 1, (1, joints)))
    return sample


# images 0 to 4 have one person, 5 has three, 6 has two
IMAGES = [0, 1, 2, 3, 4, 5, 5, 5, 6, 6]


def people(joints=16):
    return [person(number, image, joints)
            for number, image in enumerate(IMAGES)]


def run(metric, samples, meta='mpii', batch=3):
    evaluator = metric if isinstance(metric, Evaluator) else Evaluator(metric)
    evaluator.dataset_meta = copy.deepcopy(META[meta])
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start:start + batch])
    return evaluator.evaluate(len(samples))


def split(metric, **kwargs):
    return dict(type='PeopleSplitMetric', metric=metric, **kwargs)


def coco_file(tmp_path, extra=(), joints=17):
    annotations = [sample.raw_ann_info for sample in people(joints)]
    annotations += [{**annotations[0], 'id': 100 + number, **one}
                    for number, one in enumerate(extra)]
    images = sorted({one['image_id'] for one in annotations})
    path = tmp_path / 'val.json'
    path.write_text(json.dumps(dict(
        info={}, annotations=annotations, categories=[dict(id=1, name='person')],
        images=[dict(id=image, file_name=f'{image:03d}.jpg', width=120,
                     height=100) for image in images])))
    return str(path)


@pytest.mark.parametrize('metric, meta', [
    (PCKH, 'mpii'), (PCK, 'mpii'), (dict(PCK, prefix='mine'), 'mpii'),
    (dict(type='EPE'), 'mpii'), (COCO, 'coco')])
def test_all_and_parts_equal_the_stock_metric(metric, meta):
    samples = people(len(META[meta]['keypoint_id2name']))
    result = run(split(metric), samples, meta)
    expected = run(metric, samples, meta)
    assert {name: result[name] for name in expected} == expected
    assert (result['samples'], result['images']) == (10, 7)
    for part, chosen, images in (('single_person', samples[:5], 5),
                                 ('multi_person', samples[5:], 2)):
        expected = run(metric, chosen, meta)
        assert 0 < next(iter(expected.values()))
        for name, value in expected.items():
            if value != -1:  # where COCO has nothing to measure
                assert result[f'{part}/{name}'] == pytest.approx(value)
        assert result[f'{part}/samples'] == len(chosen)
        assert result[f'{part}/images'] == images


def test_coco_metric_counts_in_its_file(tmp_path):
    # nobody evaluates the person without joints in image 0, or the crowd in 1
    file = coco_file(tmp_path, extra=[
        dict(keypoints=[0] * 51, num_keypoints=0),
        dict(iscrowd=1, image_id=1)])
    metric = dict(COCO, ann_file=file)
    samples = people(17)
    result = run(split(metric), samples, 'coco')
    expected = run(metric, samples, 'coco')
    assert {name: result[name] for name in expected} == expected
    assert result['single_person/samples'] == 5 - 1 - 1
    assert result['multi_person/samples'] == 5 + 1 + 1
    single = run(COCO, samples[2:5], 'coco')
    assert result['single_person/coco/AP'] == single['coco/AP']
    # a crowd alone is of several
    only = json.loads(Path(file).read_text())
    only['annotations'] = [dict(only['annotations'][0], iscrowd=1)]
    Path(file).write_text(json.dumps(only))
    assert PeopleCounts(file).of('000.jpg') == 2


def test_predictions_in_images_of_nobody_count_for_all_alone(tmp_path):
    file = coco_file(tmp_path)
    samples = people(17)
    found = person(50, 7, 17)  # by a detector
    found.gt_instances.keypoints = np.zeros((1, 17, 2))
    content = json.loads(Path(file).read_text())
    content['images'].append(dict(id=7, file_name='007.jpg'))
    Path(file).write_text(json.dumps(content))
    result = run(split(dict(COCO, ann_file=file)), [*samples, found], 'coco')
    assert result['samples'] == 11
    assert result['single_person/samples'] + result['multi_person/samples'
                                                    ] == 10


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

    def counts(*names):
        files = [str(tmp_path / f'{name}.json') for name in names]
        known = PeopleCounts(files)
        result = run(split(PCKH, people_files=files), people())
        part = [known.of(f'x/images/{image:03d}.jpg') for image in range(7)]
        assert result['single_person/images'] == part.count(1)
        assert result['multi_person/images'] == 7 - part.count(1)
        return part

    assert counts('val') == [1, 1, 1, 1, 1, 3, 2]
    # person 1 is in both files, and one person
    assert counts('val', 'train') == [2, 1, 1, 1, 1, 3, 2]
    assert counts('release') == [1, 1, 3, 1, 1, 3, 2]
    assert counts('release', 'val', 'train') == [2, 1, 3, 1, 1, 3, 2]
    coco = coco_file(tmp_path, joints=16)
    assert PeopleCounts([coco]).of('/a/005.jpg') == 3
    assert PeopleCounts(coco).of('/a/105.jpg') is None


def test_names_of_images_may_have_folders(tmp_path):
    records = [dict(image=name, center=[number, 0], scale=1) for number, name
               in enumerate(['a/1.jpg', 'b/1.jpg', 'b/1.jpg'])]
    (tmp_path / 'people.json').write_text(json.dumps(records))
    counts = PeopleCounts([tmp_path / 'people.json'])
    assert counts.of('data/a/1.jpg') == 1
    assert counts.of('b/1.jpg') == 2
    assert counts.of('1.jpg') is None


def test_files_that_do_not_fit(tmp_path):
    file = tmp_path / 'people.json'
    with pytest.raises(FileNotFoundError, match='people.json, which people_f'):
        PeopleCounts([file])
    for content, error in (
            ('[', 'is no JSON'), ('[{"image": "1.jpg"}]', 'center'),
            ('{"images": []}', "COCO's format"), ('3', 'neither'),
            ('[[1]]', 'neither')):
        file.write_text(content)
        with pytest.raises(ValueError, match=f'people.json .*{error}'):
            PeopleCounts([file])
    records = [dict(image=f'{image:03d}.jpg', center=[0, 0], scale=1)
               for image in IMAGES]
    file.write_text(json.dumps(records))
    with pytest.raises(ValueError, match=r'have 1 people in .*005.jpg, of '
                                         'which 3 are evaluated: name the'):
        run(split(PCKH, people_files=str(file)), people())
    file.write_text(json.dumps(records[1:]))
    with pytest.raises(ValueError, match='do not name the image .*000.jpg'):
        run(split(PCKH, people_files=str(file)), people())


def test_a_part_without_images_is_left_out_and_said_once():
    evaluator = Evaluator(split(PCKH))
    warned = []

    class Listener(logging.Handler):
        def emit(self, record):
            if record.levelno == logging.WARNING:
                warned.append(record.getMessage())

    listener = Listener()
    MMLogger.get_current_instance().addHandler(listener)
    try:
        for _ in range(2):
            result = run(evaluator, people()[:5])
    finally:
        MMLogger.get_current_instance().removeHandler(listener)
    assert not any(name.startswith('multi_person') for name in result)
    assert result['single_person/PCK'] == pytest.approx(result['PCK'])
    assert len(warned) == 1 and 'multi_person' in warned[0]
    table = people_split_table(result)
    assert '| several people |' in table and '–' in table


def test_joints_that_a_part_does_not_have_have_no_figure():
    samples = people()
    for sample in samples[5:]:
        sample.gt_instances.keypoints_visible[:, [0, 5]] = 0
    result = run(split(PCKH), samples)
    assert 'multi_person/Knee PCK' in result
    assert 'multi_person/Ankle PCK' not in result
    assert 'single_person/Ankle PCK' in result


def test_the_table():
    result = run(split([PCKH, dict(type='EPE')]), people())
    head, rule, every, single, multi = people_split_table(
        dict(result, unrelated=1.)).splitlines()
    names = [cell.strip() for cell in head.split('|')[1:-1]]
    assert names[:4] == ['images of', 'samples', 'images', 'Head PCK']
    assert 'EPE' in names and 'unrelated' not in names
    assert len(head) == len(rule) == len(every) == len(single) == len(multi)
    cells = dict(zip(names, (cell.strip() for cell in multi.split('|')[1:-1]),
                     strict=True))
    assert cells['images of'] == 'several people'
    assert cells['samples'] == '5' and cells['images'] == '2'
    assert float(cells['PCK']) == pytest.approx(result['multi_person/PCK'],
                                                rel=1e-3)
    assert people_split_table(dict(PCK=1.)) is None
    # under a name of its own
    named = run(split(PCKH, prefix='seen'), people())
    assert 'seen/multi_person/PCK' in named
    assert '| seen/PCK |' in people_split_table(named)


def test_what_cannot_be_split():
    with pytest.raises(TypeError, match='PeopleSplitMetric cannot wrap Dump'):
        PeopleSplitMetric(DumpResults('out.pkl'))
    with pytest.raises(ValueError, match='at least one metric'):
        PeopleSplitMetric([])
    with pytest.raises(ValueError, match='format_only of CocoMetric'):
        PeopleSplitMetric(dict(COCO, format_only=True, outfile_prefix='a'))
    with pytest.raises(ValueError, match='call a figure PCK'):
        run(split([PCK, dict(PCK, thr=.2)]), people())
    samples = people()
    for sample in samples:
        sample.gt_instances.keypoints = np.zeros((1, 16, 2))
    with pytest.raises(ValueError, match='nobody annotated.*people_files'):
        run(split(PCK), samples)
    assert METRICS.get('PeopleSplitMetric') is PeopleSplitMetric


def test_files_that_the_metric_writes_are_of_their_part(tmp_path):
    metric = dict(COCO, outfile_prefix=str(tmp_path / 'out'))
    run(split(metric), people(17), 'coco')
    assert {path.name: len(json.loads(path.read_text()))
            for path in tmp_path.glob('*.keypoints.json')} == {
                'out.keypoints.json': 10,
                'out.single_person.keypoints.json': 5,
                'out.multi_person.keypoints.json': 5}


def test_coco_metric_that_converts_joints(tmp_path):
    twelve = dict(num_keypoints=12,
                  mapping=[(index + 5, index) for index in range(12)])
    metric = dict(COCO, pred_converter=twelve, gt_converter=twelve,
                  ann_file=coco_file(tmp_path))
    evaluator = Evaluator(split(metric))
    for _ in range(2):
        result = run(evaluator, people(17), 'coco')
        assert result['coco/AP'] == run(metric, people(17), 'coco')['coco/AP']
        assert result['multi_person/coco/AP'] >= 0


RANKS = '''
import json, sys
import torch
from mmpose_wloss.compat.process_groups import end_process_groups
sys.path.insert(0, sys.argv[1])
from test_people_split_metric import PCK, PCKH, Evaluator, META, people, split
from mmengine.registry import init_default_scope

def main(rank):
    torch.distributed.init_process_group(
        'gloo', f'file://{sys.argv[2]}/store', rank=rank, world_size=2)
    init_default_scope('mmpose')
    evaluator = Evaluator(split([PCKH, dict(PCK, prefix='box')]))
    evaluator.dataset_meta = META['mpii']
    # the last one stands in for one that is missing, as samplers have it
    samples = people()[:9]
    evaluator.process([*samples, samples[0]][rank::2])
    result = evaluator.evaluate(9)
    if rank == 1:
        print('result', json.dumps(result))
    end_process_groups()

if __name__ == '__main__':
    torch.multiprocessing.start_processes(main, nprocs=2, start_method='fork')
'''


def test_two_processes_give_the_same(tmp_path):
    (tmp_path / 'ranks.py').write_text(RANKS)
    done = subprocess.run(
        [sys.executable, tmp_path / 'ranks.py', str(Path(__file__).parent),
         str(tmp_path)], text=True, timeout=180, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=dict(os.environ, OMP_NUM_THREADS='1'))
    assert done.returncode == 0, done.stdout[-2000:]
    line = next(line for line in done.stdout.splitlines()
                if line.startswith('result '))
    expected = run(split([PCKH, dict(PCK, prefix='box')]), people()[:9])
    assert expected['multi_person/samples'] == 3
    assert json.loads(line.removeprefix('result ')) == pytest.approx(expected)
