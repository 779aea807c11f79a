import torch

from .base import JointOutputs, inside, per_axis
from .structures import at_least_float32


class OffsetOutputs(JointOutputs):
    """Three maps a joint, as UDP's ``'combined'`` codec has them.

    One tells whether a pixel is near the joint, two how far that is from it along x
    and along y, in units of the radius. Turning a map would turn no offset, so the
    teacher's joints are moved to the hard view and written there as the codec does. A
    score is the first map's highest value.
    """

    kind = 'heatmaps with offsets, of shape [B, 3 K, H, W]'

    @property
    def keypoints(self):
        return self.head.out_channels // 3

    @property
    def radius(self) -> float:
        """The radius of the codec, in pixels of the maps."""
        return float(self.decoder.radius_factor * max(self.decoder.heatmap_size))

    def final(self, output):
        self.check(output, isinstance(output, torch.Tensor) and output.ndim == 4
                   and output.shape[1] % 3 == 0)
        return output

    def peaks(self, output):
        return self.final(output)[:, ::3].detach().amax(dim=(2, 3)).float()

    def joints(self, output):
        # in bfloat16 a joint would lie up to a pixel away
        maps = at_least_float32(self.final(output).detach())
        near, *offsets = maps.unflatten(1, (-1, 3)).unbind(2)
        index, width = near.flatten(2).argmax(dim=2, keepdim=True), near.shape[3]
        places = (index % width, index // width)
        return torch.cat([
            (place + offset.flatten(2).gather(2, index) * self.radius) * scale
            for place, offset, scale in zip(
                places, offsets, self.decoder.scale_factor.tolist(), strict=True)],
            dim=2)

    def labels(self, data_samples):
        return torch.stack([sample.gt_fields.heatmaps for sample in data_samples])

    def encode(self, joints):
        size = self.decoder.heatmap_size
        places = per_axis(joints, (1 / self.decoder.scale_factor).tolist())
        x, y = ((place[..., None] - torch.arange(length, device=places.device))
                / self.radius for place, length in zip(
                    places.unbind(2), size, strict=True))
        x, y = torch.broadcast_tensors(x[:, :, None], y[..., None])
        near = (x.square() + y.square() <= 1).to(x)
        return torch.stack([near, x, y], dim=2).flatten(1, 2), inside(
            places, size, margin=0.5)
