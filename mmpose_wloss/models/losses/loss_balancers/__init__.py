from .adaptive_balancer import AdaptiveBalancer
from .dynamic_task_priority_balancer import DynamicTaskPriorityBalancer
from .grad_norm_balancer import GradNormBalancer
from .loss_balancer import LossBalancer
from .manual_balancer import ManualBalancer
from .torchjd_balancer import TorchJDBalancer
from .uncertainty_balancer import UncertaintyBalancer

__all__ = [
    'AdaptiveBalancer', 'DynamicTaskPriorityBalancer', 'GradNormBalancer',
    'LossBalancer', 'ManualBalancer', 'TorchJDBalancer', 'UncertaintyBalancer'
]
