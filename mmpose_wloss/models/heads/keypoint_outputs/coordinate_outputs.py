import torch
from mmpose.models.losses import KeypointMSELoss

from ....codecs import CenteredRegressionLabel
from .base import JointOutputs, inside, per_axis
from .structures import at_least_float32


class CoordinateOutputs(JointOutputs):
    """Coordinates, as regression heads give them, of RLE with their deviations.

    The teacher's joints are moved to the hard view. A score is 1 less the mean
    deviation, as RLE's codec has it; of heads without deviations it is 1, so that
    no joint is ever doubted, and no collapse to background can show.
    """

    kind = 'coordinates of shape [B, K, 2], or [B, K, 4] with deviations'

    @property
    def keypoints(self):
        return self.head.num_joints

    def final(self, output):
        self.check(output, isinstance(output, torch.Tensor) and output.ndim == 3
                   and output.shape[2] in (2, 4))
        return output

    def peaks(self, output):
        output = self.final(output).detach().float()
        if output.shape[2] == 2:
            return torch.ones_like(output[..., 0])
        return 1 - output[..., 2:].sigmoid().mean(dim=2)

    def joints(self, output):
        # in bfloat16 a joint would lie on a whole pixel
        places = at_least_float32(self.final(output).detach()[..., :2])
        if self._centered:
            places = (places + 1) / 2
        return per_axis(places, self.decoder.input_size)

    def labels(self, data_samples):
        return torch.cat([sample.gt_instance_labels.keypoint_labels
                          for sample in data_samples])

    def encode(self, joints):
        size = self.decoder.input_size
        places = per_axis(joints, [1 / side for side in size])
        return 2 * places - 1 if self._centered else places, inside(joints, size)

    @property
    def _centered(self) -> bool:
        return isinstance(self.decoder, CenteredRegressionLabel)

    def compare(self, criterion, output, targets, weights):
        # as the heads do: places, deviations where there are some, labels, weights
        return criterion(*self.final(output).split(2, dim=2), targets,
                         weights.unsqueeze(2))

    def fits(self, criterion):
        return super().fits(criterion) and not isinstance(criterion, KeypointMSELoss)
