import math
import re
from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub, print_log
from mmpose.evaluation.functional import keypoint_mpjpe, transform_pred
from mmpose.registry import METRICS

from ...common import checks
from ...common.errors import UserError
from ...compat.private_api import current_visualizer
from ...datasets.poses import joint_names
from ...pose_density import PoseDensityArtifact
from ..functional import (
    ErrorLine,
    Interval,
    fit_error_line,
    markdown_table,
    mean_with_interval,
)
from .metric_wrapper import MetricWrapper, is_missing

BINS = dict(rare=(0., .1), middle=(.1, .5), common=(.5, 1.))
# a table of all of COCO's ten figures would be wider than a terminal
TABLE_FIGURES = 6


@METRICS.register_module()
class PoseRarityMetric(MetricWrapper):
    r"""A metric on rare, middle and common poses, and its error's slope.

    The wrapped metric is computed on all samples, under its own names, and
    again on the people of each bin of training density, as
    ``'rare/coco/AP'``. The density of the training poses (``python -m
    mmpose_wloss density fit``) at the true joints says how common a person's
    pose is. Quantiles of the training poses' own log density bound the bins,
    so a bin holds the given share of these, not of the evaluated ones. A bin
    without people has ``people`` 0 and no other figure.

    Beside the wrapped figures there are ``'people'``, their number, and
    ``'error'``, the mean over people of

    .. math::
        e = \frac{100}{l} \cdot \frac{1}{|V|} \sum_{k \in V}
        \lVert \hat p_k - p_k \rVert

    over the visible joints V, with the longer side l of the true box: percent
    of the box. Where a 3D metric is wrapped (``MPJPE``), it is the person's
    own MPJPE with the metric's alignment, in the data set's unit. The
    least-squares line of e over log density has the ``'slope'``, with the 95 %
    bootstrap interval ``'slope_low'`` to ``'slope_high'``. Below 0, rare poses
    are worse. ``'without_density'`` counts people with too few visible joints
    for a density, who belong to all but to no bin.

    A table goes to the log, and a picture to the current visualizer, with the
    epoch as its step (the iteration, where a training does not count epochs).

    Args:
        file (str): File of the pose density of the training poses.
        metric (dict | BaseMetric | Sequence): As in :class:`MetricWrapper`;
            the errors are those of the first.
        bins (dict, optional): From and up to which share of the training poses
            each bin goes, from the rarest, in [0, 1]; by default the rare
            tenth, the common half, and the middle.
        group_by (str, optional): A key of the annotations (``raw_ann_info``).
            Its values get their own figures, as ``'pose_class=lying/coco/AP'``.
        resamples (int): Resamples of the images for an interval, at least 1.
        seed (int): Seed of the resamples.
        **kwargs: ``collect_device``, ``prefix`` and ``collect_dir``.

    Raises:
        MissingFile: If there is no such file.
        UserError: If an argument is out of its range, the joints are not
            those of the density, samples have no truth or several people, or
            annotations lack ``group_by``.
    """

    source = 'python -m mmpose_wloss density fit CONFIG'
    file_keys = ('file', )

    def __init__(self,
                 file: str,
                 metric: dict | BaseMetric | Sequence,
                 bins: dict[str, Sequence[float]] | None = None,
                 group_by: str | None = None,
                 resamples: int = 1000,
                 seed: int = 0,
                 **kwargs) -> None:
        super().__init__(metric, **kwargs)
        checks.whole(1, resamples=resamples)
        self.artifact = PoseDensityArtifact.load(file)
        self.labels, self.bounds = {'': 'all'}, {}
        trained = self.artifact.held_out
        for name, shares in (BINS if bins is None else bins).items():
            checks.interval(0, 1, **{f'bin {name}': shares})
            low, high = shares
            self.labels[name] = f'{name} ({100 * low:g}–{100 * high:g} %)'
            # what is rarer than all training poses is rare, too
            self.bounds[name] = (
                np.nanquantile(trained, low) if low > 0 else -np.inf,
                np.nanquantile(trained, high) if high < 1 else np.inf)
        self.group_by = group_by
        self.resamples = resamples
        self.seed = seed
        self._scored: tuple[list, np.ndarray] | None = None
        self._spatial = hasattr(self.metrics[0], 'ALIGNMENT')
        # meters or millimeters: as the data set's
        self._unit = (self.metrics[0].mode.upper() if self._spatial else
                      '% of the box')

    @MetricWrapper.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Meta information of the data set."""
        self.artifact.check_joints(
            joint_names(dataset_meta),
            f'the evaluated data set {dataset_meta["dataset_name"]}')
        MetricWrapper.dataset_meta.fset(self, dataset_meta)

    def describe(self, sample: dict) -> dict:
        """Pose, error and group of a person.

        Of a lifter, true 2D joints serve in the meta information.
        """
        keypoints, visible = _true_pose(sample)
        annotation = sample.get('raw_ann_info') or {}
        if self.group_by is not None and self.group_by not in annotation:
            raise UserError(
                f'group_by={self.group_by!r} is not in raw_ann_info of sample '
                f'{sample.get("id")}, which has {", ".join(annotation)}')
        identity = annotation.get('id', sample.get('id'))
        box = sample['gt_instances'].get('bboxes', [None])[0]
        height, width = sample.get('ori_shape', (0, 0))[:2]
        return dict(
            annotation=identity, group=str(annotation.get(self.group_by)),
            # people without an image's name stand for themselves
            image=str(sample.get('img_id', f'id {identity}')),
            keypoints=keypoints, visible=visible, box=box,
            image_size=(width, height) if width else None,
            error=None if self._spatial else self._error_2d(
                sample, keypoints, visible, box),
            network=sample.get('predicted_with'))

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics by name, write the table, draw the picture."""
        # the metric may leave some out
        people = [record for record in results if record['kept'][0]]
        if not people:
            raise UserError('PoseRarityMetric has no person to evaluate')
        errors = np.array([
            self._error_3d(person['kept'][0]) if self._spatial else
            person['error'] for person in people])
        images, groups = (np.array([person[key] for person in people])
                          for key in ('image', 'group'))
        log_density = self._log_density(people)
        parts = {'': np.ones(len(people), bool)}
        parts |= {name: (log_density >= low) & (log_density < high)
                  for name, (low, high) in self.bounds.items()}
        if self.group_by is not None:
            parts |= {f'{self.group_by}={value}': groups == value
                      for value in np.unique(groups)}

        figures, intervals, columns = {}, {}, []
        for part, chosen in parts.items():
            inside = [people[index] for index in np.flatnonzero(chosen)]
            computed = self.figures(inside, part, {
                person['annotation'] for person in inside} if part else None)
            for metric, one in zip(self.metrics, computed, strict=True):
                figures |= one
                columns += () if part else _columns(metric, one)
            before = f'{part}/' if part else ''
            figures[f'{before}people'] = len(inside)
            known = chosen & np.isfinite(errors)
            intervals[part] = mean_with_interval(
                errors[known], images[known], self.resamples, self.seed)
            if intervals[part] is not None:
                figures[f'{before}error'] = intervals[part].value
        figures['without_density'] = int(np.isnan(log_density).sum())
        known = np.isfinite(log_density) & np.isfinite(errors)
        points = log_density[known], errors[known]
        line = fit_error_line(*points, images[known], self.resamples, self.seed)
        if line is not None:
            figures |= {f'slope{name}': value for name, value in zip(
                ('', '_low', '_high'), line.slope, strict=True)
                if value is not None}

        network = people[0]['network']
        title = 'Rare and common poses' + (
            f' of the network {network}' if network else '')
        print_log(f'{title}, with 95 % intervals over images:\n' +
                  self._table(columns, figures, intervals, line), 'current')
        visualizer = current_visualizer()
        if visualizer is not None:
            # Matplotlib, at the first picture only
            from ...visualization import rare_poses

            figure = rare_poses.draw_error_over_density(
                *points, {name: (*bounds, intervals[name])
                          for name, bounds in self.bounds.items()},
                line, title, self._unit)
            name = '_'.join(filter(
                None, (self.prefix, 'pose_rarity', network)))
            visualizer.add_image(re.sub(r'[^\w.=-]+', '_', name),
                                 rare_poses.figure_to_image(figure), _step())
        return figures

    def _log_density(self, people: list[dict]) -> np.ndarray:
        poses = []
        for key in ('keypoints', 'visible', 'box', 'image_size'):
            values = [person[key] for person in people]
            poses.append(None if any(value is None for value in values) else
                         np.array(values))
        # the next validation evaluates the same people
        if self._scored is None or not all(
                map(np.array_equal, self._scored[0], poses)):
            keypoints, visible, boxes, sizes = poses
            self._scored = poses, np.asarray(self.artifact.score(
                keypoints, visible, boxes=boxes, image_sizes=sizes))
        return self._scored[1]

    def _table(self, columns: list[str], figures: dict,
               intervals: dict[str, Interval | None], line: ErrorLine | None
               ) -> str:
        cells = [['poses', 'people', f'error ({self._unit})', *columns]]
        for part, error in intervals.items():
            before = f'{part}/' if part else ''
            cells.append([
                self.labels.get(part, part), str(figures[f'{before}people']),
                '–' if error is None else _written(error),
                *(format(figures[before + name], '.3f')
                  if before + name in figures else '–' for name in columns)])
        if figures['without_density']:
            cells.append(['without density', str(figures['without_density']),
                          *['–'] * (1 + len(columns))])
        return (f'{markdown_table(cells)}\n'
                'slope of the error over log density: ' +
                ('none, too few people' if line is None else
                 f'{_written(line.slope)} {self._unit} per unit'))

    def _error_3d(self, kept: list) -> float:
        metric = self.metrics[0]
        errors = [keypoint_mpjpe(
            one['pred_coords'], one['gt_coords'], one['mask'],
            metric.ALIGNMENT[metric.mode]) for one in kept if one['mask'].any()]
        return float(np.mean(errors)) if errors else np.nan

    def _error_2d(self, sample: dict, keypoints: np.ndarray,
                  visible: np.ndarray, box: np.ndarray) -> float:
        def converted(key: str, values: np.ndarray) -> np.ndarray:
            """Joints in the order that CocoMetric converts to."""
            converter = getattr(self.metrics[0], key, None)
            return values if converter is None else transform_pred(
                dict(keypoints=values[None],
                     keypoint_scores=values[None, :, 0]),
                **converter)['keypoints'][0]

        predicted = np.asarray(sample['pred_instances']['keypoints'])[0, :, :2]
        distances = np.linalg.norm(
            converted('pred_converter', predicted)
            - converted('gt_converter', keypoints), axis=1)
        counts = converted('gt_converter', visible[:, None])[:, 0] > 0
        return (100 * distances[counts].mean() / (box[2:] - box[:2]).max()
                if counts.any() else np.nan)


def _columns(metric: BaseMetric, figures: dict[str, float]) -> list[str]:
    """The measured figures with the shortest names, which say most."""
    measured = [name for name, value in figures.items()
                if not is_missing(metric, value)]
    shortest = sorted(measured, key=len)[:TABLE_FIGURES]
    return [name for name in measured if name in shortest]


def _true_pose(sample: dict) -> tuple[np.ndarray, np.ndarray]:
    """True 2D joints [K, 2] of a sample, and which are visible [K]."""
    truth, annotation = sample['gt_instances'], sample.get('raw_ann_info')
    keypoints = truth.get('keypoints', sample.get('keypoints'))
    visible = truth.get('keypoints_visible', sample.get('keypoints_visible'))
    where = f'PoseRarityMetric needs one true 2D pose and one prediction in ' \
            f'each sample, but sample {sample.get("id")} has '
    if keypoints is None or visible is None:
        raise UserError(
            f'{where}no true 2D joints. For a lifter, add keypoints and '
            "keypoints_visible to meta_keys of the validation pipeline's "
            'PackPoseInputs')
    keypoints = np.asarray(keypoints, np.float64)[..., :2]
    visible = np.asarray(visible)
    predicted = len(sample['pred_instances']['keypoints'])
    if isinstance(annotation, list) or len(keypoints) != 1 or predicted != 1:
        raise UserError(
            f'{where}{len(keypoints)} true and {predicted} predicted poses. '
            'Lift single frames (seq_len=1); evaluate bottom-up models with '
            'the metric itself')
    if annotation is None and not keypoints.any():
        raise UserError(
            f'{where}a detected box without true joints. Evaluate on the '
            'annotated boxes: bbox_file=None in the data set')
    return keypoints[0], visible.reshape(*visible.shape[:2], -1)[0, :, 0] > 0


def _step() -> int:
    """The epoch, or the iteration where a training does not count epochs."""
    info = MessageHub.get_current_instance().runtime_info
    if info.get('max_epochs', 1) > 1:
        return info['epoch'] + 1
    return info['iter'] + 1 if 'iter' in info else 0


def _written(value: Interval) -> str:
    """Three digits of the largest number."""
    largest = max(abs(number) for number in value if number is not None) or 1.
    return format(value, f'.{max(0, 2 - math.floor(math.log10(largest)))}f')
