import copy

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets.poses import collect_poses, fit_pose_density
from mmpose_wloss.evaluation.metrics import PoseRarityMetric

import numpy as np
import pytest
from evaluated_people import (
    COCO,
    META,
    PCK,
    evaluate,
    person,
    table_in,
    write_coco,
)
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer
from mmpose.registry import DATASETS, EVALUATORS

MPJPE = dict(type='MPJPE', mode='mpjpe')


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
    sample.set_metainfo(dict(target_img_path=[
        f'S9_{["Walk", "Sit"][number % 2]}_1.{number}.jpg']))
    return sample


def rarity(metric, **arguments):
    return Evaluator(dict(type='PoseRarityMetric', file='density.npz',
                          metric=metric, **arguments))


def test_mpjpe(log):
    samples = [lifted(number, density=number, error=50. + number)
               for number in range(20)]
    result = evaluate(rarity(MPJPE, bins=dict(low=(0, .1))), samples)
    for name, value in evaluate(MPJPE, samples).items():
        assert result[name] == value
    assert result['error'] == pytest.approx(result['MPJPE'])
    assert result['low/error'] == pytest.approx(54.5)
    assert result['slope'] == pytest.approx(1., abs=1e-6)
    (head, *_), below = table_in(log.messages)
    assert 'error (MPJPE)' in head and 'MPJPE per unit' in below

    aligned = dict(MPJPE, mode='p-mpjpe')
    assert evaluate(rarity(aligned), samples)['error'] == pytest.approx(
        evaluate(aligned, samples)['P-MPJPE'])
    skipping = dict(MPJPE, skip_list=['S9_Sit_1'])
    result = evaluate(rarity(skipping), samples)
    assert result['people'] == 10
    assert result['MPJPE'] == evaluate(skipping, samples)['MPJPE']


def test_a_lifter_s_samples_carry_their_2d_joints_beside():
    sample = lifted(0, 50., 10.)
    truth = sample.gt_instances
    sample.set_metainfo(dict(keypoints=truth.keypoints,
                             keypoints_visible=truth.keypoints_visible))
    for key in ('keypoints', 'keypoints_visible', 'bboxes'):
        truth.pop(key)
    result = evaluate(rarity(dict(type='SimpleMPJPE')), [sample])
    assert result['common/people'] == 1


def test_a_planted_slope():
    exact = [person(number, density=10. * number, error=7 - .5 * number)
             for number in range(10)]
    result = evaluate(rarity(PCK), exact)
    assert [result[f'slope{bound}'] for bound in ('', '_low', '_high')
            ] == pytest.approx([-.05] * 3, abs=1e-6)


def test_bins_split_at_quantiles_of_the_training_poses():
    # of 0 to 99, the quantiles 0.1 and 0.5 are 9.9 and 49.5
    densities = [-1000., 9.8, 9.9, 49.4, 49.5, 99., 1000.]
    samples = [person(number, density, error=number + 1.)
               for number, density in enumerate(densities)]
    result = evaluate(rarity(PCK), samples)
    assert [result[f'{name}/people'] for name in
            ('rare', 'middle', 'common')] == [2, 2, 3]
    assert [result[f'{name}error'] for name in
            ('', 'rare/', 'middle/', 'common/')] == pytest.approx(
                [4., 1.5, 3.5, 6.])
    result = evaluate(rarity(PCK, bins=dict(
        rarest=[0, .01], rare=[0, .1], most_common=[.9, 1])), samples)
    assert [result[f'{name}/people'] for name in
            ('rarest', 'rare', 'most_common')] == [1, 2, 2]


def test_coco_metric_of_a_bin_holds_its_people_only(tmp_path):
    """Neither truth nor predictions of others in the same images."""
    chosen = [sample for sample in crowd()
              if sample.gt_instances.keypoints[0, 0, 0] < 49.5]
    expected = evaluate(COCO, chosen)
    for metric in (COCO, dict(COCO, ann_file=write_coco(
            tmp_path / 'val.json', crowd()))):
        result = evaluate(rarity(metric, bins=dict(low=(0, .5))), crowd())
        assert result['low/people'] == len(chosen)
        assert result['low/coco/AP'] == expected['coco/AP'] < 1


def test_neither_order_nor_random_state_matters():
    samples = crowd()
    expected = evaluate(rarity([COCO, PCK]), samples)
    shuffled = [samples[index] for index in
                np.random.default_rng(0).permutation(len(samples))]
    state = np.random.get_state()[1]
    result = evaluate(rarity([COCO, PCK]), shuffled, batch=11)
    assert (np.random.get_state()[1] == state).all()
    assert result == pytest.approx(expected, abs=1e-12)
    other = evaluate(rarity([COCO, PCK], seed=1), samples)
    assert other['slope'] == expected['slope']
    assert other['slope_low'] != expected['slope_low']


@pytest.mark.parametrize('metric', [COCO, PCK])
def test_people_without_density_belong_to_all_only(metric):
    # of the second there is nothing to measure an error at, either
    samples = [*crowd(), person(200, 5., 8., visible=4),
               person(201, 5., 8., visible=0)]
    known, one, both = (evaluate(rarity(metric), samples[:count])
                        for count in (40, 41, 42))
    assert both['people'] == 42 and both['without_density'] == 2
    assert sum(both[f'{name}/people']
               for name in ('rare', 'middle', 'common')) == 40
    assert all(np.isfinite(value) for value in both.values())
    assert both['error'] == one['error'] != known['error']


def test_too_few_people():
    for count in (1, 2):
        samples = [person(number, density=60.) for number in range(count)]
        result = evaluate(rarity([COCO, PCK]), samples)
        assert 'slope' not in result and result['people'] == count
        # a bin of nobody has no figure
        assert [key for key in result if key.startswith('rare/')] == [
            'rare/people']
        assert all(np.isfinite(value) for value in result.values())
    with pytest.raises(UserError, match='no person'):
        evaluate(rarity(PCK), [])


@pytest.mark.parametrize('changes, advice', [
    (dict(raw_ann_info=[]), 'bottom-up'), (dict(predictions=2), '2 predicted'),
    (dict(truths=9), 'seq_len=1'), (dict(truths=0), 'meta_keys'),
    (dict(raw_ann_info=None, factor=0), 'bbox_file=None')])
def test_samples_without_one_true_pose(changes, advice):
    sample = person(0).to_dict()
    truth = sample['gt_instances']
    for key, count in (('pred_instances', 'predictions'),
                       ('gt_instances', 'truths')):
        sample[key]['keypoints'] = np.repeat(
            sample[key]['keypoints'], changes.pop(count, 1), 0)
    truth['keypoints'] *= changes.pop('factor', 1)
    if not len(truth['keypoints']):
        truth.pop('keypoints')
    with pytest.raises(UserError, match=advice):
        evaluate(rarity(PCK), [dict(sample, **changes)])


@pytest.mark.parametrize('changes', [
    dict(bins=dict(rare=(.5, .1))), dict(bins=dict(rare=(-.1, .5))),
    dict(bins=dict(rare=(.5, 1.1))), dict(bins=dict(rare=(.1, ))),
    dict(resamples=0)])
def test_arguments_are_checked(changes):
    with pytest.raises(UserError, match='bin|resamples'):
        rarity(PCK, **changes)


@pytest.mark.parametrize('number, image', [(500, 3), (3, 6)])
def test_a_file_of_other_annotations(tmp_path, number, image):
    metric = dict(COCO, ann_file=write_coco(tmp_path / 'val.json', crowd()))
    with pytest.raises(UserError, match=f'annotation {number} .*val.json'):
        evaluate(rarity(metric), [person(number, image=image)])


def test_scores_are_kept_from_one_validation_to_the_next():
    twice = rarity(PCK)
    density = twice.metrics[0].artifact
    for count, scored in ((40, 1), (40, 1), (30, 2)):
        assert evaluate(twice, crowd(count))['people'] == count
        assert density.scored == scored


def test_groups_and_the_table(log):
    samples = [*crowd(),
               person(200, 5., 8., visible=4, pose_class='lying')]
    result = evaluate(rarity([COCO, PCK], group_by='pose_class'), samples)
    assert result['pose_class=walking/people'] == 20
    assert result['pose_class=walking/PCK'] == evaluate(
        PCK, samples[1:40:2])['PCK']
    rows, below = table_in(log.messages)
    # nobody is large
    assert rows[0] == [
        'poses', 'people', 'error (% of the box)', 'coco/AP', 'coco/AP .5',
        'coco/AP .75', 'coco/AP (M)', 'coco/AR', 'coco/AR .5', 'PCK']
    assert [row[:2] for row in rows[2:]] == [
        ['all', '41'], *([label, str(result[f'{name}/people'])]
                         for label, name in (
            ('rare (0–10 %)', 'rare'), ('middle (10–50 %)', 'middle'),
            ('common (50–100 %)', 'common'), 2 * ('pose_class=lying', ),
            2 * ('pose_class=walking', ))), ['without density', '1']]
    assert rows[2][3] == f'{result["coco/AP"]:.3f}'
    for text, value in ((rows[3][2], result['rare/error']),
                        (below.split(': ')[1], result['slope'])):
        assert float(text.split(' [')[0]) == pytest.approx(value, rel=0.1)
    with pytest.raises(UserError, match='mood.*pose_class'):
        evaluate(rarity(PCK, group_by='mood'), samples)


def test_the_picture(tmp_path):
    Visualizer.get_instance(
        'pictures', vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path))
    evaluate(rarity(PCK), crowd())
    path = tmp_path / 'vis_data' / 'vis_image' / 'pose_rarity_0.png'
    assert path.stat().st_size < 300e3
    hub = MessageHub.get_current_instance()
    for name, value in dict(epoch=4, iter=70, max_epochs=9).items():
        hub.update_info(name, value)
    evaluate(rarity(PCK, prefix='seen'), crowd())
    hub.update_info('max_epochs', 1)  # a training that counts iterations
    evaluate(rarity(PCK), [person(0, 5., 1.)])
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
    samples = crowd()
    for sample in samples:
        sample.pred_instances_first = sample.pred_instances
        sample.pred_instances_second = copy.deepcopy(sample.pred_instances)
        sample.pred_instances_second.keypoints = sample.gt_instances.keypoints
        sample.set_metainfo(dict(predicted_with='second'))
    result = evaluate(networks, samples)
    assert result['second/PCK'] == result['PCK'] == 1.
    assert result['first/rare/PCK'] < result['rare/PCK'] == 1.
    assert result['second/slope'] == 0
    names = {path.name for path in tmp_path.rglob('*.png')}
    assert names == {'pose_rarity_first_0.png', 'pose_rarity_second_0.png'}
    assert sum('network second' in text for text in log.messages) == 1


def test_the_density_has_to_fit(monkeypatch):
    with pytest.raises(ValueError, match='mpii'):
        rarity(PCK).dataset_meta = META['mpii']
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError, match='nowhere.npz'):
        PoseRarityMetric('nowhere.npz', PCK)


def test_a_density_of_a_data_set_on_its_samples(coco_root, tmp_path,
                                               monkeypatch):
    monkeypatch.undo()
    file = str(tmp_path / 'density.npz')
    val = 'annotations/person_keypoints_val2017.json'
    dataset = DATASETS.build(dict(
        type='CocoDataset', data_root=str(coco_root), ann_file=val,
        data_prefix=dict(img='val2017/'), pipeline=[
            dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
            dict(type='TopdownAffine', input_size=(64, 64)),
            dict(type='PackPoseInputs')]))
    fit_pose_density(collect_poses(dataset), components=2).save(file)
    evaluator = Evaluator(dict(
        type='PoseRarityMetric', file=file, resamples=20, metric=[
            dict(type='CocoMetric', ann_file=str(coco_root / val)), PCK]))
    samples = [dataset[index]['data_samples'] for index in range(4)]
    for sample in samples:
        truth = sample.gt_instances
        sample.pred_instances = InstanceData(
            keypoints=truth.keypoints + 1, bboxes=truth.bboxes,
            keypoint_scores=truth.keypoints_visible, bbox_scores=np.ones(1))
    evaluator.dataset_meta = dataset.metainfo
    evaluator.process(samples)
    figures = evaluator.evaluate(4)
    assert figures['people'] == 4 and figures['without_density'] == 0
    # of boxes of 80 × 70 pixels
    assert figures['error'] == pytest.approx(100 * 2**.5 / 80)
    assert all(np.isfinite(value) for value in figures.values())
