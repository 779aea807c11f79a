from .artifact import PoseDensityArtifact
from .kernel_density import log_kernel_sums, loo_bandwidth, scott_bandwidth
from .pose_density import PoseDensity
from .weights import (
    dense_weights,
    effective_number_weights,
    effective_sample_size,
    median_frequency_weights,
    repeat_factors,
)

__all__ = [
    'PoseDensity', 'PoseDensityArtifact', 'dense_weights', 'effective_number_weights',
    'effective_sample_size', 'log_kernel_sums', 'loo_bandwidth',
    'median_frequency_weights', 'repeat_factors', 'scott_bandwidth'
]
