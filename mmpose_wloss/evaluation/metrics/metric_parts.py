"""A metric's own figures of a part of the samples."""

import contextlib
import copy
import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric, DumpResults
from mmengine.logging import MMLogger
from mmpose.evaluation.metrics import (
    CocoMetric,
    PCKAccuracy,
    PoseTrack18Metric,
)
from mmpose.registry import METRICS
from xtcocotools.coco import COCO


def build_partial(metric: dict | BaseMetric, wrapper: str) -> BaseMetric:
    """Build a metric that can be computed on a part of the samples.

    Args:
        metric (dict | BaseMetric): The metric or its config.
        wrapper (str): Name of what wraps it, for errors.

    Raises:
        TypeError: If it computes nothing of its list of results.
        ValueError: If it is to compute nothing.
    """
    if isinstance(metric, dict):
        metric = METRICS.build(metric)
    name = type(metric).__name__
    # the first writes a file, the second reads a truth of its own
    if isinstance(metric, DumpResults | PoseTrack18Metric) or (
            type(metric).evaluate is not BaseMetric.evaluate):
        raise TypeError(
            f'{wrapper} cannot wrap {name}, which does not compute figures of '
            f'a part of the samples from its list of results: put it beside '
            f'{wrapper} in the list of evaluators')
    if getattr(metric, 'format_only', False):
        raise ValueError(
            f'format_only of {name} is for data without truth, of which '
            f'{wrapper} can say nothing: use the metric itself')
    return metric


def taken_of(metric: BaseMetric, data_batch: Any, sample: dict) -> list:
    """What a metric keeps of one sample."""
    metric.results = []
    metric.process(data_batch, [sample])
    taken, metric.results = metric.results, []
    return taken


def figures_of(metric: BaseMetric, taken: list,
               part: str | None = None,
               images: Sequence[int] = ()) -> dict[str, float]:
    """A metric's own figures of some of the samples.

    Args:
        metric (BaseMetric): The metric; it stays as it is.
        taken (list): What it kept of these samples.
        part (str, optional): Name of the part. Defaults to ``None``: these
            are all samples.
        images (Sequence[int]): Ids of the part's images, to which
            ``CocoMetric``'s annotations are restricted.

    Returns:
        dict[str, float]: The figures, with the metric's prefix; of a part,
        those that there was something to measure of.
    """
    one = copy.copy(metric)
    if isinstance(one, CocoMetric):
        if one.coco is not None and (part or one.gt_converter):
            # it converts annotations in place
            one.coco = _annotations_of(one.coco, images if part else None)
        if one.outfile_prefix is not None and part:
            one.outfile_prefix += f'.{part}'
    with quiet() if part else contextlib.nullcontext():
        figures = one.compute_metrics(copy.deepcopy(taken))
    if metric.prefix:
        figures = {f'{metric.prefix}/{name}': value
                   for name, value in figures.items()}
    if part is None:
        return figures
    return {name: float(value) for name, value in figures.items()
            if is_measured(metric, value)}


def is_measured(metric: BaseMetric, value: float) -> bool:
    """Whether there was something to measure; COCO and PCK are negative if not.
    """
    value = float(value)
    return bool(np.isfinite(value)) and not (
        value < 0 and isinstance(metric, CocoMetric | PCKAccuracy))


def _annotations_of(coco: COCO, images: Sequence[int] | None) -> COCO:
    """A copy of COCO annotations, of the given images where they are given."""
    chosen = None if images is None else set(images)

    def of(key: str, image: str) -> list[dict]:
        return [dict(one) for one in coco.dataset[key]
                if chosen is None or one[image] in chosen]

    result = COCO()
    result.anno_file = [coco.anno_file[0]]
    result.dataset = dict(coco.dataset, images=of('images', 'id'),
                          annotations=of('annotations', 'image_id'))
    with contextlib.redirect_stdout(io.StringIO()):
        result.createIndex()
    return result


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep back what metrics say of each part; a table says it."""
    logger = MMLogger.get_current_instance()

    def tells(record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO

    logger.addFilter(tells)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.removeFilter(tells)
