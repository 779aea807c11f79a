from .person_boxes import (
    BoxesFile,
    PersonDetector,
    person_boxes,
    whole_frames,
)
from .pose3d_image_inferencer import Pose3DImageInferencer
from .topdown_predictor import TopdownPredictor
from .video import VideoSummary, predict_video

__all__ = [
    'BoxesFile', 'PersonDetector', 'Pose3DImageInferencer',
    'TopdownPredictor', 'VideoSummary', 'person_boxes', 'predict_video',
    'whole_frames'
]
