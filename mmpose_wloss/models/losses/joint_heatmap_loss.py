"""What losses of whole heatmaps, not of their pixels, have in common."""

from abc import abstractmethod

from mmpose.models.losses import KeypointMSELoss
from torch import Tensor


class JointHeatmapLoss(KeypointMSELoss):
    """The stock call around a loss with one weight a joint."""

    def forward(self,
                output: Tensor,
                target: Tensor,
                target_weights: Tensor | None = None,
                mask: Tensor | None = None) -> Tensor:
        """Forward function of loss, as of ``KeypointMSELoss``.

        Args:
            output, target (Tensor): Heatmaps in shape [B, K, H, W].
            target_weights (Tensor, optional): Non-negative, in shape [B, K] or
                [B, K, H, W]. The largest of a joint's pixels weighs the joint;
                a pixel of weight 0 takes no part.
            mask (Tensor, optional): Of valid pixels, in shape [B, K or 1, H, W].

        Raises:
            ValueError: If shapes of output and target differ.
            AssertionError: If the shapes of target and weights differ.
        """
        weights = mask = self._get_mask(target, target_weights, mask)
        if mask is not None:
            weights = mask.expand_as(target).flatten(2).amax(-1)
        return self.loss_weight * self.of_joints(output, target, weights, mask)

    @abstractmethod
    def of_joints(self, output: Tensor, target: Tensor, weights: Tensor | None,
                  mask: Tensor | None) -> Tensor:
        """The loss by weights of joints in shape [B, K], a scalar."""
