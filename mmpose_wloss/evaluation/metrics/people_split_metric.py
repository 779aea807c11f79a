import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS

from ..functional.people_split import MULTI, PARTS, SINGLE, people_split_table
from .metric_parts import build_partial, figures_of, taken_of
from .people_counts import PeopleCounts


@METRICS.register_module()
class PeopleSplitMetric(BaseMetric):
    """A metric on images with one person and on those with several.

    A top-down network sees one person's box; where there are others in it, it
    has to choose. The wrapped metric is computed on all samples, under its own
    names, and again on those of images with one person, as
    ``'single_person/PCK'``, and with several, as ``'multi_person/PCK'``. Beside
    them there are ``'samples'`` and ``'images'``, the numbers of both. A part
    without samples has no figures, and a warning says so. A table goes to the
    log.

    By default, the people of an image are those that the test set's
    annotations have in it: of ``CocoMetric``'s ``ann_file`` if such a metric is
    wrapped, of the evaluated samples otherwise. A test set may annotate only
    some of them, as MPII's validation does: name files that have all in
    ``people_files``. Images of nobody (where a detector found a box) count for
    all, but for no part.

    .. code-block:: python

        val_evaluator = dict(
            type='PeopleSplitMetric',
            metric=dict(type='MpiiPCKAccuracy'),
            people_files=['data/mpii/mpii_annotations.json'])

    Args:
        metric (dict | BaseMetric | Sequence): The metric to wrap, or several
            of different names. In several processes, what a wrapped metric
            collects is collected here.
        people_files (str | Sequence[str], optional): Annotation files in which
            people are counted, as of :class:`PeopleCounts`: that of the test
            set, and others of its images. Defaults to ``None``: as above.
        collect_device (str): As in ``BaseMetric``.
        prefix (str, optional): Goes before all names. Defaults to ``None``.
        collect_dir (str, optional): As in ``BaseMetric``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file has another format or lacks people that are
            evaluated, or if nobody is annotated.
        TypeError: If the metric cannot be computed on a part of the samples.
    """

    def __init__(self,
                 metric: dict | BaseMetric | Sequence,
                 people_files: str | Sequence[str] | None = None,
                 collect_device: str = 'cpu',
                 prefix: str | None = None,
                 collect_dir: str | None = None) -> None:
        # a name only where one is asked for: without one, BaseMetric warns
        super().__init__(collect_device, prefix or 'none', collect_dir)
        self.prefix = prefix
        self.metrics = [build_partial(one, type(self).__name__) for one in (
            metric if isinstance(metric, Sequence) else [metric])]
        if not self.metrics:
            raise ValueError('metric must name at least one metric to wrap')
        self.people_files = PeopleCounts(people_files) if people_files else None
        self._told: set[str] = set()

    @property
    def dataset_meta(self) -> dict | None:
        """Meta information of the dataset."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        for metric in self.metrics:
            # CocoMetric writes what it converts into it
            metric.dataset_meta = copy.deepcopy(dataset_meta)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take a batch.

        Args:
            data_batch (Any): The batch of the data loader.
            data_samples (Sequence[dict]): Samples with what the wrapped
                metric needs, with ``img_id``, and with ``img_path`` for
                ``people_files``.
        """
        for sample in data_samples:
            self.results.append(dict(
                taken=[taken_of(metric, data_batch, sample)
                       for metric in self.metrics],
                img_id=sample['img_id'],
                image=str(sample.get('img_path') or sample['img_id']),
                annotated=_annotated(sample)))

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics and write the table.

        Args:
            results (list): What is kept of the samples of all processes.

        Returns:
            dict: The metrics by name.
        """
        people = self._people(results)
        parts = {SINGLE: [], MULTI: []}
        for sample in results:
            count = people[sample['image']]
            if count:
                parts[SINGLE if count == 1 else MULTI].append(sample)
        figures = self._figures(results)
        for part, samples in parts.items():
            if samples:
                figures.update({
                    f'{part}/{name}': value
                    for name, value in self._figures(samples, part).items()})
            elif part not in self._told:
                self._told.add(part)
                MMLogger.get_current_instance().warning(
                    f'PeopleSplitMetric: no evaluated image has {PARTS[part]}, '
                    f'so there are no figures of {part}')
        print_log('Images with one person and with several:\n' +
                  people_split_table(figures), logger='current')
        return figures

    def _figures(self, samples: list[dict], part: str | None = None
                 ) -> dict[str, float]:
        result = {}
        for index, metric in enumerate(self.metrics):
            taken = [one for sample in samples
                     for one in sample['taken'][index]]
            images = {sample['img_id'] for sample in samples}
            if part and not taken:  # the metric leaves these out
                continue
            for name, value in figures_of(metric, taken, part, images).items():
                if name in result:
                    raise ValueError(
                        f'two metrics call a figure {name}: give the wrapped '
                        'ones different prefixes')
                result[name] = value
        result['samples'] = len(samples)
        result['images'] = len({sample['image'] for sample in samples})
        return result

    def _people(self, samples: list[dict]) -> dict[str, int]:
        """Number of people by image."""
        evaluated = Counter()
        for sample in samples:
            evaluated[sample['image']] += sample['annotated']
        if self.people_files is not None:
            return {image: self._people_of(image, count)
                    for image, count in evaluated.items()}
        for metric in self.metrics:
            if isinstance(metric, CocoMetric) and metric.coco is not None:
                # a crowd is of several
                return {sample['image']: sum(
                    1 + bool(one.get('iscrowd'))
                    for one in metric.coco.imgToAnns[sample['img_id']])
                    for sample in samples}
        if not any(evaluated.values()):
            raise ValueError(
                'PeopleSplitMetric finds nobody annotated in the evaluated '
                "samples, as of a detector's boxes: name annotation files of "
                'these images in people_files')
        return evaluated

    def _people_of(self, image: str, evaluated: int) -> int:
        count = self.people_files.of(image)
        if count is None or count < evaluated:
            raise ValueError(
                f'people_files ({", ".join(self.people_files.files)}) ' + (
                    f'do not name the image {image}' if count is None else
                    f'have {count} people in {image}, of which {evaluated} '
                    'are evaluated') +
                ": name the test set's own annotation file there, too")
        return count


def _annotated(sample: dict) -> int:
    """How many people of a sample have true joints; a detector's have none."""
    keypoints = sample['gt_instances'].get('keypoints')
    if keypoints is None:
        return 0
    keypoints = np.asarray(keypoints)
    return int(keypoints.reshape(len(keypoints), -1).any(axis=1).sum())
