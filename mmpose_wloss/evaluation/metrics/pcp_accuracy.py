from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpose.registry import METRICS

from .named_joints import joint_indices

# a limb's ends, each the middle of the joints named
LIMBS = {
    'Torso': [(('right_shoulder', 'left_shoulder'),
               ('right_hip', 'left_hip'))],
    'Upper leg': [((f'{side}_hip', ), (f'{side}_knee', ))
                  for side in ('right', 'left')],
    'Lower leg': [((f'{side}_knee', ), (f'{side}_ankle', ))
                  for side in ('right', 'left')],
    'Upper arm': [((f'{side}_shoulder', ), (f'{side}_elbow', ))
                  for side in ('right', 'left')],
    'Forearm': [((f'{side}_elbow', ), (f'{side}_wrist', ))
                for side in ('right', 'left')],
    'Head': [(('neck', ), ('head_top', ))],
}


@METRICS.register_module()
class PCPAccuracy(BaseMetric):
    """Percentage of correct parts, in its strict sense.

    A limb is correct if each of its two ends is at most half the limb's true
    length from that end's true place. (In the loose sense, which is not this
    one, the mean of the two distances is.) The ten limbs are those of the
    field's evaluation code for LSP: the torso from the middle of the shoulders
    to the middle of the hips, the head from the neck to the head top, and
    upper legs (hip to knee), lower legs (knee to ankle), upper arms (shoulder
    to elbow) and forearms (elbow to wrist) of both sides. A limb does not
    count in an image where one of its joints is not visible or where it has no
    length.

    The results, each from 0 to 1, are ``'Torso PCP'``, ``'Upper leg PCP'``,
    ``'Lower leg PCP'``, ``'Upper arm PCP'``, ``'Forearm PCP'``, ``'Head
    PCP'``, the mean of right and left where there are two, and ``'PCP'``, the
    mean over the ten limbs. A limb that does not count in any image takes no
    part in these means, and a part without a limb that counts is left out.

    Args:
        thr (float): The share of a limb's length. Defaults to 0.5.
        collect_device (str): As in ``BaseMetric``.
        prefix (str, optional): As in ``BaseMetric``.

    Raises:
        ValueError: If the data set lacks one of LSP's joints, or if no limb
            counts.
    """

    def __init__(self,
                 thr: float = 0.5,
                 collect_device: str = 'cpu',
                 prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.thr = thr

    def process(self, data_batch: Sequence[dict],
                data_samples: Sequence[dict]) -> None:
        """Compare the limbs of one batch.

        Args:
            data_batch (Sequence[dict]): The batch from the data loader.
            data_samples (Sequence[dict]): The model's outputs, of one person
                each.
        """
        for sample in data_samples:
            true = sample['gt_instances']['keypoints'][0]
            visible = np.asarray(
                sample['gt_instances']['keypoints_visible'][0], bool)
            if visible.ndim == 2:
                visible = visible[:, 0]
            predicted = sample['pred_instances']['keypoints'][0]
            self.results.append({
                part: [self._limb(predicted, true, visible, ends)
                       for ends in limbs]
                for part, limbs in LIMBS.items()
            })

    def _limb(self, predicted: np.ndarray, true: np.ndarray,
              visible: np.ndarray, ends: tuple) -> bool | None:
        """Whether a limb is correct; ``None`` if it does not count."""
        joints = [joint_indices(self.dataset_meta, names, type(self).__name__)
                  for names in ends]
        here, there = (np.stack([
            coordinates[each].mean(axis=0) for each in joints
        ]) for coordinates in (predicted[..., :2], true[..., :2]))
        length = np.linalg.norm(there[0] - there[1])
        if not (visible[sum(joints, [])].all() and length > 0):
            return None
        distance = np.linalg.norm(here - there, axis=1)
        return bool((distance <= self.thr * length).all())

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the metrics from processed results.

        Args:
            results (list[dict]): Of each image, by parts, whether each limb is
                correct, or ``None``.

        Returns:
            dict[str, float]: The results, by their names.
        """
        shares = {}
        for part, limbs in LIMBS.items():
            for index in range(len(limbs)):
                correct = [result[part][index] for result in results
                           if result[part][index] is not None]
                if correct:
                    shares.setdefault(part, []).append(np.mean(correct))
        if not shares:
            raise ValueError(
                f'PCPAccuracy has nothing to count in {len(results)} images: '
                'none has a limb with two visible ends and a length. Check '
                'keypoints_visible of the test data')
        metrics = {f'{part} PCP': float(np.mean(values))
                   for part, values in shares.items()}
        return {**metrics, 'PCP': float(np.mean(sum(shares.values(), [])))}
