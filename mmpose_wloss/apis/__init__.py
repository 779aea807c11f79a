from .pose3d_image_inferencer import (
    Pose3DImageInferencer,
    image_files,
    read_json,
)
from .pose3d_predictions import Predictions, TruthSheet, predict_images

__all__ = [
    'Pose3DImageInferencer', 'Predictions', 'TruthSheet', 'image_files',
    'predict_images', 'read_json'
]
