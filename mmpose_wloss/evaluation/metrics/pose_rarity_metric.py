import math
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub, print_log
from mmpose.evaluation.functional import keypoint_mpjpe, transform_pred
from mmpose.registry import METRICS

from ...common import checks
from ...common.errors import UserError
from ...compat.private_api import current_visualizer, picture_folders
from ...datasets.poses import joint_names
from ...pose_density import PoseDensityArtefact
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


class _Part(NamedTuple):
    """All people, a bin or a group."""
    label: str
    chosen: np.ndarray  # which people, in shape [N]
    low: float = -np.inf  # log density
    high: float = np.inf


@METRICS.register_module()
class PoseRarityMetric(MetricWrapper):
    r"""A metric on rare, middle and common poses, and its error's slope.

    The wrapped metric is computed on all samples, under its own names, and
    again on the people of each bin of training density, as
    ``'rare/coco/AP'``. How common a person's pose is says the file of a
    density that was fitted to the training poses (``python -m mmpose_wloss
    density fit``), at the person's true joints. The bounds of the bins are
    quantiles of the training poses' own log density, so a bin holds the given
    share of the training poses, not of the evaluated ones.

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
        metric (dict | BaseMetric | Sequence): As in :class:`MetricWrapper`;
            the errors are those of the first.
        bins (dict, optional): For each bin, from and up to which share of the
            training poses it goes, counted from the rarest, in [0, 1].
            Defaults to the rare tenth, the common half, and the middle.
        group_by (str, optional): A key of the annotations
            (``raw_ann_info``). Each of its values gets its own figures, as
            ``'pose_class=lying/coco/AP'``.
        resamples (int): How many resamples of the images an interval is
            computed from, at least 1.
        seed (int): Seed of the resamples.
        **kwargs: ``collect_device``, ``prefix`` and ``collect_dir``.

    Raises:
        MissingFile: If there is no such file.
        UserError: If an argument is out of its range, the joints are not
            those of the density, samples have no truth or several people, an
            annotation lacks ``group_by``, or the metric cannot be computed on
            a part of the samples.

    Example:
        >>> val_evaluator = dict(
        ...     type='PoseRarityMetric',
        ...     file='work_dirs/pose_density/coco.npz',
        ...     metric=dict(type='CocoMetric', ann_file='val.json'))
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
        self.bins = BINS if bins is None else bins
        for name, shares in self.bins.items():
            if not re.fullmatch(r'[^\s/=]+', str(name)):
                raise UserError("a bin's name must have neither spaces nor / "
                                f'nor =, but one is {name!r}')
            checks.interval(0, 1, **{f'bin {name}': shares})
        self.artefact = PoseDensityArtefact.load(file)
        self.group_by = group_by
        self.resamples = resamples
        self.seed = seed
        self._scored: tuple[list, np.ndarray] | None = None

    @MetricWrapper.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Meta information of the data set."""
        self.artefact.check_joints(
            joint_names(dataset_meta),
            f'the evaluated data set {dataset_meta["dataset_name"]}')
        MetricWrapper.dataset_meta.fset(self, dataset_meta)

    def describe(self, sample: dict) -> dict:
        """Pose, error and group of a person.

        Args:
            sample (dict): A sample of one person with the true 2D joints and
                the box in pixels of the image: ``gt_instances.keypoints``,
                ``.keypoints_visible`` and ``.bboxes``. A lifter's samples
                have none; there, ``keypoints`` and ``keypoints_visible`` in
                the meta information serve.
        """
        keypoints, visible = _true_pose(sample)
        annotation = sample.get('raw_ann_info') or {}
        group = None
        if self.group_by is not None:
            if self.group_by not in annotation:
                raise UserError(
                    f'group_by={self.group_by!r} is not in the annotation of '
                    f'sample {sample.get("id")}, which has '
                    f'{", ".join(annotation) or "no raw_ann_info"}')
            group = str(annotation[self.group_by])
        identity = annotation.get('id', sample.get('id'))
        box = sample['gt_instances'].get('bboxes', [None])[0]
        height, width = sample.get('ori_shape', (0, 0))[:2]
        return dict(
            annotation=identity, group=group,
            error=None if self._spatial else self._error_2d(
                sample, keypoints, visible, box),
            # people without an image's name stand for themselves
            image=str(sample.get('img_id', f'id {identity}')),
            keypoints=keypoints, visible=visible, box=box,
            image_size=(width, height) if width else None,
            network=sample.get('predicted_with'))

    @property
    def _spatial(self) -> bool:
        return hasattr(self.metrics[0], 'ALIGNMENT')

    def _error_3d(self, kept: list) -> float:
        metric = self.metrics[0]
        errors = [keypoint_mpjpe(one['pred_coords'], one['gt_coords'],
                                 one['mask'], metric.ALIGNMENT[metric.mode])
                  for one in kept if one['mask'].any()]
        return float(np.mean(errors)) if errors else np.nan

    def _error_2d(self, sample: dict, keypoints: np.ndarray,
                  visible: np.ndarray, box: np.ndarray) -> float:
        def convert(key: str, values: np.ndarray) -> np.ndarray:
            """Joints in the order that CocoMetric converts to."""
            converter = getattr(self.metrics[0], key, None)
            return values if converter is None else transform_pred(
                dict(keypoints=values[None], keypoint_scores=values[None, :, 0]),
                **converter)['keypoints'][0]

        predicted = np.asarray(sample['pred_instances']['keypoints'])
        distances = np.linalg.norm(
            convert('pred_converter', predicted[0, :, :2])
            - convert('gt_converter', keypoints), axis=1)
        counts = convert('gt_converter', visible[:, None])[:, 0] > 0
        if not counts.any():
            return np.nan
        return float(100 * distances[counts].mean()
                     / max(box[2] - box[0], box[3] - box[1]))

    def compute_metrics(self, results: list) -> dict:
        """Compute the metrics, write the table and draw the picture.

        Args:
            results (list): The people of all processes.

        Returns:
            dict: The metrics by name.
        """
        # the metric may leave some out
        people = [record for record in results if record['kept'][0]]
        if not people:
            raise UserError('PoseRarityMetric has no person to evaluate: the '
                            'data set is empty, or its metric left out all')
        log_density = self._log_density(people)
        errors = np.array([
            self._error_3d(person['kept'][0]) if self._spatial else
            person['error'] for person in people])
        images = np.array([person['image'] for person in people])
        parts = self._parts(people, log_density)

        figures, intervals, columns = {}, {}, []
        for part, (_, chosen, *_) in parts.items():
            before = f'{part}/' if part else ''
            inside = [people[index] for index in np.flatnonzero(chosen)]
            for metric, computed in zip(self.metrics, self.figures(
                    inside, part, {person['annotation'] for person in inside}
                    if part else None), strict=True):
                figures |= computed
                if not part:
                    columns += _columns(metric, computed)
            figures[f'{before}people'] = len(inside)
            known = chosen & np.isfinite(errors)
            intervals[part] = mean_with_interval(
                errors[known], images[known], self.resamples, self.seed)
            if intervals[part] is not None:
                figures[f'{before}error'] = intervals[part].value
        figures['without_density'] = int(np.isnan(log_density).sum())
        known = np.isfinite(log_density) & np.isfinite(errors)
        line = fit_error_line(log_density[known], errors[known], images[known],
                              self.resamples, self.seed)
        if line is not None:
            figures |= {name: value for name, value in zip(
                ('slope', 'slope_low', 'slope_high'), line.slope, strict=True)
                if value is not None}

        network = people[0]['network']
        title = 'Rare and common poses' + (
            f' of the network {network}' if network else '')
        print_log(f'{title}, with 95 % intervals over images:\n' +
                  self._table(columns, figures, parts, intervals, line),
                  logger='current')
        self._draw(log_density[known], errors[known], parts, intervals, line,
                   title, network)
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
            self._scored = poses, np.asarray(self.artefact.score(
                keypoints, visible, boxes=boxes, image_sizes=sizes))
        return self._scored[1]

    def _parts(self, people: list[dict], log_density: np.ndarray
               ) -> dict[str, _Part]:
        """All people, those of each bin and those of each group, by name."""
        parts = {'': _Part('all', np.ones(len(people), bool))}
        trained = self.artefact.held_out
        for name, (low, high) in self.bins.items():
            # what is rarer than all training poses is rare, too
            bounds = (np.nanquantile(trained, low) if low > 0 else -np.inf,
                      np.nanquantile(trained, high) if high < 1 else np.inf)
            parts[name] = _Part(
                f'{name} ({100 * low:g}–{100 * high:g} %)',
                (log_density >= bounds[0]) & (log_density < bounds[1]),
                *bounds)
        groups = np.array([person['group'] for person in people])
        for value in np.unique(groups) if self.group_by else ():
            name = f'{self.group_by}={value}'
            parts[name] = _Part(name, groups == value)
        return parts

    @property
    def _unit(self) -> str:
        # meters or millimeters: as the data set's
        return (self.metrics[0].mode.upper() if self._spatial else
                '% of the box')

    def _table(self, columns: list[str], figures: dict,
               parts: dict[str, _Part], intervals: dict[str, Interval | None],
               line: ErrorLine | None) -> str:
        cells = [['poses', 'people', f'error ({self._unit})', *columns]]
        for name, part in parts.items():
            before = f'{name}/' if name else ''
            error = intervals[name]
            cells.append([
                part.label, f'{figures[f"{before}people"]}',
                '–' if error is None else _written(error),
                *(f'{figures[before + column]:.3f}'
                  if before + column in figures else '–'
                  for column in columns)])
        if figures['without_density']:
            cells.append(['without density', f'{figures["without_density"]}',
                          *['–'] * (1 + len(columns))])
        return markdown_table(cells) + (
            '\nslope of the error over log density: ' +
            ('none, too few people' if line is None else
             f'{_written(line.slope)} {self._unit} per unit'))

    def _draw(self, log_density: np.ndarray, errors: np.ndarray,
              parts: dict[str, _Part], intervals: dict[str, Interval | None],
              line: ErrorLine | None, title: str, network: str | None) -> None:
        visualizer = current_visualizer()
        if visualizer is None:
            return
        # Matplotlib, at the first picture only
        from ...visualization.rare_poses import (
            DensityBin,
            DrawnLine,
            draw_error_over_density,
            figure_to_image,
        )
        drawn = None
        if line is not None:
            grid = np.linspace(log_density.min(), log_density.max(), 200)
            drawn = DrawnLine(f'slope {line.slope:.3g} per unit', grid,
                              line.at(grid), line.band(grid))
        figure = draw_error_over_density(
            log_density, errors,
            [DensityBin(name, parts[name].low, parts[name].high,
                        intervals[name]) for name in self.bins],
            drawn, title, self._unit)
        name = re.sub(r'[^\w.=-]+', '_', '_'.join(
            filter(None, (self.prefix, 'pose_rarity', network))))
        step = _step()
        visualizer.add_image(name, figure_to_image(figure), step)
        for folder in picture_folders(visualizer):
            path = os.path.relpath(f'{folder}/{name}_{step}.png')
            print_log(f'The picture of it is in {path}', logger='current')


def _columns(metric: BaseMetric, figures: dict[str, float]) -> list[str]:
    """The figures of all people with the shortest names, which say most."""
    measured = [name for name, value in figures.items()
                if not is_missing(metric, value)]
    shortest = sorted(measured, key=len)[:TABLE_FIGURES]
    return [name for name in measured if name in shortest]


def _true_pose(sample: dict) -> tuple[np.ndarray, np.ndarray]:
    """True 2D joints [K, 2] of a sample, and which are visible [K]."""
    truth, annotation = sample['gt_instances'], sample.get('raw_ann_info')
    keypoints = truth.get('keypoints', sample.get('keypoints'))
    visible = truth.get('keypoints_visible', sample.get('keypoints_visible'))
    if keypoints is None or visible is None:
        raise UserError(
            f'sample {sample.get("id")} has no true 2D joints, whose density '
            'PoseRarityMetric needs. For a lifter, add keypoints and '
            "keypoints_visible to meta_keys of the validation pipeline's "
            'PackPoseInputs')
    keypoints = np.asarray(keypoints, np.float64)[..., :2]
    visible = np.asarray(visible)
    predicted = len(sample['pred_instances']['keypoints'])
    if isinstance(annotation, list) or len(keypoints) != 1 or predicted != 1:
        raise UserError(
            'PoseRarityMetric needs samples of one person with one predicted '
            f'pose, but sample {sample.get("id")} has {len(keypoints)} true '
            f'and {predicted} predicted poses. Lift single frames (seq_len=1);'
            ' evaluate bottom-up models with the metric itself')
    if annotation is None and not keypoints.any():
        raise UserError(
            f'sample {sample.get("id")} has all its joints at 0 and no '
            "annotation: a detector's boxes have no true pose, whose density "
            'PoseRarityMetric needs. Evaluate on the annotated boxes: '
            'bbox_file=None in the data set')
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
    decimals = max(0, 2 - math.floor(math.log10(largest)))
    return f'{value:.{decimals}f}'
