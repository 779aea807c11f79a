"""AP by object keypoint similarity, for the whole body and parts of it."""

import contextlib
import io
import itertools
import warnings
from collections import defaultdict

import numpy as np
from pycocotools import cocoeval

# the keypoints of an annotation, by the type of evaluation
PARTS = {
    'keypoints_wholebody': ('keypoints', 'foot_kpts', 'face_kpts',
                            'lefthand_kpts', 'righthand_kpts'),
    'keypoints_foot': ('foot_kpts', ),
    'keypoints_face': ('face_kpts', ),
    'keypoints_lefthand': ('lefthand_kpts', ),
    'keypoints_righthand': ('righthand_kpts', ),
}
# how crowded an image is, from which it counts as medium and as hard: Li et
# al., CrowdPose, CVPR 2019
CROWDED = (0.2, 0.8)
# a body's part of its box, where areas are not annotated
AREA_OF_BOX = 0.53


class COCOeval(cocoeval.COCOeval):
    """Evaluates keypoints of any number and of parts of the body.

    It evaluates copies of the annotations in which the keypoints, scores,
    areas and flags of this type of evaluation stand where pycocotools looks.

    Args:
        cocoGt, cocoDt (COCO, optional): The annotations and the results.
        iouType (str): ``'bbox'``, ``'segm'``, ``'keypoints'``,
            ``'keypoints_crowd'`` or a key of ``PARTS``.
        sigmas (np.ndarray, optional): In shape [K]. ``None``: COCO's 17.
        use_area (bool): Whether annotations have an ``area``; else 0.53 of
            their box takes its place.
    """

    def __init__(self, cocoGt=None, cocoDt=None, iouType: str = 'keypoints',
                 sigmas: np.ndarray | None = None, use_area: bool = True):
        self.keypoints_type = iouType if 'keypoints' in iouType else None
        super().__init__(cocoGt, cocoDt,
                         'keypoints' if self.keypoints_type else iouType)
        if sigmas is not None and self.keypoints_type:
            self.params.kpt_oks_sigmas = np.asarray(sigmas)
        self.use_area = use_area
        if cocoGt is not None:
            self.anno_file = cocoGt.anno_file

    def _prepare(self) -> None:
        if self.keypoints_type:
            annotations, results = (
                coco.loadAnns(coco.getAnnIds(
                    imgIds=self.params.imgIds, catIds=self.params.catIds
                    if self.params.useCats else []))
                for coco in (self.cocoGt, self.cocoDt))
            results = [self._result(dt) for dt in results]
            self._dts = _by_image([dt for dt in results if _labeled(dt)])
        else:
            super()._prepare()
            annotations = [gt for its in self._gts.values() for gt in its]
        # pycocotools takes a match with the number 0 for none
        shift = max(0, 1 - min((gt['id'] for gt in annotations), default=1))
        self._gts = _by_image([self._annotation(gt, shift) for gt in annotations])
        self.evalImgs, self.eval = [], {}

    def _keypoints(self, annotation: dict) -> list:
        parts = PARTS.get(self.keypoints_type)
        if parts is None:
            return annotation['keypoints']
        return list(itertools.chain.from_iterable(annotation[part] for part in parts))

    def _annotation(self, gt: dict, shift: int) -> dict:
        gt = dict(gt, id=gt['id'] + shift)
        if self.keypoints_type:
            gt['keypoints'] = self._keypoints(gt)
            # CrowdPose counts joints that can be seen alone
            visible = (gt['num_keypoints'] if self.keypoints_type ==
                       'keypoints_crowd' else _labeled(gt))
            gt['ignore'] = not visible or bool(gt.get('iscrowd'))
            if self.use_area and 'area' not in gt:
                raise ValueError(f'annotation {gt["id"] - shift} has no area: '
                                 'evaluate with use_area=False')
        if not self.use_area or 'area' not in gt:
            gt['area'] = gt['bbox'][2] * gt['bbox'][3] * AREA_OF_BOX
        return gt

    def _result(self, dt: dict) -> dict:
        dt = dict(dt, keypoints=self._keypoints(dt))
        if self.keypoints_type in PARTS:
            score = f'{self.keypoints_type.removeprefix("keypoints_")}_score'
            if score in dt:
                dt['score'] = dt[score]
            else:
                warnings.warn(f'{score!r} not found, use score instead.',
                              stacklevel=2)
        return dt

    def summarize(self) -> None:
        """Print and keep the figures in ``stats``.

        Those of COCO; for CrowdPose AP, AP50, AP75, AR, AR50, AR75, and AP of
        easy, medium and hard images.
        """
        if self.keypoints_type != 'keypoints_crowd':
            super().summarize()
            return
        precision, recall = (self.eval[name] for name in ('precision', 'recall'))
        self.stats = np.array([
            _mean(values[..., 0, :] if threshold is None else
                  values[self.params.iouThrs == threshold, ..., 0, :])
            for values in (precision, recall) for threshold in (None, .5, .75)
        ] + self._by_crowding())
        for name, value in zip(
                ('AP', 'AP50', 'AP75', 'AR', 'AR50', 'AR75', 'AP easy',
                 'AP medium', 'AP hard'), self.stats, strict=True):
            print(f' {name:<9} = {value: 0.3f}')

    def _by_crowding(self) -> list[float]:
        images = self.cocoGt.dataset['images']
        level = np.digitize([image['crowdIndex'] for image in images], CROWDED)
        figures = []
        for part in range(len(CROWDED) + 1):
            self.params.imgIds = [
                image['id'] for image, its in zip(images, level, strict=True)
                if its == part]
            with contextlib.redirect_stdout(io.StringIO()):
                self.evaluate()
                self.accumulate()
            # images without people count as -1, as CrowdPose's own code has it
            figures.append(round(
                self.eval['precision'][:, :, :, 0, :].mean(), 4))
        return figures


def _by_image(annotations: list[dict]) -> defaultdict:
    groups = defaultdict(list)
    for annotation in annotations:
        groups[annotation['image_id'], annotation['category_id']].append(
            annotation)
    return groups


def _labeled(annotation: dict) -> bool:
    return any(flag > 0 for flag in annotation['keypoints'][2::3])


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.
