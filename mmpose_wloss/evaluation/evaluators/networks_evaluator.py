import copy
from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import all_gather_object
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement
from mmpose.registry import EVALUATORS

from ...common.errors import UserError

PREFIX = 'pred_instances_'
# of CoordinateMSE and DumpResults
FILES = ('predictions_file', 'out_file_path')


@EVALUATORS.register_module()
class NetworksEvaluator(Evaluator):
    """Evaluates each network, and their ensemble, under its own name.

    Metrics come as ``first/coco/AP``, ``second/coco/AP``, ``ensemble/coco/AP``, and
    those of the prediction that the model returns (``test_cfg.predict_with``) under
    their plain names too, so that ``save_best='coco/AP'`` works as ever. Of a metric's
    files of results, those of the others have the network's name in theirs.

    Args:
        metrics (dict or list[dict]): The metrics' configs, as in a stock
            ``val_evaluator``.
        networks (Sequence[str], optional): Which predictions to evaluate. Defaults
            to all that the model computes, which in a test are those that its
            ``predict_with`` needs.
    """

    def __init__(self, metrics: dict | list[dict],
                 networks: Sequence[str] | None = None):
        super().__init__([])
        self.configs = metrics
        self.networks = networks
        self.evaluators: dict[str, Evaluator] = {}
        self._start()

    def _start(self) -> None:
        # in the order in which the model predicts
        self.processed: dict[str, None] = {}
        self.predicted_with = None

    @Evaluator.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Meta information of the data set."""
        self._dataset_meta = dataset_meta
        for evaluator in self.evaluators.values():
            evaluator.dataset_meta = copy.deepcopy(dataset_meta)

    def _evaluator(self, name: str) -> Evaluator:
        if name not in self.evaluators:
            evaluator = self.evaluators[name] = Evaluator(copy.deepcopy(self.configs))
            # once: CocoMetric writes what it converts into it
            evaluator.dataset_meta = copy.deepcopy(self.dataset_meta)
            if name != self.predicted_with:
                _rename_files(evaluator, name)
        return self.evaluators[name]

    def process(self, data_samples: Sequence[BaseDataElement],
                data_batch: dict | None = None) -> None:
        """Take a batch of predictions of a :class:`PoseCons` or its kin.

        Raises:
            UserError: If no prediction of any of the networks is there.
        """
        samples = [sample.to_dict() for sample in data_samples]
        computed = [key.removeprefix(PREFIX) for key in samples[0]
                    if key.startswith(PREFIX)]
        names = [name for name in computed
                 if self.networks is None or name in self.networks]
        if not names:
            raise UserError(
                'NetworksEvaluator is to evaluate '
                f'{self.networks or "the networks of PoseCons or its kin"}, but the '
                f'model predicts with {computed or "no such network"}. Correct '
                'networks in val_evaluator and test_evaluator, or use a stock '
                'evaluator with a stock model')
        self.processed.update(dict.fromkeys(names))
        self.predicted_with = samples[0].get('predicted_with')
        for name in names:
            of_network = [dict(sample, pred_instances=sample[PREFIX + name],
                               predicted_with=name) for sample in samples]
            for metric in self._evaluator(name).metrics:
                metric.process(data_batch, of_network)

    def evaluate(self, size: int) -> dict:
        """Compute the metrics, by name, over a whole data set of this size."""
        # a process may have had no sample, but metrics collect from all
        names = {}
        for processed, predicted_with in all_gather_object(
                (list(self.processed), self.predicted_with)):
            names.update(dict.fromkeys(processed))
            self.predicted_with = self.predicted_with or predicted_with
        results = {}
        for name in names:
            metrics = self._evaluator(name).evaluate(size)
            results.update({f'{name}/{key}': value for key, value in metrics.items()})
            if name == self.predicted_with:
                results.update(metrics)
        self._start()
        return results


def _rename_files(evaluator: Evaluator, name: str) -> None:
    """Let the metrics of a network write files of their own."""
    for metric in evaluator.metrics:
        # a wrapper has the metrics that write
        for one in getattr(metric, 'metrics', [metric]):
            if getattr(one, 'outfile_prefix', None):
                one.outfile_prefix += f'.{name}'
            for key in FILES:
                if getattr(one, key, None):
                    path = Path(getattr(one, key))
                    setattr(one, key, str(path.with_suffix(f'.{name}{path.suffix}')))
