import numpy as np
from mmengine.logging import MMLogger
from mmpose.evaluation.functional import keypoint_pck_accuracy
from mmpose.evaluation.metrics import PCKAccuracy
from mmpose.registry import METRICS

from .named_joints import joint_indices

GROUPS = dict(
    Head=('neck', 'head_top'),
    Shoulder=('right_shoulder', 'left_shoulder'),
    Elbow=('right_elbow', 'left_elbow'),
    Wrist=('right_wrist', 'left_wrist'),
    Hip=('right_hip', 'left_hip'),
    Knee=('right_knee', 'left_knee'),
    Ankle=('right_ankle', 'left_ankle'))
TORSO = ('left_shoulder', 'right_hip')


@METRICS.register_module()
class LSPPCKAccuracy(PCKAccuracy):
    """Percentage of correct keypoints as the field reports it for LSP.

    A joint is correct if it is less than ``thr`` torsos from its true place. A
    torso is the distance from the left shoulder to the right hip in the
    image's annotation. Joints that are not visible do not count; neither do
    images whose torso has no length or an end that is not visible, and a
    warning says how many there were.

    The results, each from 0 to 1, are ``'PCK@0.2'`` (with the ``thr``), the
    mean over the joints, and ``'Head PCK@0.2'`` (the mean of neck and head
    top), ``'Shoulder PCK@0.2'``, ``'Elbow PCK@0.2'``, ``'Wrist PCK@0.2'``,
    ``'Hip PCK@0.2'``, ``'Knee PCK@0.2'`` and ``'Ankle PCK@0.2'``, each the
    mean of the right and the left joint. A joint that does not count in any
    image takes no part in these means, and a group without a joint that counts
    is left out.

    Args:
        thr (float): The threshold in torsos. Defaults to 0.2.
        collect_device (str): As in ``PCKAccuracy``.
        prefix (str, optional): As in ``PCKAccuracy``.

    Raises:
        ValueError: If the data set lacks one of LSP's joints, or if no joint
            counts.
    """

    def __init__(self,
                 thr: float = 0.2,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        # the stock item 'torso' is the distance between two of JHMDB's joints
        super().__init__(
            thr=thr, norm_item=[], collect_device=collect_device,
            prefix=prefix)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the metrics from processed results.

        Args:
            results (list[dict]): Of each image ``pred_coords`` and
                ``gt_coords`` in shape [1, K, 2] and ``mask`` in shape [1, K].

        Returns:
            dict[str, float]: The results, by their names.
        """
        predicted, true, mask = (
            np.concatenate([result[key] for result in results])
            for key in ('pred_coords', 'gt_coords', 'mask'))
        groups = {
            group: joint_indices(self.dataset_meta, joints,
                                 type(self).__name__)
            for group, joints in GROUPS.items()
        }
        torso = self._torsos(true, mask)
        # the stock function leaves out whatever is normalised by 0
        per_joint, mean, count = keypoint_pck_accuracy(
            predicted, true, mask, self.thr, np.stack([torso, torso], axis=1))
        if not count:
            raise ValueError(
                f'LSPPCKAccuracy has nothing to count in {len(results)} '
                'images: none has a visible torso, from the left shoulder to '
                'the right hip. Check keypoints_visible of the test data')
        name = f'PCK@{self.thr:g}'
        metrics = {}
        for group, indices in groups.items():
            values = per_joint[indices]
            # -1 stands for no joint to count
            if (values >= 0).any():
                metrics[f'{group} {name}'] = float(values[values >= 0].mean())
        return {**metrics, name: float(mean)}

    def _torsos(self, true: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Lengths in shape [N], 0 where there is none."""
        ends = joint_indices(self.dataset_meta, TORSO, type(self).__name__)
        length = np.linalg.norm(true[:, ends[0]] - true[:, ends[1]], axis=-1)
        length = np.where(mask[:, ends].all(axis=1), length, 0.)
        without = int((length == 0).sum())
        if without:
            MMLogger.get_current_instance().warning(
                f'LSPPCKAccuracy: {without} of {len(length)} images are left '
                'out, because their torso has no length or an end that is '
                'not visible')
        return length
