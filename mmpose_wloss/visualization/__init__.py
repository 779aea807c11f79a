from .comparison import draw_comparison
from .curves import draw_curves
from .hard_view_sheet import draw_hard_views
from .heatmap_sheet import draw_heatmap_sheet
from .predictions import Prediction, draw_predictions, predict
from .rare_poses import DensityBin, draw_error_over_density, figure_to_image
from .term_curves import draw_term_curves

__all__ = [
    'DensityBin', 'Prediction', 'draw_comparison', 'draw_curves',
    'draw_error_over_density', 'draw_hard_views', 'draw_heatmap_sheet',
    'draw_predictions', 'draw_term_curves', 'figure_to_image', 'predict'
]
