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
from .oks_losses import ExpectedOKSLoss, expected_oks_loss
from .ranking_losses import (
    RankSortDiscretLoss,
    RankSortLoss,
    instance_sort_loss,
    spatial_rank_sort_loss,
)
from .regression_losses import MaskedMSELoss, masked_mse_loss
from .temporal_loss import TemporalSmoothnessLoss, temporal_smoothness_loss

__all__ = [
    'AdaptiveBalancer', 'BalancedMSELoss', 'DynamicTaskPriorityBalancer',
    'ExpectedOKSLoss', 'FocusMSELoss', 'GradNormBalancer',
    'HeatmapWeightingMSELoss', 'InstanceWeightedLoss', 'LossBalancer',
    'ManualBalancer', 'MaskedMSELoss', 'RankSortDiscretLoss',
    'RankSortLoss', 'TemporalSmoothnessLoss', 'TorchJDBalancer',
    'UncertaintyBalancer', 'WeightAdaptiveMSELoss', 'balanced_mse_loss',
    'expected_oks_loss', 'focus_mse_loss', 'heatmap_consistency_loss',
    'heatmap_weighting_mse_loss', 'instance_sort_loss', 'masked_mse_loss',
    'spatial_rank_sort_loss', 'temporal_smoothness_loss',
    'weight_adaptive_mse_loss'
]
