from .curves import draw_curves
from .hard_view_sheet import draw_hard_views
from .heatmap_sheet import draw_heatmap_sheet
from .predictions import Prediction, draw_predictions, predict

__all__ = [
    'Prediction', 'draw_curves', 'draw_hard_views', 'draw_heatmap_sheet',
    'draw_predictions', 'predict'
]
