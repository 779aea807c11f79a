import contextlib
import copy
import io
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.logging import MMLogger
from mmpose.evaluation.metrics import CocoMetric, PCKAccuracy, PoseTrack18Metric
from mmpose.registry import METRICS

from ...common.errors import UserError
from ..functional.coco_annotations import copied_annotations


def is_missing(metric: BaseMetric, value: float) -> bool:
    """Whether a metric had nothing to measure a figure of.

    COCO's AP and AR and each kind of PCK are negative then.
    """
    value = float(value)
    return not np.isfinite(value) or (
        value < 0 and isinstance(metric, CocoMetric | PCKAccuracy))


class MetricWrapper(BaseMetric):
    """Computes other metrics on all samples, and again on parts of them.

    A subclass says in :meth:`describe` what it keeps of a sample beside what
    the wrapped metrics keep, and makes the parts in ``compute_metrics``.

    Args:
        metric (dict | BaseMetric | Sequence): The metric to wrap, or several
            of different names.
        **kwargs: ``collect_device``, ``prefix``, which goes before all names,
            and ``collect_dir``, as in ``BaseMetric``.

    Raises:
        UserError: If a metric cannot be computed on a part of the samples.
    """

    # BaseMetric would warn of none
    default_prefix = ''

    def __init__(self, metric: dict | BaseMetric | Sequence, **kwargs) -> None:
        super().__init__(**kwargs)
        self.metrics = [self._build(one) for one in (
            metric if isinstance(metric, Sequence) else [metric])]
        if not self.metrics:
            raise UserError('metric must name at least one metric to wrap')

    def _build(self, metric: dict | BaseMetric) -> BaseMetric:
        if isinstance(metric, dict):
            metric = METRICS.build(metric)
        # the first writes a file, the second reads a truth of its own
        if isinstance(metric, DumpResults | PoseTrack18Metric) or (
                type(metric).evaluate is not BaseMetric.evaluate) or any(
                    getattr(metric, option, None)
                    for option in ('format_only', 'predictions_file')):
            raise UserError(
                f'{type(self).__name__} cannot wrap {type(metric).__name__}, nor '
                'format_only or predictions_file: put it beside in the list of '
                'evaluators')
        return metric

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Meta information of the data set."""
        self._dataset_meta = dataset_meta
        for metric in self.metrics:
            # CocoMetric writes what it converts into it
            metric.dataset_meta = copy.deepcopy(dataset_meta)

    def describe(self, sample: dict) -> dict:
        """What is kept of a sample beside what the metrics keep."""
        raise NotImplementedError

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take a batch, with what wrapped metrics and :meth:`describe` need."""
        for sample in data_samples:
            record = dict(self.describe(sample), kept=[],
                          img_id=sample.get('img_id'))
            for metric in self.metrics:
                metric.process(data_batch, [sample])
                record['kept'].append(metric.results)
                metric.results = []
            self.results.append(record)

    def figures(self, records: list[dict], part: str = '',
                annotations: Collection[int] | None = None
                ) -> list[dict[str, float]]:
        """The wrapped metrics' own figures of some samples.

        Args:
            records (list[dict]): What :meth:`process` kept of them.
            part (str): Goes before the names of figures; empty: all samples.
            annotations (Collection[int], optional): Ids of the people to
                which the truth of ``CocoMetric`` is restricted, beside crowds
                and people without joints, at which COCO forgives predictions.

        Returns:
            list[dict[str, float]]: Of each metric; of a part, without those
            that :func:`is_missing`.

        Raises:
            UserError: If two figures have one name, or ``CocoMetric`` lacks
                an annotation.
        """
        result = []
        for index, metric in enumerate(self.metrics):
            result.append({})
            kept = [one for record in records for one in record['kept'][index]]
            if part and not kept:
                continue
            of_part = copy.copy(metric)  # what computing changes stays in it
            with _quiet() if part else contextlib.nullcontext():
                if isinstance(metric, CocoMetric):
                    _restrict(of_part, part, records, annotations)
                # CocoMetric converts the joints of its results in place
                computed = of_part.compute_metrics(copy.deepcopy(kept))
            for name, value in computed.items():
                name = '/'.join(filter(None, (part, metric.prefix, name)))
                if any(name in figures for figures in result):
                    raise UserError(f'two metrics call a figure {name}: give '
                                    'them different prefixes')
                if not part or not is_missing(metric, value):
                    result[-1][name] = float(value) if part else value
        return result


def _restrict(metric: CocoMetric, part: str, records: list[dict],
              people: Collection[int] | None) -> None:
    """Restrict truth and written files of a copied metric to a part."""
    if part and metric.outfile_prefix is not None:
        metric.outfile_prefix += re.sub(r'[^\w.=-]+', '_', f'.{part}')
    coco = metric.coco
    # it converts annotations in place
    if coco is None or not (part or metric.gt_converter):
        return
    images, annotations = coco.dataset['images'], coco.dataset['annotations']
    if part:
        shown = {record['img_id'] for record in records}
        images = [one for one in images if one['id'] in shown]
        annotations = [one for one in annotations if one['image_id'] in shown]
    if people is not None:
        missing = set(people) - {one['id'] for one in annotations}
        if missing:
            raise UserError(
                f'annotation {missing.pop()} is not in {metric.ann_file}: give '
                'CocoMetric the ann_file of the evaluated data set')
        annotations = [
            one for one in annotations if one['id'] in people or
            one.get('iscrowd') or not any(one.get('keypoints', [])[2::3])]
    metric.coco = copied_annotations(coco, images, annotations)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what metrics say of each part; a table says it."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
