from collections.abc import Sequence

from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement
from mmpose.registry import EVALUATORS


@EVALUATORS.register_module()
class NetworksEvaluator(Evaluator):
    """Evaluates each network, and their ensemble, under its own name.

    Metrics come as ``first/coco/AP``, ``second/coco/AP``,
    ``ensemble/coco/AP``, and those of the prediction that the model returns
    (``test_cfg.predict_with``) under their plain names too, so that
    ``save_best='coco/AP'`` works as ever.

    Args:
        metrics (dict or list[dict]): The metrics' configs, as in a stock
            ``val_evaluator``.
        networks (Sequence[str]): Which predictions to evaluate; in a test,
            those that the model does not compute for its ``predict_with``
            are left out. Defaults to ``('first', 'second', 'ensemble')``.
    """

    def __init__(self, metrics: dict | list[dict],
                 networks: Sequence[str] = ('first', 'second', 'ensemble')):
        super().__init__([])
        self.evaluators = {name: Evaluator(metrics) for name in networks}
        self.processed = set()
        self.predicted_with = None

    @property
    def dataset_meta(self) -> dict | None:
        """Meta information of the dataset."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        for evaluator in self.evaluators.values():
            evaluator.dataset_meta = dataset_meta

    def process(self, data_samples: Sequence[BaseDataElement],
                data_batch: dict | None = None) -> None:
        """Take a batch.

        Args:
            data_samples (Sequence[BaseDataElement]): Samples with the
                predictions of a :class:`PoseCons` or :class:`PoseDual`.
            data_batch (dict, optional): The batch of the data loader.

        Raises:
            KeyError: If no prediction of any of the networks is there.
        """
        samples = [sample.to_dict() for sample in data_samples]
        there = [name for name in self.evaluators
                 if f'pred_instances_{name}' in samples[0]]
        if not there:
            computed = [key[len('pred_instances_'):] for key in samples[0]
                        if key.startswith('pred_instances_')]
            raise KeyError(
                f'NetworksEvaluator is to evaluate {list(self.evaluators)}, '
                f'but the model predicts with {computed or "no such network"}. '
                'Name these in val_evaluator.networks, or use a stock '
                'evaluator with a stock model')
        self.processed.update(there)
        self.predicted_with = samples[0].get('predicted_with')
        for name in there:
            for metric in self.evaluators[name].metrics:
                metric.process(data_batch, [
                    dict(sample, pred_instances=sample[f'pred_instances_{name}'])
                    for sample in samples])

    def evaluate(self, size: int) -> dict:
        """Compute the metrics.

        Args:
            size (int): Length of the whole dataset.

        Returns:
            dict: The metrics by name.
        """
        results = {}
        for name in self.evaluators:
            if name not in self.processed:
                continue
            metrics = self.evaluators[name].evaluate(size)
            results.update({f'{name}/{key}': value
                            for key, value in metrics.items()})
            if name == self.predicted_with:
                results.update(metrics)
        self.processed.clear()
        return results
