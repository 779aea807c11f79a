import numpy as np
import pytest
from mmengine.evaluator import BaseMetric
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import EVALUATORS, METRICS
from mmpose.structures import PoseDataSample

from mmpose_wloss.evaluation.evaluators import NetworksEvaluator


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


def test_the_plain_name_is_that_of_the_result(evaluator):
    evaluator.process(samples('second', first=.2, second=.5, ensemble=.9))
    assert evaluator.evaluate(3)['score'] == 0.5


def test_a_test_may_compute_one_of_them(evaluator):
    evaluator.process(samples('first', first=.25))
    assert evaluator.evaluate(3) == {'first/score': 0.25, 'score': 0.25}


def test_a_model_without_these_networks(evaluator):
    with pytest.raises(KeyError, match=r"\['ema_first'\].*networks"):
        evaluator.process(samples('ema_first', ema_first=.3))
    stock = samples('first', first=.3)
    for sample in stock:
        del sample.pred_instances_first
    with pytest.raises(KeyError, match='no such network'):
        evaluator.process(stock)
