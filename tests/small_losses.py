"""The losses of heatmaps and coordinates, and what they are computed of."""

import torch

LOSSES = [
    dict(type='FocusMSELoss', gamma=0.),
    dict(type='FocusMSELoss', gamma=2., normalize=True),
    dict(type='FocusMSELoss', skip_empty_channel=True),
    dict(type='WeightAdaptiveMSELoss'),
    dict(type='HeatmapWeightingMSELoss', function='power'),
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
