from .formatting import PackSemiSupervisedPoseInputs
from .pose_density_weights import PoseDensityWeights
from .random_hsv import RandomHSV
from .topdown_resize import TopdownResize

__all__ = [
    'PackSemiSupervisedPoseInputs', 'PoseDensityWeights', 'RandomHSV',
    'TopdownResize'
]
