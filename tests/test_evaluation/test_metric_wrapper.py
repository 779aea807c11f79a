"""Figures of a part are those of a test set that holds nothing else."""

import json
import pickle

from mmpose_wloss.common.errors import UserError

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
from mmpose.evaluation.metrics import CocoMetric

# images 0 to 4 have one person of a rare pose, the others several
IMAGES = [0, 1, 2, 3, 4, 5, 5, 5, 6, 6]
PARTS = dict(PoseRarityMetric=('rare', 'common'),
             PeopleSplitMetric=('single_person', 'multi_person'))
JHMDB = dict(type='JhmdbPCKAccuracy')
TWELVE = dict(num_keypoints=12,
              mapping=[(index + 5, index) for index in range(12)])


def people(count=10):
    return [person(number, density=5. * number + 20 * (number > 4),
                   error=1 + number % 7, image=image)
            for number, image in enumerate(IMAGES[:count])]


def wrapped(kind, metric, **arguments):
    if kind == 'PoseRarityMetric':
        arguments.update(file='density.npz',
                         bins=dict(rare=(0, .3), common=(.3, 1)))
    return dict(type=kind, metric=metric, **arguments)


@pytest.fixture(params=PARTS)
def kind(request):
    return request.param


@pytest.mark.parametrize('metric', [
    dict(COCO, score_mode='bbox', nms_mode='none', prefix='mine'), PCK,
    dict(type='AUC')])
def test_all_and_parts_equal_the_stock_metric(kind, metric):
    samples = people()
    result = evaluate(wrapped(kind, metric), samples)
    expected = evaluate(metric, samples)
    assert {name: result[name] for name in expected} == expected
    for part, chosen in zip(PARTS[kind], (samples[:5], samples[5:]),
                            strict=True):
        expected = evaluate(metric, chosen)
        assert max(expected.values()) > 0
        # COCO gives -1 where there is nothing to measure
        assert {name: result.get(f'{part}/{name}', -1)
                for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize('from_hub', [False, True])
def test_coco_metric_with_its_file(kind, tmp_path, from_hub):
    # nobody evaluates these, but at them COCO forgives predictions
    others = [dict(iscrowd=1, image_id=5),
              dict(keypoints=[0] * 51, num_keypoints=0, image_id=6)]
    file = write_coco(tmp_path / 'val.json', people(), *others)
    metric = COCO if from_hub else dict(COCO, ann_file=file)
    if from_hub:
        MessageHub.get_current_instance().update_info('coco_ann_file', file)
    expected = evaluate(metric, people())
    assert 0 < expected['coco/AP'] < 1
    evaluator = Evaluator(wrapped(kind, metric))
    for _ in range(2):  # one validation after another
        result = evaluate(evaluator, people())
        assert {name: result[name] for name in expected} == expected
    for part, chosen, forgiven in zip(
            PARTS[kind], (people()[:5], people()[5:]), ([], others),
            strict=True):
        only = write_coco(tmp_path / 'part.json', chosen, *forgiven)
        expected = evaluate(dict(COCO, ann_file=only), chosen)
        assert result[f'{part}/coco/AP'] == expected['coco/AP']


def test_coco_metric_that_converts_joints(kind, tmp_path):
    file = write_coco(tmp_path / 'val.json', people())
    metric = dict(COCO, pred_converter=TWELVE, gt_converter=TWELVE,
                  ann_file=file)
    expected = evaluate(metric, people())
    evaluator = Evaluator(wrapped(kind, metric))
    for _ in range(2):
        result = evaluate(evaluator, people())
        assert result['coco/AP'] == expected['coco/AP']
        assert result[f'{PARTS[kind][1]}/coco/AP'] > 0


@pytest.mark.parametrize('metric, missing', [
    (JHMDB, 'Head PCK'), (COCO, 'coco/AP (L)')])
def test_missing_figures(kind, metric, missing, log):
    samples = people()
    for number, sample in enumerate(samples):
        # JHMDB's head; its shoulders in one part; and nobody is large for COCO
        sample.gt_instances.keypoints_visible[0, 2] = 0
        sample.gt_instances.keypoints_visible[0, [3, 4]] *= number < 5
    result = evaluate(wrapped(kind, metric), samples)
    assert result[missing] == -1  # the stock metric's own
    assert not any(name.endswith(f'/{missing}') for name in result)
    head, *_, last = table_in(log.messages)[0]
    assert missing not in head
    if metric is JHMDB:
        first, second = PARTS[kind]
        assert f'{first}/Sho PCK' in result
        assert f'{second}/Sho PCK' not in result
        assert last[head.index('Sho PCK')] == '–'


def test_files_that_the_metric_writes_are_of_their_part(kind, tmp_path):
    metric = dict(COCO, outfile_prefix=str(tmp_path / 'out'))
    evaluate(wrapped(kind, metric), people())
    first, second = PARTS[kind]
    assert {path.name: len(json.loads(path.read_text()))
            for path in tmp_path.glob('*.keypoints.json')} == {
                'out.keypoints.json': 10, f'out.{first}.keypoints.json': 5,
                f'out.{second}.keypoints.json': 5}


def test_of_the_parts_only_the_table_speaks(kind, log, capsys):
    evaluate(wrapped(kind, COCO), people())
    assert log.messages.count('Evaluating CocoMetric...') == 1
    assert capsys.readouterr().out.count('Average Precision') == 5


def test_several_metrics_and_a_prefix(kind):
    result = evaluate(wrapped(kind, [COCO, PCK], prefix='seen'), people())
    assert result['seen/PCK'] == evaluate(PCK, people())['PCK']
    part = PARTS[kind][0]
    assert {f'seen/{part}/PCK', f'seen/{part}/coco/AP'} <= result.keys()
    built = evaluate(wrapped(kind, [CocoMetric()]), people())
    assert built['coco/AP'] == result['seen/coco/AP']


@pytest.mark.parametrize('metrics, named', [
    ([], 'metric'), ([PCK, dict(PCK, thr=.2)], 'PCK'),
    (dict(type='DumpResults', out_file_path='out.pkl'), 'DumpResults'),
    (dict(type='KeypointPartitionMetric', metric=dict(type='EPE'),
          partitions=dict(body=[0])), 'KeypointPartitionMetric'),
    (dict(COCO, format_only=True, outfile_prefix='out'), 'format_only'),
    (dict(type='CoordinateMSE', predictions_file='out.csv'), 'predictions_file')])
def test_metrics_that_cannot_be_wrapped(kind, metrics, named):
    with pytest.raises(UserError, match=named):
        evaluate(wrapped(kind, metrics), people())


def test_two_processes_give_the_same(kind):
    """MMEngine interleaves what processes kept, and cuts off what is double."""
    samples, parts = people(9), []
    samples.append(samples[0])  # as samplers fill up the last process
    for rank in range(2):
        evaluator = Evaluator(wrapped(kind, [COCO, PCK]))
        evaluator.dataset_meta = META['coco']
        evaluator.process(samples[rank::2])
        metric, = evaluator.metrics
        parts.append(pickle.loads(pickle.dumps(metric.results)))
    metric.results = [one for pair in zip(*parts, strict=True) for one in pair]
    assert evaluator.evaluate(9) == pytest.approx(
        evaluate(wrapped(kind, [COCO, PCK]), people(9)))
