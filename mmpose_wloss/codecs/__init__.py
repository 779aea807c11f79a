from .centered_regression_label import CenteredRegressionLabel
from .drawn_targets import draw_targets
from .hourglass_heatmap import HourglassHeatmap
from .integral_pose3d_label import IntegralPose3DLabel
from .pixel_origin import pixel_origin

__all__ = ['CenteredRegressionLabel', 'HourglassHeatmap', 'IntegralPose3DLabel',
           'draw_targets', 'pixel_origin']
