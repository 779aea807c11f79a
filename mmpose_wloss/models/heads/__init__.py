from .balanced_head import BalancedHead
from .center_of_mass import center_of_mass
from .centered_regression_head import CenteredRegressionHead
from .integral_pose3d_head import IntegralPose3DHead
from .soft_argmax import soft_argmax

__all__ = [
    'BalancedHead', 'CenteredRegressionHead', 'IntegralPose3DHead',
    'center_of_mass', 'soft_argmax'
]
