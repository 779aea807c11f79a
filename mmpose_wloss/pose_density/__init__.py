from .artifact import PoseDensityArtifact
from .kernel_density import log_kernel_sums, loo_bandwidth, scott_bandwidth
from .pose_density import PoseDensity
from .weights import effective_sample_size, median_frequency_weights

__all__ = [
    'PoseDensity', 'PoseDensityArtifact', 'effective_sample_size',
    'log_kernel_sums', 'loo_bandwidth', 'median_frequency_weights',
    'scott_bandwidth'
]
