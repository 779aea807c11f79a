import torch
from mmpose.codecs import MegviiHeatmap
from torch import Tensor, nn

from ....codecs import pixel_origin
from ...hard_views.hard_view import rescale, warp
from ...losses.consistency_losses import heatmap_consistency_loss
from ..soft_argmax import soft_argmax
from .base import KeypointOutputs, per_axis
from .structures import Output


class HeatmapOutputs(KeypointOutputs):
    """Heatmaps of one stage or several, each taught by the last one, warped.

    A score is a heatmap's highest value; the loss is
    :func:`heatmap_consistency_loss`, summed over the stages.
    """

    kind = 'heatmaps of shape [B, K, H, W]'

    def __init__(self, head: nn.Module):
        super().__init__(head)
        self.scale = tuple(float(x) for x in self.decoder.scale_factor)
        self.origin = pixel_origin(self.decoder)
        # how high the codec draws a joint
        self.height = 255. if isinstance(self.decoder, MegviiHeatmap) else 1.

    def stages(self, output: Output) -> list[Tensor]:
        """The heatmaps of each stage."""
        stages = list(output) if isinstance(output, list) else [output]
        self.check(output, all(
            isinstance(x, Tensor) and x.ndim == 4 for x in stages))
        return stages

    def final(self, output):
        return self.stages(output)[-1]

    def peaks(self, output):
        return self.final(output).detach().amax(dim=(2, 3)).float()

    def joints(self, output):
        heatmaps = self.final(output).detach()
        index, width = heatmaps.flatten(2).argmax(dim=2), heatmaps.shape[3]
        return torch.stack([
            (place + self.origin) * scale for place, scale in zip(
                (index % width, index // width), self.scale, strict=True)], dim=2)

    def soft_joints(self, output: Output) -> Tensor:
        """Mean places in pixels of the input, in shape [B, K, 2], with a gradient.

        Heatmaps count as shares of their highest value, however high that is.
        """
        heatmaps = self.final(output)
        highest = heatmaps.detach().amax(dim=(2, 3), keepdim=True)
        places = soft_argmax(heatmaps / highest.clamp(min=1e-2))
        return per_axis(places + self.origin, self.scale)

    def labels(self, data_samples):
        heatmaps = [sample.gt_fields.heatmaps for sample in data_samples]
        # those of stages are of the sample's several levels
        return torch.stack([each[-1] if isinstance(each, list) else each
                            for each in heatmaps])

    def targets(self, output, matrix, size, half_pixels):
        heatmaps = self.final(output).detach()
        if half_pixels:
            scale = size[0] / heatmaps.shape[3], size[1] / heatmaps.shape[2]
            offset = tuple((x - 1) / 2 for x in scale)
        else:
            scale = self.scale
            offset = tuple(x * self.origin for x in scale)
        return warp(heatmaps, rescale(matrix, scale, offset)), None

    def loss(self, output, targets, weights):
        return sum(heatmap_consistency_loss(stage, targets, weights)
                   for stage in self.stages(output))
