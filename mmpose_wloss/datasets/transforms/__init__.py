from .formatting import PackSemiSupervisedPoseInputs
from .random_hsv import RandomHSV
from .topdown_resize import TopdownResize

__all__ = ['PackSemiSupervisedPoseInputs', 'RandomHSV', 'TopdownResize']
