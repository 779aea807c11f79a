from .centered_regression_label import CenteredRegressionLabel
from .integral_pose3d_label import IntegralPose3DLabel

__all__ = ['CenteredRegressionLabel', 'IntegralPose3DLabel']
