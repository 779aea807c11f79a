from .curves import draw_curves
from .heatmap_sheet import draw_heatmap_sheet
from .predictions import Prediction, draw_predictions, predict

__all__ = [
    'Prediction', 'draw_curves', 'draw_heatmap_sheet', 'draw_predictions',
    'predict'
]
