"""Figures are those of MMPose's metrics, to the last digit."""

import json
from pathlib import Path

from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.compat.xtcocotools.cocoeval import PARTS
from mmpose_wloss.evaluation.metrics import FastCocoMetric

import numpy as np
import pytest
from evaluated_people import COCO, META, evaluate, person, write_coco
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

# real files, beside the project where they are at hand
MINI = Path(__file__).parents[3] / 'shared' / 'data' / 'coco_mini' / 'annotations'
FOURTEEN = dict(num_keypoints=14, mapping=[(index + 3, index) for index in range(14)])
# images of one to four people
IMAGES = [0, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5]
# nobody evaluates these, but at them COCO forgives predictions
FORGIVEN = [dict(iscrowd=1, image_id=3),
            dict(keypoints=[0] * 51, num_keypoints=0, image_id=4)]


def people(**options):
    return [person(number, density=60 + number, error=2 + number % 5, image=image,
                   **options) for number, image in enumerate(IMAGES)]


def crowdpose():
    samples = people(joints=14)
    for sample in samples:
        sample.set_metainfo(dict(crowd_index=sample.img_id / 5))
        del sample.raw_ann_info['area']
    return samples


def whole_bodies():
    samples = people(joints=133)
    for sample in samples:
        annotation = sample.raw_ann_info
        parts = np.split(np.array(annotation['keypoints']),
                         np.cumsum([17, 6, 68, 21]) * 3)
        annotation.update(zip(PARTS['keypoints_wholebody'],
                              (part.tolist() for part in parts), strict=True))
    return samples


def both(metric, samples, meta='coco', evaluations=1):
    """Figures of the fast metric, which must be the stock one's."""
    fast = Evaluator(dict(metric, type=f'Fast{metric["type"]}'))
    for _ in range(evaluations):
        figures = evaluate(fast, samples, meta)
        expected = evaluate(metric, samples, meta)
        assert list(figures.items()) == list(expected.items())
        assert max(figures.values()) > 0
    return figures


@pytest.mark.parametrize('options', [
    dict(), dict(nms_mode='soft_oks_nms'), dict(nms_mode='none', score_mode='bbox'),
    dict(score_mode='bbox_rle', use_area=False), dict(nms_thr=.05),
    dict(pred_converter=FOURTEEN, gt_converter=FOURTEEN)], ids=str)
@pytest.mark.parametrize('source', ['file', 'hub', 'samples'])
def test_coco(options, source, tmp_path):
    file = write_coco(tmp_path / 'val.json', people(), *FORGIVEN)
    if source == 'hub':
        MessageHub.get_current_instance().update_info('coco_ann_file', file)
    if source == 'file':
        options = dict(options, ann_file=file)
    figures = both(dict(COCO, **options), people(), evaluations=2)
    assert 0 < figures['coco/AP'] < 1


def test_crowdpose_and_whole_bodies():
    crowd = dict(COCO, iou_type='keypoints_crowd', use_area=False, prefix='crowdpose')
    figures = both(crowd, crowdpose(), 'crowdpose')
    assert len({figures[f'crowdpose/AP({part})'] for part in 'EMH'}) == 3
    both(dict(type='CocoWholeBodyMetric'), whole_bodies(), 'coco_wholebody')


def test_several_people_a_sample_or_none():
    samples = people()
    for sample in samples:
        # bottom-up models give all people of an image at once, or nobody
        repeated = (sample.img_id % 3) * 11
        rng = np.random.default_rng(sample.img_id)
        joints = sample.pred_instances.keypoints.repeat(repeated, 0)
        sample.pred_instances = InstanceData(
            keypoints=joints + rng.uniform(-9, 9, joints.shape),
            keypoint_scores=rng.uniform(.3, 1, joints.shape[:2]).round(1))
        del sample.gt_instances.bbox_scales
        sample.set_metainfo(dict(id=[sample.id]))
    both(dict(COCO, nms_mode='none', score_mode='keypoint'), samples)


@pytest.mark.skipif(not MINI.exists(), reason='COCO-mini is not there')
@pytest.mark.parametrize('part', ['train', 'val'])
def test_real_annotations(part):
    file = MINI / f'person_keypoints_{part}2017.json'
    rng, samples = np.random.default_rng(0), []
    for one in json.loads(file.read_text())['annotations']:
        # crowds and people without joints are found, too
        x, y, width, height = one['bbox']
        joints = np.reshape(one['keypoints'], (1, -1, 3))[..., :2]
        if not one['num_keypoints']:
            joints = rng.uniform((x, y), (x + width, y + height), (1, 17, 2))
        offset = rng.normal(0, .04 * max(width, height), joints.shape)
        sample = PoseDataSample(metainfo=dict(
            id=one['id'], img_id=one['image_id'], category_id=1))
        sample.gt_instances = InstanceData(bbox_scores=np.ones(1))
        sample.pred_instances = InstanceData(
            keypoints=(joints + offset).astype(np.float32),
            keypoint_scores=rng.uniform(.2, 1, (1, 17)).astype(np.float32),
            bboxes=np.array([[x, y, x + width, y + height]], np.float32))
        samples.append(sample)
    figures = both(dict(COCO, ann_file=str(file)), samples)
    assert 0 < figures['coco/AP'] < 1


@pytest.mark.parametrize('wrapper', [
    dict(type='PeopleSplitMetric'), dict(type='PoseRarityMetric', file='density.npz')],
    ids=lambda wrapper: wrapper['type'])
def test_wrapped(wrapper, tmp_path):
    file = write_coco(tmp_path / 'val.json', people(), *FORGIVEN)
    metric = dict(COCO, ann_file=file)
    assert evaluate(
        dict(wrapper, metric=dict(metric, type='FastCocoMetric')), people()
    ) == evaluate(dict(wrapper, metric=metric), people())


@pytest.mark.parametrize('kind, samples, meta', [
    ('CocoMetric', people, 'coco'),
    ('CocoWholeBodyMetric', whole_bodies, 'coco_wholebody')])
def test_files_of_results_are_the_stock_ones(kind, samples, meta, tmp_path):
    for prefix in ('', 'Fast'):
        evaluate(dict(type=prefix + kind, outfile_prefix=f'{tmp_path}/{prefix}out'),
                 samples(), meta)
    ours, theirs = (json.loads((tmp_path / f'{prefix}out.keypoints.json').read_text())
                    for prefix in ('Fast', ''))
    assert ours == theirs
    both(dict(type=kind, outfile_prefix=f'{tmp_path}/out'), samples(), meta)


def test_a_file_is_read_once_until_it_changes(tmp_path):
    file = write_coco(tmp_path / 'val.json', people())
    first, second = FastCocoMetric(file), FastCocoMetric(ann_file=file)
    assert first.coco is second.coco
    figures = evaluate(Evaluator(first), people())
    assert figures == evaluate(Evaluator(second), people())
    assert first.coco.anno_file == [file]
    write_coco(tmp_path / 'val.json', people(), *FORGIVEN)
    assert len(FastCocoMetric(file).coco.anns) == len(first.coco.anns) + 2


def test_wrong_input(tmp_path):
    with pytest.raises(UserError, match="'keypoints_foot'"):
        FastCocoMetric(iou_type='keypoints_foot')
    with pytest.raises(MissingFile, match='nowhere.json'):
        FastCocoMetric('nowhere.json')
    (tmp_path / 'test.json').write_text('{"images": [], "categories": []}')
    with pytest.raises(UserError, match='test.json has no annotations'):
        FastCocoMetric(str(tmp_path / 'test.json'))
    FastCocoMetric(str(tmp_path / 'test.json'), format_only=True, outfile_prefix='out')
    diverged = people()
    diverged[3].pred_instances.keypoints[:] = np.nan
    with pytest.raises(UserError, match='image 2, .* diverged'):
        evaluate(dict(type='FastCocoMetric'), diverged)
    evaluator = Evaluator(dict(type='FastCocoMetric', nms_mode='none'))
    evaluator.dataset_meta = dict(META['coco'], sigmas=META['crowdpose']['sigmas'])
    evaluator.process(people())
    with pytest.raises(UserError, match='14 sigmas'):
        evaluator.evaluate(len(IMAGES))
