from .person_boxes import (
    BoxesFile,
    PersonDetector,
    person_boxes,
    whole_frames,
)
from .pose3d_image_inferencer import (
    Pose3DImageInferencer,
    image_files,
    read_json,
)
from .pose3d_predictions import Predictions, TruthSheet, predict_images
from .stopwatch import Stopwatch
from .topdown_predictor import TopdownPredictor
from .video import VideoSummary, predict_video

__all__ = [
    'BoxesFile', 'PersonDetector', 'Pose3DImageInferencer', 'Predictions',
    'Stopwatch', 'TopdownPredictor', 'TruthSheet', 'VideoSummary',
    'image_files', 'person_boxes', 'predict_images', 'predict_video',
    'read_json', 'whole_frames'
]
