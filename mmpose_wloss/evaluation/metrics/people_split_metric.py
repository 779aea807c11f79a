from collections import Counter
from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS

from ...common.errors import UserError
from ..functional.tables import PARTS, people_split_table
from .metric_wrapper import MetricWrapper
from .people_counts import PeopleCounts


@METRICS.register_module()
class PeopleSplitMetric(MetricWrapper):
    """A metric on images with one person and on those with several.

    A top-down network sees one person's box; where there are others in it, it
    has to choose. The wrapped metric is computed on all samples, under its own
    names, and again on those of images with one person, as
    ``'single_person/PCK'``, and with several, as ``'multi_person/PCK'``. Beside
    them there are ``'samples'`` and ``'images'``, the numbers of both. A part
    without samples has no figures. A table goes to the log.

    By default, the people of an image are those that ``CocoMetric``'s
    ``ann_file`` has in it if such a metric is wrapped, those of the evaluated
    samples otherwise. A test set may annotate only some of them, as MPII's
    validation does: name files that have all in ``people_files``. Images of
    nobody (where a detector found a box) count for all, but for no part.

    Args:
        metric (dict | BaseMetric | Sequence): As in :class:`MetricWrapper`.
        people_files (str | Sequence[str], optional): Annotation files in which
            people are counted (:class:`PeopleCounts`), the test set's included.
        **kwargs: ``collect_device``, ``prefix`` and ``collect_dir``.

    Raises:
        MissingFile: If there is no such file.
        UserError: If a file has another format or lacks people that are
            evaluated, or if nobody is annotated.
    """

    file_keys = ('people_files', )

    def __init__(self, metric: dict | BaseMetric | Sequence,
                 people_files: str | Sequence[str] | None = None,
                 **kwargs) -> None:
        super().__init__(metric, **kwargs)
        self.people_files = PeopleCounts(people_files) if people_files else None
        self._warned: set[str] = set()

    def describe(self, sample: dict) -> dict:
        """Image (``img_path``, or else ``img_id``) and annotated people."""
        # a detector's boxes have no true joints
        keypoints = np.asarray(sample['gt_instances'].get('keypoints', []))
        return dict(image=str(sample.get('img_path') or sample['img_id']),
                    annotated=sum(map(np.any, keypoints)))

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics by name, and write the table."""
        people = self._people(results)
        figures = self._figures(results)
        for part, label in PARTS.items():
            records = [record for record in results if (
                people[record['image']] == 1 if part == 'single_person' else
                people[record['image']] > 1)]
            if records:
                figures |= self._figures(records, part)
            elif part not in self._warned:
                self._warned.add(part)
                MMLogger.get_current_instance().warning(
                    f'PeopleSplitMetric: no evaluated image has {label}, so '
                    f'there are no figures of {part}')
        print_log('Images with one person and with several:\n' +
                  people_split_table(figures), 'current')
        return figures

    def _figures(self, records: list[dict], part: str = '') -> dict[str, float]:
        before = f'{part}/' if part else ''
        figures = {name: value for one in self.figures(records, part)
                   for name, value in one.items()}
        images = {record['image'] for record in records}
        return figures | {f'{before}samples': len(records),
                          f'{before}images': len(images)}

    def _people(self, records: list[dict]) -> dict[str, int]:
        """Number of people by image."""
        evaluated = Counter()
        for record in records:
            evaluated[record['image']] += record['annotated']
        if self.people_files is not None:
            counts = {image: self.people_files.of(image) for image in evaluated}
            for image, count in counts.items():
                if count is None or count < evaluated[image]:
                    raise UserError(
                        f'people_files name {count or "none"} of the '
                        f'{evaluated[image]} evaluated people in {image}: add '
                        "the test set's own annotation file")
            return counts
        for metric in self.metrics:
            if isinstance(metric, CocoMetric) and metric.coco is not None:
                person = metric.coco.getCatIds(catNms=['person'])
                # a crowd is of several
                return {record['image']: sum(
                    1 + bool(one.get('iscrowd'))
                    for one in metric.coco.imgToAnns[record['img_id']]
                    if not person or one['category_id'] in person)
                    for record in records}
        if not any(evaluated.values()):
            raise UserError(
                'PeopleSplitMetric finds nobody annotated: name annotation '
                'files of the evaluated images in people_files')
        return evaluated
