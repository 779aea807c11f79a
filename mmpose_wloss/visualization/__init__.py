from .batch_sheet import draw_batch
from .curves import draw_curves
from .hard_view_sheet import draw_hard_views
from .pose3d_image_visualizer import Pose3DImageVisualizer
from .predictions import Prediction, draw_predictions, predict
from .rare_poses import draw_error_over_density, figure_to_image

__all__ = [
    'Pose3DImageVisualizer', 'Prediction', 'draw_batch', 'draw_curves',
    'draw_error_over_density', 'draw_hard_views', 'draw_predictions',
    'figure_to_image', 'predict'
]
