from .preact_hourglass import PreActHourglassNet
from .timm_backbone import TIMMBackbone

__all__ = ['PreActHourglassNet', 'TIMMBackbone']
