from .balanced_mse_loss import BalancedMSELoss, balanced_mse_loss
from .consistency_losses import heatmap_consistency_loss
from .heatmap_losses import (
    FocusMSELoss,
    HeatmapWeightingMSELoss,
    WeightAdaptiveMSELoss,
    focus_mse_loss,
    heatmap_weighting_mse_loss,
    weight_adaptive_mse_loss,
)
from .instance_weighted_loss import InstanceWeightedLoss
from .loss_balancers import (
    AdaptiveBalancer,
    DynamicTaskPriorityBalancer,
    GradNormBalancer,
    LossBalancer,
    ManualBalancer,
    TorchJDBalancer,
    UncertaintyBalancer,
)
from .regression_losses import MaskedMSELoss, masked_mse_loss

__all__ = [
    'AdaptiveBalancer', 'BalancedMSELoss', 'DynamicTaskPriorityBalancer',
    'FocusMSELoss', 'GradNormBalancer', 'HeatmapWeightingMSELoss',
    'InstanceWeightedLoss', 'LossBalancer', 'ManualBalancer', 'MaskedMSELoss',
    'TorchJDBalancer', 'UncertaintyBalancer', 'WeightAdaptiveMSELoss',
    'balanced_mse_loss', 'focus_mse_loss', 'heatmap_consistency_loss',
    'heatmap_weighting_mse_loss', 'masked_mse_loss', 'weight_adaptive_mse_loss'
]
