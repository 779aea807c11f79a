import copy

import numpy as np
from mmengine.logging import MessageHub
from mmpose.evaluation.metrics import CocoMetric, CocoWholeBodyMetric
from mmpose.registry import METRICS

from ...common import checks
from ...common.errors import UserError
from ...compat.xtcocotools.cocoeval import PARTS
from ..functional.coco_annotations import copied_annotations, read_annotations
from ..functional.vectorized_coco_eval import VectorizedCOCOeval

FIGURES = dict(
    keypoints=('AP', 'AP .5', 'AP .75', 'AP (M)', 'AP (L)', 'AR', 'AR .5',
               'AR .75', 'AR (M)', 'AR (L)'),
    keypoints_crowd=('AP', 'AP .5', 'AP .75', 'AR', 'AR .5', 'AR .75',
                     'AP(E)', 'AP(M)', 'AP(H)'))


@METRICS.register_module()
class FastCocoMetric(CocoMetric):
    """``CocoMetric`` with the same figures, to the last digit, in less time.

    It computes them by :class:`VectorizedCOCOeval`, hands results on in memory
    unless ``outfile_prefix`` asks for a file, and reads an annotation file once for
    all metrics of a process, such as those of :class:`NetworksEvaluator`. It needs
    nothing but NumPy.

    Args:
        ann_file (str, optional): As in ``CocoMetric``.
        iou_type (str): ``'keypoints'``, or ``'keypoints_crowd'`` for CrowdPose.
        **kwargs: The other arguments of ``CocoMetric``.

    Raises:
        UserError: If ``iou_type`` is another or the file has no annotations; in an
            evaluation, if coordinates are not numbers or joints do not fit.
    """

    def __init__(self, ann_file: str | None = None, *,
                 iou_type: str = 'keypoints', **kwargs) -> None:
        checks.one_of(FIGURES, iou_type=iou_type)
        super().__init__(iou_type=iou_type, **kwargs)
        self.ann_file = ann_file
        if ann_file is not None:
            self.coco = read_annotations(ann_file)
            if not self.format_only and 'annotations' not in self.coco.dataset:
                raise UserError(f'{ann_file} has no annotations to evaluate against: '
                                'set format_only=True to write results alone')

    @CocoMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """Meta information of the data set, which may know an annotation file."""
        if self.coco is None:
            file = MessageHub.get_current_instance().get_info(
                f'{dataset_meta["dataset_name"]}_ann_file')
            if file is not None:
                self.coco = read_annotations(file)
        CocoMetric.dataset_meta.fset(self, dataset_meta)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the figures by name."""
        if self.gt_converter is None:
            return super().compute_metrics(results)
        # the stock metric converts annotations in place, and again the next time
        shared = self.coco
        self.coco = None if shared is None else copied_annotations(shared)
        try:
            return super().compute_metrics(results)
        finally:
            self.coco = shared

    def results2json(self, keypoints: dict[int, list], outfile_prefix: str) -> None:
        """Keep results for the evaluation, or write their file if it is asked for."""
        if self.outfile_prefix is not None:
            super().results2json(keypoints, outfile_prefix)
            self._found = f'{outfile_prefix}.keypoints.json'
        else:
            self._found = [self._result(one) for of_image in keypoints.values()
                           for one in of_image]

    def _result(self, instance: dict) -> dict:
        # which stock data sets hold as an array
        category = int(instance['category_id'])
        result = dict(image_id=instance['img_id'], category_id=category,
                      keypoints=instance['keypoints'].ravel().tolist(),
                      score=float(instance['score']))
        if 'bbox' in instance:
            result['bbox'] = instance['bbox'].tolist()
        return result

    def _parts(self) -> list[tuple[str, np.ndarray]]:
        """Types of evaluation with their sigmas; the last one's figures count."""
        return [(self.iou_type, self.dataset_meta['sigmas'])]

    def _do_python_keypoint_eval(self, outfile_prefix: str
                                 ) -> list[tuple[str, float]]:
        coco = copy.copy(self.coco)
        # loading results adds them here, where they would stay
        coco.anno_file = list(coco.anno_file)
        found = coco.loadRes(self._found)
        del self._found
        for iou_type, sigmas in self._parts():
            evaluation = VectorizedCOCOeval(coco, found, iou_type, sigmas,
                                            self.use_area)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return list(zip(FIGURES[self.iou_type], evaluation.stats, strict=True))


@METRICS.register_module()
class FastCocoWholeBodyMetric(FastCocoMetric, CocoWholeBodyMetric):
    """``CocoWholeBodyMetric`` with the same figures, as :class:`FastCocoMetric`."""

    def _result(self, instance: dict) -> dict:
        # the stock metric hands on neither boxes nor categories
        parts = np.split(instance['keypoints'].ravel(), 3 * self._cuts())
        return dict(image_id=instance['img_id'], category_id=1,
                    score=float(instance['score']),
                    **{name: part.tolist() for name, part in zip(
                        PARTS['keypoints_wholebody'], parts, strict=True)})

    def _parts(self) -> list[tuple[str, np.ndarray]]:
        sigmas = self.dataset_meta['sigmas']
        return [*zip(('keypoints_body', 'keypoints_foot', 'keypoints_face',
                      'keypoints_lefthand', 'keypoints_righthand'),
                     np.split(sigmas, self._cuts()), strict=True),
                ('keypoints_wholebody', sigmas)]

    def _cuts(self) -> np.ndarray:
        """Where the feet, the face and both hands begin."""
        return np.cumsum([self.body_num, self.foot_num, self.face_num,
                          self.left_hand_num])
