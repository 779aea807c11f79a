"""The losses of heatmaps and coordinates, and what they are computed of."""

import torch

LOSSES = [
    dict(type='FocusMSELoss', gamma=0.),
    dict(type='FocusMSELoss', gamma=2., normalize=True),
    dict(type='FocusMSELoss', skip_empty_channel=True),
    dict(type='WeightAdaptiveMSELoss'),
    dict(type='HeatmapWeightingMSELoss', function='power'),
    dict(type='RankSortLoss', positives=7),
    dict(type='ExpectedOKSLoss', sigmas=[0.1, 0.05, 0.2]),
    dict(type='InstanceWeightedLoss', loss=dict(type='KeypointMSELoss')),
    dict(type='MaskedMSELoss'),
]


def tensors() -> tuple[torch.Tensor, ...]:
    """Output, target and weights of heatmaps."""
    torch.manual_seed(0)
    output = torch.rand(2, 3, 8, 6, requires_grad=True)
    return output, torch.rand(2, 3, 8, 6), (torch.rand(2, 3) < 0.7).float()


def of_points(output, target, weights):
    """A row of each heatmap, as coordinates."""
    return output[:, :, 0], target[:, :, 0], weights


def arguments_of(config: dict) -> tuple[torch.Tensor, ...]:
    """Output, target and weights for a loss; the output is what it is of."""
    return (of_points(*tensors()) if config['type'] == 'MaskedMSELoss'
            else tensors())


def drawn_heatmaps(dtype=torch.float32, shape=(2, 3, 16, 12), seed=0):
    """Random output, Gaussian target with background at exactly 0, weights."""
    generator = torch.Generator().manual_seed(seed)
    batch, keypoints, height, width = shape
    x = torch.arange(width).view(1, 1, 1, -1)
    y = torch.arange(height).view(1, 1, -1, 1)
    center = torch.rand(batch, keypoints, 1, 1, 2, generator=generator)
    squares = ((x - center[..., 0] * width)**2 +
               (y - center[..., 1] * height)**2)
    target = torch.exp(-squares / 8)
    target[target < 1e-2] = 0
    output = target + 0.3 * torch.randn(shape, generator=generator)
    weights = torch.rand(batch, keypoints, generator=generator)
    weights[:1, :1] = 0
    return output.to(dtype), target.to(dtype), weights.to(dtype)


def value_and_gradient(loss, output, *args, **kwargs):
    output = output.detach().clone().requires_grad_()
    value = loss(output, *args, **kwargs)
    value.backward()
    return value.detach(), output.grad
