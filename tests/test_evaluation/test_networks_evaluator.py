import json
import pickle

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.evaluation.evaluators import NetworksEvaluator

import numpy as np
import pytest
from evaluated_people import evaluate, person, write_coco
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import EVALUATORS, METRICS
from mmpose.structures import PoseDataSample
from small_trainings import in_two_processes


@METRICS.register_module()
class MeanScore(BaseMetric):
    """A metric as simple as can be."""

    def process(self, data_batch, data_samples):
        self.results += [
            float(sample['pred_instances']['keypoint_scores'].mean())
            for sample in data_samples]

    def compute_metrics(self, results):
        assert self.dataset_meta['dataset_name'] == 'any'
        return dict(score=float(np.mean(results)))


def samples(predicted_with='ensemble', **values):
    result = []
    for _ in range(3):
        sample = PoseDataSample(metainfo=dict(predicted_with=predicted_with))
        for name, value in values.items():
            sample.set_field(
                InstanceData(keypoint_scores=np.full((1, 4), value)),
                f'pred_instances_{name}')
        sample.pred_instances = sample.get(f'pred_instances_{predicted_with}')
        result.append(sample)
    return result


@pytest.fixture
def evaluator() -> NetworksEvaluator:
    init_default_scope('mmpose')
    evaluator = EVALUATORS.build(dict(
        type='NetworksEvaluator', metrics=[dict(type='MeanScore')]))
    evaluator.dataset_meta = dict(dataset_name='any')
    return evaluator


def test_each_network_has_its_own_name(evaluator):
    for _ in range(2):  # one validation after another
        for value in (0.2, 0.4):
            evaluator.process(samples(first=value, second=.5, ensemble=.9))
        assert evaluator.evaluate(6) == {
            'first/score': pytest.approx(0.3), 'second/score': 0.5,
            'ensemble/score': pytest.approx(0.9),
            'score': pytest.approx(0.9)}


@pytest.mark.parametrize('networks, predicted, expected', [
    (None, dict(first=.25), {'first/score': .25, 'score': .25}),
    (['second'], dict(second=.5, first=.25, ensemble=.9),
     {'second/score': .5, 'score': .5}),
    (None, dict(ema_first=.75, first=.25),
     {'first/score': .25, 'ema_first/score': .75, 'score': .75})],
    ids=['a test', 'chosen', 'averages'])
def test_the_plain_name_is_that_of_the_result(evaluator, networks, predicted,
                                              expected):
    evaluator.networks = networks
    evaluator.process(samples(next(iter(predicted)), **predicted))
    assert evaluator.evaluate(3) == expected


def test_a_model_without_these_networks(evaluator):
    evaluator.networks = ['first', 'second']
    with pytest.raises(UserError, match=r"\['ema_first'\]"):
        evaluator.process(samples('ema_first', ema_first=.3))
    stock = samples('first', first=.3)
    for sample in stock:
        del sample.pred_instances_first
    with pytest.raises(UserError, match='stock'):
        evaluator.process(stock)


def of_two_networks():
    init_default_scope('mmpose')
    samples = [person(number, image=number // 2) for number in range(6)]
    for sample in samples:
        for name, shift in (('first', 0), ('second', 9)):
            predicted = sample.pred_instances.clone()
            predicted.keypoints = predicted.keypoints + shift
            sample.set_field(predicted, f'pred_instances_{name}')
        sample.set_metainfo(dict(predicted_with='first'))
    return samples


@pytest.mark.parametrize('kind', ['CocoMetric', 'FastCocoMetric'])
@pytest.mark.parametrize('wrapped', [False, True])
def test_each_network_has_its_own_file_of_results(kind, wrapped, tmp_path):
    metric = dict(type=kind, outfile_prefix=str(tmp_path / 'out'))
    if wrapped:
        metric = dict(type='PeopleSplitMetric', metric=metric)
    evaluate(NetworksEvaluator(metric), of_two_networks())
    first, second = (json.loads((tmp_path / f'out{name}.keypoints.json').read_text())
                     for name in ('', '.second'))
    assert first[0]['keypoints'][0] == pytest.approx(second[0]['keypoints'][0] - 9)


def test_other_files_have_the_networks_names_too(tmp_path):
    dump = dict(type='DumpResults', out_file_path=str(tmp_path / 'out.pkl'))
    predictions = dict(type='CoordinateMSE', predictions_file=str(tmp_path / 'out.csv'))
    samples = of_two_networks()
    for sample in samples:
        sample.set_metainfo(dict(input_center=[0., 0.], input_scale=[200., 200.]))
    evaluate(NetworksEvaluator([dump, predictions]), samples)
    first, second = (pickle.loads((tmp_path / f'out{name}.pkl').read_bytes())
                     for name in ('', '.second'))
    shift = (second[0]['pred_instances']['keypoints'] -
             first[0]['pred_instances']['keypoints'])
    assert shift == pytest.approx(9)
    first, second = ((tmp_path / f'out{name}.csv').read_text().splitlines()[1]
                     for name in ('', '.second'))
    # of a box of 200 pixels
    assert float(second.split(',')[1]) == pytest.approx(
        float(first.split(',')[1]) + 0.09)


def test_networks_share_annotations_and_convert_meta_information_once(tmp_path):
    samples = of_two_networks()
    body = dict(num_keypoints=12, mapping=[(index + 5, index) for index in range(12)])
    metric = dict(type='FastCocoMetric', pred_converter=body, gt_converter=body,
                  ann_file=write_coco(tmp_path / 'val.json', samples))
    evaluator = NetworksEvaluator(metric)
    for _ in range(2):
        figures = evaluate(evaluator, samples, batch=2)
        for name in ('first', 'second'):
            for sample in samples:
                sample.pred_instances = sample.get(f'pred_instances_{name}')
            alone = evaluate(metric, samples)
            assert alone == {key: figures[f'{name}/{key}'] for key in alone}
    assert figures['first/coco/AP'] > figures['second/coco/AP']
    first, second = (each.metrics[0] for each in evaluator.evaluators.values())
    assert first.coco is second.coco


def evaluate_on_one_rank(evaluator):
    if get_rank() == 0:
        evaluator.process(samples('first', first=.25, second=.5))
    assert evaluator.evaluate(3) == {
        'first/score': .25, 'second/score': .5, 'score': .25}


def test_a_process_without_samples(evaluator, free_port):
    in_two_processes(evaluate_on_one_rank, free_port, evaluator)
