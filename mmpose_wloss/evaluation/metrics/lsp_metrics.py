"""PCK and PCP as the field reports them for LSP."""

from collections.abc import Sequence

import numpy as np
from mmengine.logging import MMLogger
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.evaluation.metrics import PCKAccuracy
from mmpose.registry import METRICS

from ...common.errors import UserError

SIDES = ('right', 'left')
GROUPS = dict(
    Head=('neck', 'head_top'),
    **{part.title(): tuple(f'{side}_{part}' for side in SIDES) for part in (
        'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')})
TORSO = ('left_shoulder', 'right_hip')
# a limb's ends, each the middle of the joints named
LIMBS = {
    'Torso': [(GROUPS['Shoulder'], GROUPS['Hip'])],
    **{part: [((f'{side}_{start}', ), (f'{side}_{end}', )) for side in SIDES]
       for part, start, end in (('Upper leg', 'hip', 'knee'),
                                ('Lower leg', 'knee', 'ankle'),
                                ('Upper arm', 'shoulder', 'elbow'),
                                ('Forearm', 'elbow', 'wrist'))},
    'Head': [(('neck', ), ('head_top', ))],
}


class _LSPAccuracy(PCKAccuracy):
    """Keeps what ``PCKAccuracy`` keeps, and finds joints by their names."""

    def __init__(self, thr: float, **kwargs) -> None:
        # the stock item 'torso' is the distance between two of JHMDB's joints
        super().__init__(thr=thr, norm_item=[], **kwargs)

    def _indices(self, names: Sequence[str]) -> list[int]:
        indices = self.dataset_meta['keypoint_name2id']
        missing = [name for name in names if name not in indices]
        if missing:
            raise UserError(
                f"{type(self).__name__} needs the joints {', '.join(missing)}, "
                f"not in the data set {self.dataset_meta.get('dataset_name')!r}")
        return [indices[name] for name in names]

    def _measure(self, predicted: np.ndarray, true: np.ndarray,
                 visible: np.ndarray) -> dict[str, float]:
        """Figures of joints in shape [N, K, 2], visible ones in [N, K]."""
        raise NotImplementedError

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the figures by their names."""
        figures = self._measure(*(
            np.concatenate([result[key] for result in results])
            for key in ('pred_coords', 'gt_coords', 'mask')))
        if not figures:
            raise UserError(
                f'{type(self).__name__} has nothing to count in {len(results)} '
                'images. Check keypoints_visible of the test data')
        return figures


@METRICS.register_module()
class LSPPCKAccuracy(_LSPAccuracy):
    """Percentage of correct keypoints as the field reports it for LSP.

    A joint is correct if it is less than ``thr`` torsos from its true place. A
    torso is the distance from the left shoulder to the right hip in the
    image's annotation. Joints that are not visible do not count; neither do
    images whose torso has no length or an end that is not visible.

    The results, from 0 to 1, are ``'PCK@0.2'`` (with the ``thr``), the mean
    over the joints, ``'Head PCK@0.2'``, that of neck and head top, and those
    of ``Shoulder``, ``Elbow``, ``Wrist``, ``Hip``, ``Knee`` and ``Ankle``,
    right and left. What counts in no image takes no part in them, and a group
    without a joint that counts is left out.

    Args:
        thr (float): The threshold in torsos.
        **kwargs: ``collect_device`` and ``prefix``, as in ``PCKAccuracy``.

    Raises:
        UserError: If the data set lacks one of LSP's joints, or if no joint
            counts.
    """

    def __init__(self, thr: float = 0.2, **kwargs) -> None:
        super().__init__(thr, **kwargs)

    def _measure(self, predicted: np.ndarray, true: np.ndarray,
                 visible: np.ndarray) -> dict[str, float]:
        groups = {group: self._indices(joints)
                  for group, joints in GROUPS.items()}
        ends = self._indices(TORSO)
        torso = np.linalg.norm(true[:, ends[0]] - true[:, ends[1]], axis=-1)
        torso = np.where(visible[:, ends].all(axis=1), torso, 0.)
        if not torso.all():
            MMLogger.get_current_instance().warning(
                f'LSPPCKAccuracy: {(torso == 0).sum()} of {len(torso)} images '
                'are left out, because their torso has no length or an end '
                'that is not visible')
        # the stock function leaves out whatever is normalized by 0
        per_joint, mean, count = keypoint_pck_accuracy(
            predicted, true, visible, self.thr, np.stack([torso, torso], 1))
        # -1 stands for no joint to count
        name, measured = f'PCK@{self.thr:g}', np.ma.masked_less(per_joint, 0)
        figures = {f'{group} {name}': float(measured[indices].mean())
                   for group, indices in groups.items()
                   if measured[indices].count()}
        return {**figures, name: float(mean)} if count else {}


@METRICS.register_module()
class PCPAccuracy(_LSPAccuracy):
    """Percentage of correct parts, in its strict sense.

    A limb is correct if each of its two ends is at most half the limb's true
    length from that end's true place. (In the loose sense, which is not this
    one, the mean of the two distances is.) The ten limbs of the field are
    those in :data:`LIMBS`. A limb does not count in an image where one of its
    joints is not visible or where it has no length.

    The results, from 0 to 1, are ``'PCP'``, the mean over the ten limbs, and
    ``'Torso PCP'`` and those of ``Upper leg``, ``Lower leg``, ``Upper arm``,
    ``Forearm`` and ``Head``. What counts in no image takes no part in them,
    and a part without a limb that counts is left out.

    Args:
        thr (float): The share of a limb's length.
        **kwargs: ``collect_device`` and ``prefix``, as in ``PCKAccuracy``.

    Raises:
        UserError: If the data set lacks one of LSP's joints, or if no limb
            counts.
    """

    def __init__(self, thr: float = 0.5, **kwargs) -> None:
        super().__init__(thr, **kwargs)

    def _measure(self, predicted: np.ndarray, true: np.ndarray,
                 visible: np.ndarray) -> dict[str, float]:
        shares = {}
        for part, limbs in LIMBS.items():
            for limb in limbs:
                ends = [self._indices(joints) for joints in limb]
                here, there = (
                    np.stack([points[:, each, :2].mean(axis=1)
                              for each in ends], 1)
                    for points in (predicted, true))
                length = np.linalg.norm(there[:, 0] - there[:, 1], axis=-1)
                counts = visible[:, sum(ends, [])].all(axis=1) & (length > 0)
                distances = np.linalg.norm(here - there, axis=-1)
                correct = (distances <= self.thr * length[:, None]).all(axis=1)
                if counts.any():
                    shares.setdefault(part, []).append(correct[counts].mean())
        figures = {f'{part} PCP': float(np.mean(values))
                   for part, values in shares.items()}
        return figures and {
            **figures, 'PCP': float(np.mean(sum(shares.values(), [])))}
