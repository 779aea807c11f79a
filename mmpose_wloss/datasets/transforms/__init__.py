from .formatting import PackSemiSupervisedPoseInputs
from .pose3d_formatting import PackPose3DInputs
from .pose_density_weights import PoseDensityWeights
from .random_hsv import RandomHSV
from .topdown_resize import TopdownResize

__all__ = [
    'PackPose3DInputs', 'PackSemiSupervisedPoseInputs', 'PoseDensityWeights',
    'RandomHSV', 'TopdownResize'
]
