import contextlib
import copy
import math
import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub, print_log
from mmpose.evaluation.functional import keypoint_mpjpe, transform_pred
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS
from xtcocotools.coco import COCO

from ...compat.private_api import current_visualizer, picture_folders
from ...datasets.poses import joint_names
from ...pose_density import PoseDensityArtefact
from ..functional import (
    ErrorLine,
    Interval,
    fit_error_line,
    mean_with_interval,
)
from .metric_parts import build_partial, is_measured, quiet, taken_of

BINS = dict(rare=(0., .1), middle=(.1, .5), common=(.5, 1.))
PICTURE = 'pose_rarity'
# a table of all of COCO's ten figures would be wider than a terminal
TABLE_FIGURES = 6


class _Bin(NamedTuple):
    low: float
    high: float
    low_share: float
    high_share: float


class _Row(NamedTuple):
    """What is known of all people, of a bin or of a group."""
    name: str
    label: str
    people: int
    error: Interval | None
    figures: list[dict[str, float]]  # of each wrapped metric


@METRICS.register_module()
class PoseRarityMetric(BaseMetric):
    r"""A metric on rare, middle and common poses, and its error's slope.

    The wrapped metric is computed on all samples, under its own names, and
    again on the people of each bin of training density, as
    ``'rare/coco/AP'``. How common a person's pose is says the file of a
    density that was fitted to the training poses (``tools/pose_density.py
    fit``), at the person's true joints. The bounds of the bins are quantiles
    of the training poses' own log density, so a bin holds the given share of
    the training poses, not of the evaluated ones.

    Beside the wrapped figures there are ``'people'``, their number, and
    ``'error'``, the mean over people of

    .. math::
        e = \frac{100}{l} \cdot \frac{1}{|V|} \sum_{k \in V}
        \lVert \hat p_k - p_k \rVert

    over the visible joints V, with the longer side l of the true box: percent
    of the box. Where a 3D metric is wrapped (``MPJPE``), it is the person's
    own MPJPE with the metric's alignment, in the data set's unit.
    ``'slope'`` is that of the least-squares line of e over log density, with
    its 95 % bootstrap interval ``'slope_low'`` to ``'slope_high'``. Below 0,
    rare poses are worse.

    A table goes to the log, and a picture to the current visualizer, with the
    epoch as its step (the iteration, where a training does not count epochs).

    People whose pose has no density, because too few of its joints are
    visible, belong to all but to no bin; ``'without_density'`` counts them. A
    bin without people has ``people`` 0 and no other figure, so do not choose
    it for ``save_best``.

    Args:
        file (str): File of the pose density of the training poses.
        metric (dict | BaseMetric | Sequence): The metric to wrap, or several
            of different names; the errors are those of the first. In several
            processes, what a wrapped metric collects is collected here.
        bins (dict, optional): For each bin, from and up to which share of the
            training poses it goes, counted from the rarest, in [0, 1].
            Defaults to ``None``: the rare tenth, the common half, and the
            middle between them.
        group_by (str, optional): A key of the annotations
            (``raw_ann_info``). Each of its values gets its own figures, as
            ``'pose_class=lying/coco/AP'``.
        resamples (int): How many resamples of the images an interval is
            computed from, at least 1. Defaults to 1000.
        seed (int): Seed of the resamples. Defaults to 0.
        collect_device (str): As in ``BaseMetric``.
        prefix (str, optional): Goes before all names. Defaults to ``None``.
        collect_dir (str, optional): As in ``BaseMetric``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If an argument is out of its range, the joints are not
            those of the density, or samples have no truth, or several people.
        TypeError: If the metric cannot be computed on a part of the samples.
        KeyError: If an annotation lacks ``group_by``.

    Example:
        >>> val_evaluator = dict(
        ...     type='PoseRarityMetric',
        ...     file='work_dirs/pose_density/coco.npz',
        ...     metric=dict(type='CocoMetric', ann_file='val.json'))
    """

    def __init__(self,
                 file: str,
                 metric: dict | BaseMetric | Sequence,
                 bins: dict[str, Sequence[float]] | None = None,
                 group_by: str | None = None,
                 resamples: int = 1000,
                 seed: int = 0,
                 collect_device: str = 'cpu',
                 prefix: str | None = None,
                 collect_dir: str | None = None) -> None:
        # a name only where one is asked for: without one, BaseMetric warns
        super().__init__(collect_device, prefix or 'none', collect_dir)
        self.prefix = prefix
        if resamples < 1:
            raise ValueError(
                f'resamples must be at least 1, but it is {resamples}')
        self.metrics = [build_partial(one, 'PoseRarityMetric') for one in (
            metric if isinstance(metric, Sequence) else [metric])]
        if not self.metrics:
            raise ValueError('metric must name at least one metric to wrap')
        self.artefact = PoseDensityArtefact.load(file)
        self.bins = _bounds(BINS if bins is None else bins,
                            self.artefact.held_out)
        self.group_by = group_by
        self.resamples = resamples
        self.seed = seed
        self._scored: tuple[bytes, np.ndarray] | None = None

    @property
    def dataset_meta(self) -> dict | None:
        """Meta information of the dataset."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        if dataset_meta is not None:
            self.artefact.check_joints(
                joint_names(dataset_meta),
                f'the evaluated data set {dataset_meta["dataset_name"]}')
        self._dataset_meta = dataset_meta
        for metric in self.metrics:
            # CocoMetric writes what it converts into it
            metric.dataset_meta = copy.deepcopy(dataset_meta)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take a batch of people.

        Args:
            data_batch (Any): The batch of the data loader.
            data_samples (Sequence[dict]): Samples of one person each, with
                what the wrapped metric needs, and with the true 2D joints and
                boxes in pixels of the image: ``gt_instances.keypoints``,
                ``.keypoints_visible`` and ``.bboxes``. A lifter's samples
                have none; there, ``keypoints`` and ``keypoints_visible`` in
                the meta information serve.
        """
        for sample in data_samples:
            keypoints, visible = _true_pose(sample)
            taken = [taken_of(metric, data_batch, sample)
                     for metric in self.metrics]
            if not taken[0]:  # the metric leaves this one out
                continue
            truth = sample['gt_instances']
            box = truth['bboxes'][0] if 'bboxes' in truth else None
            height, width = sample.get('ori_shape', (None, None))[:2]
            annotation = _annotation_id(sample)
            for metric in self.metrics:
                _check_annotation(metric, annotation, sample)
            self.results.append(dict(
                taken=taken,
                annotation=annotation,
                # people without an image's name stand for themselves
                image=str(sample.get('img_id', f'id {annotation}')),
                keypoints=np.asarray(keypoints, np.float64),
                visible=visible,
                box=None if box is None else np.asarray(box, np.float64),
                image_size=None if width is None else (width, height),
                error=self._error(sample, taken[0], keypoints, visible, box),
                group=self._group(sample),
                network=sample.get('predicted_with')))

    @property
    def _spatial(self) -> bool:
        return hasattr(self.metrics[0], 'ALIGNMENT')

    @property
    def _unit(self) -> str:
        # metres or millimetres: as the data set's
        return (self.metrics[0].mode.upper() if self._spatial else
                '% of the box')

    def _error(self, sample: dict, taken: list, keypoints: np.ndarray,
               visible: np.ndarray, box: np.ndarray | None) -> float:
        """Error of a person; NaN where no joint is visible."""
        metric = self.metrics[0]
        if self._spatial:
            if not any(one['mask'].any() for one in taken):
                return np.nan
            return float(np.mean([
                keypoint_mpjpe(one['pred_coords'], one['gt_coords'],
                               one['mask'], metric.ALIGNMENT[metric.mode])
                for one in taken]))
        predicted = np.asarray(sample['pred_instances']['keypoints'])
        if len(predicted) != 1:
            raise ValueError(
                'PoseRarityMetric needs one predicted pose for each person, '
                f'but sample {sample.get("id")} has {len(predicted)}. '
                'Evaluate bottom-up models with the metric itself')
        predicted = _converted(metric, 'pred_converter', predicted[..., :2])[0]
        truth = _converted(metric, 'gt_converter', keypoints[None])[0]
        counts = _converted(
            metric, 'gt_converter', visible[None, :, None])[0, :, 0] > 0
        if predicted.shape != truth.shape:
            raise ValueError(
                f'the model predicts {len(predicted)} joints, but the truth '
                f'has {len(truth)}: give CocoMetric the pred_converter and '
                'gt_converter that make them the same')
        if box is None:
            raise ValueError(
                f'sample {sample.get("id")} has no gt_instances.bboxes, whose '
                'longer side errors are measured by')
        if not counts.any():
            return np.nan
        distances = np.linalg.norm(predicted - truth, axis=1)[counts]
        return float(100 * distances.mean() / max(box[2] - box[0],
                                                  box[3] - box[1]))

    def _group(self, sample: dict) -> str | None:
        if self.group_by is None:
            return None
        annotation = sample.get('raw_ann_info') or {}
        if self.group_by not in annotation:
            raise KeyError(
                f'group_by={self.group_by!r} is not in the annotation of '
                f'sample {sample.get("id")}, which has '
                f'{", ".join(annotation) or "no raw_ann_info"}')
        return str(annotation[self.group_by])

    def _log_density(self, people: list[dict]) -> np.ndarray:
        def of_all(key: str) -> np.ndarray | None:
            values = [person[key] for person in people]
            if any(value is None for value in values):
                return None
            return np.array(values)

        arrays = [of_all(key) for key in ('keypoints', 'visible', 'box',
                                          'image_size')]
        key = b''.join(b'none' if array is None else array.tobytes()
                       for array in arrays)
        # the next validation evaluates the same people
        if self._scored is None or self._scored[0] != key:
            keypoints, visible, boxes, sizes = arrays
            self._scored = key, np.asarray(self.artefact.score(
                keypoints, visible, boxes=boxes, image_sizes=sizes))
        return self._scored[1]

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics, write the table and draw the picture.

        Args:
            results (list): The people of all processes.

        Returns:
            dict: The metrics by name.
        """
        if not results:
            raise ValueError('PoseRarityMetric has no person to evaluate: the '
                             'data set is empty, or its metric left out all')
        log_density = self._log_density(results)
        errors = np.array([person['error'] for person in results])
        rows = [self._row(results, errors, np.ones(len(results), bool))]
        for name, one in self.bins.items():
            rows.append(self._row(
                results, errors,
                (log_density >= one.low) & (log_density < one.high), name,
                f'{name} ({100 * one.low_share:g}–{100 * one.high_share:g} %)'
            ))
        groups = np.array([person['group'] for person in results])
        if self.group_by is not None:
            for value in np.unique(groups):
                name = f'{self.group_by}={value}'
                rows.append(self._row(results, errors, groups == value, name,
                                      name))
        line = self._line(results, log_density, errors)
        without_density = int(np.isnan(log_density).sum())
        networks = {person['network'] for person in results} - {None}
        network = networks.pop() if len(networks) == 1 else None

        figures = self._figures(rows, line, without_density)
        print_log(self._table(rows, line, without_density, network),
                  logger='current')
        self._draw(results, log_density, errors, rows, line, network)
        return figures

    def _row(self, people: list[dict], errors: np.ndarray, chosen: np.ndarray,
             name: str = '', label: str = 'all') -> _Row:
        part = [person for person, here in zip(people, chosen, strict=True)
                if here]
        # in an order of its own, so that the resamples do not depend on that
        # of the samples
        known = sorted((person['image'], person['error']) for person in part
                       if np.isfinite(person['error']))
        with quiet() if name else contextlib.nullcontext():
            figures = [_compute(metric, index, part, name)
                       for index, metric in enumerate(self.metrics)]
        return _Row(
            name, label, len(part),
            mean_with_interval(
                np.array([error for _, error in known]),
                np.array([image for image, _ in known]), self.resamples,
                self.seed), figures)

    def _line(self, people: list[dict], log_density: np.ndarray,
              errors: np.ndarray) -> ErrorLine | None:
        images = np.array([person['image'] for person in people])
        known = np.flatnonzero(np.isfinite(log_density) & np.isfinite(errors))
        known = known[np.lexsort((errors[known], log_density[known],
                                  images[known]))]
        return fit_error_line(log_density[known], errors[known],
                              images[known], self.resamples, self.seed)

    def _figures(self, rows: list[_Row], line: ErrorLine | None,
                 without_density: int) -> dict:
        result = {}

        def add(name: str, value: float) -> None:
            if name in result:
                raise ValueError(
                    f'two metrics call a figure {name}: give the wrapped ones '
                    'different prefixes')
            result[name] = value

        for row in rows:
            before = f'{row.name}/' if row.name else ''
            for figures in row.figures:
                for name, value in figures.items():
                    add(before + name, value)
            add(before + 'people', row.people)
            if row.error is not None:
                add(before + 'error', row.error.value)
        add('without_density', without_density)
        if line is not None:
            add('slope', line.slope.value)
            if line.slope.low is not None:
                add('slope_low', line.slope.low)
                add('slope_high', line.slope.high)
        return result

    def _table(self, rows: list[_Row], line: ErrorLine | None,
               without_density: int, network: str | None) -> str:
        columns = []
        for index, metric in enumerate(self.metrics):
            measured = [name for name, value in rows[0].figures[index].items()
                        if is_measured(metric, value)]
            # a figure of all has a shorter name than those of its parts
            shortest = sorted(measured, key=len)[:TABLE_FIGURES]
            columns += [(index, name) for name in measured if name in shortest]
        cells = [['poses', 'people', f'error ({self._unit})',
                  *(name for _, name in columns)]]
        for row in rows:
            cells.append([
                row.label, f'{row.people}',
                '–' if row.error is None else _written(row.error),
                *(f'{row.figures[index][name]:.3f}'
                  if name in row.figures[index] else '–'
                  for index, name in columns)])
        if without_density:
            cells.append(['without density', f'{without_density}',
                          *['–'] * (1 + len(columns))])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ['| ' + ' | '.join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(
                zip(row, widths, strict=True))) + ' |' for row in cells]
        lines.insert(1, '|' + '|'.join(
            ('-' if index == 0 else '-' * (width + 1) + ':')
            .ljust(width + 2, '-') for index, width in enumerate(widths)) +
            '|')
        lines.append(
            'slope of the error over log density: ' +
            ('none, too few people' if line is None else
             f'{_written(line.slope)} {self._unit} per unit'))
        return (f'Rare and common poses{_of(network)}, with 95 % intervals '
                f'over images:\n' + '\n'.join(lines))

    def _draw(self, people: list[dict], log_density: np.ndarray,
              errors: np.ndarray, rows: list[_Row], line: ErrorLine | None,
              network: str | None) -> None:
        visualizer = current_visualizer()
        if visualizer is None:
            return
        # Matplotlib and all that draws, at the first picture only
        from ...visualization.rare_poses import (
            DensityBin,
            draw_error_over_density,
            figure_to_image,
        )
        known = np.isfinite(log_density) & np.isfinite(errors)
        figure = draw_error_over_density(
            log_density[known], errors[known],
            [DensityBin(row.name, one.low, one.high, row.error)
             for row, one in zip(rows[1:], self.bins.values(), strict=False)],
            line, f'Rare and common poses{_of(network)}', self._unit)
        name = '_'.join(filter(None, (self.prefix, PICTURE, network)))
        name = _file_name(name)
        step = _step()
        visualizer.add_image(name, figure_to_image(figure), step)
        for folder in picture_folders(visualizer):
            path = os.path.relpath(f'{folder}/{name}_{step}.png')
            print_log(f'The picture of it is in {path}', logger='current')


def _bounds(bins: dict, log_density: np.ndarray) -> dict[str, _Bin]:
    """Bounds of bins in log density, from shares of the training poses."""
    known = log_density[~np.isnan(log_density)]
    if not len(known):
        raise ValueError('none of the training poses has a density')
    result = {}
    for name, shares in bins.items():
        if not re.fullmatch(r'[^\s/=]+', str(name)):
            raise ValueError(f"a bin's name must have neither spaces nor / nor "
                             f'=, but one is {name!r}')
        if len(shares) != 2 or not 0 <= shares[0] < shares[1] <= 1:
            raise ValueError(
                f'bin {name} must be (low, high) with 0 <= low < high <= 1, '
                'shares of the training poses from the rarest on, but it is '
                f'{shares}')
        low, high = map(float, shares)
        # what is rarer than all training poses is rare, too
        result[name] = _Bin(
            -np.inf if low == 0 else float(np.quantile(known, low)),
            np.inf if high == 1 else float(np.quantile(known, high)),
            low, high)
    return result


def _true_pose(sample: dict) -> tuple[np.ndarray, np.ndarray]:
    """True 2D joints [K, 2] of a sample, and which are visible [K]."""
    annotation = sample.get('raw_ann_info')
    if isinstance(annotation, list) or isinstance(sample.get('id'), list):
        raise ValueError(
            'PoseRarityMetric needs samples of one person each, but those of '
            'a bottom-up data set are whole images, whose predictions belong '
            'to no person. Evaluate a top-down model with it, or a bottom-up '
            'one with the metric itself')
    truth = sample['gt_instances']
    keypoints = truth.get('keypoints', sample.get('keypoints'))
    visible = truth.get('keypoints_visible', sample.get('keypoints_visible'))
    if keypoints is None or visible is None:
        raise ValueError(
            f'sample {sample.get("id")} has no true 2D joints, whose density '
            'PoseRarityMetric needs. For a lifter, add keypoints and '
            "keypoints_visible to meta_keys of the validation pipeline's "
            'PackPoseInputs')
    keypoints = np.asarray(keypoints)[..., :2]
    if len(keypoints) != 1:
        raise ValueError(
            'PoseRarityMetric needs samples of one pose each, but sample '
            f'{sample.get("id")} has {len(keypoints)}: lift single frames '
            '(seq_len=1), or use the metric itself')
    if annotation is None and not keypoints.any():
        raise ValueError(
            f'sample {sample.get("id")} has all its joints at 0 and no '
            "annotation: a detector's boxes have no true pose, whose density "
            'PoseRarityMetric needs. Evaluate on the annotated boxes: '
            'bbox_file=None in the data set')
    visible = np.asarray(visible)
    if visible.ndim == 3:
        visible = visible[..., 0]
    return keypoints[0], visible[0] > 0


def _annotation_id(sample: dict) -> int | None:
    annotation = sample.get('raw_ann_info') or {}
    return annotation.get('id', sample.get('id'))


def _check_annotation(metric: BaseMetric, annotation: int | None,
                      sample: dict) -> None:
    """Check that a sample is one of the file that CocoMetric reads."""
    if not isinstance(metric, CocoMetric) or metric.coco is None:
        return
    known = metric.coco.anns.get(annotation)
    if known is None or known['image_id'] != sample['img_id']:
        raise ValueError(
            f'annotation {annotation} of image {sample["img_id"]} is not in '
            f'{metric.ann_file or "the annotations of CocoMetric"}, so its '
            'figures cannot be told by density. Give CocoMetric the ann_file '
            'of the evaluated data set')


def _converted(metric: BaseMetric, key: str, values: np.ndarray
               ) -> np.ndarray:
    """Values of joints [1, K, C] in the order that CocoMetric converts to."""
    converter = getattr(metric, key, None)
    if converter is None:
        return values
    return transform_pred(
        dict(keypoints=values, keypoint_scores=values[..., 0]),
        converter['num_keypoints'], converter['mapping'])['keypoints']


def _compute(metric: BaseMetric, index: int, people: list[dict], name: str
             ) -> dict[str, float]:
    """A metric's own figures of some people; of all, where name is empty."""
    taken = [one for person in people for one in person['taken'][index]]
    if name and not taken:
        return {}
    part = copy.copy(metric)  # what computing changes stays with the part
    if isinstance(part, CocoMetric):
        if part.coco is not None and (name or part.gt_converter is not None):
            part.coco = _ground_truth(part.coco, {
                person['annotation'] for person in people} if name else None)
        if part.outfile_prefix is not None and name:
            part.outfile_prefix += f'.{_file_name(name)}'
    # CocoMetric converts the joints of its results in place
    figures = part.compute_metrics(copy.deepcopy(taken))
    if metric.prefix:
        figures = {f'{metric.prefix}/{key}': value
                   for key, value in figures.items()}
    if not name:
        return figures
    return {key: float(value) for key, value in figures.items()
            if is_measured(metric, value)}


def _ground_truth(coco: COCO, people: set | None) -> COCO:
    """A copy of COCO annotations, of the given people where they are given.

    Crowds and people without joints, at which COCO forgives predictions, stay
    in the images of these people.
    """
    annotations = coco.dataset['annotations']
    images = coco.dataset['images']
    if people is not None:
        shown = {coco.anns[person]['image_id'] for person in people}
        annotations = [
            one for one in annotations if one['id'] in people or
            one['image_id'] in shown and _is_forgiven(one)]
        images = [one for one in images if one['id'] in shown]
    result = COCO()
    result.anno_file = [coco.anno_file[0]]
    result.dataset = dict(coco.dataset, images=images,
                          annotations=[dict(one) for one in annotations])
    result.createIndex()
    return result


def _is_forgiven(annotation: dict) -> bool:
    return bool(annotation.get('iscrowd')) or not any(
        annotation.get('keypoints', [])[2::3])


def _step() -> int:
    """The epoch, or the iteration where a training does not count epochs."""
    info = MessageHub.get_current_instance().runtime_info
    if info.get('max_epochs', 1) > 1:
        return info['epoch'] + 1
    return info['iter'] + 1 if 'iter' in info else 0


def _written(value: Interval) -> str:
    """Three digits of the largest number."""
    numbers = [number for number in value if number is not None]
    largest = max(map(abs, numbers)) or 1.
    decimals = max(0, 2 - math.floor(math.log10(largest)))
    text, *bounds = [f'{number:.{decimals}f}' for number in numbers]
    return f'{text} [{", ".join(bounds)}]' if bounds else text


def _of(network: str | None) -> str:
    return '' if network is None else f' of the network {network}'


def _file_name(name: str) -> str:
    return re.sub(r'[^\w.=-]+', '_', name)
