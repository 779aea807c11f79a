"""COCO's AP and AR of keypoints, computed on arrays of all people."""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

import numpy as np

from ...common.errors import UserError
from ...compat.xtcocotools.cocoeval import COCOeval

# floating-point numbers that fit into the caches of a processor
CHUNK = 1 << 18


class VectorizedCOCOeval(COCOeval):
    r"""``COCOeval`` of keypoints without loops over people.

    Its figures equal those of ``xtcocotools`` and of ``pycocotools`` to the last
    digit: similarities are the same sums in the same order,

    .. math::
        \mathrm{OKS} = \frac{1}{|V|} \sum_{k \in V} \exp\left(
        -\frac{\lVert \hat p_k - p_k \rVert^2}{2 s^2 (2 \sigma_k)^2}\right)

    over the labeled joints V of a person of area :math:`s^2`, and predictions
    choose their people by the same rules. All predictions of one rank in their
    images choose at once, for all thresholds and ranges of area.

    Args:
        cocoGt, cocoDt (COCO, optional): The annotations and the results.
        iouType (str): ``'keypoints'``, ``'keypoints_crowd'`` or that of a part of
            the body, as in ``xtcocotools``.
        sigmas (np.ndarray, optional): In shape [K]. ``None``: COCO's 17.
        use_area (bool): Whether annotations have an ``area``; else 0.53 of
            their box takes its place.

    Raises:
        UserError: By :meth:`evaluate`, if categories are not told apart, numbers of
            joints differ, or coordinates are not numbers.
    """

    def evaluate(self) -> None:
        """Match the predictions of the images and categories in ``params``."""
        p = self.params
        if not (self.keypoints_type and p.useCats):
            raise UserError('VectorizedCOCOeval evaluates keypoints by category, not '
                            f'iouType={p.iouType!r} with useCats={p.useCats}')
        p.imgIds, p.catIds = (np.unique(ids).tolist() for ids in (p.imgIds, p.catIds))
        p.maxDets = sorted(p.maxDets)
        self._prepare()
        groups = [(image, category) for category in p.catIds for image in p.imgIds]
        gts, gt_group = _flat(self._gts, groups)
        dts, dt_group = _flat(self._dts, groups)

        scores = np.array([dt['score'] for dt in dts])
        order = np.lexsort((-scores, dt_group))
        rank = np.arange(len(order)) - np.searchsorted(dt_group, dt_group)
        kept = rank < p.maxDets[-1]
        order, self._rank, dt_group = order[kept], rank[kept], dt_group[kept]
        self._scores, dts = scores[order], [dts[index] for index in order]

        # pairs of a prediction and a person of its image, by rank, then by prediction
        ranked = np.argsort(self._rank, kind='stable')
        first, last = (np.searchsorted(gt_group, dt_group[ranked], side)
                       for side in ('left', 'right'))
        counts = last - first
        number = np.repeat(np.arange(len(ranked)), counts)
        gt = np.arange(len(number)) + (first + counts - np.cumsum(counts))[number]
        dt = ranked[number]
        similarity = self._similarity(gts, dts, gt, dt)
        # the most similar one comes last, of equal ones the last person
        order = np.lexsort((similarity, number))
        similarity, gt = similarity[order], gt[order]

        self._ignored_gt = np.array([gt['ignore'] for gt in gts], bool) | (
            _outside(gts, p.areaRng))
        matches = _match(
            similarity, dt, gt,
            np.searchsorted(self._rank[dt], np.arange(p.maxDets[-1] + 1)),
            np.minimum(p.iouThrs, 1 - 1e-10), self._ignored_gt,
            np.array([bool(gt.get('iscrowd')) for gt in gts], bool), len(dts))
        self._matched = matches >= 0
        self._ignored_dt = np.repeat(
            _outside(dts, p.areaRng)[:, None], len(p.iouThrs), 1)
        area, threshold, dt = np.nonzero(self._matched)
        self._ignored_dt[area, threshold, dt] = self._ignored_gt[
            area, matches[area, threshold, dt]]
        images = max(len(p.imgIds), 1)
        self._gt_category, self._dt_category = gt_group // images, dt_group // images

    def _similarity(self, gts: list[dict], dts: list[dict], gt: np.ndarray,
                    dt: np.ndarray) -> np.ndarray:
        """Similarities of pairs of a person and a prediction, in shape [P]."""
        variances = (np.asarray(self.params.kpt_oks_sigmas) * 2)**2
        truth, found = (_points(annotations, len(variances))
                        for annotations in (gts, dts))
        labeled = truth[..., 2] > 0
        counts = np.count_nonzero(labeled, 1)
        area = np.array([each['area'] for each in gts]) + np.spacing(1)
        corner, size = np.split(
            np.array([each['bbox'] for each in gts], float).reshape(-1, 1, 4), 2, 2)
        similarity = np.empty(len(gt))
        for count in np.unique(counts[gt]):
            for part in _chunks(np.flatnonzero(counts[gt] == count), len(variances)):
                person = gt[part]
                if count:
                    # as many in each row, so that rows are summed as one person's
                    joints = np.nonzero(labeled[person])[1].reshape(-1, count)
                    offset = (found[dt[part, None], joints, :2]
                              - truth[person[:, None], joints, :2])
                else:
                    # of nobody's joints: how far out of twice the box
                    joints = np.arange(len(variances))
                    place = found[dt[part], :, :2]
                    low, high = corner - size, corner + size * 2
                    offset = (np.maximum(0, low[person] - place)
                              + np.maximum(0, place - high[person]))
                error = (offset[..., 0]**2 + offset[..., 1]**2) / variances[joints] / (
                    area[person, None]) / 2
                similarity[part] = np.exp(-error).sum(1) / error.shape[1]
        if np.isnan(similarity).any():
            one = dts[dt[np.isnan(similarity).argmax()]]
            raise UserError(
                f'a prediction in image {one["image_id"]}, or a person there, has '
                'coordinates that are not numbers: has the training diverged?')
        return similarity

    def accumulate(self) -> None:
        """Compute precision and recall into ``eval``."""
        p = self.params
        counts = (len(p.iouThrs), len(p.recThrs), len(p.catIds), len(p.areaRng),
                  len(p.maxDets))
        precision, scores = -np.ones(counts), -np.ones(counts)
        recall = -np.ones((counts[0], *counts[2:]))
        for category, area, most in np.ndindex(counts[2:]):
            place = category, area, most
            people = np.count_nonzero(
                ~self._ignored_gt[area, self._gt_category == category])
            if not people:
                continue
            dts = np.flatnonzero((self._dt_category == category)
                                 & (self._rank < p.maxDets[most]))
            dts = dts[np.argsort(-self._scores[dts], kind='stable')]
            matched = self._matched[area][:, dts]
            counted = ~self._ignored_dt[area][:, dts]
            right = np.cumsum(matched & counted, 1, dtype=float)
            wrong = np.cumsum(~matched & counted, 1, dtype=float)
            recalls = right / people
            precisions = right / (wrong + right + np.spacing(1))
            precisions = np.maximum.accumulate(precisions[:, ::-1], 1)[:, ::-1]
            recall[(slice(None), *place)] = recalls[:, -1] if len(dts) else 0
            for threshold, reached in enumerate(recalls):
                index = np.searchsorted(reached, p.recThrs, side='left')
                index = index[index < len(dts)]
                for values, curve in ((precision, precisions[threshold]),
                                      (scores, self._scores[dts])):
                    values[(threshold, slice(None), *place)] = 0
                    values[(threshold, slice(len(index)), *place)] = curve[index]
        self.eval = dict(params=p, counts=list(counts), precision=precision,
                         recall=recall, scores=scores)


def _flat(by_group: dict, groups: list) -> tuple[list[dict], np.ndarray]:
    """Annotations in the order of groups, and the number of each one's group."""
    annotations = [by_group.get(group, ()) for group in groups]
    return list(chain.from_iterable(annotations)), np.repeat(
        np.arange(len(groups)), [len(each) for each in annotations])


def _points(annotations: list[dict], joints: int) -> np.ndarray:
    """Keypoints with their flags, in shape [N, K, 3]."""
    for each in annotations:
        if len(each['keypoints']) != 3 * joints:
            raise UserError(
                f'a person in image {each["image_id"]} has {len(each["keypoints"])} '
                f'numbers in keypoints, but {joints} sigmas ask for {3 * joints}: do '
                'annotations and predictions have the joints of the data set?')
    return np.array([each['keypoints'] for each in annotations], float).reshape(
        -1, joints, 3)


def _chunks(pairs: np.ndarray, joints: int) -> Iterator[np.ndarray]:
    size = max(CHUNK // joints, 1)
    for start in range(0, len(pairs), size):
        yield pairs[start:start + size]


def _outside(annotations: list[dict], ranges: Sequence) -> np.ndarray:
    """Whose area is out of which range, in shape [A, N]."""
    areas = np.array([each['area'] for each in annotations])
    low, high = np.array(ranges, float).T[..., None]
    return (areas < low) | (areas > high)


def _match(similarity: np.ndarray, dt: np.ndarray, gt: np.ndarray, bounds: np.ndarray,
           thresholds: np.ndarray, ignored: np.ndarray, crowd: np.ndarray,
           predictions: int) -> np.ndarray:
    """Whom each prediction finds.

    A prediction takes the most similar person who is free, of those who count if one
    of them is similar enough, and else of the others. A crowd stays free.

    Args:
        similarity, dt, gt (np.ndarray): Of pairs, and the number of the prediction
            and of the person, in shape [P]: by rank, then by prediction, then by
            similarity.
        bounds (np.ndarray): Where the pairs of each rank begin, and where all end.
        thresholds (np.ndarray): In shape [T].
        ignored (np.ndarray): Who does not count in which range of area, in shape
            [A, G].
        crowd (np.ndarray): Who is a crowd, in shape [G].
        predictions (int): D, their number.

    Returns:
        np.ndarray: Number of the person or -1, in shape [A, T, D].
    """
    matches = np.full((len(ignored), len(thresholds), predictions), -1)
    taken = np.zeros((len(ignored), len(thresholds), len(crowd)), bool)
    for start, stop in pairwise(bounds):
        if start == stop:
            continue
        person, place = gt[start:stop], np.arange(stop - start)
        free = ~taken[..., person] & (similarity[start:stop] >= thresholds[:, None])
        value = place + len(place) * ~ignored[:, None, person]
        begins = np.flatnonzero(np.diff(dt[start:stop], prepend=-1))
        best = np.maximum.reduceat(np.where(free, value, -1), begins, -1)
        area, threshold, block = np.nonzero(best >= 0)
        found = person[best[area, threshold, block] % len(place)]
        matches[area, threshold, dt[start:stop][begins[block]]] = found
        taken[area, threshold, found] = ~crowd[found]
    return matches
