import numpy as np
import torch
import torch.nn.functional as F
from mmpose.models.losses import KLDiscretLoss
from torch import Tensor

from .base import JointOutputs, inside


class SimCCOutputs(JointOutputs):
    """Pairs of distributions over x and over y, which a turn would mix.

    So the teacher's joints are moved to the hard view and encoded there as the codec
    does. A score is the lower one of the two highest values; the loss is half of the
    head's own.
    """

    kind = 'a pair of SimCC vectors of shape [B, K, W] and [B, K, H]'

    def final(self, output):
        self.check(output, isinstance(output, tuple) and len(output) == 2 and all(
            isinstance(x, Tensor) and x.ndim == 3 for x in output))
        return output

    def peaks(self, output):
        x, y = self.final(output)
        return torch.minimum(x.detach().amax(2), y.detach().amax(2)).float()

    def joints(self, output):
        x, y = self.final(output)
        place = torch.stack([x.argmax(2), y.argmax(2)], dim=2).float()
        return place / self.decoder.simcc_split_ratio

    def labels(self, data_samples):
        labels = [sample.gt_instance_labels for sample in data_samples]
        return (torch.cat([each.keypoint_x_labels for each in labels]),
                torch.cat([each.keypoint_y_labels for each in labels]))

    def encode(self, joints):
        centers = (joints * self.decoder.simcc_split_ratio).round()
        size = [int(np.around(side * self.decoder.simcc_split_ratio))
                for side in self.decoder.input_size]
        labels = tuple(self._encode(centers[..., axis], length, axis)
                       for axis, length in enumerate(size))
        return labels, inside(centers, size)

    def _encode(self, center: Tensor, length: int, axis: int) -> Tensor:
        if self.decoder.smoothing_type == 'standard':
            smooth = self.decoder.label_smooth_weight
            label = F.one_hot(center.long().clamp(0, length - 1), length)
            return torch.where(label > 0, 1 - smooth, smooth / (length - 1))
        sigma = float(self.decoder.sigma[axis])
        bins = torch.arange(length, device=center.device)
        label = torch.exp(-((bins - center[..., None]) / sigma)**2 / 2)
        if self.decoder.normalize:
            label = label / (sigma * np.sqrt(2 * np.pi))
        return label

    def fits(self, criterion):
        return isinstance(criterion, KLDiscretLoss)
