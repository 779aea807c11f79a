import copy
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from mmpose_wloss.datasets.poses import collect_poses, fit_pose_density
from mmpose_wloss.evaluation.metrics import PoseRarityMetric
from mmpose_wloss.pose_density import PoseDensity, PoseDensityArtefact

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmengine.visualization import LocalVisBackend, Visualizer
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import DATASETS, EVALUATORS, METRICS
from mmpose.structures import PoseDataSample

COCO_META = parse_pose_metainfo(dict(from_file='configs/_base_/datasets/coco.py'))
COCO_META['CLASSES'] = [dict(id=1, name='person')]
JOINTS = tuple(COCO_META['keypoint_id2name'][index] for index in range(17))
COCO = dict(type='CocoMetric')
PCK = dict(type='PCKAccuracy', thr=0.1)
ALL = dict(all_of_them=(0, 1))


class FakeArtefact:
    """The first joint's x is the log density; training poses have 0 to 99."""
    held_out = np.append(np.arange(100.), np.nan)
    scored = 0

    def check_joints(self, names, where):
        if tuple(names) != JOINTS:
            raise ValueError(f'joints of {where}')

    def score(self, poses, visible, boxes=None, image_sizes=None):
        self.scored += 1
        return np.where(visible.sum(1) > 8, poses[:, 0, 0], np.nan)


@pytest.fixture(autouse=True)
def setting(monkeypatch):
    init_default_scope('mmpose')
    monkeypatch.setattr(PoseDensityArtefact, 'load',
                        staticmethod(lambda path: FakeArtefact()))
    # what other tests of the process have left there
    for manager in (Visualizer, MessageHub):
        monkeypatch.setattr(manager, '_instance_dict', {})


def person(number, density, error, *, image=None, visible=17, **annotation):
    """A person of log density ``density``, ``error`` percent of the box off."""
    rng = np.random.default_rng(number)
    keypoints = rng.uniform(0, 100, (1, 17, 2)).round(3)
    keypoints[0, 0, 0] = density
    shown = np.zeros((1, 17), np.float32)
    shown[:, :visible] = 1
    angle = rng.uniform(0, 2 * np.pi, (1, 17, 1))
    offset = np.concatenate([np.cos(angle), np.sin(angle)], 2) * error
    box = np.array([[0., 0., 100., 80.]])
    image = number if image is None else image
    flat = np.concatenate([keypoints[0], 2 * shown[0, :, None]], 1).ravel()
    sample = PoseDataSample(metainfo=dict(
        id=number, img_id=image, ori_shape=(100, 120), category_id=1,
        raw_ann_info=dict(
            id=number, image_id=image, category_id=1, iscrowd=0, area=8000.,
            bbox=[0., 0., 100., 80.], num_keypoints=visible,
            keypoints=flat.tolist(), **annotation)))
    sample.gt_instances = InstanceData(
        keypoints=keypoints, keypoints_visible=shown, bboxes=box,
        bbox_scores=np.ones(1), bbox_scales=np.array([[125., 100.]]))
    sample.pred_instances = InstanceData(
        keypoints=keypoints + offset, bboxes=box, bbox_scores=np.ones(1),
        keypoint_scores=rng.uniform(.3, 1, (1, 17)))
    return sample


def crowd(count=40, seed=0):
    """People of all densities, two in every fourth image."""
    rng = np.random.default_rng(seed)
    return [person(number, density=float(rng.integers(100)) + 0.5,
                   error=rng.uniform(1, 12), image=number - (number % 4 == 1),
                   pose_class=['lying', 'walking'][number % 2])
            for number in range(count)]


def lifted(number, density, error):
    sample = person(number, density, 0)
    rng = np.random.default_rng(number)
    target = rng.normal(size=(1, 17, 3)) * 500
    sample.gt_instances.lifting_target = target
    sample.gt_instances.lifting_target_visible = np.ones((1, 17))
    direction = rng.normal(size=(1, 17, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    sample.pred_instances.keypoints = target + error * direction
    path = f'S9_{["Walk", "Sit"][number % 2]}_1.{number}.jpg'
    sample.set_metainfo(dict(
        target_img_path=[path]))
    return sample


def evaluator(metric, meta=None, **kwargs):
    result = Evaluator(dict(type='PoseRarityMetric', file='density.npz',
                            metric=metric, **kwargs))
    result.dataset_meta = copy.deepcopy(meta or COCO_META)
    return result


def stock(metric, samples):
    result = Evaluator(metric)
    result.dataset_meta = copy.deepcopy(COCO_META)
    result.process(samples)
    return result.evaluate(len(samples))


def evaluate(metric, samples, batch=7, **kwargs):
    result = evaluator(metric, **kwargs)
    for start in range(0, len(samples), batch):
        result.process(samples[start:start + batch])
    return result.evaluate(len(samples))


@pytest.fixture
def ann_file(tmp_path):
    """The crowd's annotations, a crowd region and somebody not evaluated."""
    annotations = [sample.raw_ann_info for sample in crowd()]
    for number, extra in ((1000, dict(iscrowd=1)),
                          (1001, dict(keypoints=[0] * 51, num_keypoints=0))):
        annotations.append({**annotations[0], 'id': number, **extra})
    images = sorted({one['image_id'] for one in annotations})
    path = tmp_path / 'val.json'
    path.write_text(json.dumps(dict(
        info={}, images=[dict(id=image, width=120, height=100)
                         for image in images],
        annotations=annotations, categories=COCO_META['CLASSES'])))
    return str(path)


@pytest.mark.parametrize('metric', [
    COCO, dict(COCO, score_mode='bbox', nms_mode='none'),
    dict(COCO, prefix='mine'), PCK, dict(type='EPE'), dict(type='AUC')])
def test_all_and_one_bin_of_all_equal_the_stock_metric(metric):
    expected = stock(metric, crowd())
    result = evaluate(metric, crowd(), bins=ALL)
    assert {key: result[key] for key in expected} == expected
    # COCO writes -1 where there is nothing to measure
    assert {key: result.get(f'all_of_them/{key}', -1)
            for key in expected} == expected


def test_coco_metric_with_its_file(ann_file):
    metric = dict(COCO, ann_file=ann_file)
    expected = stock(metric, crowd())
    assert 0 < expected['coco/AP'] < 1
    whole = evaluator(metric, bins=ALL)
    for _ in range(2):  # one validation after another
        whole.process(crowd())
        result = whole.evaluate(40)
        assert {key: result[key] for key in expected} == expected
        assert result['all_of_them/coco/AP'] == expected['coco/AP']


def test_a_bin_of_coco_metric_holds_its_people_only(ann_file):
    """As if there were no others: neither their truth nor predictions."""
    chosen = [sample for sample in crowd()
              if sample.gt_instances.keypoints[0, 0, 0] < 49.5]
    assert 5 < len(chosen) < 35
    for metric in (COCO, dict(COCO, ann_file=ann_file)):
        result = evaluate(metric, crowd(), bins=dict(low=(0, .5)))
        assert result['low/people'] == len(chosen)
        for key, value in stock(COCO, chosen).items():
            assert result.get(f'low/{key}', -1) == value


def test_coco_metric_finds_its_file_in_the_message_hub(ann_file):
    hub = MessageHub.get_current_instance()
    hub.update_info('coco_ann_file', ann_file)
    try:
        expected = stock(COCO, crowd())
        result = evaluate(COCO, crowd(), bins=ALL)
    finally:
        hub.pop_info('coco_ann_file')
    assert {key: result[key] for key in expected} == expected
    assert result['all_of_them/coco/AP'] == expected['coco/AP']


def test_coco_metric_that_converts_joints(ann_file):
    twelve = dict(num_keypoints=12,
                  mapping=[(index + 5, index) for index in range(12)])
    metric = dict(COCO, pred_converter=twelve, gt_converter=twelve)
    samples = crowd()
    metric_file = dict(metric, ann_file=ann_file)
    expected = stock(metric_file, samples)
    many = evaluator(metric_file, bins=ALL)
    for _ in range(2):
        many.process(samples)
        result = many.evaluate(40)
        assert result['coco/AP'] == expected['coco/AP']
        assert result['all_of_them/coco/AP'] == expected['coco/AP']


def test_files_of_coco_metric(tmp_path):
    metric = dict(COCO, outfile_prefix=str(tmp_path / 'out'))
    evaluate(metric, crowd(), group_by='pose_class')
    people = {path.name.removesuffix('.keypoints.json'):
              len(json.loads(path.read_text()))
              for path in tmp_path.glob('*.keypoints.json')}
    assert people['out'] == 40
    assert people['out.rare'] + people['out.middle'] + people[
        'out.common'] == 40
    assert people['out.pose_class=lying'] == 20


def test_mpjpe():
    samples = [lifted(number, density=number, error=50. + number)
               for number in range(20)]
    metric = dict(type='MPJPE', mode='mpjpe')
    expected = stock(metric, samples)
    result = evaluate(metric, samples, bins=dict(low=(0, .1), **ALL))
    for key, value in expected.items():
        assert result[key] == value
        assert result[f'all_of_them/{key}'] == pytest.approx(value)
    assert result['error'] == pytest.approx(expected['MPJPE'])
    assert result['low/error'] == pytest.approx(54.5)
    assert result['slope'] == pytest.approx(1., abs=1e-6)

    aligned = dict(type='MPJPE', mode='p-mpjpe')
    assert evaluate(aligned, samples)['error'] == pytest.approx(
        stock(aligned, samples)['P-MPJPE'])
    skipping = dict(metric, skip_list=['S9_Sit_1'])
    result = evaluate(skipping, samples)
    assert result['people'] == 10
    assert result['MPJPE'] == stock(skipping, samples)['MPJPE']


def test_a_lifter_s_samples_carry_their_2d_joints_beside():
    sample = lifted(0, 50., 10.)
    truth = sample.gt_instances
    sample.set_metainfo(dict(keypoints=truth.keypoints,
                             keypoints_visible=truth.keypoints_visible))
    for key in ('keypoints', 'keypoints_visible', 'bboxes'):
        truth.pop(key)
    metric = dict(type='SimpleMPJPE')
    result = evaluate(metric, [sample])
    assert result['middle/people'] + result['common/people'] == 1
    sample = PoseDataSample(metainfo=dict(id=3))
    sample.gt_instances = truth
    with pytest.raises(ValueError, match='sample 3 .*PackPoseInputs'):
        evaluate(metric, [sample])


def test_several_metrics_at_once():
    result = evaluate([COCO, PCK], crowd())
    assert result['coco/AP'] == stock(COCO, crowd())['coco/AP']
    assert result['PCK'] == stock(PCK, crowd())['PCK']
    assert {'rare/PCK', 'rare/coco/AP'} <= result.keys()
    with pytest.raises(ValueError, match='call a figure PCK'):
        evaluate([PCK, dict(PCK, thr=.2)], crowd())
    result = evaluate(PCK, crowd(), prefix='seen')
    assert {'seen/PCK', 'seen/rare/PCK', 'seen/slope'} <= result.keys()


@pytest.mark.parametrize('slope', [-0.05, 0., 0.03])
def test_a_planted_slope(slope):
    exact = [person(number, density=10. * number,
                    error=7 + slope * 10 * number) for number in range(10)]
    result = evaluate(PCK, exact)
    assert result['slope'] == pytest.approx(slope, abs=1e-6)
    assert result['slope_low'] - 1e-9 <= slope <= result['slope_high'] + 1e-9

    rng = np.random.default_rng(3)
    noisy = [person(number, density=float(density), error=float(
                        20 + slope * density + rng.uniform(-3, 3)))
             for number, density in enumerate(rng.uniform(0, 100, 200))]
    result = evaluate(PCK, noisy)
    assert result['slope_low'] < slope < result['slope_high']
    assert result['slope_high'] - result['slope_low'] < 0.03


def test_bins_split_at_quantiles_of_the_training_poses():
    # of 0 to 99, the quantiles 0.1 and 0.5 are 9.9 and 49.5
    densities = [-1000., 9.8, 9.9, 49.4, 49.5, 99., 1000.]
    samples = [person(number, density, error=number + 1.)
               for number, density in enumerate(densities)]
    result = evaluate(PCK, samples)
    assert [result[f'{name}/people'] for name in
            ('rare', 'middle', 'common')] == [2, 2, 3]
    assert result['rare/error'] == pytest.approx(1.5)
    assert result['middle/error'] == pytest.approx(3.5)
    assert result['common/error'] == pytest.approx(6.)
    assert result['error'] == pytest.approx(4.)
    result = evaluate(PCK, samples, bins=dict(
        rarest=[0, .01], rare=[0, .1], most_common=[.9, 1]))
    assert [result[f'{name}/people'] for name in
            ('rarest', 'rare', 'most_common')] == [1, 2, 2]


def test_groups():
    result = evaluate([COCO, PCK], crowd(), group_by='pose_class')
    walking = [sample for sample in crowd()
               if sample.raw_ann_info['pose_class'] == 'walking']
    assert result['pose_class=walking/people'] == len(walking)
    assert result['pose_class=walking/PCK'] == stock(PCK, walking)['PCK']
    assert result['pose_class=walking/coco/AP'] == pytest.approx(
        stock(COCO, walking)['coco/AP'])
    with pytest.raises(KeyError, match='mood.*pose_class'):
        evaluate(PCK, crowd(), group_by='mood')


def test_order_does_not_matter():
    samples = crowd()
    expected = evaluate([COCO, PCK], samples)
    shuffled = [samples[index] for index in
                np.random.default_rng(0).permutation(len(samples))]
    result = evaluate([COCO, PCK], shuffled, batch=11)
    assert result == pytest.approx(expected, abs=1e-12)
    state = np.random.get_state()[1]
    assert evaluate([COCO, PCK], samples) == expected
    assert (np.random.get_state()[1] == state).all()
    other = evaluate([COCO, PCK], samples, seed=1)
    assert other['slope'] == expected['slope']
    assert other['slope_low'] != expected['slope_low']


def test_an_empty_bin_has_no_value(caplog):
    samples = [person(number, density=60. + number, error=3.)
               for number in range(5)]
    result = evaluate([COCO, PCK], samples)
    assert result['rare/people'] == result['middle/people'] == 0
    assert [key for key in result if key.startswith('rare/')] == [
        'rare/people']
    assert all(np.isfinite(value) for value in result.values())


def test_people_without_density_belong_to_all_only():
    samples = [*crowd(), person(200, 5., 8., visible=4),
               person(201, 5., 8., visible=0)]
    for metric in (COCO, PCK):
        result = evaluate(metric, samples)
        assert result['people'] == 42
        assert result['without_density'] == 2
        assert sum(result[f'{name}/people']
                   for name in ('rare', 'middle', 'common')) == 40
        assert all(np.isfinite(value) for value in result.values())
    # one has an error, the other has nothing to measure it at
    errors = [evaluate(PCK, samples[:count])['error'] for count in (40, 41)]
    assert result['error'] == errors[1] != errors[0]


def test_one_person_has_no_slope():
    for count in (1, 2):
        result = evaluate(PCK, crowd(count))
        assert 'slope' not in result and result['people'] == count


def test_refusals(tmp_path):
    sample = person(0, 5., 1.)
    sample.set_metainfo(dict(raw_ann_info=[sample.raw_ann_info], id=[0]))
    with pytest.raises(ValueError, match='bottom-up'):
        evaluate(PCK, [sample])

    two = person(0, 5., 1.)
    two.pred_instances = InstanceData.cat([two.pred_instances] * 2)
    with pytest.raises(ValueError, match='sample 0 has 2'):
        evaluate(PCK, [two])

    detected = PoseDataSample(metainfo=dict(
        id=7, img_id=0, ori_shape=(100, 100)))
    detected.pred_instances = person(0, 5., 1.).pred_instances
    detected.gt_instances = InstanceData(
        keypoints=np.zeros((1, 17, 2)), keypoints_visible=np.ones((1, 17)),
        bboxes=np.array([[0., 0., 9., 9.]]), bbox_scores=np.ones(1))
    with pytest.raises(ValueError, match='bbox_file=None'):
        evaluate(PCK, [detected])

    frames = person(0, 5., 1.)
    frames.gt_instances = InstanceData.cat([frames.gt_instances] * 9)
    with pytest.raises(ValueError, match='seq_len=1'):
        evaluate(PCK, [frames])

    for metric, error in (
            (dict(type='DumpResults', out_file_path='out.pkl'), TypeError),
            (dict(type='KeypointPartitionMetric', metric=dict(type='EPE'),
                  partitions=dict(body=[0])), TypeError),
            (dict(COCO, format_only=True, outfile_prefix='out'), ValueError)):
        with pytest.raises(error, match=metric['type']):
            evaluator(metric)
    with pytest.raises(ValueError, match='no person'):
        evaluator(PCK).evaluate(0)
    with pytest.raises(ValueError, match='at least one metric'):
        evaluator([])
    with pytest.raises(ValueError, match='at least 1'):
        evaluator(PCK, resamples=0)


@pytest.mark.parametrize('bins', [
    dict(rare=(.1, .1)), dict(rare=(-.1, .5)), dict(rare=(.5, 1.1)),
    dict(rare=(.1, )), {'a/b': (0, 1)}, {'': (0, 1)}])
def test_bins_are_checked(bins):
    with pytest.raises(ValueError, match='bin'):
        evaluator(PCK, bins=bins)


def test_the_joints_are_checked():
    mpii = parse_pose_metainfo(
        dict(from_file='configs/_base_/datasets/mpii.py'))
    with pytest.raises(ValueError, match='the evaluated data set mpii'):
        evaluator(PCK, meta=mpii)


def test_a_file_of_other_annotations(ann_file):
    sample = person(500, 5., 1.)
    with pytest.raises(ValueError, match='annotation 500 .*val.json'):
        evaluate(dict(COCO, ann_file=ann_file), [sample])
    other_image = person(3, 5., 1., image=6)
    with pytest.raises(ValueError, match='annotation 3 of image 6'):
        evaluate(dict(COCO, ann_file=ann_file), [other_image])


def test_scores_are_kept_from_one_validation_to_the_next():
    twice = evaluator(PCK)
    artefact = twice.metrics[0].artefact
    for _ in range(2):
        twice.process(crowd())
        first = twice.evaluate(40)
    assert artefact.scored == 1
    twice.process(crowd(30))
    assert twice.evaluate(30)['people'] == 30 != first['people']
    assert artefact.scored == 2


def test_padding_is_cut():
    samples = crowd(10)
    padded = evaluator(PCK)
    padded.process([*samples, samples[0], samples[1]])
    assert padded.evaluate(10) == evaluate(PCK, samples)


@pytest.mark.parametrize('metric, missing', [
    (dict(type='JhmdbPCKAccuracy'), 'Head PCK'), (COCO, 'coco/AP (L)')])
def test_what_cannot_be_measured_is_no_figure_of_a_part(metric, missing, log):
    samples = crowd()
    for sample in samples:  # JHMDB's head; and nobody is large for COCO
        sample.gt_instances.keypoints_visible[0, 2] = 0
    result = evaluate(metric, samples, bins=ALL)
    assert result[missing] == -1
    assert f'all_of_them/{missing}' not in result
    assert missing not in next(text for text in log if 'poses' in text)


@pytest.fixture
def log():
    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    lines, handler = [], Lines()
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_the_table(log):
    samples = [*crowd(),
               person(200, 5., 8., visible=4, pose_class='lying')]
    result = evaluate([COCO, PCK], samples, group_by='pose_class')
    table = next(text for text in log if 'poses' in text)
    rows = [[cell.strip() for cell in line.strip('|').split('|')]
            for line in table.splitlines() if line.startswith('|')]
    assert len({len(line) for line in table.splitlines()
                if line.startswith('|')}) == 1
    assert rows[0][:4] == ['poses', 'people', 'error (% of the box)',
                           'coco/AP']
    # nobody is large
    assert result['coco/AP (L)'] == -1 and 'coco/AP (L)' not in rows[0]
    assert [name.removeprefix('coco/') for name in rows[0][3:]] == [
        'AP', 'AP .5', 'AP .75', 'AP (M)', 'AR', 'AR .5', 'PCK']
    assert [row[0] for row in rows[2:]] == [
        'all', 'rare (0–10 %)', 'middle (10–50 %)', 'common (50–100 %)',
        'pose_class=lying', 'pose_class=walking', 'without density']
    assert rows[2][1] == '41' and rows[-1][1] == '1'
    assert rows[2][3] == f'{result["coco/AP"]:.3f}'
    for text, value in ((rows[3][2], result['rare/error']),
                        (table.splitlines()[-1].split(': ')[1],
                         result['slope'])):
        assert float(text.split(' [')[0]) == pytest.approx(value, rel=0.1)


def test_the_table_of_a_3d_metric(log):
    samples = [lifted(number, density=number, error=0.05 + number / 1000)
               for number in range(20)]
    evaluate(dict(type='MPJPE', mode='p-mpjpe'), samples)
    table = next(text for text in log if 'poses' in text)
    assert 'error (P-MPJPE)' in table and 'P-MPJPE per unit' in table
    assert ' 0.0' in table  # of metres, the digits that count


def test_of_the_parts_only_the_table_speaks(log, capsys):
    evaluate(COCO, crowd())
    assert log.count('Evaluating CocoMetric...') == 1
    assert capsys.readouterr().out.count('Average Precision') == 5


def test_the_picture(tmp_path, log):
    visualizer = Visualizer.get_instance(
        'pictures', vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path))
    evaluate(PCK, crowd())
    path = tmp_path / 'vis_data' / 'vis_image' / 'pose_rarity_0.png'
    assert path.stat().st_size < 300e3
    assert any(path.name in text for text in log)
    assert isinstance(visualizer.get_backend('LocalVisBackend'),
                      LocalVisBackend)
    hub = MessageHub.get_current_instance()
    try:
        for key, value in dict(epoch=4, iter=70, max_epochs=9).items():
            hub.update_info(key, value)
        evaluate(PCK, crowd(), prefix='seen')
        hub.update_info('max_epochs', 1)  # a training that counts iterations
        evaluate(PCK, [person(0, 5., 1.)])
    finally:
        for key in ('epoch', 'iter', 'max_epochs'):
            hub.pop_info(key)
    names = {path.name for path in path.parent.iterdir()}
    assert names == {'pose_rarity_0.png', 'seen_pose_rarity_5.png',
                     'pose_rarity_71.png'}


def test_each_network_has_its_table_and_picture(tmp_path, log):
    Visualizer.get_instance(
        'pictures', vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path))
    networks = EVALUATORS.build(dict(
        type='NetworksEvaluator', metrics=[dict(
            type='PoseRarityMetric', file='density.npz', metric=PCK)]))
    networks.dataset_meta = COCO_META
    samples = crowd()
    for sample in samples:
        sample.pred_instances_first = sample.pred_instances
        good = copy.deepcopy(sample.pred_instances)
        good.keypoints = sample.gt_instances.keypoints
        sample.pred_instances_second = good
        sample.set_metainfo(dict(predicted_with='second'))
    networks.process(samples)
    result = networks.evaluate(len(samples))
    assert result['second/PCK'] == result['PCK'] == 1.
    assert result['first/rare/PCK'] < result['rare/PCK'] == 1.
    assert result['second/slope'] == 0
    names = {path.name for path in tmp_path.rglob('*.png')}
    assert names == {'pose_rarity_first_0.png', 'pose_rarity_second_0.png'}
    assert sum('of the network second' in text for text in log) == 1


@pytest.fixture
def density(tmp_path):
    """A file of the density of crouching and, more often, standing people."""
    rng = np.random.default_rng(0)
    standing = rng.uniform(0, 100, (1, 17, 2)) + rng.normal(0, 3, (200, 17, 2))
    crouching = rng.uniform(0, 100, (1, 17, 2)) + rng.normal(0, 9, (10, 17, 2))
    poses = np.concatenate([standing, crouching])
    visible = np.ones(poses.shape[:2], bool)
    fitted = PoseDensity()
    fitted.fit(
        poses, visible, flip_indices=COCO_META['flip_indices'],
        boxes=np.tile([0., 0., 100., 100.], (len(poses), 1)))
    return poses, visible, fitted, str(tmp_path / 'density.npz')


def test_a_real_density(density, monkeypatch):
    poses, visible, fitted, path = density
    monkeypatch.undo()
    PoseDensityArtefact(
        ids=np.arange(len(poses)), weights=fitted.weights,
        log_density=fitted.log_density, density=fitted, joint_names=JOINTS,
        dataset_name='coco', annotation_files=('train.json', ),
        annotation_digest='0' * 64).save(path)
    init_default_scope('mmpose')
    samples = []
    rng = np.random.default_rng(1)
    for number in [*range(0, 200, 5), *range(200, 210)]:
        sample = person(number, 0., 3. if number < 200 else 10.)
        offset = (sample.pred_instances.keypoints -
                  sample.gt_instances.keypoints)
        keypoints = poses[None, number] + rng.normal(0, 1, (1, 17, 2))
        sample.gt_instances.keypoints = keypoints
        sample.gt_instances.bboxes = np.array([[0., 0., 100., 100.]])
        sample.pred_instances.keypoints = keypoints + offset
        samples.append(sample)
    real = Evaluator(PoseRarityMetric(path, PCK))
    real.dataset_meta = COCO_META
    real.process(samples)
    result = real.evaluate(len(samples))
    assert result['rare/error'] > 2 * result['common/error']
    assert result['slope_high'] < 0
    wrong = parse_pose_metainfo(
        dict(from_file='configs/_base_/datasets/mpii.py'))
    with pytest.raises(ValueError, match='mpii'):
        real.dataset_meta = wrong
    with pytest.raises(FileNotFoundError, match='pose_density.py'):
        PoseRarityMetric('nowhere.npz', PCK)


RANK = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import torch
from mmpose_wloss.compat.process_groups import end_process_groups
from mmengine.dist import get_rank
torch.distributed.init_process_group('gloo')
import test_pose_rarity_metric as here
here.init_default_scope('mmpose')
here.PoseDensityArtefact.load = lambda path: here.FakeArtefact()
evaluator = here.evaluator([here.COCO, here.PCK], group_by='pose_class')
samples = here.crowd(41)
# as MMEngine's sampler deals them, the first one again at the end
for start in range(0, 42, 6):
    evaluator.process([samples[index % 41] for index in
                       range(start + get_rank(), start + 6, 2)])
result = evaluator.evaluate(41)
if get_rank() == 0:
    print('result', json.dumps({key: float(value)
                                for key, value in result.items()}))
assert result['people'] == 41, get_rank()
end_process_groups()
"""


def test_several_processes_give_the_same(tmp_path, free_port):
    (tmp_path / 'rank.py').write_text(RANK)
    done = subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2',
         f'--master_port={free_port}', tmp_path / 'rank.py',
         str(Path(__file__).parent)], text=True, timeout=180,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, OMP_NUM_THREADS='1'))
    assert done.returncode == 0, done.stdout[-2000:]
    line = next(line for line in done.stdout.splitlines()
                if line.startswith('result '))
    expected = evaluate([COCO, PCK], crowd(41), group_by='pose_class')
    assert json.loads(line.removeprefix('result ')) == pytest.approx(expected)


def test_the_metric_is_registered():
    assert METRICS.get('PoseRarityMetric') is PoseRarityMetric
    assert isinstance(evaluator(CocoMetric()).metrics[0].metrics[0],
                      CocoMetric)


def test_a_training_that_validates_twice(demo_configs, coco_root, tmp_path,
                                         monkeypatch):
    monkeypatch.undo()
    config = Config.fromfile(demo_configs['mse'])
    dataset = DATASETS.build(dict(config.train_dataloader.dataset,
                                  pipeline=[]))
    file = str(tmp_path / 'density.npz')
    fit_pose_density(collect_poses(dataset), components=2).save(file)
    val_file = coco_root / 'annotations' / 'person_keypoints_val2017.json'
    config.val_evaluator = dict(
        type='PoseRarityMetric', file=file, resamples=20,
        metric=[dict(type='CocoMetric', ann_file=str(val_file)), PCK])
    config.test_evaluator = config.val_evaluator
    config.default_hooks.checkpoint.update(
        save_best=['coco/AP', 'error'], rule=['greater', 'less'])
    config.work_dir = str(tmp_path / 'work')
    # of one name there is one in a process, with its first folder
    config.visualizer.name = tmp_path.name
    runner = Runner.from_cfg(config)
    runner.train()
    pictures = {path.name for path in tmp_path.rglob('pose_rarity_*.png')}
    assert pictures == {'pose_rarity_1.png', 'pose_rarity_2.png'}
    best = {path.name.rsplit('_epoch')[0]
            for path in (tmp_path / 'work').glob('best_*.pth')}
    assert best == {'best_coco_AP', 'best_error'}
    metrics = runner.test()
    assert metrics['people'] == 4
    assert all(np.isfinite(value) for value in metrics.values())
