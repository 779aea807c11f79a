from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS
from mmpose.structures import PoseDataSample

from ...common.checks import one_of
from ...common.errors import UserError
from ...common.hooks import line_to_add
from ...pose_density import PoseDensityArtifact

MISSING = ('error', 'one')


class PendingKeypointWeights:
    """Keypoint weights that a pose's weight has still to multiply.

    They stand for ``keypoint_weights`` until :class:`PoseDensityHook` calls
    :func:`multiply_pose_weights`. Who computes with them before gets an error.

    Args:
        keypoint_weights (np.ndarray): In shape [1, K], or, of several codecs,
            [L, 1, K].
        pose_weight (float): The weight of the pose.
    """

    def __init__(self, keypoint_weights: np.ndarray, pose_weight: float):
        weights = torch.as_tensor(keypoint_weights)
        # some data sets of MMPose have integers, and their codecs too
        self.keypoint_weights = (weights if weights.is_floating_point() else
                                 weights.float())
        self.pose_weight = pose_weight

    def __len__(self) -> int:
        return len(self.keypoint_weights)

    @classmethod
    def __torch_function__(cls, *_, **__) -> NoReturn:
        raise UserError(
            'PoseDensityWeights trains without its PoseDensityHook. Add it to '
            f'the config: {line_to_add("PoseDensityHook")}')


def multiply_pose_weights(samples: Sequence[PoseDataSample],
                          strength: float = 1.) -> list[float | None]:
    """Multiply the keypoint weights of a batch by those of its poses.

    Args:
        samples (Sequence[PoseDataSample]): The batch, changed in place.
        strength (float): From 0, keypoint weights stay as they are, to 1.

    Returns:
        list: What each sample was multiplied by; ``None`` without a weight.
    """
    factors = []
    for sample in samples:
        labels, factor = sample.gt_instance_labels, None
        pending = labels.get('keypoint_weights')
        if isinstance(pending, PendingKeypointWeights):
            factor = 1 + strength * (pending.pose_weight - 1)
            labels.keypoint_weights = pending.keypoint_weights * factor
        factors.append(factor)
    return factors


@TRANSFORMS.register_module()
class PoseDensityWeights(BaseTransform):
    """Gives a training sample a weight by how rare its pose is.

    :class:`PoseDensityHook` multiplies ``keypoint_weights``, which every head
    hands to its loss, by the weight that the annotation has in a file of
    ``python -m mmpose_wloss density fit``. A training without the hook ends in
    an error at its first step.

    Required Keys: id, keypoint_weights

    Modified Keys: keypoint_weights, see :class:`PendingKeypointWeights`

    Args:
        file (str): The pose density, ``.npz``.
        missing (str): What becomes of a sample that the file lacks:
            ``'error'``, or ``'one'``: it keeps its weight.

    Raises:
        MissingFile: If there is no such file.
        UserError: If it cannot be read.
    """

    source = 'python -m mmpose_wloss density fit CONFIG'
    file_keys = ('file', )
    hooks = ('PoseDensityHook', )

    def __init__(self, file: str, missing: str = 'error'):
        one_of(MISSING, missing=missing)
        self.file = file
        self.missing = missing
        artifact = PoseDensityArtifact.load(file)
        self.dataset_name = artifact.dataset_name
        self.weights = artifact.by_id()

    def transform(self, results: dict) -> dict:
        """Give a sample its weight; an unlabeled one stays as it is.

        Args:
            results (dict): The sample, after ``GenerateTarget``.

        Raises:
            UserError: If targets were not generated, the file lacks the
                sample, or the sample holds several people, is of another data
                set, or has a weight already.
        """
        if results.get('labeled') is False:
            return results
        weights = results.get('keypoint_weights')
        if weights is None:
            raise UserError('PoseDensityWeights finds no keypoint_weights: put '
                            'it right after GenerateTarget')
        if isinstance(weights, PendingKeypointWeights):
            raise UserError('a sample is weighted by PoseDensityWeights twice: '
                            'keep one of them in the pipeline')
        identity, people = results['id'], len(results['keypoints'])
        if np.ndim(identity) or people != 1:
            raise UserError(
                'PoseDensityWeights weighs single poses, but a sample of '
                f'{results.get("img_path")} holds {people} people: it is for '
                'top-down training')
        name = results.get('dataset_name', self.dataset_name)
        if name != self.dataset_name:
            raise UserError(f'{self.file} is of the data set '
                            f'{self.dataset_name}, but a sample is of {name}')
        weight = self.weights.get(int(identity))
        if weight is None and self.missing == 'error':
            raise UserError(
                f'{self.file} has no weight for annotation {identity}: compute '
                'it from the annotations that are trained on '
                f"({self.source}), or set missing='one'")
        # several codecs make a list, which would be stacked later
        results['keypoint_weights'] = PendingKeypointWeights(
            np.asarray(weights), 1. if weight is None else weight)
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(file={self.file!r}, '
                f'missing={self.missing!r})')
