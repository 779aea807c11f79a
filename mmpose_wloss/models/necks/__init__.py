from .hourglass_stage import HourglassStage
from .vgg_classifier_neck import VGGClassifierNeck

__all__ = ['HourglassStage', 'VGGClassifierNeck']
